"""The controller over a real registry and real counts: what climbs, what returns, what is told, and what a log says afterwards."""

import dataclasses
import threading
import time

import pytest

from components.errors import BadParams, Conflict
from components.release.changes import AWAITS_APPROVAL, Desk
from components.release.channel import PLATFORMS, Step, withdrawn
from components.release.decisions import DecisionLog
from components.release.explain import explained
from components.release.gateways import Applied
from components.release.judgement import Verdict
from tests.release.simulated_shop import NEW, NEWER, OLD, Shop


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def kinds(shop, release_id=NEW, *, changing=False):
    entries = DecisionLog(shop.store, release_id).read()
    return [entry.kind for entry in entries if not changing or entry.kind not in ("look", "shadow", "baseline")]


def weights(record):
    return {name: lane.weight_percent for name, lane in record.candidate.lanes.items()}


def is_at(weight, *platforms):
    return lambda look: (
        look.channel.candidate and all(look.channel.candidate.lanes[p].weight_percent == weight for p in platforms or PLATFORMS)
    )


def test_a_good_release_climbs_rung_by_rung_and_becomes_stable_with_every_verdict_derivable(shop):
    shop.start()
    end = shop.climb()
    assert end.ended == "promoted: every platform gives it to all users, and the soak is passed"
    assert (shop.record().stable, shop.record().candidate, shop.record().previous) == (NEW, None, (OLD,))
    seen = [weights(look.channel)["web"] for look in shop.looks if look.channel.candidate]
    assert sorted(set(seen)) == [0, 20, 50, 100]
    assert seen == sorted(seen)
    assert kinds(shop, changing=True) == ["propose", *["climb"] * 6, "promote"]
    assert kinds(shop).count("baseline") == 2
    told = explained(DecisionLog(shop.store, NEW), shop.log)
    assert told.is_sound, [(one.entry.seq, one.problems) for one in told.told if one.problems] + list(told.problems)
    assert told.num_derived > 6
    assert shop.controller().step().ended == end.ended


def test_the_first_release_is_stable_at_once_and_what_is_stable_is_not_proposed(shop):
    record = shop.person().start(OLD, "first", shop.cfg)
    assert (record.stable, record.candidate) == (OLD, None)
    assert kinds(shop, OLD) == ["promote"]
    assert shop.person().start(OLD, "again", shop.cfg) == record
    assert shop.controller(OLD).step().ended == "promoted: the first release: there is none to compare it with"


def test_a_release_that_fails_everywhere_is_withdrawn_within_the_look_that_finds_it(shop):
    shop.start()
    shop.error_rate = lambda release_id, platform: 0.6 if release_id == NEW else 0.0
    end = shop.climb()
    assert end.ended.startswith("rolled back: shown worse in ")
    assert "error_share" in end.ended
    assert (shop.record().stable, shop.record().candidate) == (OLD, None)
    failed = next(look for look in shop.looks if any(one.finding.verdict is Verdict.FAIL for one in look.heard.values()))
    groups = {group for group, one in failed.heard.items() if one.finding.verdict is Verdict.FAIL}
    assert {entry.group for entry in failed.made if entry.kind == "return"} == groups
    assert explained(DecisionLog(shop.store, NEW), shop.log).is_sound


def test_web_up_and_app_down_returns_the_app_and_leaves_web_at_100_percent_never_stable(shop):
    shop.start()
    shop.tap_rate = lambda release_id, platform: 0.5 if release_id == OLD else 0.6 if platform == "web" else 0.1
    end = shop.climb()
    lanes = shop.record().candidate.lanes
    assert {name: (lane.step, lane.weight_percent) for name, lane in lanes.items()} == {
        "web": (Step.HELD, 100),
        "ios": (Step.RETURNED, 0),
        "android": (Step.RETURNED, 0),
    }
    assert shop.record().stable == OLD
    assert end.ended.startswith("held: web keep it at 100 %, but it cannot become stable: shown worse in app at 50 %")
    assert [notice.event for notice in shop.told if notice.event in ("return", "hold")] == ["return", "hold"]
    assert shop.controller().step().ended == end.ended
    assert explained(DecisionLog(shop.store, NEW), shop.log).is_sound
    assert shop.person().rollback("the app needs it too").candidate is None


def test_a_shadow_that_fails_withdraws_the_release_before_any_user_saw_it(shop):
    shop.start()
    shop.shadow_errors = 0.3
    end = shop.climb()
    assert "in the shadow of web" in end.ended
    assert "error_share 0.3" in end.ended
    assert all(look.channel.candidate is None or set(weights(look.channel).values()) == {0} for look in shop.looks)


def test_users_who_go_missing_in_one_arm_stop_everything(shop, monkeypatch):
    shop.start()
    controller = shop.controller()
    shop.climb(controller, until=is_at(50, "web"))
    visit = Shop._visit

    def losing(self, record, platform, user, rows):
        visit(self, record, platform, user, rows)
        if rows["answers"][-1]["arm"] == "canary" and user.endswith(("1", "2", "3", "4", "5", "6", "7")):
            rows["answers"].pop()  # as if those users' app crashed on the new release's pages

    monkeypatch.setattr(Shop, "_visit", losing)
    end = shop.climb(controller)
    assert end.ended.startswith("rolled back: sample-ratio mismatch in ")
    (returned,) = [notice for notice in shop.told if notice.event == "return"]
    assert returned.platforms == PLATFORMS
    assert explained(DecisionLog(shop.store, NEW), shop.log).is_sound


def test_without_traffic_nothing_moves_however_often_it_is_looked_at(shop):
    shop.start()
    controller = shop.controller()
    for _ in range(20):
        shop.at = shop.at.replace(minute=shop.at.minute + 1)
        look = controller.step()
    assert set(weights(look.channel).values()) == {0}
    assert {one.finding.verdict for one in look.heard.values()} == {Verdict.NOT_YET}
    assert kinds(shop) == ["propose", "shadow", "shadow"]


def test_the_horizon_holds_and_tells_until_a_person_resumes(tmp_path):
    rungs = [{"weight_percent": 20, "horizon_users": 20}, {"weight_percent": 50, "horizon_users": 600}]
    shop = Shop(tmp_path, {"judge": {"rungs": rungs, "metrics": {"seller_share": {"margin": 0.01}}}})  # no 20 users tell that much
    shop.start()
    shop.rng.seed(11)
    controller = shop.controller()
    look = shop.climb(controller, until=lambda look: any(entry.kind == "hold" for entry in look.made))
    (held,) = [entry for entry in look.made if entry.kind == "hold"]
    assert held.reason.startswith("no verdict by the horizon in ")
    lane = shop.record().candidate.lanes[held.platforms[0]]
    assert (lane.step, lane.weight_percent) == (Step.HELD, 20)
    assert [notice.event for notice in shop.told].count("hold") == 1
    shop.climb(shop.controller(), max_ticks=3, until=lambda look: True)
    assert [notice.event for notice in shop.told].count("hold") == 2  # whoever comes next may be the first who can tell
    record = shop.person().resume("another look")
    assert record.candidate.lanes[held.platforms[0]].step is Step.CANARY
    assert record.candidate.lanes[held.platforms[0]].since == shop.at


def test_a_paused_ladder_stays_and_goes_on_when_it_is_resumed(shop):
    shop.start()
    controller = shop.controller()
    shop.climb(controller, until=is_at(20, "web"))
    before = shop.person().pause("stock-taking")
    with pytest.raises(AssertionError, match="paused: stock-taking"):
        shop.climb(controller, max_ticks=25)
    assert shop.record() == before
    shop.person().resume("done")
    assert shop.climb(controller).ended.startswith("promoted")


def test_a_release_that_wants_approval_waits_in_the_shadow_until_somebody_resumes_it(tmp_path):
    shop = Shop(tmp_path, {"ladder": {"approval": True}})
    shop.start()
    with pytest.raises(AssertionError, match="waits for approval"):
        shop.climb(max_ticks=8)
    assert shop.record().candidate.paused == AWAITS_APPROVAL
    assert set(weights(shop.record()).values()) == {0}
    shop.person().resume("looks fine")
    assert shop.climb().ended.startswith("promoted")


def test_a_gateway_that_lags_stops_the_climb_and_one_that_is_away_does_not(shop):
    shop.start()
    away = Applied("http://away", None, None, None, {}, "ConnectError")
    shop.gateways = [away, Applied("http://late", 99, OLD, None, {NEW: "its golden answers are wrong"}, None)]
    with pytest.raises(AssertionError, match="http://late has not let cccccccccccc in: its golden answers are wrong"):
        shop.climb(max_ticks=8)
    shop.gateways = [away, Applied("http://late", 99, OLD, NEW, {}, None)]
    assert shop.climb().ended.startswith("promoted")


def test_a_gateway_is_not_asked_before_what_fails_is_returned(shop):
    shop.start()
    shop.error_rate = lambda release_id, platform: 0.9 if (release_id, platform) == (NEW, "web") else 0.0
    controller, asked = shop.controller(), []
    controller.ask = lambda urls, timeout_s: asked.append(shop.record().candidate.lanes["web"].step) or []
    look = shop.climb(controller, until=lambda look: {entry.kind for entry in look.made} >= {"return", "climb"})
    assert [entry.group for entry in look.made if entry.kind in ("return", "climb")] == ["web", "app"]
    assert asked[-1] is Step.RETURNED


def test_people_roll_back_with_and_without_a_candidate_and_the_log_names_them(shop):
    shop.start()
    record = shop.person().rollback("complaints")
    assert (record.stable, record.candidate) == (OLD, None)
    assert shop.controller().step().ended == "rolled back: complaints"
    shop.person().start(NEW, "once more", shop.cfg)
    shop.person().promote("the shop knows it well")
    assert shop.record().stable == NEW
    record = shop.person().rollback("no, back")
    assert (record.stable, record.previous) == (OLD, ())
    entry = DecisionLog(shop.store, NEW).read()[-1]
    assert (entry.kind, entry.actor, entry.reason, entry.revision) == ("rollback", "someone", "no, back", record.revision - 1)
    with pytest.raises(Conflict, match="no earlier stable release"):
        shop.person().rollback("further")


def test_a_person_promotes_from_any_rung_and_the_log_says_what_is_skipped(shop):
    shop.start()
    shop.climb(until=is_at(20, "web"))
    shop.person().pause("hm")
    record = shop.person().promote("it is fine")
    assert (record.stable, record.candidate) == (NEW, None)
    entry = DecisionLog(shop.store, NEW).read()[-1]
    assert entry.reason.startswith("it is fine (skips web: canary at 20 %; ios: canary at ")
    assert explained(DecisionLog(shop.store, NEW), shop.log).is_sound


@pytest.mark.parametrize("act", ["pause", "resume", "rollback", "promote"])
def test_every_act_of_a_person_needs_a_reason_and_something_to_act_on(shop, act):
    shop.start()
    if act == "resume":
        shop.person().pause("x")
    before = shop.record()
    with pytest.raises(BadParams, match="needs a reason"):
        getattr(shop.person(), act)("  ")
    assert shop.record() == before
    shop.person().rollback("away with it")
    if act != "rollback":
        with pytest.raises(Conflict, match="no release is under test"):
            getattr(shop.person(), act)("x")


def test_resuming_what_nobody_paused_is_refused(shop):
    shop.start()
    with pytest.raises(Conflict, match="neither paused nor held"):
        shop.person().resume("x")


def test_a_release_that_was_rolled_back_starts_anew_when_it_is_started_again(shop):
    shop.start()
    shop.error_rate = lambda release_id, platform: 0.6 if release_id == NEW else 0.0
    shop.climb()
    shop.error_rate = lambda release_id, platform: 0.0
    shop.person().start(NEW, "the fault was elsewhere", shop.cfg)
    assert shop.climb().ended.startswith("promoted")
    assert kinds(shop).count("baseline") == 4


def test_another_release_waits_until_the_first_has_ended(shop):
    shop.start()
    with pytest.raises(Conflict, match="is under test"):
        shop.person().start(NEWER, "x", shop.cfg)
    shop.climb()
    assert shop.person().start(NEWER, "x", shop.cfg).candidate.release_id == NEWER


def test_what_a_gateway_rolled_back_ends_the_ladder(shop):
    shop.start()
    shop.climb(until=is_at(20, "web"))
    shop.registry.change(withdrawn)
    end = shop.controller().step()
    assert end.ended.startswith("rolled back: revision ")
    assert "a gateway was told to roll back" in end.ended
    assert [entry.kind for entry in end.made] == ["rollback"]
    again = shop.controller().step()
    assert (again.ended, again.made) == (end.ended, ())
    assert explained(DecisionLog(shop.store, NEW), shop.log).is_sound


def test_a_sender_that_breaks_stops_nothing(shop):
    shop.start()

    def broken(notice):
        raise RuntimeError("the chat is down")

    controller = shop.controller()
    controller.senders = [broken]
    assert shop.climb(controller).ended.startswith("promoted")


def test_what_fails_returns_even_where_the_log_has_no_room_for_why(shop, monkeypatch):
    shop.start()
    controller = shop.controller()
    shop.climb(controller, until=is_at(20, "web"))
    shop.error_rate = lambda release_id, platform: 0.9 if release_id == NEW else 0.0
    monkeypatch.setattr("components.release.decision.MAX_ENTRY_BYTES", 1_500)
    assert shop.climb(controller).ended.startswith("rolled back: shown worse in ")
    returned = [entry for entry in DecisionLog(shop.store, NEW).read() if entry.kind == "return"]
    assert [(entry.look, entry.verdict) for entry in returned] == [(None, None)] * 2


def test_a_sender_that_hangs_delays_no_look(shop):
    shop.start()
    shop.error_rate = lambda release_id, platform: 0.6 if release_id == NEW else 0.0
    controller, may_end = shop.controller(), threading.Event()
    controller.senders = [lambda notice: may_end.wait(60)]
    try:
        shop.tick()
        while shop.record().candidate is not None and not may_end.is_set():
            shop.tick()
            step = threading.Thread(target=controller.step, daemon=True)
            step.start()
            until_s = time.monotonic() + 30
            while step.is_alive() and shop.record().candidate is not None:
                assert time.monotonic() < until_s, "a look waits for the webhook"
                time.sleep(0.01)
        assert shop.record().candidate is None
    finally:
        may_end.set()


def test_a_desk_leaves_alone_what_it_cannot_make(shop, caplog):
    shop.start()
    desk = Desk(shop.registry)
    record = desk.read()
    entry = DecisionLog(shop.store, NEW).read()[-1]
    desk.log_of(NEW).append(dataclasses.replace(entry, kind="climb", platforms=("web",), weight_percent=400, revision=record.revision))
    assert Desk(shop.registry).read() == record
    assert "is left undone" in caplog.text
