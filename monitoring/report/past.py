"""The strip of the history: a cell for each window, in rows."""

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from monitoring.judged import Judgement, Verdict
from monitoring.report import words

ROW_CELLS = 30


@dataclass(frozen=True)
class PastWindow:
    """A window of the history: its verdict, its largest surprise and the threshold then, None where it was not judged."""

    name: str
    verdict: Verdict
    surprise: float | None = None
    threshold: float | None = None


@dataclass(frozen=True)
class Cell:
    """A window of the strip of history; `href` is empty where it has no page."""

    name: str
    look: words.Look
    told: str
    href: str
    is_this: bool


def window_of(judgement: Judgement) -> PastWindow:
    """The judged window as the last of the history."""
    known = [finding.surprise for finding in judgement.findings if math.isfinite(finding.surprise)]
    threshold = judgement.calibration.threshold if judgement.calibration else None
    return PastWindow(judgement.span.name, judgement.verdict, max(known, default=None), threshold)


def strip(past: Sequence[PastWindow], this: str, pages: Collection[str]) -> tuple[tuple[str, tuple[Cell, ...]], ...]:
    """Rows of cells, each with the name of its first window; the newest row is full."""
    first = len(past) % ROW_CELLS
    starts = [0, *range(first, len(past), ROW_CELLS)] if first else list(range(0, len(past), ROW_CELLS))
    ends = [*starts[1:], len(past)]
    return tuple(
        (past[start].name, tuple(_cell(one, this, pages) for one in past[start:end])) for start, end in zip(starts, ends, strict=True)
    )


def _cell(one: PastWindow, this: str, pages: Collection[str]) -> Cell:
    look = words.LOOKS[one.verdict]
    surprise = "" if one.surprise is None else f", surprise {words.number(one.surprise)}"
    is_this = one.name == this
    return Cell(
        one.name, look, f"{one.name}: {look.word}{surprise}", f"{one.name}.html" if one.name in pages and not is_this else "", is_this
    )
