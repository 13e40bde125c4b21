"""A controller that is killed at every write, and controllers that get in each other's way: the ladder ends as it does without."""

import contextlib
import itertools
import threading

import pytest

from components.errors import StoreFailed
from components.objects import FolderStore
from components.release.changes import CHANGING
from components.release.decisions import DecisionLog
from components.release.explain import explained
from tests.release.simulated_shop import NEW, OLD, Shop

UNDISTURBED = ["propose", *["climb"] * 6, "promote"]


class Killed(BaseException):
    """kill -9, as far as our own code can tell: nothing may catch it."""


class Store(FolderStore):
    """A folder whose `interrupt` is called before and after each swap, with the key."""

    def __init__(self, root):
        super().__init__(root)
        object.__setattr__(self, "interrupt", lambda when, key: None)

    def swap(self, key, data, version):
        self.interrupt("before", key)
        found = super().swap(key, data, version)
        self.interrupt("after", key)
        return found


@pytest.fixture
def shop(tmp_path):
    shop = Shop(tmp_path, store=Store(tmp_path / "registry"))
    shop.start()
    return shop


def interrupted_by(shop, interrupt):
    object.__setattr__(shop.store, "interrupt", interrupt)


def changes(shop):
    return [entry for entry in DecisionLog(FolderStore(shop.store.root), NEW).read() if entry.kind in CHANGING]


def assert_as_undisturbed(shop):
    assert (shop.record().stable, shop.record().candidate) == (NEW, None)
    entries = changes(shop)
    told = "\n".join(str((entry.seq, entry.kind, entry.group, entry.weight_percent, entry.revision, entry.actor)) for entry in entries)
    assert [entry.kind for entry in entries] == UNDISTURBED, told
    assert [entry.revision for entry in entries] == list(range(1, 1 + len(UNDISTURBED)))
    told = explained(DecisionLog(shop.store, NEW), shop.log)
    assert told.is_sound, [(one.entry.seq, one.problems) for one in told.told if one.problems] + list(told.problems)


def weights_of(shop):
    candidate = shop.record().candidate
    return {name: lane.weight_percent for name, lane in candidate.lanes.items()} if candidate else None


def climb(shop, step, max_ticks=120):
    """Ticks and steps until the ladder has ended; the weights only ever rise."""
    before = weights_of(shop)
    for _ in range(max_ticks):
        shop.tick()
        step()
        after = weights_of(shop)
        if after is None:
            return
        assert all(after[name] >= before[name] for name in before)
        before = after
    raise AssertionError(f"not ended: {before}")


def test_killed_before_and_after_every_single_write_the_ladder_goes_on_where_it_was(shop):
    turn, deaths = itertools.cycle(["before", "after", "never"]), []

    def interrupt(when, key):
        if when == "before":
            interrupt.dies = next(turn)
        if interrupt.dies == when:
            deaths.append((when, key))
            raise Killed

    def step():
        with contextlib.suppress(Killed):
            shop.controller().step()

    interrupted_by(shop, interrupt)
    climb(shop, step)
    interrupted_by(shop, lambda when, key: None)
    assert {when for when, key in deaths if key == "channel.json"} == {"before", "after"}
    assert {when for when, key in deaths if key.startswith("decisions/")} == {"before", "after"}
    assert_as_undisturbed(shop)


def test_a_fail_that_was_logged_and_not_made_when_the_controller_died_is_made_by_the_next(shop):
    shop.error_rate = lambda release_id, platform: 0.6 if release_id == NEW else 0.0

    def interrupt(when, key):
        if when == "before" and key == "channel.json" and changes(shop)[-1].kind == "return":
            raise Killed

    interrupted_by(shop, interrupt)
    with pytest.raises(Killed):
        shop.climb()
    returned = changes(shop)[-1]
    assert any(weights_of(shop)[name] > 0 for name in returned.platforms)
    interrupted_by(shop, lambda when, key: None)
    shop.told.clear()
    controller = shop.controller()
    controller.step()
    controller.quiet()
    after = weights_of(shop)
    assert after is None or all(after[name] == 0 for name in returned.platforms)
    assert next(notice.event for notice in shop.told) == "return"


def test_a_person_who_pauses_after_a_fail_was_logged_and_not_made_does_not_undo_it(shop):
    shop.error_rate = lambda release_id, platform: 0.6 if (release_id, platform) == (NEW, "web") else 0.0

    def interrupt(when, key):
        if when == "before" and key == "channel.json" and changes(shop)[-1].kind == "return":
            raise Killed

    interrupted_by(shop, interrupt)
    with pytest.raises(Killed):
        shop.climb()
    interrupted_by(shop, lambda when, key: None)
    record = shop.person().pause("what was that?")
    assert (record.candidate.lanes["web"].weight_percent, record.candidate.paused) == (0, "what was that?")


def test_another_controller_that_is_always_a_step_ahead_costs_nothing_but_another_look(shop):
    """Before each write of ours another controller, with the same counts, does a whole step of its own."""
    other, is_nested = shop.controller(actor="other"), []
    other.desk.registry = type(shop.registry)(FolderStore(shop.store.root))

    def interrupt(when, key):
        if when == "before" and not is_nested:
            is_nested.append(True)
            other.step()
            is_nested.clear()

    interrupted_by(shop, interrupt)
    ours = shop.controller()
    climb(shop, ours.step)
    interrupted_by(shop, lambda when, key: None)
    assert_as_undisturbed(shop)


def test_three_controllers_at_once_make_each_move_once(shop):
    stop, failed = threading.Event(), []
    others = [shop.controller(actor=f"controller {n}") for n in range(2)]

    def run(controller):
        try:
            while not stop.is_set():
                controller.step()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(one,)) for one in others]
    for thread in threads:
        thread.start()
    try:
        climb(shop, shop.controller().step)
    finally:
        stop.set()
        for thread in threads:
            thread.join(60)
    assert not failed
    assert_as_undisturbed(shop)


def test_a_registry_that_fails_every_third_write_loses_nothing(shop):
    calls = itertools.count()

    def interrupt(when, key):
        if next(calls) % 3 == 0:
            raise StoreFailed("the bucket is out of sorts")

    def step():
        with contextlib.suppress(StoreFailed):
            controller.step()

    interrupted_by(shop, interrupt)
    controller = shop.controller()
    climb(shop, step)
    interrupted_by(shop, lambda when, key: None)
    assert_as_undisturbed(shop)


def test_a_person_who_dies_between_log_and_record_is_served_by_whoever_looks_next(shop):
    def interrupt(when, key):
        if when == "before" and key == "channel.json":
            raise Killed

    interrupted_by(shop, interrupt)
    with pytest.raises(Killed):
        shop.person().rollback("complaints")
    assert shop.record().candidate is not None
    interrupted_by(shop, lambda when, key: None)
    assert shop.controller().step().ended == "rolled back: complaints"
    assert (shop.record().stable, shop.record().candidate) == (OLD, None)
