"""The line of stages, over a place that a test fills: what starts when, and what becomes of runs that fail, vanish or come late."""

import signal
import time
import uuid
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prefect.exceptions import TerminationSignal

from components.errors import StoreFailed
from flows.dag import Stage
from flows.pools.account import Account
from flows.pools.claims import Claim
from flows.pools.line import Line, StageRunFailed
from flows.pools.runs import Look, Started
from flows.stage import StageRun
from tests.flows.test_pools_beat import CFG as BEATS

PATIENT = BEATS.model_copy(update={"poll_s": 0.001})
HASTY = PATIENT.model_copy(update={"lost_after_s": 0.05, "begun_within_s": 0.05, "taken_within_s": 0.05, "away_s": 0.05})


def stage(name, *after, retries=1, pool="cpu"):
    return Stage(name=name, after=after, pool=pool, gpu=0, retries=retries, timeout_s=60)


@dataclass
class Stub:
    """A place where each run does what its script says, a step a look: a state, or `done`, which claims the stage too. The last step
    stays. A stage without a script is done at once."""

    scripts: dict[str, list[list[str]]] = field(default_factory=dict)
    started: list[str] = field(default_factory=list)
    handed: dict[str, list[str]] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    most_running: int = 0
    claims: dict[str, Claim] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    closed: list[str] = field(default_factory=list)
    rescheduled: bool | None = False
    away: int = 0

    def start(self, stage, number, entries, after):
        run = f"{stage.name}-{number}"
        self.started.append(run)
        self.handed[run] = sorted(entries)
        self.running.add(run)
        self.most_running = max(self.most_running, len(self.running))
        return Started(run, uuid.uuid4())

    def look(self, run):
        if self.away:
            self.away -= 1
            raise StoreFailed("Prefect does not answer")
        name, number = run.rsplit("-", 1)
        steps = (self.scripts.get(name) or [["done"]])[int(number) - 1]
        step = steps.pop(0) if len(steps) > 1 else steps[0]
        if step == "done":
            self.claims.setdefault(name, Claim(name, f"entry of {run}", "account", run))
            step = "COMPLETED"
        is_final = step in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")
        if is_final:
            self.running.discard(run)
        return Look(step, is_final, f"{run} is {step}")

    def last_beat(self, stage, run):
        return run if run in self.running else None

    def accepted(self, stage):
        return self.claims.get(stage)

    def taken(self, claim):
        run = StageRun(stage=claim.stage, verdict="ran", seconds=1.0)
        return {"by": claim.entry}, Account(run=run, pool="cpu", machine_s=1.0, row={})

    def give_up(self, run, why):
        self.lost.append(run)
        self.running.discard(run)

    def cancel(self, run):
        self.cancelled.append(run)

    def is_rescheduled(self):
        if self.rescheduled is None:
            raise StoreFailed("Prefect does not answer")
        return self.rescheduled

    def close(self, stages):
        self.closed.extend(stages)


def line_of(place, *stages, entries=None, kept=None, cfg=PATIENT):
    said = []
    keep = (lambda now: kept.append(list(now))) if kept is not None else (lambda now: None)
    return Line(stages, place, cfg, entries if entries is not None else {}, keep, said.append, said.append), said


def test_stages_start_when_their_upstream_is_done_and_those_that_can_do_so_at_once():
    place, kept = Stub({"pairs": [["RUNNING"] * 5 + ["done"]], "photos": [["RUNNING"] * 9 + ["done"]]}), []
    entries = {"label": {"by": "the commit"}, "other": {"by": "nobody asks"}}
    line, said = line_of(place, stage("pairs"), stage("photos"), stage("label", "pairs", "photos"), entries=entries, kept=kept)
    accounts = line.run()
    assert [account.run.stage for account in accounts] == ["pairs", "photos", "label"]
    assert place.started == ["pairs-1", "photos-1", "label-1"]
    assert place.most_running == 2
    assert place.handed["label-1"] == ["label", "pairs", "photos"]
    assert kept == [["pairs"], ["pairs", "photos"], ["pairs", "photos", "label"]]
    assert said[-1] == "[3/3] label: ran in 1.0 s on cpu"


@given(st.dictionaries(st.sampled_from("abcdefgh"), st.sets(st.sampled_from("abcdefgh"))), st.data())
def test_no_stage_starts_before_its_upstream_and_each_starts_once(drawn, data):
    names = sorted(drawn)
    stages = [stage(name, *sorted(one for one in drawn[name] if one in names and one < name)) for name in names]
    place = Stub({name: [["RUNNING"] * data.draw(st.integers(0, 3)) + ["done"]] for name in names})
    line_of(place, *stages, cfg=PATIENT.model_copy(update={"poll_s": 1e-6}))[0].run()
    assert sorted(place.started) == [f"{name}-1" for name in names]
    order = [run[0] for run in place.started]
    for one in stages:
        assert all(order.index(before) < order.index(one.name) for before in one.after)


@pytest.mark.parametrize("end", ["FAILED", "CRASHED", "COMPLETED"])
def test_a_run_that_ends_without_handing_back_is_started_again_within_its_retries(end):
    place = Stub({"pairs": [["RUNNING", end], ["done"]]})
    line, said = line_of(place, stage("pairs"))
    line.run()
    assert place.started == ["pairs-1", "pairs-2"]
    assert place.lost == []
    assert any("Started again (1 of 1 retries)" in one for one in said)


@pytest.mark.parametrize(("state", "why"), [("RUNNING", "no sign of life"), ("PENDING", "did not begin")])
def test_a_run_that_falls_silent_is_given_up_and_started_again(state, why):
    place = Stub({"pairs": [[state], ["done"]]})
    line, said = line_of(place, stage("pairs"), cfg=HASTY)
    line.run()
    assert (place.started, place.lost) == (["pairs-1", "pairs-2"], ["pairs-1"])
    assert any(why in one for one in said)


def test_a_stage_that_fails_too_often_ends_the_line_with_its_last_word_once_what_runs_is_done():
    place = Stub({"pairs": [["FAILED"], ["FAILED"]], "photos": [["RUNNING"] * 30 + ["done"]]})
    line, _ = line_of(place, stage("pairs"), stage("photos", pool="gpu"), stage("label", "pairs", "photos"))
    with pytest.raises(StageRunFailed, match="pairs failed on the pool cpu after 2 tries: pairs-2 is FAILED"):
        line.run()
    assert set(line.done) == {"photos"}
    assert "label-1" not in place.started
    assert place.cancelled == []


def test_where_no_worker_takes_a_run_the_line_says_how_to_start_one():
    line, _ = line_of(place := Stub({"pairs": [["SCHEDULED"]]}), stage("pairs", pool="gpu"), cfg=HASTY)
    with pytest.raises(StageRunFailed, match=r"no worker of the pool gpu took it in .*`prefect worker start --pool gpu`"):
        line.run()
    assert place.started == ["pairs-1"]


def test_a_run_that_somebody_cancelled_is_not_started_again():
    line, _ = line_of(place := Stub({"pairs": [["CANCELLED"]]}), stage("pairs"))
    with pytest.raises(StageRunFailed, match="was cancelled at Prefect"):
        line.run()
    assert place.started == ["pairs-1"]


def test_a_lost_run_that_hands_back_after_all_is_taken_and_its_successor_not_waited_for():
    place = Stub({"pairs": [["RUNNING"], ["RUNNING"]]})
    line, _ = line_of(place, stage("pairs"), cfg=HASTY)
    place.give_up = lambda run, why: place.claims.update(pairs=Claim("pairs", "late, but first", "account", "pairs-1"))
    line.run()
    assert line.entries["pairs"] == {"by": "late, but first"}


def test_prefect_or_a_store_that_is_away_for_a_while_harms_nothing():
    place = Stub({"pairs": [["RUNNING"] * 3 + ["done"]]}, away=5)
    line, said = line_of(place, stage("pairs"))
    line.run()
    assert place.started == ["pairs-1"]
    assert len([one for one in said if "Prefect does not answer" in one]) == 1


def test_one_that_stays_away_ends_the_line():
    line, _ = line_of(Stub({"pairs": [["RUNNING"]]}, away=10**9), stage("pairs"), cfg=HASTY)
    with pytest.raises(StoreFailed, match="Prefect does not answer"):
        line.run()


@pytest.mark.parametrize("question", ["look", "last_beat"])
def test_a_run_is_not_lost_because_nobody_could_look_at_it_for_long(question):
    place, began = Stub({"pairs": [["RUNNING"]], "photos": [["RUNNING"]]}), time.monotonic()
    answered = getattr(place, question)

    def asked(*arguments):
        now_s = time.monotonic() - began
        if 0.2 < now_s < 2.7:
            raise StoreFailed("away")
        if now_s > 3:
            place.scripts |= {"pairs": [["done"]], "photos": [["done"]]}
        return answered(*arguments)

    setattr(place, question, asked)
    cfg = PATIENT.model_copy(update={"begun_within_s": 2.0, "lost_after_s": 2.0, "poll_s": 0.05})
    line_of(place, stage("pairs"), stage("photos"), cfg=cfg)[0].run()
    assert place.lost == []
    assert place.started == ["pairs-1", "photos-1"]


def ended_early(place, how):
    line, _ = line_of(place, stage("pairs"), stage("photos"))
    original = place.look
    looks = []

    def interrupted(run):
        looks.append(run)
        if len(looks) > 4:
            raise how
        return original(run)

    place.look = interrupted
    with pytest.raises(type(how)):
        line.run()
    return place


@pytest.mark.parametrize("how", [KeyboardInterrupt(), TerminationSignal(signal.SIGTERM)])
def test_what_runs_is_cancelled_where_the_retraining_is_ended(how):
    place = ended_early(Stub({"pairs": [["RUNNING"]], "photos": [["RUNNING"]]}), how)
    assert place.cancelled == ["pairs-1", "photos-1"]
    assert place.closed == ["pairs", "photos"]


@pytest.mark.parametrize("rescheduled", [True, None])
def test_what_runs_goes_on_where_the_retraining_is_executed_again_or_nobody_can_tell(rescheduled):
    place = Stub({"pairs": [["RUNNING"]], "photos": [["RUNNING"]]}, rescheduled=rescheduled)
    ended_early(place, TerminationSignal(signal.SIGTERM))
    assert (place.cancelled, place.closed) == ([], [])


def test_a_retraining_that_is_executed_again_takes_over_what_was_claimed():
    place = Stub({"pairs": [["COMPLETED"]]}, claims={"pairs": Claim("pairs", "of the first execution", "account", "pairs-1")})
    line, _ = line_of(place, stage("pairs"), replace(stage("label", "pairs"), retries=0))
    line.run()
    assert place.started == ["pairs-1", "label-1"]
    assert line.entries["pairs"] == {"by": "of the first execution"}
