"""A simulated shop with a calibrated history, whose next day can be spoilt: by an injected fault, or by hand."""

import dataclasses
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.contract import bind, read_params
from monitoring.config import MonitorConfig
from monitoring.detectors.measure import Baseline, Comparison, compare
from monitoring.extras import Extras
from monitoring.judged import Judgement, Verdict
from monitoring.judging.past import Past
from monitoring.rehearsal.faults import fault_of
from monitoring.rehearsal.stream import Day, Stream, num_rows
from monitoring.span import day_of
from monitoring.verdict import Seen, judge
from monitoring.window import Health, Window
from tests.conftest import PROJECT
from tests.monitoring.tiny_pool import faults, quiet, tiny_pool

NUM_PARTS = 6
SEED = 11
CALM: dict[str, Any] = {  # so that a short history is enough
    "season": 0.0,
    "season_brightness": 0.0,
    "weekday": 0.02,
    "week_spread": 0.0,
    "day_spread": 0.02,
    "hour_spread": 0.05,
    "platform_spread": 0.05,
    "bursts_a_day": 0.0,
    "new_seller_share": 0.1,
}
Spoil = Callable[[Window, Extras], tuple[Window, Extras]]


@cache
def config() -> MonitorConfig:
    """The section of params.yaml."""
    return bind(MonitorConfig, "monitor", read_params(PROJECT / "params.yaml"))


class WatchedShop:
    """Its reference is what it showed on its first day; then it has as many quiet days behind it as are needed, and some more."""

    def __init__(self, rows: int = 3000, num_days: int = 44) -> None:
        self.pool, self.num_days = tiny_pool(), num_days
        self.quiet = quiet(rows_a_day=rows, **CALM)
        first = self.stream().day(0)
        self.extras, self.baseline = first.extras, Baseline.of(first.window(), config().detectors, SEED)
        self.past = [self.seen(number) for number in range(1, num_days + 1)]

    def stream(self, fault: str | None = None) -> Stream:
        """Quiet days, or days with the fault from the first that is judged on."""
        found = fault_of(fault, self.pool, SEED, faults()) if fault else None
        return Stream(self.pool, SEED, self.quiet, found, self.num_days + 1)

    def seen(self, number: int, fault: str | None = None, spoil: Spoil | None = None) -> Seen:
        """What is measured on the day."""
        day = self.stream(fault).day(number)
        whole, *parts = (self._measured(day, part, spoil) for part in (None, *range(NUM_PARTS)))
        window, comparison = whole
        return Seen.of(day_of(day.date), self.pool.release_id, window, comparison, [one for _, one in parts])

    def _measured(self, day: Day, part: int | None, spoil: Spoil | None) -> tuple[Window, Comparison]:
        window = day.window() if part is None else day.window(part, NUM_PARTS)
        extras = day.extras if part is None else Extras()
        if spoil:
            window, extras = spoil(window, extras)
        return window, compare(self.baseline, window, self.extras, extras)

    def judged(self, fault: str | None = None, spoil: Spoil | None = None, past: int | None = None) -> Judgement:
        """What is said of the day after the history, or after `past` days of it."""
        windows = [seen.values for seen in self.past[:past]]
        seen = self.seen(self.num_days + 1, fault, spoil)
        before = Past.of(windows, [True] * len(windows), self.pool.release_id)
        return judge(seen, before, config().verdict, config().budget.max_false_pages_per_quarter)


def with_columns(window: Window, **columns: Any) -> Window:
    """The window with other columns, counted anew."""
    rows = window.rows
    for name, values in columns.items():
        column = values if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, rows.schema.field(name).type)
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return dataclasses.replace(window, rows=rows, num_rows=num_rows(rows))


def only(window: Window, kept: np.ndarray) -> Window:
    """The rows that are kept."""
    rows = window.rows.filter(pa.array(kept))
    return dataclasses.replace(window, rows=rows, vectors=window.vectors[kept], weight=window.weight[kept], num_rows=num_rows(rows))


def is_of(window: Window, segment: str) -> np.ndarray:
    """(N,) the rows of a segment."""
    return window.within(segment)


# Spoilt by hand: what the nine injected faults do not bring about.


def lettering(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """Photos from iOS carry a banner."""
    share = window.rows["text_share"].to_numpy(zero_copy_only=False).copy()
    share[is_of(window, "platform=ios")] += 0.25
    return with_columns(window, text_share=share.astype(np.float32)), extras


def without_web(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """The web client went silent."""
    return only(window, ~is_of(window, "platform=web")), extras


def without_titles(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """A third of the listings have no seller and no category."""
    lost = pa.array(np.arange(len(window.vectors)) % 3 == 0)
    rows = window.rows
    columns = {name: pc.if_else(lost, pa.scalar(None, pa.string()), rows[name]) for name in ("category", "seller_id", "title_language")}
    return with_columns(window, **columns), extras


def elsewhere(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """All photos lie a little to one side."""
    shifted = window.vectors + np.float32(0.25) * np.eye(window.vectors.shape[1], dtype=np.float32)[3]
    return dataclasses.replace(window, vectors=shifted / np.linalg.norm(shifted, axis=1, keepdims=True)), extras


def rounded_scores(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """Scores arrive with one digit; their means are what they were."""
    return with_columns(window, image_score=np.round(window.rows["image_score"].to_numpy(zero_copy_only=False), 1)), extras


def odd_clicks(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """What scores high is skipped."""
    swapped = dataclasses.replace(extras, clicked_scores=extras.skipped_scores, skipped_scores=extras.clicked_scores)
    return window, swapped if len(extras.clicked_scores) else extras


def other_model(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """Golden photos get other vectors."""
    return window, dataclasses.replace(extras, golden_cosine=extras.golden_cosine * np.float32(0.9))


def broken(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """Half of the files cannot be read."""
    return dataclasses.replace(window, health=Health.BROKEN, problems=("3 files cannot be read (52 % of the bytes)",)), extras


def too_little(window: Window, extras: Extras) -> tuple[Window, Extras]:
    """A hundred rows came."""
    few = only(window, np.arange(len(window.vectors)) < 100)
    return dataclasses.replace(few, health=Health.TOO_LITTLE, problems=("100 rows, at least 500 are needed",)), extras


def names(judgement: Judgement) -> Sequence[str]:
    """The causes, in order."""
    return [cause.name.value for cause in judgement.causes]


QUIETLY = (Verdict.QUIET, Verdict.WATCH)
