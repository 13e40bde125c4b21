"""What the page says, made of the judgement: sentences, tables and charts, ready for the template. Pure."""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from monitoring.changes import Changes
from monitoring.judged import Finding, Judgement, Verdict
from monitoring.report import words
from monitoring.report.config import ReportConfig
from monitoring.report.culprit import RUNBOOK, Culprit, culprit_of, effect_of
from monitoring.report.drawing import histograms, parts_strip, surprise_line
from monitoring.report.past import Cell, PastWindow, strip, window_of
from monitoring.report.sheets import COLUMNS, Sheet, members, num_absent, segment_of, telling
from monitoring.runbook import anchor_of
from monitoring.window import ALL, Window

MOST_CAUSES, MOST_PROBLEMS, MOST_CHARTS = 6, 40, 3
NOTHING: Mapping[Verdict, str] = {
    Verdict.QUIET: "Nothing.",
    Verdict.WATCH: "Nothing now. If the next windows look alike, read on.",
    Verdict.DRIFT: "No cause is known: look at the series below that are marked, then at the photos.",
    Verdict.CALIBRATING: "Nothing: wait until enough quiet days are known.",
    Verdict.TOO_LITTLE: "Nothing, if the shop was this quiet. Else find out why the log holds so few rows.",
    Verdict.BROKEN: "Read the problems of the input below, mend the log, and check this window again.",
}
SECTIONS: Mapping[Verdict, str] = {
    Verdict.CALIBRATING: "Calibrating too long",
    Verdict.TOO_LITTLE: "Too little data",
    Verdict.BROKEN: "Broken input",
}

__all__ = ["Evidence", "PastWindow", "Story", "story_of"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What the page shows beside the judgement, each part where there is one. `past` are windows of the same kind, oldest first; `pages`
    the names of those that have a page in the same folder."""

    now: Window | None = None
    reference: Window | None = None
    past: Sequence[PastWindow] = ()
    changes: Changes | None = None
    sheets: Sequence[Sheet] = ()
    pages: Collection[str] = ()


@dataclass(frozen=True)
class Row:
    """A line of the table of series."""

    detector: str
    segment: str
    effect: str
    value: str
    expected: str
    surprise: str
    parts: Markup
    alarming: bool
    beyond: bool


@dataclass(frozen=True)
class Story:
    """Everything the template shows."""

    judgement: Judgement
    look: words.Look
    when: str
    headline: str
    confidence: tuple[str, ...]
    missing: tuple[str, ...]
    culprits: tuple[Culprit, ...]
    rows: tuple[Row, ...]
    num_rows_left_out: int
    num_alarming: int
    charts: tuple[Markup, ...]
    strip: tuple[tuple[str, tuple[Cell, ...]], ...]
    line: Markup
    past_ends: tuple[str, str]
    problems: tuple[str, ...]
    facts: Mapping[str, str]
    nothing: str
    section: str
    link: str
    num_past: int
    looks: tuple[words.Look, ...] = tuple(words.LOOKS.values())
    changes: Changes | None = None
    sheets: Sequence[Sheet] = ()
    num_absent: int = 0
    num_photos: int = 0


def story_of(judgement: Judgement, evidence: Evidence, cfg: ReportConfig) -> Story:
    """The page's contents; every list is bounded."""
    threshold = judgement.calibration.threshold if judgement.calibration else math.inf
    shown = _table_order(judgement.findings)[: cfg.num_series]
    past = [*(one for one in evidence.past if one.name != judgement.span.name), window_of(judgement)][-cfg.num_windows :]
    return Story(
        judgement=judgement,
        look=words.LOOKS[judgement.verdict],
        when=words.stretch(judgement.span.start, judgement.span.end),
        headline=words.sentence(judgement.reason) or words.LOOKS[judgement.verdict].word,
        confidence=_confidence(judgement),
        missing=_missing(judgement),
        culprits=tuple(culprit_of(cause, judgement.span.start, cfg) for cause in judgement.causes[:MOST_CAUSES]),
        rows=tuple(_row(finding, threshold) for finding in shown),
        num_rows_left_out=len(judgement.findings) - len(shown),
        num_alarming=sum(finding.alarming for finding in judgement.findings),
        charts=_charts(judgement, evidence),
        strip=strip(past, judgement.span.name, evidence.pages),
        line=surprise_line([one.surprise for one in past], [one.threshold for one in past]),
        past_ends=(past[0].name, past[-1].name),
        problems=_problems(judgement.problems),
        facts=_facts(judgement),
        nothing=NOTHING[judgement.verdict],
        section=_section(judgement.verdict, RUNBOOK),
        link=_section(judgement.verdict, cfg.runbook_url) if cfg.runbook_url else "",
        num_past=len(past),
        changes=evidence.changes,
        sheets=tuple(evidence.sheets),
        num_absent=num_absent(evidence.sheets),
        num_photos=sum(len(sheet.photos) for sheet in evidence.sheets),
    )


def _table_order(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda one: (not one.alarming, -one.surprise if math.isfinite(one.surprise) else -math.inf))


def _confidence(judgement: Judgement) -> tuple[str, ...]:
    """How sure it is, in sentences; with nothing to be sure of, why not."""
    calibration = judgement.calibration
    if judgement.verdict in (Verdict.TOO_LITTLE, Verdict.BROKEN):
        return ("This window says nothing, neither good nor bad.",)
    if judgement.verdict is Verdict.CALIBRATING or calibration is None:
        days = calibration.num_days if calibration else 0
        return (f"Not judged: there {'is' if days == 1 else 'are'} {days} quiet {'day' if days == 1 else 'days'} of history so far.",)
    rarity = words.rarity(judgement.once_in_days)
    often, at_most = words.times(calibration.false_pages_per_quarter), words.times(calibration.false_pages_upper)
    budget = (
        f"By its own {calibration.num_days} days of history, this shop is paged for nothing {often} times a quarter (at most {at_most})."
    )
    return (rarity, budget) if rarity else (budget,)


def _missing(judgement: Judgement) -> tuple[str, ...]:
    """What keeps the window from being judged; empty where it was."""
    told = {
        Verdict.CALIBRATING: "Until there is enough quiet history, surprises are measured and nobody is called.",
        Verdict.TOO_LITTLE: f"The window has {judgement.num_rows:,} rows, which is too little to tell drift from luck. Nobody is called.",
        Verdict.BROKEN: "The input is at fault, so nothing is said about drift. Somebody is called, since a fault would go unseen.",
    }
    return (told[judgement.verdict],) if judgement.verdict in told else ()


def _section(verdict: Verdict, base: str) -> str:
    """Where the runbook, which is at `base`, tells of a window that was not judged; empty for others."""
    return f"{base}#{anchor_of(SECTIONS[verdict])}" if verdict in SECTIONS else ""


def _row(finding: Finding, threshold: float) -> Row:
    measured = finding.measured
    return Row(
        detector=words.detector(measured.detector),
        segment=words.clip(words.segment(measured.segment), 60),
        effect=effect_of(finding),
        value=words.number(measured.value),
        expected=f"{words.number(finding.expected)} ± {words.number(finding.spread)}",
        surprise=words.number(finding.surprise) if finding.surprise < 1e6 else "very large",
        parts=parts_strip(finding.part_surprises[:24], threshold),
        alarming=finding.alarming,
        beyond=finding.surprise > threshold,
    )


def _charts(judgement: Judgement, evidence: Evidence) -> tuple[Markup, ...]:
    """Image Scores now and then, in the whole shop and in the blamed segment, and every other number that moved."""
    now, reference = evidence.now, evidence.reference
    if now is None or reference is None:
        return ()
    wanted = [(ALL, "image_score"), (segment_of(judgement), "image_score")]
    wanted += [(one.measured.segment, COLUMNS[one.measured.detector]) for one in telling(judgement)]
    charts = [_chart(column, segment, reference, now) for segment, column in dict.fromkeys(wanted)]
    return tuple(chart for chart in charts if chart)[: MOST_CHARTS + 1]


def _chart(column: str, segment: str, reference: Window, now: Window) -> Markup:
    name = "Image Score" if column == "image_score" else column.replace("_", " ")
    before = _weighted(reference, segment, column)
    if not len(before[0]):
        before = _weighted(reference, ALL, column)
    return histograms(f"{name}, {words.clip(words.segment(segment), 40)}", before, _weighted(now, segment, column))


def _weighted(window: Window, segment: str, column: str) -> tuple[np.ndarray, np.ndarray]:
    inside = members(window, segment)
    values = np.asarray(window.rows[column].to_numpy(zero_copy_only=False), np.float64)[inside]
    return values, np.asarray(window.weight, np.float64)[inside]


def _problems(problems: Sequence[str]) -> tuple[str, ...]:
    shown = [words.clip(one) for one in problems[:MOST_PROBLEMS]]
    return (*shown, f"and {len(problems) - len(shown)} more") if len(problems) > len(shown) else tuple(shown)


def _facts(judgement: Judgement) -> dict[str, str]:
    facts = {
        "rows": f"{judgement.num_rows:,}",
        "release": words.clip(judgement.release_id)[:12],
        "vector space": words.clip(judgement.fingerprint)[:12],
    }
    if calibration := judgement.calibration:
        facts |= {"series judged": f"{calibration.num_series:,}", "quiet days behind it": str(calibration.num_days)}
        facts["quiet days with something as far off"] = str(calibration.num_beyond)
        facts["calls somebody from"] = f"surprise {words.number(calibration.threshold)}"
    return facts
