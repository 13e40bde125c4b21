"""Injected faults: each changes what it says, where it says, and nothing else."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.errors import BadParams
from monitoring.rehearsal.faults import FAULTS, Fault, fault_of
from monitoring.rehearsal.stream import Day, Stream
from monitoring.window import COLUMNS, DIMENSIONS
from tests.monitoring.tiny_pool import faults, quiet, tiny_pool

POOL = tiny_pool()
SINCE = 40
UNTOUCHED = ("ts", "request_id", "latency_ms", "platform", "app_version")  # what no fault changes in any row


def both(name: str, seed: int, number: int = SINCE, **sizes: float) -> tuple[Fault, Day, Day]:
    """The fault, the day with it and the same day without."""
    fault = fault_of(name, POOL, seed, faults(**sizes))
    cfg = quiet(rows_a_day=2000, pages_a_day=100)
    return fault, Stream(POOL, seed, cfg, fault, SINCE).day(number), Stream(POOL, seed, cfg).day(number)


def within(day: Day, segment: str) -> np.ndarray:
    """(R,) which rows belong to the segment."""
    return day.window().within(segment)


@pytest.mark.parametrize("name", FAULTS)
@settings(max_examples=12)
@given(seed=st.integers(0, 200))
def test_rows_that_a_fault_does_not_touch_are_those_of_the_day_without_it(name: str, seed: int):
    _, faulty, plain = both(name, seed)
    left = np.flatnonzero(~faulty.drawn.faulty)
    assert faulty.rows.take(left).equals(plain.rows.take(left))
    assert (faulty.vectors[left] == plain.vectors[left]).all()
    assert faulty.rows.select(UNTOUCHED).equals(plain.rows.select(UNTOUCHED))
    assert faulty.extras.golden_cosine.tobytes() == plain.extras.golden_cosine.tobytes()


@pytest.mark.parametrize("name", FAULTS)
def test_nothing_is_at_fault_before_the_fault_begins(name: str):
    _, faulty, plain = both(name, 3, SINCE - 1)
    assert faulty.rows.equals(plain.rows)
    assert not faulty.drawn.faulty.any()
    assert faulty.extras.num_findable == plain.extras.num_findable


@pytest.mark.parametrize("name", [name for name in FAULTS if name not in ("calibrator_swap", "stale_index", "ai_photos")])
@settings(max_examples=12)
@given(seed=st.integers(0, 200))
def test_all_faulty_rows_lie_in_the_segment_that_the_truth_names(name: str, seed: int):
    fault, faulty, _ = both(name, seed)
    assert fault.segment is not None
    assert fault.segment.partition("=")[0] in DIMENSIONS
    assert faulty.drawn.faulty.any()
    assert within(faulty, fault.segment)[faulty.drawn.faulty].all()


@pytest.mark.parametrize(
    ("name", "may_change"),
    [
        ("darker_photos", {"image_id", "image_score", "brightness", "quality"}),
        ("ai_photos", {"image_id", "image_score", "quality"}),
        ("resize_bug", {"image_id", "width", "height", "sharpness"}),
        ("calibrator_swap", {"image_score", "quality"}),
        ("title_language", {"title_language"}),
        ("stale_index", set()),
    ],
)
def test_a_fault_changes_the_columns_that_it_is_about_and_no_others(name: str, may_change: set[str]):
    _, faulty, plain = both(name, 11)
    assert {column for column in COLUMNS.names if not faulty.rows[column].equals(plain.rows[column])} == may_change


@settings(max_examples=12)
@given(seed=st.integers(0, 200))
def test_a_mix_shift_moves_a_tenth_of_all_rows_into_one_category_and_leaves_the_mix_inside_each(seed: int):
    fault, faulty, plain = both("mix_shift", seed)
    now, then = (within(day, fault.segment).mean() for day in (faulty, plain))
    assert now - then == pytest.approx(0.1, abs=0.001)
    inside = within(faulty, fault.segment)
    assert set(faulty.drawn.card[inside]) == set(plain.drawn.card[within(plain, fault.segment)])
    assert not faulty.drawn.faulty[~inside].any()


def test_the_other_categories_lose_in_proportion_in_a_mix_shift():
    fault, faulty, plain = both("mix_shift", 12)
    others = [name for name in plain.window().num_rows if name.startswith("category=") and name != fault.segment]
    kept = [faulty.window().num_rows[name] / plain.window().num_rows[name] for name in others]
    assert max(kept) - min(kept) < 0.06


def test_a_new_kind_and_a_flood_bring_items_that_were_never_there():
    for name, size in (("new_kind", 0.25), ("seller_flood", 0.08)):
        fault, faulty, _ = both(name, 13, new_kind=0.25, flood=0.08)
        new = set(faulty.rows["item_id"].drop_null().to_pylist()) - set(POOL.cards["item_id"][: POOL.num_quiet].to_pylist())
        assert len(new) > 10
        place = within(faulty, fault.segment) if name == "new_kind" else ~np.zeros(faulty.rows.num_rows, bool)
        assert faulty.drawn.faulty[place].mean() == pytest.approx(size, abs=0.06)
    assert len({faulty.rows["seller_id"][row].as_py() for row in np.flatnonzero(faulty.drawn.faulty)}) == 1


def test_generated_photos_score_high_and_are_clicked_less_than_they_score():
    fault, faulty, plain = both("ai_photos", 14, ai=0.5)
    hit = faulty.drawn.faulty
    assert faulty.rows["image_score"].to_numpy()[hit].mean() > plain.rows["image_score"].to_numpy()[hit].mean() + 0.2
    assert within(faulty, fault.segment)[hit].mean() > 0.9
    gaps = []
    for day in (faulty, plain):
        clicked, skipped = day.extras.clicked_scores, day.extras.skipped_scores
        gaps.append(clicked.mean() - skipped.mean())
    assert gaps[0] < gaps[1]


def test_another_calibrator_moves_every_score_and_the_anchors_and_keeps_their_order():
    fault, faulty, plain = both("calibrator_swap", 15)
    now, then = (day.rows["image_score"].to_numpy() for day in (faulty, plain))
    assert fault.segment is None
    assert fault.cause == "calibrator"
    assert (now >= then).all()
    assert (now - then).mean() > 0.05
    assert (np.diff(now[np.argsort(then, kind="stable")]) >= 0).all()
    assert np.abs(faulty.extras.anchor_scores - faulty.extras.anchor_targets).mean() > 0.05


@settings(max_examples=12)
@given(seed=st.integers(0, 200), later=st.integers(0, 30))
def test_a_stale_index_shows_in_the_probes_alone_and_stands_still(seed: int, later: int):
    fault, faulty, plain = both("stale_index", seed, SINCE + later)
    assert faulty.rows.equals(plain.rows)
    assert fault.segment is None
    assert faulty.extras.num_findable < 0.5 * faulty.extras.num_upserts
    assert faulty.extras.num_self_retrieved < plain.extras.num_self_retrieved
    last = Stream(POOL, seed, quiet(rows_a_day=2000, pages_a_day=100)).day(SINCE - 1).extras
    assert faulty.extras.probe_neighbours == last.probe_neighbours


def test_a_fault_that_nobody_knows_is_named_with_those_that_there_are():
    with pytest.raises(BadParams, match=r"no fault is called 'darkness'; there are: darker_photos, mix_shift"):
        fault_of("darkness", POOL, 0, faults())


def test_the_seed_chooses_whom_a_fault_befalls():
    for name in ("darker_photos", "mix_shift", "resize_bug"):
        assert len({fault_of(name, POOL, seed, faults()).segment for seed in range(30)}) > 1
