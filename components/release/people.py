"""What people decide: starting, pausing, resuming, rolling back, promoting. Each needs a reason, and stands in the decision log."""

import datetime as dt
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from components.errors import Conflict
from components.release.changes import BY_HAND, Desk
from components.release.channel import FULL, Candidate, Channel, Step
from components.release.component import notice_of
from components.release.config import ReleaseConfig
from components.release.decision import Decision, Kind, actor
from components.release.notices import Sender, tell
from components.release.provenance import gathered


def now() -> dt.datetime:
    """The time, in UTC."""
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True)
class Person:
    """Somebody at the desk. Every method gives the record after the decision, and raises Conflict where the record does not allow it,
    BadParams without a reason."""

    desk: Desk
    senders: Sequence[Sender] = ()
    actor: str = ""
    now: Callable[[], dt.datetime] = now

    def publish(self, bundle: Path, workspace: Path = Path()) -> str:
        """The release's id, once the bundle is in the registry; `workspace` is where it was made. Raises BadBundle where it is refused."""
        found = gathered(bundle, workspace, self.now())
        release_id = self.desk.registry.publish(bundle, found)
        log_of = self.desk.log_of(release_id)
        if not any(entry.kind == "publish" for entry in log_of.read()):
            commit = f"commit {found.git_commit[:12]}" if found.git_commit else "no Git commit"
            with suppress(Conflict):  # whoever was first has published it too, or goes on with it already
                log_of.append(self._entry("publish", release_id, f"{bundle} of {commit}, built by {found.builder}"))
        return release_id

    def start(self, release_id: str, reason: str, cfg: ReleaseConfig) -> Channel:
        """The release is under test; or stable, where there was none to compare it with. What it is already it stays."""
        thresholds = {"shadow_share": cfg.shadow.share, "approval": cfg.ladder.approval}

        def make(channel: Channel) -> Decision | None:
            if release_id == channel.stable or (channel.candidate and channel.candidate.release_id == release_id):
                return None
            if channel.stable is None:
                return self._entry("promote", release_id, "the first release: there is none to compare it with", FULL)
            return self._entry("propose", release_id, reason, 0, thresholds=thresholds)

        return self._decided(make, release_id)

    def pause(self, reason: str) -> Channel:
        """Nobody climbs until resume(); what fails returns all the same."""
        return self._decided(lambda channel: self._entry("pause", _candidate(channel).release_id, reason))

    def resume(self, reason: str) -> Channel:
        """Climbing goes on, where it was held too; a release that waits for approval has it."""

        def make(channel: Channel) -> Decision:
            candidate = _candidate(channel)
            if candidate.paused is None and all(lane.step is not Step.HELD for lane in candidate.lanes.values()):
                raise Conflict(f"release {candidate.release_id[:12]} is neither paused nor held: there is nothing to resume")
            return self._entry("resume", candidate.release_id, reason)

        return self._decided(make)

    def rollback(self, reason: str) -> Channel:
        """The candidate is gone; without one, the release that was stable before is stable again."""
        leaving: list[str] = []

        def make(channel: Channel) -> Decision | None:
            release_id = channel.candidate.release_id if channel.candidate else channel.stable
            if release_id is None:
                raise Conflict("the channel has no release: there is nothing to roll back")
            leaving.append(release_id)
            return self._entry("rollback", release_id, reason, 0) if release_id == leaving[0] else None  # another was first: it is gone

        return self._decided(make)

    def promote(self, reason: str) -> Channel:
        """The candidate is stable, from whatever rung: the log says what it skips."""
        wanted: list[str] = []

        def make(channel: Channel) -> Decision | None:
            if wanted and channel.stable == wanted[0]:
                return None
            candidate = _candidate(channel)
            wanted[:] = [candidate.release_id]
            skipped = skips(candidate)
            said = f"{reason} (skips {skipped})" if skipped and reason.strip() else reason
            return self._entry("promote", candidate.release_id, said, FULL, thresholds={BY_HAND: True})

        return self._decided(make)

    def _entry(self, kind: Kind, release_id: str, reason: str, weight: int | None = None, **more: object) -> Decision:
        about = {"release_id": release_id, "at": self.now(), "actor": self.actor or actor(), "weight_percent": weight}
        return Decision(kind=kind, reason=reason.strip(), **about, **more)  # type: ignore[arg-type]  # names are the fields' own

    def _decided(self, make: Callable[[Channel], Decision | None], *release_ids: str) -> Channel:
        made: list[Decision] = []

        def kept(channel: Channel) -> Decision | None:
            made[:] = [entry] if (entry := make(channel)) else []
            return entry

        channel = self.desk.decide(kept, *release_ids)
        for entry in made:
            tell(notice_of(entry), self.senders)
        return channel


def skips(candidate: Candidate) -> str:
    """What a release that is promoted now has not gone through; empty where it has every user."""
    short = [
        f"{name}: {lane.step} at {lane.weight_percent} %"
        for name, lane in candidate.lanes.items()
        if lane.weight_percent < FULL or lane.step is not Step.CANARY
    ]
    return "; ".join(short)


def _candidate(channel: Channel) -> Candidate:
    if channel.candidate is None:
        raise Conflict("no release is under test: `vitrine release status` shows what there is")
    return channel.candidate
