"""The verdict on simulated days of a tiny shop: six weeks, then a quiet day and the first day of every fault.

How often it pages in a year, and what it finds of a hundred faults, is `python -m tests.bench_verdict`.
"""

import datetime as dt

import numpy as np
import pytest

from monitoring.detectors.measure import Baseline, compare
from monitoring.extras import Extras
from monitoring.judged import Verdict
from monitoring.judging.past import Past
from monitoring.rehearsal.faults import FAULTS, fault_of
from monitoring.rehearsal.stream import Day, Stream
from monitoring.span import day_of
from monitoring.verdict import Seen, judge
from tests.monitoring.detectors.shop import make_config as detectors_config
from tests.monitoring.judging.days import RELEASE, make_config
from tests.monitoring.tiny_pool import faults, quiet, tiny_pool

# Each alarm caused in a simulated shop, by routes/test_alarms.py, is what `make test` runs of this.
pytestmark = pytest.mark.proof

NUM_DAYS, NUM_PARTS, SEED = 42, 6, 3
POOL, CFG = tiny_pool(), quiet(rows_a_day=2500, pages_a_day=100)


class Shop:
    """The tiny shop's reference, its first weeks, and what is said of a day after them."""

    def __init__(self) -> None:
        other = Stream(POOL, SEED + 1, CFG).day(0)  # another year's day, as if its items had been held out
        self.baseline = Baseline.of(other.window(), detectors_config(num_permutations=20), 0)
        self.known = other.extras
        self.days = [self.seen(Stream(POOL, SEED, CFG).day(number)) for number in range(NUM_DAYS)]

    def seen(self, day: Day) -> Seen:
        whole = compare(self.baseline, day.window(), self.known, day.extras)
        parts = [compare(self.baseline, day.window(part, NUM_PARTS), Extras(), Extras()) for part in range(NUM_PARTS)]
        return Seen.of(day_of(day.date), RELEASE, day.window(), whole, parts)

    def judged(self, day: Day):
        past = Past.of([one.values for one in self.days], [True] * NUM_DAYS, RELEASE)
        return judge(self.seen(day), past, make_config(), 1.0)


@pytest.fixture(scope="module")
def shop() -> Shop:
    return Shop()


def test_a_quiet_day_calls_nobody(shop: Shop):
    said = shop.judged(Stream(POOL, SEED, CFG).day(NUM_DAYS))
    assert said.verdict in (Verdict.QUIET, Verdict.WATCH), said.reason
    assert said.calibration.num_days == NUM_DAYS - 7


@pytest.mark.parametrize("name", FAULTS)
def test_the_first_day_of_a_fault_calls_somebody_with_its_segment_or_cause_first(shop: Shop, name: str):
    fault = fault_of(name, POOL, SEED, faults(mix=0.2))  # a shop of three kinds a category is less steady than a real one
    said = shop.judged(Stream(POOL, SEED, CFG, fault, NUM_DAYS).day(NUM_DAYS))
    assert said.verdict is Verdict.DRIFT
    assert len(said.causes) == 1
    (cause,) = said.causes
    assert cause.name.value == fault.cause, said.reason
    if fault.segment:
        assert cause.segments[0].segment == fault.segment
    assert np.isfinite([one.surprise for one in said.findings]).all()
    assert said.span.start == dt.datetime(2026, 2, 12, tzinfo=dt.UTC)
