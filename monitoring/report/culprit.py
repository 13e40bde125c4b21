"""A cause as the page tells it."""

import datetime as dt
import math
from dataclasses import dataclass

from monitoring.judged import Cause, Finding
from monitoring.report import words
from monitoring.report.config import ReportConfig
from monitoring.runbook import link, title_of

MOST_SEGMENTS, MOST_PROOF = 8, 3
RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Culprit:
    """A cause as the page tells it. `link` is empty where nobody said where the runbook can be read, `since` where it is new."""

    title: str
    means: str
    first: str
    section: str
    link: str
    key: str
    where: str
    segments: tuple[tuple[str, float], ...]
    num_more: int
    proof: tuple[str, ...]
    since: str
    snoozed: str


def culprit_of(cause: Cause, start: dt.datetime, cfg: ReportConfig) -> Culprit:
    """Of a window that began at `start`."""
    advice = words.ADVICE[cause.name]
    ranked = cause.segments[:MOST_SEGMENTS]
    snoozed = ""
    if cause.snoozed_until is not None:
        snoozed = f"Snoozed until {words.moment(cause.snoozed_until)}: {words.clip(cause.snooze_reason) or 'no reason given'}"
    return Culprit(
        title=title_of(cause.name),
        means=advice.means,
        first=advice.first,
        section=link(RUNBOOK, cause.name),
        link=link(cfg.runbook_url, cause.name) if cfg.runbook_url else "",
        key=words.clip(cause.key),
        where=words.clip(words.segment(ranked[0].segment)) if ranked else "no segment: all rows, or the release itself",
        segments=tuple((words.clip(words.segment(one.segment), 60), _unit(one.explained)) for one in ranked),
        num_more=len(cause.segments) - len(ranked),
        proof=tuple(_proof(one) for one in cause.findings[:MOST_PROOF]),
        since=words.moment(cause.since) if cause.since is not None and cause.since < start else "",
        snoozed=snoozed,
    )


def _proof(finding: Finding) -> str:
    return f"{effect_of(finding)} ({words.clip(words.segment(finding.measured.segment), 60)})"


def effect_of(finding: Finding) -> str:
    """What was found, in words."""
    return words.arrows(words.clip(finding.measured.effect, 120))


def _unit(value: float) -> float:
    return min(max(value, 0.0), 1.0) if math.isfinite(value) else 0.0
