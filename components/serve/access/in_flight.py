"""How many requests are being worked on, and how many bytes of bodies are held: counted, and bounded."""

from collections import Counter
from collections.abc import Mapping

from components.serve.access.config import InFlightConfig
from components.serve.access.scopes import API
from components.serve.problems import Refused

RETRY_AFTER_S = 1.0
ALWAYS = frozenset({"releases", "channel"})  # have their own bounds alone: whoever goes back to the last release must get through


class InFlight:
    """Counts that the event loop alone touches. `total`, `of` and `buffered_bytes` may be read for metrics."""

    def __init__(self, cfg: InFlightConfig) -> None:
        self._max_total = cfg.total
        self._max_of: Mapping[str, int] = cfg.of
        self._max_buffered_bytes = cfg.max_buffered_mib * 2**20
        self.total = 0
        self.of: Counter[str] = Counter(dict.fromkeys(cfg.of, 0))
        self.buffered_bytes = 0

    def check(self, group: str) -> None:
        """Raises Refused overloaded where there is no place for one more."""
        if self.total >= self._max_total and group not in ALWAYS:
            raise Refused("overloaded", f"{self.total} requests are being worked on", retry_after_s=RETRY_AFTER_S)
        if (bound := self._max_of.get(group)) is not None and self.of[group] >= bound:
            raise Refused("overloaded", f"{bound} requests to {API}{group} are being worked on", retry_after_s=RETRY_AFTER_S)

    def enter(self, group: str) -> None:
        """Takes a place. Raises Refused overloaded."""
        self.check(group)
        self.total += 1
        if group in self._max_of:
            self.of[group] += 1

    def leave(self, group: str) -> None:
        """Gives the place back."""
        self.total -= 1
        if group in self._max_of:
            self.of[group] -= 1

    def hold(self, count: int) -> None:
        """Counts bytes of bodies, or gives them back where `count` is negative. Raises Refused overloaded."""
        if count > 0 and self.buffered_bytes + count > self._max_buffered_bytes:
            raise Refused("overloaded", "the bodies being received fill the memory set aside for them", retry_after_s=RETRY_AFTER_S)
        self.buffered_bytes += count
