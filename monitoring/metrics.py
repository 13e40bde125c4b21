"""What a check found, as Prometheus metrics: in a file for node_exporter's textfile collector, or at a Pushgateway.

Names and labels are a contract with monitoring/rules. A label's values are bounded: kinds of windows, verdicts, families, causes, and of
the segments, which come from the log, the few that are most surprising.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import push_to_gateway, write_to_textfile
from pydantic import Field, field_validator

from components.contract import Config
from components.errors import StoreFailed
from monitoring.judged import CauseName, Finding, Judgement, Verdict
from monitoring.measured import Family
from monitoring.span import Kind
from monitoring.window import ALL

JOB = "vitrine_drift"
MOST_SEGMENTS = 3
MAX_LABEL = 120  # characters of a label's value that comes from the log


class RoutesConfig(Config):
    """Where a check's outcome goes. `textfile` is a folder that node_exporter collects from, `pushgateway` an address; null for neither.
    `alertmanager` is asked by `vitrine drift test-fire` alone. `pages_url` is where pages can be read; where it is empty, alerts name their
    path. `max_segments` bounds the series of segments."""

    textfile: str | None
    pushgateway: str | None
    alertmanager: str
    pages_url: str
    max_segments: int = Field(ge=0, le=100)
    timeout_s: float = Field(gt=0)

    @field_validator("pushgateway", "alertmanager")
    @classmethod
    def _is_an_address(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname):
            raise ValueError("must be an http:// or https:// address")
        return url


@dataclass(frozen=True)
class Outcome:
    """A check that judged a window. `num_same` windows in a row, this one included, have had this verdict. `needed_days` of history are
    needed before anything is judged. `failed` are steps after the verdict that failed. `finished_at` is when the check was done."""

    judgement: Judgement
    page: str
    num_same: int
    needed_days: int
    finished_at: dt.datetime
    failed: frozenset[str] = frozenset()
    num_retrainings: Mapping[str, int] = field(default_factory=dict)


STEPS = ("page", "workspace", "action")


def gauges_of(outcome: Outcome, cfg: RoutesConfig, runbook: str) -> CollectorRegistry:
    """The outcome as gauges, each labelled with the kind of window. `runbook` is where docs/runbook.md can be read."""
    registry = CollectorRegistry()
    made = _Made(registry, outcome.judgement.span.kind)
    _verdict(made, outcome)
    _evidence(made, outcome.judgement, cfg)
    _times(made, outcome)
    _causes(made, outcome.judgement, linked(cfg.pages_url, outcome.page))
    for step in STEPS:
        made.set("step_failed", "1 where a step after the verdict failed", step in outcome.failed, step=step)
    for state, num in outcome.num_retrainings.items():
        made.set("retrainings", "Retrainings that drift has opened and that still stand for their cause", num, state=state)
    about = {"window": outcome.judgement.span.name, "release": outcome.judgement.release_id[:12], "runbook": runbook}
    made.set("window_info", "The window that was judged last, and where the runbook is", 1, **about)
    return registry


@dataclass
class _Made:
    """Gauges by name, made when first set."""

    registry: CollectorRegistry
    kind: Kind
    by_name: dict[str, Gauge] = field(default_factory=dict)

    def set(self, name: str, about: str, value: float, **labels: str) -> None:
        full = f"vitrine_drift_{name}"
        if full not in self.by_name:
            self.by_name[full] = Gauge(full, about, ["kind", *labels], registry=self.registry)
        self.by_name[full].labels(kind=self.kind.value, **labels).set(value)


def _verdict(made: _Made, outcome: Outcome) -> None:
    judgement = outcome.judgement
    for verdict in Verdict:
        made.set("verdict", "1 for the verdict on the last window, 0 for the others", judgement.verdict is verdict, verdict=named(verdict))
    made.set("verdict_windows", "Windows in a row that have had this verdict", outcome.num_same)
    made.set("problems", "Things that were wrong with the window's input", len(judgement.problems))


def _evidence(made: _Made, judgement: Judgement, cfg: RoutesConfig) -> None:
    for family in Family:
        found = [finding.surprise for finding in judgement.findings if finding.measured.family is family]
        if found:
            about = "Highest surprise of a detector of the family: at t, a quiet shop gets as far in any series once in 10^t windows"
            made.set("surprise", about, max(found), family=family.value)
    for segment, surprise in most_surprising(judgement.findings, cfg.max_segments).items():
        made.set("segment_surprise", "Highest surprise in the segment, of the few segments with the most", surprise, segment=segment)
    rests_on = judgement.calibration
    if rests_on is not None and math.isfinite(rests_on.threshold):
        made.set("surprise_threshold", "Surprise from which a finding may call somebody", rests_on.threshold)
        made.set("false_pages_per_quarter", "False pages a quarter, by the shop's own history", rests_on.false_pages_per_quarter)
        made.set("false_pages_per_quarter_upper", "Their upper 95 % limit", rests_on.false_pages_upper)


def most_surprising(findings: Sequence[Finding], num: int) -> dict[str, float]:
    """The highest surprise by segment, of the `num` segments with the highest."""
    best: dict[str, float] = {}
    for finding in findings:
        segment = finding.measured.segment[:MAX_LABEL]
        best[segment] = max(finding.surprise, best.get(segment, finding.surprise))
    return dict(sorted(best.items(), key=lambda one: (-one[1], one[0]))[:num])


def _times(made: _Made, outcome: Outcome) -> None:
    judgement = outcome.judgement
    made.set("last_check_timestamp_seconds", "When a window was judged last", outcome.finished_at.timestamp())
    made.set("window_end_timestamp_seconds", "End of the window that was judged last", judgement.span.end.timestamp())
    made.set("window_rows", "Rows of the log in the window that was judged last", judgement.num_rows)
    num_days = judgement.calibration.num_days if judgement.calibration else 0
    made.set("history_days", "Quiet days of this release that the verdict rests on", num_days)
    made.set("history_days_needed", "Quiet days below which nothing is judged", outcome.needed_days)


def _causes(made: _Made, judgement: Judgement, page: str) -> None:
    """Every cause has a series, so that an alert ends with its cause and not with a series that is gone."""
    paging = paging_causes(judgement)
    snoozed = {cause.name for cause in judgement.causes if cause.snoozed_until}
    for name in CauseName:
        made.set("cause_active", "1 where somebody is called for the cause", name in paging, cause=name.value)
        made.set("cause_snoozed", "1 where the cause is there and snoozed", name in snoozed, cause=name.value)
    about = "A cause that somebody is called for: the segments that explain most, what was found, and where it is shown"
    for name, (segments, found) in paging.items():
        labels = {"segments": segments[:MAX_LABEL], "found": found[:MAX_LABEL], "window": judgement.span.name, "page": page}
        made.set("cause_info", about, 1, cause=name.value, **labels)


def paging_causes(judgement: Judgement) -> dict[CauseName, tuple[str, str]]:
    """By each cause that calls somebody: its first segments, and what was found first, in words."""
    if not judgement.pages:
        return {}
    if judgement.verdict is Verdict.BROKEN:
        return {CauseName.BROKEN_INPUT: (ALL, judgement.problems[0] if judgement.problems else judgement.reason)}
    told: dict[CauseName, tuple[str, str]] = {}
    for cause in judgement.causes:
        if cause.snoozed_until is None and cause.name not in told:
            segments = ", ".join(blame.segment for blame in cause.segments[:MOST_SEGMENTS]) or ALL
            told[cause.name] = segments, cause.findings[0].measured.effect if cause.findings else judgement.reason
    return told


def named(verdict: Verdict) -> str:
    """The verdict as a label's value."""
    return verdict.value.replace(" ", "_")


def linked(base: str, page: str) -> str:
    """The page's address below that of all pages; its path where they have none."""
    return f"{base.rstrip('/')}/{Path(page).name}" if base else page


def publish(registry: CollectorRegistry, kind: Kind, cfg: RoutesConfig) -> list[str]:
    """Where the gauges are now, in words. Raises StoreFailed where a folder or a Pushgateway does not take them."""
    done = []
    if cfg.textfile is not None:
        done.append(_written(registry, Path(cfg.textfile) / f"vitrine_drift_{kind.value}.prom"))
    if cfg.pushgateway is not None:
        done.append(_pushed(registry, kind, cfg.pushgateway, cfg.timeout_s))
    return done


def _written(registry: CollectorRegistry, path: Path) -> str:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_to_textfile(str(path), registry)  # under another name, then renamed: a collector never sees half of it
        path.chmod(0o644)  # node_exporter is another user
    except OSError as error:
        raise StoreFailed(f"the metrics could not be written to {path}: {error.strerror}. See monitor.routes.textfile") from None
    return str(path)


def _pushed(registry: CollectorRegistry, kind: Kind, url: str, timeout_s: float) -> str:
    """Replaces all that an earlier check of this kind pushed."""
    name = _without_secrets(url)
    try:
        push_to_gateway(url, JOB, registry, {"kind": kind.value}, timeout_s)
    except OSError as error:
        raise StoreFailed(f"the Pushgateway at {name} did not take the metrics: {error}. See monitor.routes.pushgateway") from None
    return name


def _without_secrets(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}{f':{parts.port}' if parts.port else ''}"
