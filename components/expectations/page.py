"""One page that shows every gate: verdict, what to do next, numbers against limits, the past, and a few charts. It needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from components.expectations.bands import Band
from components.expectations.drawings import gauge, sparkline
from components.expectations.findings import Finding
from components.expectations.template import TEMPLATE
from components.expectations.wording import number


@dataclass(frozen=True)
class Trend:
    """Numbers of one kind beside their past. `decides` is False where they are shown and held to nothing."""

    title: str
    bands: Sequence[Band]
    decides: bool


@dataclass(frozen=True)
class Refused:
    """Rows of a table in quarantine for one reason. `share` is of all rows that came in, None where those are not counted."""

    table: str
    reason: str
    num_rows: int
    share: float | None


@dataclass(frozen=True)
class Story:
    """Everything the page tells. `charts` go by title."""

    title: str
    about: str
    stage: str
    facts: Mapping[str, str]
    findings: Sequence[Finding]
    trends: Sequence[Trend] = ()
    trends_note: str = ""
    charts: Mapping[str, Markup] = field(default_factory=dict)
    refused: Sequence[Refused] = ()


def page_of(story: Story) -> str:
    """The page as HTML; equal stories give equal text."""
    here = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    here.filters.update(number=number, gauge=_gauge, spark=_spark, verdict=verdict)
    failed = [finding for finding in story.findings if finding.stops]
    by_table: dict[str, list[Finding]] = {}
    for finding in story.findings:
        by_table.setdefault(finding.suite, []).append(finding)
    unchecked = sum(not finding.checked for finding in story.findings)
    return here.from_string(TEMPLATE).render(story=story, failed=failed, by_table=by_table, num_unchecked=unchecked)


def write_page(path: Path, page: str) -> None:
    """Writes the page, with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")


def verdict(finding: Finding) -> str:
    """passed, failed, or not checked."""
    return "not checked" if not finding.checked else "failed" if finding.stops else "passed"


def _gauge(finding: Finding) -> Markup:
    return gauge(finding.observed, finding.low, finding.high)


def _spark(band: Band) -> Markup:
    return sparkline(band.past, band.observed, band.low, band.high)
