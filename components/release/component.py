"""The controller: looks at the counts, has them judged, and moves the candidate's traffic. It keeps nothing: whoever comes next goes on.

All that it goes by stands in the registry (the channel record, the decision log) and in the gateway's log. It may be killed at any moment,
and several may run at once.
"""

import dataclasses
import datetime as dt
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from components.errors import BadData, Conflict
from components.release.changes import CHANGING, TRIES, Desk
from components.release.channel import FULL, Candidate, Channel, Step
from components.release.config import ReleaseConfig
from components.release.counts import Counter
from components.release.decision import Decision, actor
from components.release.decision import Kind as EntryKind
from components.release.files import Input
from components.release.gateways import Applied, ask, waited_for
from components.release.hearing import Heard, Past, hear, in_order, is_worth_a_line
from components.release.judgement import Verdict
from components.release.ladder import Kind, Ladder, Move
from components.release.notices import Notice, Sender, tell

log = logging.getLogger("vitrine")

Ask = Callable[[Sequence[str], float], list[Applied]]
UP = frozenset({Kind.CLIMB, Kind.PROMOTE})
ENDS = frozenset({"withdraw", "rollback", "promote"})
KINDS: Mapping[Kind, EntryKind] = {
    Kind.CLIMB: "climb",
    Kind.RETURN: "return",
    Kind.HOLD: "hold",
    Kind.PROMOTE: "promote",
    Kind.WITHDRAW: "withdraw",
}


@dataclass(frozen=True)
class Looked:
    """What a look came to: the record afterwards, where each group stands and why, and what was written to the decision log. `ended` is one
    sentence once nothing is left to do for the release."""

    release_id: str
    channel: Channel
    moves: tuple[Move, ...]
    heard: Mapping[str, Heard]
    made: tuple[Decision, ...]
    ended: str | None


@dataclass
class Controller:
    """Follows one release, `release_id`, from its shadow to its end."""

    release_id: str
    desk: Desk
    counter: Counter
    cfg: ReleaseConfig
    senders: Sequence[Sender] = ()
    ask: Ask = ask
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)
    actor: str = field(default_factory=lambda: f"controller {actor()}, process {os.getpid()}")
    _has_looked: bool = False
    _to_tell: list[Decision] = field(default_factory=list)
    _voice: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "notices"))

    def __post_init__(self) -> None:
        self.desk.settled = self._to_tell.append
        self.cfg = in_order(self.cfg)

    def step(self) -> Looked:
        """One look. What fails has weight 0 in the record when this returns. Raises StoreFailed where the registry or the gateway's log
        cannot be read; Conflict where others change the record without end."""
        for _ in range(TRIES):
            try:
                looked = self._step()
            except Conflict as error:
                log.info("release %s: %s; again", self.release_id[:12], error)
            else:
                if looked.ended:
                    self._tell()
                    self.quiet()
                return looked
            finally:
                self._tell()
        raise Conflict(f"others were first each of {TRIES} times: see who changes the record with `vitrine release status`")

    def _step(self) -> Looked:
        channel = self.desk.read(self.release_id)
        candidate = channel.candidate
        if candidate is None or candidate.release_id != self.release_id:
            return Looked(self.release_id, channel, (), {}, tuple(self._closed(channel)), self._end(channel))
        self._remind(candidate)
        past, at = Past.of(candidate, self.desk.entries(self.release_id)), self.now()
        self.counter.read(channel, past.baselines, self.cfg.groups)
        heard = hear(self.counter, past, at, self.cfg)
        ladder = Ladder(candidate, {group: one.finding for group, one in heard.items()}, at, self.cfg.ladder, self.cfg.groups)
        made: list[Decision] = []

        def write(moves: Sequence[Move]) -> None:
            nonlocal channel
            for move in moves:
                for entry in self._entries(move, heard, past, at):
                    written, channel = self._written(channel, entry)
                    made.append(written)
                    self._to_tell += [written] if written.kind in CHANGING else []

        moves = ladder.moves()
        down, up = ([move for move in moves if (move.kind in UP) == is_up] for is_up in (False, True))
        write(down)  # before any gateway is asked: one that hangs must not keep users with what fails
        up = self._allowed(up, ladder, channel)
        write(up)
        return Looked(self.release_id, channel, (*down, *up), heard, tuple(made), self._end(channel))

    def _written(self, channel: Channel, entry: Decision) -> tuple[Decision, Channel]:
        """As Desk.write(); users return also where the log has no room for what they return for."""
        try:
            return self.desk.write(channel, entry)
        except BadData as error:
            if entry.kind != "return":
                raise
            log.error("release %s returns without its counts in the decision log: %s", self.release_id[:12], error)
            bare = dataclasses.replace(entry, verdict=None, strata=(), inputs=(), look=None, shadow=None, judgement=None, thresholds={})
            return self.desk.write(channel, bare)

    def _allowed(self, up: list[Move], ladder: Ladder, channel: Channel) -> list[Move]:
        """The climbs, where each gateway that can be reached goes by the record; else their groups stay, and it is said for what."""
        if not up:
            return []
        answers = self.ask(self.cfg.gateways, self.cfg.ladder.gateway_timeout_s)
        for one in answers:
            if not one.is_reachable:
                log.warning("release %s: %s does not answer and is not waited for: %s", self.release_id[:12], one.url, one.problem)
        if (waits := waited_for(answers, channel)) is None:
            return up
        groups = {move.group for move in up}
        return [move for move in dataclasses.replace(ladder, waits=waits).moves() if move.group in groups and move.kind is Kind.STAY]

    def _entries(self, move: Move, heard: Mapping[str, Heard], past: Past, at: dt.datetime) -> Iterator[Decision]:
        """What a move writes to the log, one entry after the other, since each names the files that none before it does. Nothing where a
        group stays and nothing new is known."""
        found = self._behind(move, heard)
        stays = move.kind is Kind.STAY
        if stays and (found is None or not is_worth_a_line(found, past, self.cfg)):
            return
        entry = Decision(
            release_id=self.release_id,
            at=at,
            actor=self.actor,
            kind=found.kind if found and stays else KINDS[move.kind],
            reason=found.finding.reason if found and stays else move.reason,
            group=move.group,
            platforms=move.platforms,
            weight_percent=move.weight_percent,
        )
        if found is None:
            yield entry
            return
        if move.kind is Kind.CLIMB and found.baseline is not None:
            yield found.frozen(entry, self._news())
        yield found.written(entry, self._news(), self.cfg)

    def _behind(self, move: Move, heard: Mapping[str, Heard]) -> Heard | None:
        """What was heard of the group that moves; of a mismatch, which moves all, the group that it was found in."""
        if move.group is None and move.kind is Kind.RETURN:
            return next(one for one in heard.values() if one.finding.verdict is Verdict.MISMATCH)
        return heard.get(move.group or "")

    def _news(self) -> tuple[Input, ...]:
        return self.desk.log_of(self.release_id).news(self.counter.files.inputs.values())

    def _closed(self, channel: Channel) -> Iterator[Decision]:
        """The entry of an end that has none: a gateway rolls back with nothing but the record."""
        entries = self.desk.entries(self.release_id)
        last = next((one.kind for one in reversed(entries) if one.kind in CHANGING), "withdraw")
        if last not in ENDS and channel.stable != self.release_id:
            reason = f"revision {channel.revision} of the record is without it: a gateway was told to roll back, and its log says by whom"
            entry = Decision(release_id=self.release_id, at=self.now(), actor=self.actor, kind="rollback", reason=reason, weight_percent=0)
            yield self.desk.log_of(self.release_id).append(entry)  # of no revision: nothing is left to be made

    def _remind(self, candidate: Candidate) -> None:
        """Tells once more of what is held: who was killed may not have come to it."""
        if not self._has_looked and any(lane.step is Step.HELD for lane in candidate.lanes.values()):
            self._to_tell += [one for one in self.desk.entries(self.release_id) if one.kind == "hold"][-1:]
        self._has_looked = True

    def _tell(self) -> None:
        """Has people told, one notice after the other, by a thread: a webhook that hangs delays no look."""
        while self._to_tell:
            self._voice.submit(tell, notice_of(self._to_tell.pop(0)), self.senders)

    def quiet(self) -> None:
        """Returns once everybody was told of what was decided so far."""
        self._voice.submit(lambda: None).result()

    def _end(self, channel: Channel) -> str | None:
        """How it ended for the release, or None while something is left to do."""
        candidate = channel.candidate
        if candidate is not None and candidate.release_id == self.release_id:
            standing = [lane for lane in candidate.lanes.values() if lane.step is not Step.RETURNED]
            is_parted = all(lane.step is Step.HELD and lane.weight_percent == FULL for lane in standing)
            return f"held: {standing[0].reason}" if is_parted and standing else None
        last = next((one for one in reversed(self.desk.entries(self.release_id)) if one.kind in ENDS), None)
        how = "promoted" if channel.stable == self.release_id else "rolled back"
        return f"{how}: {last.reason if last else 'its decision log says nothing of it'}"


def notice_of(entry: Decision) -> Notice:
    """What people are told of an entry."""
    about = (entry.kind, entry.release_id, entry.group, entry.platforms, entry.weight_percent, entry.reason)
    return Notice(*about, entry.actor, entry.at, entry.revision or 0)
