"""`vitrine drift`: the verbs, thin."""

import logging
from pathlib import Path
from typing import Annotated

import typer

drift = typer.Typer(no_args_is_help=True, help="Judge what the gateway logs against what the release was judged on; see docs/drift.md.")

Reason = Annotated[str, typer.Option(help="Why: it is kept, with who says so (VITRINE_ACTOR, else user@host).")]
Cause = Annotated[str, typer.Argument(help="As the page and the alert name it: darker_photos, or darker_photos/app_version=3.1.0.")]
Bundle = Annotated[Path | None, typer.Option(help="Folder of the bundle; the stable release of the channel record unless given.")]


@drift.command("check")
def check(
    date: Annotated[str | None, typer.Option(help="A day, such as 2026-03-04 (UTC); yesterday and missed days unless given.")] = None,
    week: Annotated[str | None, typer.Option(help="A week, such as 2026-W10 or a day in it.")] = None,
    hour: Annotated[str | None, typer.Option(help="An hour, such as 2026-03-04T08.")] = None,
    since: Annotated[str | None, typer.Option(help="Every day from this one to yesterday, in order.")] = None,
    bundle: Bundle = None,
    fail_on: Annotated[str | None, typer.Option(help="drift: end with 2 where somebody is called.")] = None,
) -> None:
    """Judge a window, write its page, tell Prometheus, and open a retraining where one helps. Ends with 0 where it judged, whatever it
    found, and with 1 where it could not."""
    from flows import server
    from flows.drift_check import asked

    named = {"date": date, "week": week, "hour": hour, "since": since}
    wanted = asked(**named, fail_on=fail_on)  # what cannot be is told before a server is started
    server.at_hand()
    logging.getLogger().handlers.clear()  # Prefect brings its own
    from flows.monitor import at_terminal

    raise SystemExit(at_terminal(wanted, bundle, named))


@drift.command("history")
def history(
    kind: Annotated[str, typer.Option(help="day, week or hour.")] = "day",
    last: Annotated[int, typer.Option(min=1, help="How many windows.")] = 30,
) -> None:
    """Show what was said of the last windows, with their pages."""
    from flows.drift_people import show_history

    show_history(kind, last)


@drift.command("ui")
def ui(port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000) -> None:
    """Open Evidently's workspace, which holds the last windows in detail."""
    from flows.drift_people import open_workspace

    open_workspace(port)


@drift.command("snooze")
def snooze(
    cause: Cause,
    until: Annotated[str, typer.Option(help="Day or time (UTC) from which it calls again, such as 2026-03-20.")],
    reason: Reason,
) -> None:
    """Let a cause call nobody until then; it is shown all the while."""
    from flows.drift_people import snooze

    typer.echo(snooze(cause, until, reason))


@drift.command("wake")
def wake(cause: Cause) -> None:
    """End a snooze before its time."""
    from flows.drift_people import wake

    typer.echo(wake(cause))


@drift.command("accept")
def accept(cause: Cause, reason: Reason) -> None:
    """Say that a cause is how the shop is from now on: what is usual is learnt anew from the window that first showed it."""
    from flows.drift_people import accept

    typer.echo(accept(cause, reason))


@drift.command("test-fire")
def fire_rehearsal(cause: Annotated[str, typer.Option(help="Cause whose alert is rehearsed.")] = "darker_photos") -> None:
    """Send an alert that is marked as a rehearsal through Alertmanager, and show who gets it. It opens no retraining; ends with 1 where
    nobody would hear of it."""
    from flows.drift_people import fire

    raise SystemExit(0 if fire(cause) else 1)


@drift.command("probe")
def probe(
    bundle: Annotated[
        Path | None, typer.Option(help="Folder of the bundle; the stable release of the channel record unless given.")
    ] = None,
    address: Annotated[str | None, typer.Option(help="Of the gateway; monitor.probing.address unless given.")] = None,
) -> None:
    """Ask the gateway what the bundle knows the answers to, and keep what it says for the next check."""
    from flows.probe import probe_at_terminal

    probe_at_terminal(bundle, address)


@drift.command("serve")
def serve() -> None:
    """Check every day and retrain on drift, as deployments of the configured Prefect server, until it is told to end."""
    from flows.drift_serve import serve

    serve()


@drift.command("rehearse")
def rehearse(
    fault: Annotated[str, typer.Argument(help="The injected fault, see docs/drift.md, The faults.")] = "darker_photos",
    seed: Annotated[int | None, typer.Option(min=0, help="Of the simulated year; monitor.rehearsal.show.seed unless given.")] = None,
) -> None:
    """Judge one quiet day and one faulty day of a simulated year over the workspace's own photos, and write both pages."""
    from flows.drift_rehearsal import rehearse

    rehearse(fault, seed)
