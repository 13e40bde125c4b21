"""A judged window for people: a row on a terminal, a sentence in a log, an artifact of Prefect."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from flows.drift_check import Checked
from monitoring.judged import Judgement, Verdict

STYLES = {
    Verdict.QUIET: "green",
    Verdict.WATCH: "yellow",
    Verdict.DRIFT: "bold red",
    Verdict.BROKEN: "bold red",
    Verdict.CALIBRATING: "dim",
    Verdict.TOO_LITTLE: "dim",
}


@dataclass(frozen=True)
class Line:
    """What is said of a window: `cause` and `segment` of the first cause, `surprise` the largest against the `threshold`, both empty where
    there are none; `said` what is done about its causes, `failed` what went wrong after the verdict."""

    window: str
    verdict: Verdict
    reason: str
    cause: str
    segment: str
    surprise: str
    page: str
    pages: bool
    is_told: bool
    said: tuple[str, ...]
    failed: tuple[str, ...]


def line(done: Checked) -> Line:
    """The window's line."""
    judgement = done.judgement
    first = judgement.causes[0] if judgement.causes else None
    return Line(
        window=judgement.span.name,
        verdict=judgement.verdict,
        reason=judgement.reason,
        cause=", ".join(f"{cause.name}{' (snoozed)' if cause.snoozed_until else ''}" for cause in judgement.causes),
        segment=first.segments[0].segment if first and first.segments else "",
        surprise=surprise_of(judgement),
        page=done.page,
        pages=judgement.pages,
        is_told=done.is_told,
        said=done.said,
        failed=tuple(f"{step} failed: {why}" for step, why in done.failed.items()),
    )


def surprise_of(judgement: Judgement) -> str:
    """`6.5 of 4.2`: the largest surprise, and the one from which somebody is called; empty where nothing was judged."""
    if not judgement.findings or judgement.calibration is None:
        return ""
    return f"{judgement.findings[0].surprise:.1f} of {judgement.calibration.threshold:.1f}"


def sentence(told: Line) -> str:
    """One line for a log."""
    return f"{told.window}: {told.verdict}: {told.reason}{''.join(f'; {one}' for one in told.failed)}"


def message(lines: Sequence[Line]) -> str:
    """One line for all windows: how many of which verdict, and what was said of the last that calls somebody."""
    verdicts = [told.verdict for told in lines]
    counts = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in Verdict if verdict in verdicts)
    calling = [told for told in lines if told.pages]
    failed = [one for told in lines for one in told.failed]
    last = f"; {sentence(calling[-1])}" if calling else f"; {failed[-1]}" if failed else ""
    return f"{len(lines)} windows: {counts}{last}" if len(lines) != 1 else sentence(lines[0])


def show(lines: Sequence[Line], console: Console) -> None:
    """A table with a row for each window, and below it what was said, done, or went wrong."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=0)  # five columns on a terminal of 80
    for name in ("window", "verdict", "cause and segment", "surprise", "page"):
        table.add_column(name, overflow="fold", no_wrap=name != "cause and segment", min_width=8)
    for told in lines:
        blamed = "\n".join(filter(None, [told.cause, told.segment]))
        table.add_row(told.window, Text(told.verdict.value, style=STYLES[told.verdict]), Text(blamed), told.surprise, told.page)
    console.print(table)
    for told in lines:
        notes = [(one, "") for one in told.said] + [(one, "red") for one in told.failed]
        if told.pages or len(lines) == 1:
            notes = [(told.reason, ""), *notes]
        for text, style in notes:
            console.print(Text(f"{told.window}: {text}", style=style), soft_wrap=True)


def markdown(told: Line) -> str:
    """The artifact's text."""
    rows = {"cause": told.cause, "segment": told.segment, "surprise": told.surprise, "page": told.page}
    table = "\n".join(f"| {name} | {value.replace('|', '/')} |" for name, value in rows.items() if value)
    notes = "\n".join(f"- {one}" for one in (*told.said, *told.failed))
    return f"**{told.window}: {told.verdict}.** {told.reason}\n\n| | |\n|---|---|\n{table}\n\n{notes}\n"
