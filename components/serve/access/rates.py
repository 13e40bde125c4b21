"""Rate limits: a token bucket a caller, written as the time at which it will be full again (GCRA, ITU-T I.371), in whole nanoseconds."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from components.serve.problems import Refused

SECOND_NS = 1_000_000_000
Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Rate:
    """`per_s` requests a second on average, and at most `burst` at once."""

    per_s: float
    burst: int
    token_ns: int = field(init=False, repr=False)  # how long one token takes to come back
    policy: Header = field(init=False, repr=False)

    def __post_init__(self) -> None:
        token_ns = math.ceil(SECOND_NS / self.per_s)
        window_s = math.ceil(self.burst * token_ns / SECOND_NS)
        object.__setattr__(self, "token_ns", token_ns)
        object.__setattr__(self, "policy", (b"ratelimit-policy", b'"key";q=%d;w=%d' % (self.burst, window_s)))


class Standing(NamedTuple):
    """How a caller stands after asking for tokens. `wait_ns` is 0 where they were granted, else how long until they would be."""

    wait_ns: int
    remaining: int
    full_in_ns: int

    def headers(self, rate: Rate) -> tuple[Header, Header]:
        """RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10): r tokens are left, and all are back in t seconds."""
        return (b"ratelimit", b'"key";r=%d;t=%d' % (self.remaining, -(-self.full_in_ns // SECOND_NS))), rate.policy


def take(full_at_ns: int, rate: Rate, cost: int, now_ns: int) -> tuple[int, Standing]:
    """When the bucket is full again, and how the caller stands. No more than per_s * t + burst tokens are granted in any time t.

    `cost` is no more than the burst: see affordable().
    """
    room_ns = rate.burst * rate.token_ns
    before_ns = min(max(full_at_ns, now_ns), now_ns + room_ns)  # a key whose rate was changed is never shut out for longer
    after_ns = before_ns + cost * rate.token_ns
    wait_ns = max(0, after_ns - now_ns - room_ns)
    full_ns = before_ns if wait_ns else after_ns
    return full_ns, Standing(wait_ns, (now_ns + room_ns - full_ns) // rate.token_ns, full_ns - now_ns)


def affordable(rate: Rate, cost: int) -> None:
    """Raises Refused invalid where the bucket could never hold that many tokens."""
    if cost > rate.burst:
        raise Refused("invalid", f"this request counts as {cost}, and the key allows {rate.burst} at once: send smaller batches")


class Rates:
    """The buckets by caller; the one unused for longest is forgotten where there are more than `max_buckets`."""

    def __init__(self, clock_ns: Callable[[], int] = time.monotonic_ns, max_buckets: int = 10_000) -> None:
        self._clock_ns = clock_ns
        self._max_buckets = max_buckets
        self._full_at_ns: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._full_at_ns)

    def charge(self, name: str, rate: Rate, cost: int) -> Standing:
        """How the caller stands after `cost` tokens were taken, or none where there are too few."""
        affordable(rate, cost)
        # taken out and put back, so that a dict, which remembers order, begins with the one unused for longest
        full_at_ns, standing = take(self._full_at_ns.pop(name, 0), rate, cost, self._clock_ns())
        self._full_at_ns[name] = full_at_ns
        if len(self._full_at_ns) > self._max_buckets:
            del self._full_at_ns[next(iter(self._full_at_ns))]
        return standing


def refusal(standing: Standing, rate: Rate, whose: str) -> Refused:
    """The 429 for a caller that must wait; waiting as long as it says is enough."""
    wait_s = standing.wait_ns / SECOND_NS
    detail = f"{whose} may make {rate.per_s:g} requests a second and {rate.burst} at once: try again in {math.ceil(wait_s)} s"
    return Refused("rate_limited", detail, retry_after_s=wait_s)
