"""What people do with drift at a terminal: look back, snooze, accept, open Evidently's workspace, rehearse an alert."""

import datetime as dt
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.contract import bind, read_params
from components.errors import BadParams
from components.objects import ObjectStore, open_store
from components.release.decision import actor
from flows.drift_told import STYLES
from monitoring import alerts, runbook
from monitoring.cases import new_moment
from monitoring.config import MonitorConfig
from monitoring.history import History, Summary
from monitoring.judged import CauseName
from monitoring.report.page import address_of, pages_in
from monitoring.snooze import SnoozeBook
from monitoring.span import Kind

KINDS = (Kind.DAY, Kind.WEEK, Kind.HOUR)


def settings() -> tuple[MonitorConfig, ObjectStore]:
    """The section of params.yaml, and the gateway's store, in which verdicts lie beside the log. Raises BadParams."""
    params = read_params()
    return bind(MonitorConfig, "monitor", params), open_store(str(params["serve"]["store"]))


def snooze(cause: str, until: str, reason: str) -> str:
    """What stands now, in one line."""
    cfg, store = settings()
    made = SnoozeBook(store).snooze(cause, moment_of(until), reason, actor(), new_moment(), cfg.verdict.max_snooze_days)
    return f"{made.cause} calls nobody until {made.until:%Y-%m-%d %H:%M} UTC: {made.reason}"


def wake(cause: str) -> str:
    """What stands now, in one line."""
    _, store = settings()
    return f"{cause} calls again" if SnoozeBook(store).wake(cause) else f"{cause} was not snoozed"


def accept(cause: str, reason: str) -> str:
    """What stands now, in one line. Raises BadParams where no window that was judged names the cause."""
    _, store = settings()
    made = SnoozeBook(store).accept(cause, since_of(cause, History(store).summaries(Kind.DAY)), reason, actor(), new_moment())
    return f"{made.cause} is how the shop is since {made.since:%Y-%m-%d}: {made.reason}"


def since_of(cause: str, known: Sequence[Summary]) -> dt.datetime:
    """When the cause began that was named last: the start of the first of its windows in a row."""
    for one in reversed(known):
        for key, since in zip(one.causes, one.since, strict=True):
            if cause in (key, key.partition("/")[0]):
                return since
    seen = sorted({key for one in known for key in one.causes})
    raise BadParams(f"none of the last {len(known)} days names {cause}; they name: {', '.join(seen) or 'none'}")


def show_history(kind: str, last: int, console: Console | None = None) -> None:
    """Prints a row for each of the last windows, the newest last."""
    if kind not in KINDS:
        raise BadParams(f"--kind {kind}: one of {', '.join(KINDS)}")
    cfg, store = settings()
    pages = pages_in(cfg.report)
    table = Table(*("window", "verdict", "surprise", "rows", "release", "causes", "page"), box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for one in History(store).summaries(Kind(kind), last):
        far = "" if one.surprise is None else f"{one.surprise:.1f} of {one.threshold:.1f}" if one.threshold else f"{one.surprise:.1f}"
        page = address_of(one.span, cfg.report) if one.span.name in pages else ""
        verdict = Text(one.verdict.value, style=STYLES[one.verdict])
        table.add_row(one.span.name, verdict, far, f"{one.num_rows:,}", one.release_id[:12], Text(", ".join(one.causes)), page)
    (console or Console()).print(table)


def moment_of(text: str) -> dt.datetime:
    """The day or time in UTC. Raises BadParams for anything else."""
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadParams(f"--until {text} is no time: write 2026-03-20 or 2026-03-20T12:00") from None
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def cause_of(text: str) -> CauseName:
    """The cause of that name. Raises BadParams where there is none."""
    try:
        return CauseName(text)
    except ValueError:
        raise BadParams(f"no cause is called {text!r}; there are: {', '.join(CauseName)}") from None


def fire(cause: str, console: Console | None = None) -> bool:
    """Whether anybody will hear of the rehearsal; prints who. Raises StoreFailed where Alertmanager does not take it."""
    console, cfg = console or Console(), settings()[0]
    alert = alerts.rehearsed(cause_of(cause), cfg.report.runbook_url or runbook.HERE, actor(), dt.datetime.now(dt.UTC))
    held = alerts.fire(alert, cfg.routes)
    table = Table("receiver", "state", "runbook", title=Text(str(alert["annotations"]["summary"])))
    for receiver in held.receivers:
        table.add_row(receiver, held.state, Text(str(alert["annotations"]["runbook_url"])))
    console.print(table)
    if not held.reaches_people:
        why = (
            f"{held.num_silences} silences and {held.num_inhibiting} other alerts suppress it"
            if held.receivers
            else "no route has a receiver"
        )
        console.print(Text(f"nobody hears of it: {why}", style="red"))
    return held.reaches_people


def open_workspace(port: int) -> None:
    """Serves Evidently's workspace until it is told to end."""
    from monitoring.evidently.workspace import open_ui

    open_ui(settings()[0].report.evidently, port)
