"""What a retrain run did: each stage's verdict, the headline metrics, and what moved since the last run."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from components import stage_log
from flows import cost as costs
from flows.cost import Cost
from flows.stage import StageRun, Verdict

REPORTS = Path("reports")
COUNTS = ("rows_in", "rows_out", "rows_quarantined")


@dataclass(frozen=True)
class Metric:
    """A value, with the bounds of its interval where its stage gave them."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class CacheUse:
    """Rows that a stage took from the work cache and rows that it worked on; `changed` names what made older work useless."""

    reused: int
    recomputed: int
    changed: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """A finished run. `rows` holds the counts of each stage's report, `promote` is evaluate's word (None: no such stage).

    `cache` is what the stages that ran made of the work cache; those that use none are not in it.
    """

    finished: str
    runs: tuple[StageRun, ...]
    rows: Mapping[str, Mapping[str, int]]
    cache: Mapping[str, CacheUse]
    metrics: Mapping[str, Metric]
    promote: bool | None
    reasons: tuple[str, ...]
    cost: Cost | None = None


def outcome_of(
    runs: Sequence[StageRun],
    reports: Mapping[str, Mapping[str, Any]],
    finished: str,
    cache: Mapping[str, CacheUse] | None = None,
    cost: Cost | None = None,
) -> Outcome:
    """The outcome of `runs` at the UTC time `finished`, read from the stages' reports."""
    verdict = reports.get("evaluate", {})
    return Outcome(
        finished=finished,
        runs=tuple(runs),
        rows={stage: {key: report[key] for key in COUNTS if key in report} for stage, report in reports.items()},
        cache=cache or {},
        metrics=headline(reports),
        promote=verdict.get("promote"),
        reasons=tuple(verdict.get("reasons", ())),
        cost=cost,
    )


def read_reports(stages: Sequence[str], folder: Path = REPORTS) -> dict[str, Mapping[str, Any]]:
    """The reports of those stages that wrote one, by stage name."""
    paths = {stage: folder / f"{stage}.json" for stage in stages}
    return {stage: json.loads(path.read_text(encoding="utf-8")) for stage, path in paths.items() if path.exists()}


def read_uses(runs: Sequence[StageRun], since: str, path: Path = stage_log.STAGE_LOG) -> dict[str, CacheUse]:
    """What each stage that ran says of the work cache in its newest row of the log, where that is no older than the UTC time `since`."""
    ran = {run.stage for run in runs if run.verdict == "ran"}
    newest = {row["stage"]: row for row in stage_log.rows(path) if row.get("stage") in ran and str(row.get("started", "")) >= since}
    uses = {stage: row["cache"] for stage, row in newest.items() if "cache" in row}
    return {stage: CacheUse(use["reused"], use["recomputed"], tuple(use.get("changed", ()))) for stage, use in uses.items()}


def headline(reports: Mapping[str, Mapping[str, Any]]) -> dict[str, Metric]:
    """The metrics a person looks at first: those of evaluate for the model over all items, or every stage's where nothing is evaluated."""
    if "evaluate" in reports:
        return {_short(name): metric for name, metric in _metrics(reports["evaluate"]) if _is_headline(name)}
    return {
        f"{stage}.{name}": metric
        for stage, report in reports.items()
        for name, metric in _metrics({key: value for key, value in report.items() if key not in COUNTS})
    }


def _is_headline(name: str) -> bool:
    table, *inner = name.split(".")  # table, slice, relevance or pairs, row, ...
    return table in ("encoder", "image_score") and inner[:1] == ["all"] and inner[2:3] == ["model"]


def _short(name: str) -> str:
    """`category p_at_1` for encoder.all.category.model.p_at_1, `image_score judge` for image_score.all.judge.model.

    A terminal is narrow.
    """
    table, _, measured, _, *metric = name.split(".")
    return " ".join([measured, *metric] if table == "encoder" else [table, measured])


def _metrics(report: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Metric]]:
    for key, value in report.items():
        if isinstance(value, Mapping) and _is_number(value.get("value")):
            yield prefix + key, Metric(value["value"], value.get("low"), value.get("high"))
        elif isinstance(value, Mapping):
            yield from _metrics(value, f"{prefix}{key}.")
        elif _is_number(value):
            yield prefix + key, Metric(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def message(outcome: Outcome) -> str:
    """One line for people: how many stages did what, and whether the bundle may be released."""
    verdicts = [run.verdict for run in outcome.runs]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in get_args(Verdict) if verdict in verdicts)
    line = f"{len(verdicts)} stages: {counts}"
    if outcome.promote is None:
        return line
    return f"{line}; promoted" if outcome.promote else f"{line}; not promoted: {'; '.join(outcome.reasons) or 'evaluate gave no reason'}"


def stage_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """The stage table, its head first: verdict, seconds, counts of rows, and where the work cache was used what it spared."""
    head = ("stage", "verdict", "seconds", "rows in", "rows out", "refused", *(("reused", "recomputed") if outcome.cache else ()))
    return [head, *(_stage_row(outcome, run) for run in outcome.runs)]


def _stage_row(outcome: Outcome, run: StageRun) -> tuple[str, ...]:
    counts = [_count(outcome.rows.get(run.stage, {}).get(key)) for key in COUNTS]
    if outcome.cache:
        use = outcome.cache.get(run.stage)
        counts += [_count(use.reused), _count(use.recomputed)] if use else ["", ""]
    return (run.stage, run.verdict, f"{run.seconds:.1f}", *counts)


def notes(outcome: Outcome) -> list[str]:
    """A line for each stage that worked on every row again since part of what its cached work depends on changed."""
    return [
        f"{stage}: {' and '.join(use.changed)} changed, so all {use.recomputed:,} were worked on again"
        for stage, use in outcome.cache.items()
        if use.changed and use.recomputed and not use.reused
    ]


def metric_rows(outcome: Outcome, last: Mapping[str, Metric]) -> list[tuple[str, ...]]:
    """The metrics table, its head first: value, interval, and what `last`, the last run's metrics, said."""
    head = ("metric", "value", "interval", "last run", "change")
    return [head, *((name, _figure(now.value), _interval(now), *_against(now, last.get(name))) for name, now in outcome.metrics.items())]


def cost_rows(outcome: Outcome) -> list[tuple[str, ...]]:
    """The cost table, its head first; its head alone where nobody counted."""
    return costs.rows(outcome.cost) if outcome.cost else [("cost", "")]


def _against(now: Metric, before: Metric | None) -> tuple[str, str]:
    return (_figure(before.value), f"{now.value - before.value:+.4g}") if before else ("", "new")


def _interval(metric: Metric) -> str:
    return "" if metric.low is None or metric.high is None else f"{_figure(metric.low)} to {_figure(metric.high)}"


def _figure(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _count(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def markdown(outcome: Outcome, last: Mapping[str, Metric]) -> str:
    """The artifact's text: the message, the metrics against the last run, the stages and what is to be noted of them."""
    tables = {"Metrics": metric_rows(outcome, last), "Stages": stage_rows(outcome), "Cost": cost_rows(outcome)}
    parts = [f"**{message(outcome)}** ({outcome.finished})"]
    parts += [f"## {title}\n\n{_table(rows)}" for title, rows in tables.items() if len(rows) > 1]
    return "\n\n".join(parts + notes(outcome)) + "\n"


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    ruled = [rows[0], ("---",) * len(rows[0]), *rows[1:]]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in ruled)
