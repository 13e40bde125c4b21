"""A window as a run of Evidently: our verdicts as its metrics and tests, and its own metrics over a sample of the rows."""

import dataclasses
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from monitoring.evidently.told import ABOUT, CODES, OUTCOMES, SERIES, Line, largest_of, lines_of
from monitoring.judged import Judgement
from monitoring.report import words
from monitoring.report.config import EvidentlyConfig
from monitoring.window import Window

if TYPE_CHECKING:
    from evidently.core.report import Snapshot

NUMBERS = ("image_score", "brightness", "sharpness", "text_share", "width", "height")
NAMES = ("category", "platform", "app_version", "title_language", "seller_size")
ABSENT = "none"


def without_telemetry() -> None:
    """Keeps evidently and what it loads from telling anybody that they were used; to be called before they are imported."""
    os.environ.setdefault("DO_NOT_TRACK", "1")
    os.environ.setdefault("ITERATIVE_DO_NOT_TRACK", "1")


def run_of(judgement: Judgement, now: Window | None, reference: Window | None, cfg: EvidentlyConfig, seed: int) -> "Snapshot":
    """The run. Our series and the verdict are in it whatever there is; Evidently's own metrics where both windows have rows.

    It can be read without this code: what only we know how to load is taken out of it."""
    without_telemetry()
    import pandas as pd
    from evidently import Report

    lines = lines_of(judgement, cfg.num_series)
    current, before = (_rows(window, cfg.max_rows, seed) for window in (now, reference))
    own = [] if current is None or before is None else _own_metrics(current, before)
    kept = current if current is not None else _no_rows()
    tables = {
        SERIES: pd.DataFrame([dataclasses.asdict(line) for line in lines], columns=[field.name for field in dataclasses.fields(Line)])
    }
    tables[ABOUT] = pd.DataFrame([_about(judgement)])
    report = Report([*_our_metrics(judgement, lines), *own], include_tests=False)
    run = report.run(
        kept,
        before if own else None,
        additional_data={name: _dataset(table) for name, table in tables.items()},
        timestamp=judgement.span.start.replace(tzinfo=None),  # as Evidently's own are: without a zone, and ours are UTC
        metadata={"verdict": str(judgement.verdict), "release": words.clip(judgement.release_id)[:12], "kind": str(judgement.span.kind)},
        tags=[str(judgement.verdict)],
        name=judgement.span.name,
    )
    for result in run.metric_results.values():
        result.widget = []  # the run keeps them all a second time, and that is what is shown
        for test in result.tests:
            test.bound_test = None
    return run


def _about(judgement: Judgement) -> dict[str, Any]:
    threshold = judgement.calibration.threshold if judgement.calibration else 0.0
    return {
        "verdict": str(judgement.verdict),
        "reason": words.clip(judgement.reason),
        "code": CODES[judgement.verdict],
        "threshold": threshold if np.isfinite(threshold) else 0.0,
        "largest surprise": largest_of(judgement),
    }


def _our_metrics(judgement: Judgement, lines: tuple[Line, ...]) -> list[Any]:
    from monitoring.evidently.metrics import LARGEST, THRESHOLD, DriftLevel, DriftSurprise, DriftVerdict, VerdictTest

    threshold = float(_about(judgement)["threshold"])
    verdict = DriftVerdict(kind=str(judgement.span.kind), tests=[VerdictTest(status=OUTCOMES[judgement.verdict], threshold=threshold)])
    series = [
        DriftSurprise(
            detector=line.detector,
            family=line.family,
            segment=line.segment,
            tests=[VerdictTest(status=line.status, threshold=threshold)],
        )
        for line in lines
    ]
    return [verdict, DriftLevel(of=LARGEST), DriftLevel(of=THRESHOLD), *series]


def _own_metrics(current: Any, before: Any) -> list[Any]:
    """Of the columns that both windows know."""
    from evidently.presets import ValueStats

    known = [name for name in (*NUMBERS, *NAMES) if _is_known(current, name) and _is_known(before, name)]
    return [ValueStats(column=name) for name in known]


def _is_known(dataset: Any, name: str) -> bool:
    column = dataset.as_dataframe()[name]
    return bool((column.notna() & (column != ABSENT)).any())


def _rows(window: Window | None, max_rows: int, seed: int) -> Any:
    """An evidently Dataset of at most `max_rows` rows, drawn as often as they count; None where there is none."""
    if window is None or not window.rows.num_rows or not (window.weight > 0).any():
        return None
    share = np.asarray(window.weight, np.float64) / np.sum(window.weight)
    size = min(max_rows, int((share > 0).sum()))
    chosen = np.sort(np.random.default_rng(seed).choice(len(share), size, replace=False, p=share))
    table = window.rows.select([*NUMBERS, *NAMES]).take(pa.array(chosen)).to_pandas()
    return _dataset(table.assign(**{name: table[name].astype(object).where(table[name].notna(), ABSENT) for name in NAMES}), rows=True)


def _dataset(table: Any, rows: bool = False) -> Any:
    from evidently import DataDefinition, Dataset

    told = DataDefinition(numerical_columns=list(NUMBERS), categorical_columns=list(NAMES)) if rows else DataDefinition()
    return Dataset.from_pandas(table, data_definition=told)


def _no_rows() -> Any:
    import pandas as pd

    return _dataset(pd.DataFrame({"rows": [0]}))
