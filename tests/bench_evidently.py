"""`python -m tests.bench_evidently --pool FOLDER --bundle FOLDER`: our verdicts beside Evidently's own, on the same simulated days.

The sample: 30 quiet days of one shop, and the first whole day of each fault, begun on each of five days of that shop. Evidently's preset
and its embedding methods see at most a thousand rows a window, against a thousand rows of the shop's own quiet days before, and against
the release's held-out items; ours see the whole day, against those items and the same quiet days. Prints Markdown for
docs/benchmarks.md.
"""

import argparse
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

SEED = 20_270  # of the shop and of every sample; used nowhere else
NUM_BEFORE, NUM_QUIET = 91, 30  # days of history, and days that are judged
FAULTY_DAYS = (93, 99, 105, 111, 117)  # on each of which every fault begins once, and the fault's own choice of segment is another
MAX_ROWS = 1000
NUMBERS = ("image_score", "brightness", "sharpness", "text_share", "width", "height")
NAMES = ("category", "platform", "app_version", "title_language", "seller_size", "quality")
QUIET, ABSENT = "quiet", "none"
OURS = "ours"
SAME = "DataDriftPreset, any column"


@dataclass
class Tally:
    """Days by what they hold and by who judged: how many, how many of them alarmed; and seconds of CPU by who judged."""

    judged: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    alarmed: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, what: str, who: str, judge: Callable[[], bool]) -> None:
        """Has `who` judge a day of that kind."""
        began = time.process_time()
        self.alarmed[what, who] += judge()
        self.seconds[who] += time.process_time() - began
        self.judged[what, who] += 1


class Shop:
    """One simulated shop with the release that its pool was embedded by, and what was measured on its quiet days."""

    def __init__(self, pool: Path, bundle: Path) -> None:
        from components.contract import bind, read_params
        from monitoring.config import MonitorConfig
        from monitoring.reference import reference_of
        from monitoring.rehearsal.pool import load

        self.cfg = bind(MonitorConfig, "monitor", read_params())
        self.pool, self.reference = load(pool), reference_of(bundle, self.cfg, SEED)
        self.past: list[Any] = []

    def day(self, number: int, fault: str | None = None) -> Any:
        """A day of the shop; with a fault, its first whole one."""
        from monitoring.rehearsal.faults import fault_of
        from monitoring.rehearsal.stream import Stream

        chosen = fault_of(fault, self.pool, number, self.cfg.rehearsal.faults) if fault else None
        return Stream(self.pool, SEED, self.cfg.rehearsal.quiet, chosen, number).day(number)

    def seen(self, day: Any) -> Any:
        """What the detectors found in a day and in its parts."""
        from monitoring.detectors.measure import compare
        from monitoring.span import day_of
        from monitoring.verdict import Seen

        parts = self.cfg.windows.parts_a_day
        window = day.window()
        whole = compare(self.reference.baseline, window, self.reference.beside(day.extras), day.extras)
        pieces = [self._piece(day.window(part, parts)) for part in range(parts)]
        return Seen.of(day_of(day.date), self.reference.release_id, window, whole, pieces)

    def _piece(self, window: Any) -> Any:
        """A part of a day. Probes and clicks are of whole days."""
        from monitoring.detectors.measure import compare
        from monitoring.extras import Extras
        from monitoring.windows.missing import missing_share

        now = Extras(missing_share=missing_share(window.rows, window.weight))
        return compare(self.reference.baseline, window, self.reference.extras, now)

    def pages(self, day: Any, remember: bool = False) -> bool:
        """Whether our verdict calls somebody for the day, after the quiet days before it."""
        from monitoring.judging.past import Past
        from monitoring.verdict import judge

        seen = self.seen(day)
        before = [one for one in self.past if one.span.end <= seen.span.start]
        past = Past.of(before, [True] * len(before), seen.values.release_id)
        judgement = judge(seen, past, self.cfg.verdict, self.cfg.budget.max_false_pages_per_quarter)
        if remember:
            self.past.append(seen.values)
        return bool(judgement.pages)


@dataclass(frozen=True, eq=False)
class Sample:
    """At most MAX_ROWS rows as a DataFrame of NUMBERS and NAMES, and their vectors as another."""

    rows: Any
    vectors: Any

    @classmethod
    def of(cls, rows: pa.Table, vectors: np.ndarray) -> "Sample":
        """Of rows of windows."""
        import pandas as pd

        chosen = np.sort(np.random.default_rng(SEED).choice(rows.num_rows, min(MAX_ROWS, rows.num_rows), replace=False))
        table = rows.select([*NUMBERS, *NAMES]).take(pa.array(chosen)).to_pandas()
        for name in NAMES:
            table[name] = table[name].astype(object).where(table[name].notna(), ABSENT)
        return cls(table, pd.DataFrame(vectors[chosen]).rename(columns=str))


@lru_cache(maxsize=2)
def drifted_share(sample: Sample, before: Sample) -> float:
    """Of the columns, by DataDriftPreset as it comes."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    known = [name for name in NAMES if (before.rows[name] != ABSENT).any()]  # held-out items were shown on no platform
    told = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=known)
    current, reference = (Dataset.from_pandas(one.rows[[*NUMBERS, *known]], data_definition=told) for one in (sample, before))
    found = Report([DataDriftPreset()]).run(current, reference).dict()["metrics"]
    return float(next(one["value"]["share"] for one in found if one["metric_name"].startswith("DriftedColumnsCount")))


def embedding(method: Any) -> Callable[[Sample, Sample], bool]:
    """One of Evidently's embedding methods without its picture, a t-SNE that takes most of a minute a window."""

    def judge(sample: Sample, before: Sample) -> bool:
        _, drifted, _ = method(sample.vectors.copy(), before.vectors.copy())
        return bool(drifted)

    return judge


def theirs(references: dict[str, Sample]) -> dict[str, Callable[[Sample], bool]]:
    """Evidently's verdicts by how the table calls them, against each reference. Its embedding methods stand in the legacy part, from
    where EmbeddingsDrift calls them."""
    from evidently.legacy.metrics.data_drift.embedding_drift_methods import mmd, model

    methods: dict[str, Callable[[Sample, Sample], bool]] = {
        "DataDriftPreset, dataset drift": lambda sample, before: drifted_share(sample, before) >= 0.5,
        SAME: lambda sample, before: drifted_share(sample, before) > 0,
        "embeddings, default (a classifier)": embedding(model()),
        "embeddings, MMD default": embedding(mmd()),
        "embeddings, MMD with bootstrap": embedding(mmd(bootstrap=True)),
    }
    return {
        f"{name}, {against}": partial(_against, before=before, judge=judge)
        for against, before in references.items()
        for name, judge in methods.items()
    }


def _against(sample: Sample, before: Sample, judge: Callable[[Sample, Sample], bool]) -> bool:
    return judge(sample, before)


def faulty(shop: Shop, names: list[str]) -> Iterator[tuple[str, Any]]:
    """Each fault's first day, by the fault, five times."""
    for name in names:
        for number in FAULTY_DAYS:
            yield name, shop.day(number, name)


def run(pool: Path, bundle: Path) -> tuple[Tally, list[str], list[str]]:
    """The tally, who judged, and the faults."""
    from monitoring.rehearsal.faults import FAULTS

    shop, tally = Shop(pool, bundle), Tally()
    early = [shop.day(number) for number in range(NUM_BEFORE)]
    shop.past = [shop.seen(day).values for day in early]
    held_out = shop.reference.window
    others = theirs(
        {
            "against quiet days": Sample.of(pa.concat_tables(day.rows for day in early), np.concatenate([day.vectors for day in early])),
            "against held-out items": Sample.of(held_out.rows, held_out.vectors),
        }
    )
    for number in range(NUM_BEFORE, NUM_BEFORE + NUM_QUIET):
        judge_all(tally, QUIET, shop.day(number), shop, others)
    for name, day in faulty(shop, list(FAULTS)):
        judge_all(tally, name, day, shop, others)
    return tally, [OURS, *others], list(FAULTS)


def judge_all(tally: Tally, what: str, day: Any, shop: Shop, others: dict[str, Callable[[Sample], bool]]) -> None:
    """A day of that kind, by everybody."""
    tally.add(what, OURS, partial(shop.pages, day, remember=what == QUIET))
    sample = Sample.of(day.rows, day.vectors)
    for who, judge in others.items():
        tally.add(what, who, partial(judge, sample))


def show(tally: Tally, who: list[str], faults: list[str]) -> None:
    """The table."""
    print(f"Seed {SEED}; {NUM_QUIET} quiet days, {len(FAULTY_DAYS)} days of each fault; at most {MAX_ROWS:,} rows a window for Evidently\n")
    heads = ["", "alarms on quiet days", *(name.replace("_", " ") for name in faults), "CPU s a window"]
    print(f"| {' | '.join(heads)} |\n|{'---|' * len(heads)}")
    for one in who:
        cells = [f"{tally.alarmed[what, one]} of {tally.judged[what, one]}" for what in (QUIET, *faults)]
        num = sum(count for (_, name), count in tally.judged.items() if name == one)
        cost = "the same" if one.startswith(SAME) else f"{tally.seconds[one] / max(num, 1):.2f}"
        print(f"| {one} | {' | '.join(cells)} | {cost} |")


def main() -> None:
    """Reads the folders, runs, and prints."""
    from monitoring.evidently.report import without_telemetry

    without_telemetry()
    warnings.filterwarnings("ignore", category=RuntimeWarning)  # a chi-square over a value that one side has not
    told = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    told.add_argument("--pool", type=Path, required=True, help="the rehearsal's pool (monitoring.rehearsal.making.pool_of)")
    told.add_argument("--bundle", type=Path, required=True, help="the bundle that embedded the pool")
    args = told.parse_args()
    show(*run(args.pool, args.bundle))


if __name__ == "__main__":
    main()
