"""Each alarm of the runbook, caused in the simulated market: from spoilt rows to the alert that Prometheus would raise."""

import pytest

from monitoring import runbook
from monitoring.judged import CauseName, Verdict
from monitoring.rehearsal.faults import FAULTS
from tests.monitoring.routes import watched_shop
from tests.monitoring.routes.programs import RUNBOOK, outcome, routes
from tests.monitoring.routes.watched_shop import QUIETLY, WatchedShop, names

FAULTY = {
    "darker_photos": CauseName.DARKER_PHOTOS,
    "mix_shift": CauseName.CATEGORY_MIX,
    "new_kind": CauseName.NEW_KIND,
    "seller_flood": CauseName.SELLER_FLOOD,
    "ai_photos": CauseName.AI_PHOTOS,
    "resize_bug": CauseName.RESIZE_BUG,
    "calibrator_swap": CauseName.CALIBRATOR,
    "title_language": CauseName.TITLE_LANGUAGE,
    "stale_index": CauseName.STALE_INDEX,
}
BY_HAND = {
    CauseName.INPUT_SHIFT: watched_shop.lettering,
    CauseName.CLIENT_MIX: watched_shop.without_web,
    CauseName.MISSING_FIELDS: watched_shop.without_titles,
    CauseName.EMBEDDING_SHIFT: watched_shop.elsewhere,
    CauseName.SCORE_SHIFT: watched_shop.rounded_scores,
    CauseName.CLICK_GAP: watched_shop.odd_clicks,
    CauseName.MODEL_CHANGED: watched_shop.other_model,
    CauseName.BROKEN_INPUT: watched_shop.broken,
}


@pytest.fixture(scope="module")
def shop():
    return WatchedShop()


def active(judgement, **changes):
    """Causes whose alert Prometheus raises."""
    from monitoring.metrics import gauges_of

    samples = [one for metric in gauges_of(outcome(judgement, **changes), routes(), RUNBOOK).collect() for one in metric.samples]
    return {one.labels["cause"] for one in samples if one.name == "vitrine_drift_cause_active" and one.value}


def test_every_cause_is_caused_here():
    assert set(FAULTY) == set(FAULTS)
    assert {*FAULTY.values(), *BY_HAND} == set(CauseName)
    assert {runbook.title_of(cause) for cause in CauseName}.isdisjoint(runbook.ALERTS.values())


def test_a_quiet_day_raises_none(shop):
    judgement = shop.judged()
    assert judgement.verdict in QUIETLY, judgement.reason
    assert active(judgement) == set()


@pytest.mark.parametrize("fault", sorted(FAULTY))
def test_an_injected_fault_raises_the_alarm_of_its_cause(shop, fault):
    judgement = shop.judged(fault)
    assert judgement.verdict is Verdict.DRIFT, judgement.reason
    assert FAULTY[fault].value in active(judgement), names(judgement)


@pytest.mark.parametrize("cause", sorted(BY_HAND))
def test_what_the_faults_do_not_bring_about_is_brought_about_by_hand(shop, cause):
    judgement = shop.judged(spoil=BY_HAND[cause])
    assert judgement.pages, judgement.reason
    assert cause.value in active(judgement), names(judgement)


def test_too_few_rows_are_too_little_data_and_call_nobody(shop):
    judgement = shop.judged(spoil=watched_shop.too_little)
    assert judgement.verdict is Verdict.TOO_LITTLE
    assert active(judgement, num_same=3) == set()


@pytest.mark.parametrize("num_days", [0, 1, 12])
def test_a_young_history_calibrates_and_calls_nobody(shop, num_days):
    judgement = shop.judged("darker_photos", past=num_days)
    assert judgement.verdict is Verdict.CALIBRATING
    assert active(judgement) == set()
