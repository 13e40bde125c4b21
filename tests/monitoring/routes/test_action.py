"""Which drifts open a retraining, and which do not."""

import dataclasses
import datetime as dt
import functools
import itertools
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import bind, read_params
from components.errors import BadParams, BadState, StoreFailed
from components.objects import FolderStore
from monitoring.action import NOT_MENDED, ActionConfig, case_of, follow, waiting
from monitoring.cases import KEY, CaseBook, Cases, Step
from monitoring.config import MonitorConfig
from monitoring.judged import CauseName, Judgement, Verdict
from monitoring.listener import tell_waiting
from tests.conftest import PROJECT
from tests.monitoring.verdicts import RELEASE, cause, drifting, judged, quiet
from tests.release.killed import killed, num_calls

NOW = dt.datetime(2026, 3, 5, 3, 30, tzinfo=dt.UTC)
DARKER, NEW_KIND = CauseName.DARKER_PHOTOS, CauseName.NEW_KIND


@functools.cache
def in_params() -> ActionConfig:
    return bind(MonitorConfig, "monitor", read_params(PROJECT / "params.yaml")).action


def shipped(**changes) -> ActionConfig:
    return in_params().model_copy(update=changes)


def after(*judgements: Judgement, cases: Cases | None = None, **changes) -> tuple[Cases, list[str]]:
    """The cases after these windows, and what was said of the last."""
    cases, said = cases or Cases(), ()
    for judgement in judgements:
        followed = follow(cases, judgement, f"reports/drift/{judgement.span.name}.html", shipped(**changes), NOW)
        cases, said = followed.cases, followed.said
    return cases, list(said)


def test_a_page_opens_a_retraining_with_the_evidence():
    cases, said = after(drifting(DARKER))
    (case,) = waiting(cases)
    assert said == ["darker_photos: a retraining is opened"]
    assert (case.cause, case.key, case.window, case.step) == (DARKER, "darker_photos/app_version=3.1.0", "2026-03-04", Step.CLAIMED)
    told = case.evidence
    assert (told["release_id"], told["page"], told["num_rows"]) == (RELEASE, "reports/drift/2026-03-04.html", 5000)
    assert told["segments"] == [{"segment": "app_version=3.1.0", "explained": 0.7}]
    assert told["findings"][0]["effect"] == "brightness 0.52 -> 0.44"


@pytest.mark.parametrize("name", sorted(NOT_MENDED))
def test_what_a_retraining_cannot_mend_opens_none_and_says_why(name):
    cases, said = after(drifting(name))
    assert cases.cases == ()
    assert said == [f"{name}: no retraining, {NOT_MENDED[name]}"]


@pytest.mark.parametrize("name", sorted(NOT_MENDED))
def test_no_param_can_open_one_for_it(name):
    with pytest.raises(ValueError, match=f"{name} is not mended by a retraining"):
        shipped().model_validate(shipped().model_dump() | {"retrain": [name]})


def test_every_cause_either_opens_one_as_shipped_or_says_why_not():
    for name in CauseName:
        cases, said = after(drifting(name))
        assert len(said) == 1
        assert bool(cases.cases) == (name in shipped().retrain)


def test_an_unknown_cause_in_params_is_told_with_those_that_there_are():
    params = read_params(PROJECT / "params.yaml")
    params["monitor"]["action"]["retrain"] = ["darkness"]
    with pytest.raises(BadParams, match=r"monitor\.action\.retrain\.0 = 'darkness'.*'darker_photos'"):
        bind(MonitorConfig, "monitor", params)


@pytest.mark.parametrize("verdict", [one for one in Verdict if one is not Verdict.DRIFT])
def test_only_a_page_opens_one(verdict):
    assert after(judged(verdict, cause(DARKER)))[0].cases == ()


def test_a_snoozed_cause_opens_none():
    later = NOW + dt.timedelta(days=9)
    assert after(judged(Verdict.DRIFT, cause(DARKER, snoozed_until=later, snooze_reason="known")))[0].cases == ()


def test_a_drift_that_lasts_opens_one_though_another_segment_comes_first():
    days = [judged(Verdict.DRIFT, cause(DARKER, segment=f"app_version={day}"), day=day) for day in range(30)]
    cases, said = after(*days)
    assert len(cases.cases) == 1
    assert said == ["darker_photos: a retraining was opened on 2026-03-04 (claimed)"]


def test_watching_holds_a_case_open_and_quiet_days_in_a_row_close_it():
    cases, _ = after(drifting(DARKER), quiet(1), quiet(2), judged(Verdict.WATCH, cause(DARKER), day=3), quiet(4), quiet(5))
    assert [case.num_quiet for case in cases.open] == [2]
    cases, _ = after(quiet(6), cases=cases)
    assert cases.open == ()
    assert cases.cases[0].why == "3 days without it"


@pytest.mark.parametrize("verdict", [Verdict.CALIBRATING, Verdict.TOO_LITTLE, Verdict.BROKEN])
def test_a_day_that_could_not_be_judged_says_nothing_of_a_case(verdict):
    cases, _ = after(drifting(DARKER), quiet(1), quiet(2), *(judged(verdict, day=day) for day in range(3, 9)))
    assert [case.num_quiet for case in cases.open] == [2]


def test_a_cause_that_comes_back_after_its_case_was_closed_opens_another():
    cases, _ = after(drifting(DARKER), *(quiet(day) for day in range(1, 9)), drifting(DARKER, day=9))
    assert [case.window for case in cases.cases] == ["2026-03-04", "2026-03-13"]
    assert len({case.event_id for case in cases.cases}) == 2


def test_within_the_cool_down_no_other_cause_opens_one_and_then_it_does():
    cases, said = after(drifting(DARKER), *(drifting(NEW_KIND, day=day) for day in range(1, 7)))
    assert len(cases.cases) == 1
    assert said == ["new_kind: no retraining yet, one was opened for darker_photos on 2026-03-04 (cool-down 7 days)"]
    cases, said = after(drifting(NEW_KIND, day=7), cases=cases)
    assert said == ["new_kind: a retraining is opened"]


def test_two_causes_of_one_day_open_one():
    cases, said = after(drifting(DARKER, NEW_KIND))
    assert [case.cause for case in cases.cases] == [DARKER]
    assert cases.cases[0].evidence["other_causes"] == ["new_kind/app_version=3.1.0"]
    assert len(said) == 2


def test_another_release_closes_the_case_since_its_reference_is_another():
    cases, _ = after(drifting(DARKER), judged(Verdict.CALIBRATING, day=1, release_id="b" * 64))
    assert cases.open == ()
    assert "bbbbbbbbbbbb answers" in cases.cases[0].why


def test_hours_and_weeks_open_none():
    from tests.monitoring.routes.programs import week

    assert after(judged(Verdict.DRIFT, cause(DARKER), span=week()))[0] == Cases()


def test_the_same_day_again_changes_nothing():
    once, _ = after(drifting(DARKER))
    again, said = after(drifting(DARKER), quiet(0), drifting(NEW_KIND), cases=once)
    assert again == once
    assert said == []


DAYS = st.lists(
    st.sampled_from([*Verdict]).flatmap(lambda verdict: st.tuples(st.just(verdict), st.sets(st.sampled_from(CauseName)))), max_size=40
)


@given(days=DAYS, cool_down=st.integers(0, 9), close_after=st.integers(1, 4))
def test_whatever_comes_no_cause_has_two_open_cases_and_cases_keep_their_distance(days, cool_down, close_after):
    cases = Cases()
    for day, (verdict, names) in enumerate(days):
        judgement = judged(verdict, *(cause(name) for name in sorted(names)), day=day)
        followed = follow(cases, judgement, "p", shipped(cool_down_days=cool_down, close_after_days=close_after), NOW)
        assert follow(followed.cases, judgement, "p", shipped(), NOW).cases == followed.cases
        cases = followed.cases
        assert len({case.cause for case in cases.open}) == len(cases.open)
    ends = [case.window_end for case in cases.cases]
    assert all(later - earlier >= dt.timedelta(days=cool_down) for earlier, later in itertools.pairwise(ends))
    assert len({case.event_id for case in cases.cases}) == len(cases.cases)
    assert not {case.cause for case in cases.cases} & set(NOT_MENDED)


@pytest.fixture
def book(tmp_path: Path) -> CaseBook:
    book = CaseBook(FolderStore(tmp_path))
    judgement = drifting(DARKER)
    book.change(lambda cases: cases.with_cases((*cases.cases, case_of(judgement.causes[0], judgement, "p", NOW))))
    return book


def test_the_first_run_that_takes_an_event_is_the_only_one_and_may_ask_again(book):
    event_id = book.read()[0].cases[0].event_id
    taken = {}

    def take(run_id):
        taken[run_id] = book.taken(event_id, run_id)

    runs = [threading.Thread(target=take, args=(f"run-{number}",)) for number in range(8)]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    ((winner, case),) = [one for one in taken.items() if one[1] is not None]
    assert case.step is Step.RUNNING
    assert book.taken(event_id, winner) == case  # Prefect tries a run again
    assert book.taken("another", "run-9") is None


def test_a_case_that_was_closed_meanwhile_is_not_taken(book):
    case = book.read()[0].cases[0]
    book.change(lambda cases: cases.with_case(case.model_copy(update={"step": Step.CLOSED})))
    assert book.taken(case.event_id, "run") is None


def test_confirming_an_event_late_does_not_set_a_running_case_back(book):
    event_id = book.read()[0].cases[0].event_id
    book.taken(event_id, "run")
    assert book.told(event_id).cases[0].step is Step.RUNNING


def test_what_is_written_is_read_back(book):
    cases = book.read()[0]
    assert Cases.model_validate_json(cases.model_dump_json()) == cases


def test_a_damaged_record_is_told_and_not_overwritten(book):
    book.store.put(KEY, b'{"format": 1, "cases": [')
    with pytest.raises(BadState, match=r"drift/actions\.json is damaged"):
        book.told("x")
    assert book.store.get(KEY) == b'{"format": 1, "cases": ['


def test_of_closed_cases_the_last_hundred_are_kept(book):
    case = book.read()[0].cases[0].model_copy(update={"step": Step.CLOSED})
    many = tuple(case.model_copy(update={"event_id": str(number)}) for number in range(150))
    assert [one.event_id for one in Cases().with_cases(many).cases] == [str(number) for number in range(50, 150)]


@dataclasses.dataclass
class Post:
    """A listener that keeps what it is told in a file, so that it outlives whoever told it."""

    path: Path
    arrives: bool = True

    def deaf(self):
        return ""

    def has(self, case):
        return self.arrives and self.path.exists() and case.event_id in self.path.read_text().split()

    def emit(self, case):
        with open(self.path, "a") as file:
            file.write(f"{case.event_id}\n")


def checked(folder, judgement, post):
    """What a check does about a window."""
    book = CaseBook(FolderStore(folder))
    book.change(lambda cases: follow(cases, judgement, "p", shipped(), NOW).cases)
    return tell_waiting(book, post, timeout_s=0.2)


def test_killed_at_any_moment_a_cause_is_asked_for_under_one_id_and_not_forgotten(tmp_path):
    judgement = drifting(DARKER)
    moments = num_calls(lambda: checked(tmp_path / "whole", judgement, Post(tmp_path / "whole.txt")))
    assert moments > 20
    for at in range(1, moments + 1):
        store, post = tmp_path / str(at), Post(tmp_path / f"{at}.txt")
        assert killed(functools.partial(checked, store, judgement, post), at)
        checked(store, judgement, post)
        (case,) = CaseBook(FolderStore(store)).read()[0].cases
        assert case.step is Step.TOLD
        assert set(post.path.read_text().split()) == {case.event_id}
        assert checked(store, judgement, post) == []


def test_an_event_that_does_not_arrive_is_told_again_by_the_next_check(tmp_path):
    post = Post(tmp_path / "post.txt", arrives=False)
    with pytest.raises(StoreFailed, match="did not arrive within"):
        checked(tmp_path, drifting(DARKER), post)
    post.arrives = True
    assert checked(tmp_path, quiet(1), post)[0].startswith("darker_photos: the retraining was asked for, event ")
    assert len(post.path.read_text().split()) == 1


def test_where_nobody_would_hear_it_the_case_waits(tmp_path):
    class Deaf(Post):
        def deaf(self):
            return "nobody is there"

    assert checked(tmp_path, drifting(DARKER), Deaf(tmp_path / "x")) == ["darker_photos: the retraining waits, nobody is there"]
    assert not (tmp_path / "x").exists()
    assert len(checked(tmp_path, drifting(DARKER), Post(tmp_path / "post.txt"))) == 1
