"""The registry as a gateway uses it: reading the record, fetching releases, and the few changes that an administrator asks of a gateway."""

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from components.errors import BadState, Conflict
from components.release.channel import Channel
from components.release.registry import Registry
from components.serve.canary.remembered import Rollback
from components.serve.canary.rollback import is_named, leaving, without

if TYPE_CHECKING:
    from components.release.decision import Decision


@dataclass(frozen=True)
class Edge:
    """Every call blocks, and may hang. Changes stand in the decision log too. Raises VitrineError."""

    registry: Registry

    def channel(self) -> tuple[Channel, str | None]:
        """The record and its version, None where there is none."""
        return self.registry.channel()

    def fetch(self, release_id: str, folder: Path) -> Path:
        """The release's folder, verified."""
        return self.registry.fetch(release_id, folder)

    def roll_back(self, rollback: Rollback) -> Channel:
        """The record, in which the release has no traffic any more: where it is stable, what is under test beside it goes with it. Raises
        Settled where there is no earlier release to go back to."""

        def decision(channel: Channel) -> "Decision | None":
            if channel.stable is None:
                raise BadState("the channel record is gone: put it back")
            if not is_named(channel, rollback.release_id):
                return None
            without(channel, rollback.release_id)
            return _decision("rollback", leaving(channel), rollback.reason, rollback.actor, rollback.at)

        while is_named(channel := self._decided(decision, rollback.release_id), rollback.release_id):
            pass
        return channel

    def change(self, kind: Literal["pause", "resume"], reason: str, actor: str) -> Channel:
        """The record, in which nobody climbs, or in which the ladder goes on. Raises Conflict where nothing is under test."""

        def decision(channel: Channel) -> "Decision":
            if channel.candidate is None:
                raise Conflict("no release is under test")
            return _decision(kind, channel.candidate.release_id, reason, actor, dt.datetime.now(dt.UTC))

        return self._decided(decision)

    def _decided(self, make: Callable[[Channel], "Decision | None"], *release_ids: str) -> Channel:
        from components.release.changes import Desk  # here: it loads what counts, and a gateway decides rarely

        return Desk(self.registry).decide(make, *release_ids)


def _decision(kind: Literal["pause", "resume", "rollback"], release_id: str, reason: str, actor: str, at: dt.datetime) -> "Decision":
    from components.release.decision import Decision

    return Decision(release_id=release_id, at=at, actor=actor, kind=kind, reason=reason)


def edge_at(url: str) -> Callable[[], Edge]:
    """What opens the registry there; a bucket's client takes a while to be made, so the caller chooses when."""
    return lambda: Edge(Registry.open(url))
