"""A climb before a live gateway, real traffic and a controller of its own process, with and without kill -9."""

import random
import time

import pytest

from components.release.channel import Step
from tests.release.live_shop import Live, kill, until

LIMIT_S = 200.0
RETURNED_S = 30.0  # generous: a machine that runs other tests beside; what was measured stands in docs/benchmarks.md


@pytest.fixture
def shop(finished, tmp_path):
    shop = Live.of(finished, tmp_path / "shop")
    try:
        yield shop
    finally:
        shop.close()


def assert_nothing_was_lost(shop, traffic):
    kept = shop.kept_events()
    assert len(kept) == len(set(kept))
    assert not traffic.acknowledged - {event_id.split("/")[0] for event_id in kept}
    assert not traffic.refused


@pytest.mark.proof
def test_kill_9_of_controller_gateway_and_both_leaves_the_ladder_the_record_the_users_and_the_events_as_they_should_be(shop):
    rng = random.Random(7)
    shop.open_gateway()
    new = shop.start("good")
    with shop.watched(), shop.traffic() as traffic:
        shop.open_controller()
        for victims in (["controller"], ["gateway"], ["controller", "gateway"], ["gateway", "controller"]):
            time.sleep(rng.uniform(0.3, 1.5))
            for name in victims:
                kill(getattr(shop, name))
            if "gateway" in victims:
                shop.open_gateway()
            if "controller" in victims and not shop.ended(new):
                shop.open_controller()
        until(lambda: shop.ended(new), LIMIT_S, lambda: shop.said("controller.log"))
        assert shop.ended(new) == "promoted"
    shop.close()
    assert shop.left_the_canary(traffic) == []
    assert_nothing_was_lost(shop, traffic)
    assert shop.explained(new) == []
    steps = [record.candidate.lanes["web"].weight_percent for _, record in shop.history if record.candidate]
    assert steps == sorted(steps)
    assert {0, 40, 70, 100} == set(steps)


@pytest.mark.proof
def test_a_bad_release_is_at_weight_0_in_the_gateway_soon_after_the_boundary_is_crossed(shop):
    shop.open_gateway()
    bad = shop.start("bad", is_bad=True)
    with shop.watched(), shop.asked() as seen, shop.traffic() as traffic:
        shop.open_controller()
        until(lambda: shop.ended(bad), LIMIT_S, lambda: shop.said("controller.log"))
        revision = shop.record().revision
        until(lambda: any(one >= revision for one in seen), RETURNED_S, lambda: shop.said("gateway.log"))
    assert shop.ended(bad) == "rolled back"
    returned = next(entry for entry in shop.log_of(bad) if entry.kind == "return")
    assert "tap_rate" in returned.reason
    assert all(
        lane.step is Step.RETURNED
        for _, record in shop.history
        if record.candidate and record.revision > returned.revision
        for lane in record.candidate.lanes.values()
    )
    applied_s = min(at for one, at in seen.items() if one > returned.revision)
    print(f"from the boundary to weight 0 in the gateway: {applied_s - returned.at.timestamp():.2f} s")
    assert applied_s - returned.at.timestamp() < RETURNED_S
    last = max(answer.answered_s for answers in traffic.answered.values() for answer in answers if answer.release_id == bad)
    assert last < next(at for at, record in shop.history if record.candidate is None and record.revision > 1) + RETURNED_S
    shop.close()
    assert_nothing_was_lost(shop, traffic)
    assert shop.explained(bad) == []
