"""What clicks, anchors, golden photos, probes and the index tell."""

from dataclasses import replace

import numpy as np
import pytest

from monitoring.detectors.measure import measure
from monitoring.extras import Extras
from tests.monitoring.detectors.shop import make_config, make_window

WINDOW = make_window(40)


def of_extras(before, now):
    """detector -> Measured, over windows that are one and the same."""
    return {m.detector: m for m in measure(WINDOW, WINDOW, before, now, make_config(), 0) if m.segment == "all"}


def scores(mean, num=400, seed=0):
    return np.clip(np.random.default_rng(seed).normal(mean, 0.15, num), 0, 1)


def test_what_nobody_asked_is_not_measured():
    assert not {"anchors", "click_gap", "golden", "self_retrieval", "findable", "neighbour_churn"} & of_extras(Extras(), Extras()).keys()


def test_clicks_that_no_longer_follow_the_score_are_seen():
    before = Extras(clicked_scores=scores(0.6), skipped_scores=scores(0.5, seed=1))
    found = of_extras(before, replace(before, clicked_scores=scores(0.5, seed=2)))["click_gap"]
    assert found.value == pytest.approx(0.18, abs=0.04)
    assert found.effect == "clicked scores higher in 70 % -> 52 % of pairs"


def test_a_rising_map_of_scores_leaves_the_clicks_gap_alone():
    before = Extras(clicked_scores=scores(0.6), skipped_scores=scores(0.5, seed=1))
    now = Extras(clicked_scores=before.clicked_scores**2, skipped_scores=before.skipped_scores**2)
    assert of_extras(before, now)["click_gap"].value == pytest.approx(0, abs=1e-9)


def test_a_handful_of_clicks_says_nothing():
    before = Extras(clicked_scores=scores(0.6), skipped_scores=scores(0.5))
    assert "click_gap" not in of_extras(before, replace(before, clicked_scores=scores(0.6, 5)))


@pytest.mark.parametrize("before", [Extras(), Extras(anchor_scores=np.full(50, 0.4), anchor_targets=np.full(50, 0.4))])
def test_anchors_whose_scores_moved_are_seen(before):
    target = np.linspace(0.2, 0.6, 50)
    found = of_extras(before, Extras(anchor_scores=target + 0.14, anchor_targets=target))["anchors"]
    assert found.value == pytest.approx(0.14)
    assert found.effect == "anchors' scores off by +0.14"


def test_anchors_without_a_score_are_left_out():
    now = Extras(anchor_scores=np.array([0.5, np.nan]), anchor_targets=np.array([0.5, 0.5]))
    assert of_extras(Extras(), now)["anchors"].num_current == 1


def test_one_golden_photo_that_lies_elsewhere_is_enough():
    found = of_extras(Extras(), Extras(golden_cosine=np.array([1.0, 0.93, 1.0000001])))["golden"]
    assert found.value == pytest.approx(0.07)
    assert found.effect == "golden photos' cosine 0.9300 at worst"


def test_a_golden_photo_without_an_answer_counts_as_lost():
    assert of_extras(Extras(), Extras(golden_cosine=np.array([1.0, np.nan])))["golden"].value == 1


def test_new_items_that_are_not_found_tell_of_a_stale_index():
    found = of_extras(Extras(num_upserts=100, num_findable=99), Extras(num_upserts=50, num_findable=6))["findable"]
    assert found.value == pytest.approx(0.87)
    assert found.effect == "new items that are found 99 % -> 12 %"


def test_altered_copies_that_no_longer_find_their_item_are_seen():
    found = of_extras(Extras(), Extras(num_augmented=40, num_self_retrieved=30))["self_retrieval"]
    assert (found.value, found.num_current) == (pytest.approx(0.25), 40)


def test_an_index_that_finds_more_is_no_drift():
    assert of_extras(Extras(num_upserts=10, num_findable=8), Extras(num_upserts=10, num_findable=10))["findable"].value == 0


def test_probes_that_have_other_neighbours_are_counted_and_their_order_is_not():
    before = Extras(probe_neighbours={"a": ("1", "2"), "b": ("3", "4"), "only then": ("5",)})
    now = Extras(probe_neighbours={"a": ("2", "1"), "b": ("3", "9"), "only now": ("7",)})
    found = of_extras(before, now)["neighbour_churn"]
    assert found.value == pytest.approx(0.25)
    assert found.effect == "25 % of probes' neighbours are others"


def test_fields_missing_from_the_whole_log_count_beside_the_rows():
    found = of_extras(Extras(missing_share={"price": 0.01}), Extras(missing_share={"price": 0.34, "brand": 1.0}))["missing_fields"]
    assert found.value == pytest.approx(0.33)
    assert found.effect == "price missing 1.0 % -> 34 %"
