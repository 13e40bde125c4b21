"""Rate limits never give more than they say, and waiting as long as they say is enough."""

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from components.serve.access.rates import SECOND_NS, Rate, Rates, refusal
from components.serve.problems import Refused


class Clock:
    """Nanoseconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_ns = 10**15

    def __call__(self) -> int:
        return self.now_ns


rates = st.builds(Rate, st.floats(0.01, 5000), st.integers(1, 200))
steps = st.lists(st.tuples(st.integers(0, 3 * SECOND_NS), st.integers(1, 200)), max_size=60)


@given(rates, steps)
def test_no_more_is_granted_in_any_time_than_rate_times_time_and_the_burst(rate, steps):
    clock = Clock()
    buckets, granted = Rates(clock), []
    for pause_ns, cost in steps:
        clock.now_ns += pause_ns
        cost = min(cost, rate.burst)
        if not buckets.charge("k", rate, cost).wait_ns:
            granted.append((clock.now_ns, cost))
    for first in range(len(granted)):
        total = 0
        for at_ns, cost in granted[first:]:
            total += cost
            assert total <= rate.per_s * (at_ns - granted[first][0]) / SECOND_NS + rate.burst + 1e-6


@given(rates, steps, st.integers(1, 200))
def test_waiting_as_long_as_told_is_enough_and_a_nanosecond_less_is_not(rate, steps, cost):
    clock = Clock()
    buckets, cost = Rates(clock), min(cost, rate.burst)
    for pause_ns, spent in steps:
        clock.now_ns += pause_ns
        buckets.charge("k", rate, min(spent, rate.burst))
    wait_ns = buckets.charge("k", rate, cost).wait_ns
    assume(wait_ns)
    clock.now_ns += wait_ns - 1
    assert buckets.charge("k", rate, cost).wait_ns == 1
    clock.now_ns += 1
    assert buckets.charge("k", rate, cost).wait_ns == 0


@given(rates, st.integers(1, 200))
def test_a_refusal_takes_nothing(rate, cost):
    clock = Clock()
    buckets, cost = Rates(clock), min(cost, rate.burst)
    while not buckets.charge("k", rate, cost).wait_ns:
        pass
    assert buckets.charge("k", rate, cost) == buckets.charge("k", rate, cost)


def test_a_full_bucket_gives_its_burst_and_then_one_at_a_time():
    clock, rate = Clock(), Rate(2, 3)
    buckets = Rates(clock)
    assert [buckets.charge("k", rate, 1).wait_ns > 0 for _ in range(5)] == [False, False, False, True, True]
    clock.now_ns += SECOND_NS // 2
    assert [buckets.charge("k", rate, 1).wait_ns > 0 for _ in range(2)] == [False, True]


def test_keys_do_not_share():
    rate, buckets = Rate(1, 1), Rates(Clock())
    assert [buckets.charge(name, rate, 1).wait_ns > 0 for name in ("a", "b", "a")] == [False, False, True]


def test_the_headers_tell_what_is_left_and_when_all_is_back():
    rate, buckets = Rate(4, 10), Rates(Clock())
    told = dict(buckets.charge("k", rate, 7).headers(rate))
    assert told == {b"ratelimit": b'"key";r=3;t=2', b"ratelimit-policy": b'"key";q=10;w=3'}


def test_a_cost_above_the_burst_is_told_at_once_since_no_waiting_helps():
    with pytest.raises(Refused, match="smaller batches") as caught:
        Rates(Clock()).charge("k", Rate(5, 10), 11)
    assert caught.value.code == "invalid"


def test_the_429_says_when_to_come_back():
    rate, buckets = Rate(0.4, 1), Rates(Clock())
    buckets.charge("k", rate, 1)
    refused = refusal(buckets.charge("k", rate, 1), rate, "this key")
    assert refused.code == "rate_limited"
    assert math.ceil(refused.retry_after_s) == 3


def test_a_key_that_was_given_a_higher_rate_is_not_held_to_the_old_one():
    buckets = Rates(Clock())
    for _ in range(5):
        buckets.charge("k", Rate(0.001, 1), 1)
    assert buckets.charge("k", Rate(1000, 100), 1).wait_ns <= SECOND_NS / 1000


def test_callers_without_number_take_no_memory_without_end():
    buckets, rate = Rates(Clock(), max_buckets=10), Rate(1, 1)
    for n in range(1000):
        buckets.charge(str(n), rate, 1)
        buckets.charge("busy", rate, 1)
    assert len(buckets) == 10
    assert buckets.charge("busy", rate, 1).wait_ns  # who is busy is not forgotten
