"""`vitrine release`: the verbs, thin."""

import logging
from pathlib import Path
from typing import Annotated

import typer

release = typer.Typer(no_args_is_help=True, help="Publish a bundle, let it earn its traffic, or take it away; see docs/release.md.")

Reason = Annotated[str, typer.Option(help="Why: it stands in the decision log, beside who decides (VITRINE_ACTOR, else user@host).")]


@release.command("publish")
def publish(bundle: Annotated[Path | None, typer.Argument(help="Folder of the bundle; the workspace's own unless given.")] = None) -> None:
    """Bring a bundle into the registry and print its id; nobody is answered by it yet."""
    from flows.channel import publish

    typer.echo(publish(bundle))


@release.command("start")
def start(
    bundle: Annotated[str | None, typer.Argument(help="Folder of a bundle, or id of a release; else the one under test goes on.")] = None,
) -> None:
    """Release a bundle, as a Prefect flow: publish, shadow, climb. Stopped and started again, it goes on where it was."""
    from flows import server
    from flows.channel import Office

    Office.open()  # a section that cannot be used is told before a server is started
    server.at_hand()
    logging.getLogger().handlers.clear()  # Prefect brings its own
    from flows.release import at_terminal

    raise SystemExit(at_terminal(bundle))


@release.command("status")
def status() -> None:
    """Show what is stable and what is under test, where each platform stands and why, and what each gateway applies."""
    from flows.channel import show

    show()


@release.command("pause")
def pause(reason: Reason) -> None:
    """Let nobody climb until it is resumed; what fails returns all the same."""
    _decide("pause", reason)


@release.command("resume")
def resume(reason: Reason) -> None:
    """Let the ladder go on: one that was paused or held, or that waits for approval."""
    _decide("resume", reason)


@release.command("rollback")
def rollback(reason: Reason) -> None:
    """Take the release under test away; without one, go back to the release that was stable before."""
    _decide("rollback", reason)


@release.command("promote")
def promote(reason: Reason) -> None:
    """Make the release under test stable, from whatever rung it stands on; the log says what it skips."""
    _decide("promote", reason)


def _decide(verb: str, reason: str) -> None:
    from flows.channel import decide

    typer.echo(decide(verb, reason))
