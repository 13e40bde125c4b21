"""Turning knobs in params.yaml: the value asked for changes, every other character of the file stays."""

import copy
import functools
import operator
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from components.errors import BadParams

Knob = tuple[str, ...]
Knobs = Mapping[Knob, object]
"""The keys that lead to a knob, its section first, to the new value: a scalar, a list or a mapping."""


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
    for knob, value in knobs.items():
        above, name, node = _found(tree, knob)
        if node is None or name is None:
            raise BadParams(f"params.yaml has no {'.'.join(knob)}: add it, with any value, and run this again")
        if differ(value_of(values, knob), value):
            functools.reduce(operator.getitem, knob[:-1], expected)[knob[-1]] = value
            edits.append((name.end_mark.index, _end(node, text), f": {_flow(value) if above.flow_style else _plain(value)}"))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    if _load(text) != expected:
        raise BadParams(f"params.yaml: {', '.join(map('.'.join, knobs))} share an anchor or an unusual layout; set them by hand")
    return text


def value_of(params: Mapping[str, Any], knob: Knob) -> Any:
    """What params say. Raises KeyError or TypeError where they have no such knob."""
    value: Any = params
    for key in knob:
        value = value[key]
    return value


def differ(one: object, other: object) -> bool:
    """Whether two values are not the same: 1, 1.0 and true are three."""
    return one != other or type(one) is not type(other)


def _found(node: Any, knob: Knob) -> tuple[Any, yaml.Node | None, yaml.Node | None]:
    """The mapping that holds the knob, its name and its value there."""
    for key in knob[:-1]:
        node = _entry(node, key)[1]
    return node, *_entry(node, knob[-1])


def _entry(node: yaml.Node | None, key: str) -> tuple[yaml.Node | None, yaml.Node | None]:
    pairs = node.value if isinstance(node, yaml.MappingNode) else []
    return next(((name, value) for name, value in pairs if name.value == key), (None, None))


def _end(node: yaml.Node, text: str) -> int:
    """Where the node's own text ends: a block list's mark lies beyond the comments that follow it, so its last item decides."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        return _end(last[1] if isinstance(last, tuple) else last, text)
    return len(text[: node.end_mark.index].rstrip())


def _plain(value: object) -> str:
    """The value as a person would write it after `key: `, where it fits on that line."""
    text = yaml.safe_dump({"key": value}, allow_unicode=True, width=float("inf")).strip()
    return text.removeprefix("key: ") if "\n" not in text and _load(text) == {"key": value} else _flow(value)


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
