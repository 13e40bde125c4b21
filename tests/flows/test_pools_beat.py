"""When a stage run counts as lost."""

import time

from hypothesis import given
from hypothesis import strategies as st

from components.errors import StoreFailed
from components.objects import FolderStore
from flows.pools.beat import Sign, beating, seen, standing
from flows.pools.config import PoolsConfig
from flows.pools.handed import Shelf

CFG = PoolsConfig(
    poll_s=1.0,
    beat_s=0.01,
    lost_after_s=100.0,
    begun_within_s=500.0,
    taken_within_s=2000.0,
    away_s=60.0,
    transfer_s=60,
    transfer_tries=2,
    retry_wait_s=0.0,
)


def stands(state, beat, unchanged_s):
    return standing(Sign(state, beat, 0.0), unchanged_s, CFG)


def test_a_run_that_beats_is_lost_when_it_falls_silent():
    assert stands("RUNNING", "a", 99) == "alive"
    assert stands("RUNNING", "a", 101) == "silent"


def test_a_run_that_was_taken_has_longer_to_begin_and_one_that_waits_for_a_worker_longer_still():
    assert stands("PENDING", None, 499) == stands("RUNNING", None, 499) == "alive"
    assert stands("PENDING", None, 501) == stands("RUNNING", None, 501) == "unbegun"
    assert stands("PENDING", "a", 499) == "alive", "executed again by Prefect: its image may have to be pulled anew"
    assert stands("PENDING", "a", 501) == "unbegun"
    assert stands("SCHEDULED", None, 1999) == stands("SCHEDULED", "a", 501) == "alive"
    assert stands("SCHEDULED", None, 2001) == "untaken"


@given(st.lists(st.tuples(st.sampled_from(["PENDING", "RUNNING"]), st.floats(0, 99)), min_size=1))
def test_no_run_is_lost_that_beats_often_enough(looks):
    sign, now_s = seen("SCHEDULED", None), time.monotonic()
    for number, (state, later_s) in enumerate(looks):
        now_s += later_s
        assert standing(sign, now_s, CFG) == "alive"
        sign = sign.then(state, f"beat {number}", now_s)


def test_a_beat_that_is_gone_is_no_change():
    sign = Sign("RUNNING", "a", 5.0)
    assert sign.then("RUNNING", None, 50.0) == sign
    assert sign.then("RUNNING", "b", 50.0).since_s == 50.0


def test_every_beat_is_another_and_the_store_holds_one_of_them(tmp_path):
    shelf = Shelf(FolderStore(tmp_path), FolderStore(tmp_path), "r")
    told, beats = [], set()

    def beat(sign):
        told.append(sign)
        if len(told) == 2:
            raise StoreFailed("away for a moment")
        shelf.beat("finetune", "f", sign)

    with beating(beat, 0.01):
        deadline = time.monotonic() + 30
        while len(beats) < 3:
            beats |= {shelf.last_beat("finetune", "f")} - {None}
            assert time.monotonic() < deadline
    num = len(told)
    time.sleep(0.05)
    assert len(told) == num, "nothing beats after the block"
    assert len(set(told)) == num
    assert len(list(shelf.store.stored())) == 1
