"""Days of a made-up shop as they were measured: numbers, with no rows behind them."""

import datetime as dt
from collections.abc import Mapping, Sequence

import numpy as np

from components.contract import bind, read_params
from monitoring.config import MonitorConfig
from monitoring.detectors.means import Scale
from monitoring.detectors.measure import Comparison
from monitoring.detectors.registry import DETECTORS
from monitoring.judged import Judgement
from monitoring.judging.config import VerdictConfig
from monitoring.judging.past import Past, Values
from monitoring.measured import Measured
from monitoring.span import Kind, Span, day_of
from monitoring.verdict import FIRST, Before, Seen, judge
from monitoring.window import Health
from tests.conftest import PROJECT

FIRST_DAY = dt.date(2026, 1, 1)
RELEASE = "a" * 64
PARTS = 6
PROBES = {"golden": 0.0, "anchors": 0.0, "findable": 0.005, "self_retrieval": 0.05}  # and what they usually are
SHARES = {"app_version=1.0": 0.4, "app_version=2.0": 0.6, "category=Shoes": 0.3, "category=Bags": 0.7, "platform=web": 1.0}
SEGMENTS = ("all", *SHARES)
FEATURES = ("image_score", "brightness", "sharpness", "size", *(f"component_{number:02d}" for number in range(1, 7)))
SCALE = Scale(FEATURES, np.full(len(FEATURES), 0.5), np.full(len(FEATURES), 0.1))
ROWS = 5000

Key = tuple[str, str]


def make_config(**changes) -> VerdictConfig:
    """The verdict's section of params.yaml with some knobs changed."""
    return bind(MonitorConfig, "monitor", read_params(PROJECT / "params.yaml")).verdict.model_copy(update=changes)


def look(rng: np.random.Generator, num_rows: float, moved: Mapping[Key, float], fixed: Mapping[Key, float], probed: bool) -> Comparison:
    """What was measured in a window of so many rows; `moved` is added to values by detector, feature or `share`, and segment; `fixed`
    stands for them."""
    share = {
        name: max(0.0, base + moved.get(("share", name), 0.0) + rng.normal(0, 0.3 / np.sqrt(num_rows))) for name, base in SHARES.items()
    }
    rows = {"all": float(num_rows)} | {name: num_rows * one for name, one in share.items() if one > 0}
    found, means = [], {}
    for segment, count in rows.items():
        noise = 1 / np.sqrt(max(count, 1))
        means[segment] = np.array([moved.get((name, segment), 0.0) + rng.normal(0, noise) for name in FEATURES])
        for detector in ("brightness", "score_psi", "newcomer_seller"):
            value = abs(0.1 + moved.get((detector, segment), 0.0) + rng.normal(0, 0.3 * noise))
            found.append(_measured(detector, segment, fixed.get((detector, segment), value), count))
    if probed:
        for detector, usual in PROBES.items():
            value = max(0.0, usual + moved.get((detector, "all"), 0.0) + (rng.normal(0, 0.01) if usual else 0.0))
            found.append(_measured(detector, "all", fixed.get((detector, "all"), value), 40))
    return Comparison(found, {}, rows, SCALE, means)


def _measured(detector: str, segment: str, value: float, num: float) -> Measured:
    return Measured(detector, DETECTORS[detector].family, segment, value, f"{detector} {value:.2f}", 451, round(num))


def seen_day(
    number: int,
    moved: Mapping[Key, float] | None = None,
    *,
    fixed: Mapping[Key, float] | None = None,
    in_parts: Sequence[int] = range(PARTS),
    release: str = RELEASE,
    seed: int = 0,
    span: Span | None = None,
    health: Health = Health.SOUND,
    problems: tuple[str, ...] = (),
) -> Seen:
    """Day `number` of the shop, from 0. What `moved` says is there in some parts of the day only, and in the whole in proportion."""
    rng, moved, fixed = np.random.default_rng([seed, number]), moved or {}, fixed or {}
    lasting = {key: value * len(in_parts) / PARTS for key, value in moved.items()}
    whole = look(rng, ROWS, lasting, fixed, probed=True)
    parts = [look(rng, ROWS / PARTS, moved if part in in_parts else {}, fixed, probed=False) for part in range(PARTS)]
    values = Values.of(span or day_of(FIRST_DAY + dt.timedelta(days=number)), release, whole, parts)
    return Seen("0123456789abcdef", ROWS, whole, values, health, problems)


def past_of(
    days: Sequence[Seen], release: str = RELEASE, quiet: Sequence[bool] | None = None, accepted: Sequence[dt.datetime] = ()
) -> Past:
    """These days as the past of one that the release answered."""
    return Past.of([day.values for day in days], quiet or [True] * len(days), release, accepted)


def quiet_days(num: int, **changes) -> list[Seen]:
    """The first days of the shop."""
    return [seen_day(number, **changes) for number in range(num)]


HISTORY = quiet_days(75)


def judged(seen: Seen, days: Sequence[Seen] = HISTORY, *, before: Before = FIRST, cfg: VerdictConfig | None = None, **changes) -> Judgement:
    """What is said of a day after those days."""
    return judge(seen, past_of(days), cfg or make_config(), 1.0, before=before, **changes)


def spans(kind: Kind, step: dt.timedelta, num: int) -> list[Span]:
    """`num` windows of the kind, a step apart."""
    first = dt.datetime(2026, 1, 5, 8, tzinfo=dt.UTC)
    length = {Kind.HOUR: dt.timedelta(hours=1), Kind.DAY: dt.timedelta(days=1), Kind.WEEK: dt.timedelta(days=7)}[kind]
    return [Span(kind, first + number * step, first + number * step + length) for number in range(num)]
