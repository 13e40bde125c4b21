"""Changes of the channel record, each of which stands in the decision log before it is made.

An entry names the revision that it starts from and holds all that its change needs. So whoever finds that the last one still has the
record's revision makes the change that a killed writer did not come to; where the record has gone on, it was made, or another change came
first. Entries are numbered and each number is written once: of two controllers one writes, and the other reads again.
"""

import dataclasses
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from components.errors import Conflict
from components.release import channel as record
from components.release.channel import Channel
from components.release.decision import Decision
from components.release.decisions import DecisionLog
from components.release.registry import Registry

CHANGING = frozenset({"propose", "climb", "return", "hold", "withdraw", "pause", "resume", "rollback", "promote"})
AWAITS_APPROVAL = "it waits for approval: answer Prefect's pause, or `vitrine release resume --reason ...`"
BY_HAND = "by_hand"  # of a promotion that a person decides, from whatever rung
TRIES = 20

log = logging.getLogger("vitrine")


def applied(channel: Channel, entry: Decision) -> Channel:
    """The next record, as the entry has it. Raises Conflict where the record does not allow it, or is about another release by now."""
    concerned = channel.candidate.release_id if channel.candidate else channel.stable
    if entry.kind != "propose" and channel.stable and entry.release_id != concerned:
        raise Conflict(f"release {entry.release_id[:12]} has no part in revision {channel.revision} of the channel record any more")
    return dataclasses.replace(_applied(channel, entry), revision=channel.revision + 1)


def _applied(channel: Channel, entry: Decision) -> Channel:
    at, reason = entry.at, entry.reason
    match entry.kind:
        case "propose":
            proposed = record.proposed(channel, entry.release_id, at, float(entry.thresholds["shadow_share"]), reason)
            return record.paused(proposed, AWAITS_APPROVAL) if entry.thresholds["approval"] else proposed
        case "climb":
            return record.climbed(channel, entry.platforms, entry.weight_percent or 0, at, reason)
        case "return":
            return record.returned(channel, entry.platforms, at, reason)
        case "hold":
            return record.held_back(channel, entry.platforms, reason)
        case "withdraw":
            return record.withdrawn(channel)
        case "pause":
            return record.paused(channel, reason)
        case "resume":
            return record.resumed(channel, at, reason)
        case "rollback":
            return record.rolled_back(channel)
        case "promote" if channel.stable is None:
            return record.first(channel, entry.release_id)
        case "promote":
            return record.declared_stable(channel) if entry.thresholds.get(BY_HAND) else record.promoted(channel)
    raise Conflict(f"entry {entry.seq} of release {entry.release_id[:12]} is a {entry.kind}, which changes no record")


class Superseded(Conflict):
    """The record went on before the entry's change could be made."""


@dataclass
class Desk:
    """The record and the decision logs, read and written together. `settled` is told of changes that a killed writer had left undone."""

    registry: Registry
    settled: Callable[[Decision], None] = lambda entry: None
    _logs: dict[str, DecisionLog] = field(default_factory=dict)

    def log_of(self, release_id: str) -> DecisionLog:
        """The release's log."""
        return self._logs.setdefault(release_id, DecisionLog(self.registry.store, release_id))

    def entries(self, release_id: str) -> Sequence[Decision]:
        """The release's decisions as they were read last."""
        return self.log_of(release_id).entries

    def read(self, *release_ids: str) -> Channel:
        """The record, once every change that stands in the log of one of its releases, or of those given, is made."""
        channel, _ = self.registry.channel()
        candidate = channel.candidate.release_id if channel.candidate else None
        for release_id in dict.fromkeys([*filter(None, (candidate, channel.stable)), *release_ids]):
            last = next((one for one in reversed(self.log_of(release_id).read()) if one.kind in CHANGING), None)
            if last is not None and last.revision == channel.revision:
                channel = self._settle(last)
        return channel

    def _settle(self, entry: Decision) -> Channel:
        """The record, after a change that was logged and not made is made, unless another process does or the record is about others."""
        try:
            channel = self._made(entry)
        except Conflict as error:
            log.warning("release %s: entry %d, %s, is left undone: %s", entry.release_id[:12], entry.seq, entry.kind, error)
            return self.registry.channel()[0]
        log.info("release %s: entry %d, %s, was left undone and is made now", entry.release_id[:12], entry.seq, entry.kind)
        self.settled(entry)
        return channel

    def write(self, channel: Channel, entry: Decision) -> tuple[Decision, Channel]:
        """The entry as it stands in the log, and the record after its change, if it is one. Raises Conflict, before anything is written,
        where the record does not allow it or another process was first; Superseded where the record alone went on."""
        if entry.kind in CHANGING:
            applied(channel, entry)
        entry = self.log_of(entry.release_id).append(dataclasses.replace(entry, revision=channel.revision))
        return entry, self._made(entry) if entry.kind in CHANGING else channel

    def _made(self, entry: Decision) -> Channel:
        def change(channel: Channel) -> Channel:
            if channel.revision != entry.revision:
                raise Superseded(f"the channel record went on to revision {channel.revision} before the {entry.kind} of {entry.revision}")
            return applied(channel, entry)

        return self.registry.change(change)

    def decide(self, make: Callable[[Channel], Decision | None], *release_ids: str) -> Channel:
        """The record after the decision that `make` takes on it, read and made again where others were first; None decides nothing.

        Raises Conflict where the record does not allow it, or others were first every time.
        """
        for _ in range(TRIES):
            channel = self.read(*release_ids)
            entry = make(channel)
            if entry is None:
                return channel
            applied(channel, entry)
            try:
                return self.write(channel, entry)[1]
            except Conflict as error:
                log.info("release %s: %s; again", entry.release_id[:12], error)
        raise Conflict(f"others were first each of {TRIES} times: see who changes the record with `vitrine release status`, then try again")
