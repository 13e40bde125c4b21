"""What two values say otherwise, by name: for people who ask why a log is not believed. Pure."""

import dataclasses
from collections.abc import Iterator, Mapping

MAX_TOLD = 5
MAX_VALUE_CHARS = 80


def differences(name: str, recorded: object, found: object) -> list[str]:
    """What a log has otherwise than what was found, the first few by their names; none where they are equal."""
    every = list(_differing(name, recorded, found))
    return every[:MAX_TOLD] + ([f"{name}: and {len(every) - MAX_TOLD} more"] if len(every) > MAX_TOLD else [])


def _differing(name: str, recorded: object, found: object) -> Iterator[str]:
    if recorded == found:
        return
    ours, theirs = _parts(recorded), _parts(found)
    if ours is None or theirs is None:
        yield f"{name}: the log says {_short(recorded)}, the files say {_short(found)}"
        return
    for key in dict.fromkeys([*ours, *theirs]):
        yield from _differing(f"{name}.{key}", ours.get(key), theirs.get(key))


def _parts(value: object) -> Mapping[str, object] | None:
    if dataclasses.is_dataclass(value):
        return {one.name: getattr(value, one.name) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): one for key, one in sorted(value.items())}
    return {str(place): one for place, one in enumerate(value)} if isinstance(value, list | tuple) else None


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= MAX_VALUE_CHARS else f"{text[:MAX_VALUE_CHARS]}…"
