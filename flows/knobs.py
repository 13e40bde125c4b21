"""Turning knobs in params.yaml: the value asked for changes, every other character of the file stays."""

import copy
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.errors import BadParams

Knobs = Mapping[tuple[str, str], object]
"""Section and key to the new value: a scalar or a list."""


def turn(path: Path, knobs: Knobs) -> bool:
    """True where the file had to change. Raises BadParams where a knob is not in it; the file then stays as it is."""
    old = path.read_bytes()
    new = turned(old.decode("utf-8"), knobs).encode("utf-8")
    if new == old:
        return False
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(new)
    os.replace(partial, path)
    return True


def turned(text: str, knobs: Knobs) -> str:
    """The YAML text with the knobs set. Raises BadParams for a knob that is not there or cannot be set on its own."""
    tree, values = yaml.compose(text, Loader=yaml.SafeLoader), yaml.safe_load(text)
    expected, edits = copy.deepcopy(values), []
    for (section, key), value in knobs.items():
        name, node = _entry(_entry(tree, section)[1], key)
        if node is None or name is None:
            raise BadParams(f"params.yaml has no {section}.{key}: add it, with any value, and run this again")
        if values[section][key] != value:
            expected[section][key] = value
            edits.append((name.end_mark.index, _end(node, text), f": {_flow(value)}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if _load(text) != expected:
        raise BadParams(f"params.yaml: {', '.join(f'{s}.{k}' for s, k in knobs)} share an anchor or an unusual layout; set them by hand")
    return text


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((name, value) for name, value in pairs if name.value == key), (None, None))


def _end(node: yaml.Node, text: str) -> int:
    """Where the node's own text ends: a block list's mark lies beyond the comments that follow it, so its last item decides."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, text)
    return len(text[: node.end_mark.index].rstrip())


def _flow(value: object) -> str:
    """The value on one line of YAML, with escapes only where it does not read back without them (such as odd line breaks)."""
    plain = yaml.safe_dump([value], default_flow_style=True, allow_unicode=True, width=float("inf")).strip()
    if "\n" not in plain and _load(f"key: {plain}") == {"key": [value]}:
        return plain[1:-1]
    return yaml.safe_dump([value], default_flow_style=True, default_style='"', width=float("inf")).strip()[1:-1]


def _load(text: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return None
