"""What was found for the last pictures, so that one that comes again costs nothing."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

Answer = tuple[np.ndarray, float]

K = TypeVar("K")
V = TypeVar("V")

_afresh: ContextVar[bool] = ContextVar("afresh", default=False)


@contextmanager
def afresh() -> Iterator[None]:
    """Within the block, and the tasks that it starts, nothing is answered from memory: for checks that ask whether a model still works."""
    token = _afresh.set(True)
    try:
        yield
    finally:
        _afresh.reset(token)


def is_afresh() -> bool:
    """True within afresh()."""
    return _afresh.get()


@dataclass(frozen=True)
class Facts:
    """What the bytes alone say of a picture: width and height upright in px, and schema.STATS where they were wanted."""

    width: int
    height: int
    stats: Mapping[str, float] | None


class Latest(Generic[K, V]):
    """The last `size` values by key; the one that was used longest ago goes first."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[K, V] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def get(self, key: K) -> V | None:
        """The value, which counts as used now, or None."""
        if key in self._held:
            self._held.move_to_end(key)
        return self._held.get(key)

    def put(self, key: K, value: V) -> None:
        """Keeps the value."""
        self._held[key] = value
        self._held.move_to_end(key)
        while len(self._held) > self._size:
            self._held.popitem(last=False)


class Recent:
    """The last `size` answers by picture and fingerprint, and as many pictures' facts."""

    def __init__(self, size: int) -> None:
        self._answers: Latest[tuple[str, str], Answer] = Latest(size)
        self._facts: Latest[str, Facts] = Latest(size)

    def answer(self, image_id: str, fingerprint: str) -> Answer | None:
        """The model's answer, where it is still known and may be used."""
        return None if is_afresh() else self._answers.get((image_id, fingerprint))

    def facts(self, image_id: str, want_stats: bool) -> Facts | None:
        """The picture's facts, where they are still known, hold what is wanted, and may be used."""
        known = None if is_afresh() else self._facts.get(image_id)
        return None if known and want_stats and known.stats is None else known

    def keep(self, image_id: str, facts: Facts, answers: Mapping[str, Answer]) -> None:
        """Remembers them. Vectors become read-only, since several callers will hold them."""
        for fingerprint, answer in answers.items():
            answer[0].flags.writeable = False
            self._answers.put((image_id, fingerprint), answer)
        before = self._facts.get(image_id)
        self._facts.put(image_id, before if before and facts.stats is None else facts)
