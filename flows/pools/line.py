"""The line of stages on work pools: what may start, what has become of each run, whose entry counts."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol
from uuid import UUID

from prefect.exceptions import TerminationSignal

from components.errors import StoreFailed, VitrineError
from flows.dag import Stage
from flows.pools.account import Account
from flows.pools.beat import Sign, Standing, seen, standing
from flows.pools.claims import Claim
from flows.pools.config import PoolsConfig
from flows.pools.entries import Entry
from flows.pools.runs import Look, Started


class StageRunFailed(VitrineError):
    """A stage came to no end on its pool within its retries."""


class Place(Protocol):
    """Where runs are started and looked at (flows/pools/place.py)."""

    def start(self, stage: Stage, number: int, entries: Mapping[str, Entry], after: Sequence[UUID]) -> Started:
        """Starts a try, which is handed those entries."""

    def look(self, flow_run_id: str) -> Look:
        """How a try stands."""

    def last_beat(self, stage: str, flow_run_id: str) -> str | None:
        """Its last sign of life."""

    def accepted(self, stage: str) -> Claim | None:
        """The claim that counts."""

    def taken(self, claim: Claim) -> tuple[Entry, Account]:
        """What the claim names."""

    def give_up(self, flow_run_id: str, why: str) -> None:
        """Writes down that a try is lost."""

    def cancel(self, flow_run_id: str) -> None:
        """Ends a try."""

    def is_rescheduled(self) -> bool:
        """Whether the retraining itself will be executed again."""

    def close(self, stages: Sequence[str]) -> None:
        """From here on, whoever hands back is refused."""


@dataclass(frozen=True)
class Try:
    """A run of a stage: its number, from 1, and what was last seen of it."""

    number: int
    run: Started
    sign: Sign


@dataclass(frozen=True)
class Step:
    """What follows from a look: wait, try again (`is_lost`: the run is still open at Prefect), or give the stage up; and why."""

    what: Literal["wait", "again", "over"]
    why: str = ""
    is_lost: bool = False


def step_after(look: Look, stands: Standing, pool: str, cfg: PoolsConfig) -> Step:
    """What follows, where nobody has claimed the stage yet."""
    if look.state == "CANCELLED":
        return Step("over", f"was cancelled at Prefect: {look.message}")
    if look.is_final:
        return Step("again", look.message if look.state != "COMPLETED" else "ended without handing anything back")
    if stands == "untaken":
        return Step("over", f"no worker of the pool {pool} took it in {cfg.taken_within_s:g} s: `prefect worker start --pool {pool}`", True)
    if stands == "unbegun":
        return Step("again", f"a worker took it, and it did not begin in {cfg.begun_within_s:g} s (pools.begun_within_s)", True)
    if stands == "silent":
        return Step("again", f"no sign of life for {cfg.lost_after_s:g} s (pools.lost_after_s): its worker or machine is gone", True)
    return Step("wait")


def ready(stages: Sequence[Stage], begun: Mapping[str, object], done: Mapping[str, object]) -> list[Stage]:
    """The stages that have not begun and whose upstream is done, in their order."""
    return [stage for stage in stages if stage.name not in begun and all(name in done for name in stage.after)]


@dataclass
class Line:
    """A retraining's stages as they go. `entries` is what dvc.lock says of each stage, and says it to `keep` when one is done."""

    stages: Sequence[Stage]
    place: Place
    cfg: PoolsConfig
    entries: dict[str, Entry]
    keep: Callable[[Mapping[str, Entry]], None]
    log: Callable[[str], None]
    warn: Callable[[str], None]
    tries: dict[str, Try] = field(default_factory=dict)
    done: dict[str, Account] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    away_since_s: float | None = None

    def run(self) -> list[Account]:
        """The account of each stage, in their order. After a failure nothing is started any more, and what runs is waited for.

        Raises StageRunFailed, StoreFailed where the store or Prefect is away for too long, Damaged. What still runs is cancelled then, and
        wherever this is left early, and the place is closed; not where Prefect executes this retraining again, as after its machine was
        drained: it finds its runs and their claims.
        """
        is_over = True
        try:
            while not self._is_over():
                self._round()
                time.sleep(self.cfg.poll_s)
        except TerminationSignal:
            is_over = not self._comes_again()
            raise
        finally:
            if is_over:
                self._cancel_all()
                self._close()
        if self.failed:
            raise StageRunFailed("; ".join(f"{name} {why}" for name, why in self.failed.items()))
        return [self.done[stage.name] for stage in self.stages]

    def _is_over(self) -> bool:
        return not self._open() and (bool(self.failed) or len(self.done) == len(self.stages))

    def _open(self) -> list[str]:
        """Stages of which a try is under way, in their order."""
        return [one.name for one in self.stages if one.name in self.tries and one.name not in self.done and one.name not in self.failed]

    def _round(self) -> None:
        try:
            by_name = {stage.name: stage for stage in self.stages}
            for name in self._open():
                self._look_at(by_name[name])
            for stage in [] if self.failed else ready(self.stages, self.tries, self.done):
                self._start(stage, 1)
            self.away_since_s = None
        except StoreFailed as error:
            self._note_away(error)

    def _note_away(self, error: StoreFailed) -> None:
        now_s = time.monotonic()
        if self.away_since_s is None:
            self.away_since_s = now_s
            self.warn(f"waiting, {self.cfg.away_s:g} s at most: {error}")
        if now_s - self.away_since_s > self.cfg.away_s:
            raise error
        for name in self._open():  # it may well be alive, and nobody can tell
            self.tries[name] = replace(self.tries[name], sign=self.tries[name].sign.renewed(now_s))

    def _start(self, stage: Stage, number: int) -> None:
        handed = {name: self.entries[name] for name in (stage.name, *stage.after) if name in self.entries}
        after = [self.tries[name].run.task_run_id for name in stage.after]
        run = self.place.start(stage, number, handed, after)
        self.tries[stage.name] = Try(number, run, seen("SCHEDULED", None))

    def _look_at(self, stage: Stage) -> None:
        tried = self.tries[stage.name]
        look = self.place.look(tried.run.flow_run_id)
        if claim := self.place.accepted(stage.name):
            self._accept(stage, claim)
            return
        beat = None if look.is_final else self.place.last_beat(stage.name, tried.run.flow_run_id)
        now_s = time.monotonic()
        sign = tried.sign.then(look.state, beat, now_s)
        self.tries[stage.name] = replace(tried, sign=sign)
        self._follow(stage, tried, step_after(look, standing(sign, now_s, self.cfg), stage.pool, self.cfg))

    def _follow(self, stage: Stage, tried: Try, step: Step) -> None:
        if step.what == "wait":
            return
        if step.is_lost:
            self.place.give_up(tried.run.flow_run_id, step.why)
        if step.what == "again" and tried.number <= stage.retries and not self.failed:
            self.warn(f"{stage.name}: {step.why}. Started again ({tried.number} of {stage.retries} retries)")
            self._start(stage, tried.number + 1)
        else:
            tries = f" after {tried.number} tries" if tried.number > 1 else ""
            self.failed[stage.name] = f"failed on the pool {stage.pool}{tries}: {step.why}"

    def _accept(self, stage: Stage, claim: Claim) -> None:
        entry, account = self.place.taken(claim)
        self.entries[stage.name] = entry
        self.keep({one.name: self.entries[one.name] for one in self.stages if one.name in self.done or one.name == stage.name})
        self.done[stage.name] = account
        run = account.run
        self.log(f"[{len(self.done)}/{len(self.stages)}] {stage.name}: {run.verdict} in {run.seconds:.1f} s on {account.pool}")

    def _comes_again(self) -> bool:
        try:
            return self.place.is_rescheduled()
        except StoreFailed as error:
            self.warn(f"nothing is cancelled, since nobody can say whether this retraining comes again: {error}")
            return True

    def _close(self) -> None:
        try:
            self.place.close([stage.name for stage in self.stages])
        except StoreFailed as error:
            self.warn(f"claims stay behind, until the next retraining removes them: {error}")

    def _cancel_all(self) -> None:
        for name in self._open():
            try:
                self.place.cancel(self.tries[name].run.flow_run_id)
            except StoreFailed as error:
                self.warn(f"{name}: could not be cancelled: {error}")
