"""Pairs of photos of which one is better, and how often a score says so."""

import numpy as np
import polars as pl
import pytest

from components.evaluate.orders import (
    agreed_pairs,
    clicked_pairs,
    held_out_labels,
    judge_accuracy,
    judged_pairs,
    label_health,
    quality_pairs,
)
from components.metrics import ordered_pair_accuracy

ITEMS = ["a", "b", "c", "d"]
PLACE = {item: n for n, item in enumerate(ITEMS)}
OWNERS = np.array([0, 0, 1, 1])


def labels(*rows):
    columns = ["first_item", "second_item", "clicked_item", "choice"]
    table = pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")
    return held_out_labels(table.with_columns(split=pl.lit("test")), PLACE)


def named(pairs):
    return [(ITEMS[better], ITEMS[worse]) for better, worse in zip(pairs.better_P, pairs.worse_P, strict=True)]


def test_a_right_order_counts_one_a_tie_half_and_a_missing_score_nothing():
    score = np.array([0.9, 0.2, 0.2, np.nan])
    values = ordered_pair_accuracy(score[[0, 1, 2, 3]], score[[1, 0, 1, 0]])
    assert values[:3].tolist() == [1.0, 0.0, 0.5]
    assert np.isnan(values[3])


def test_the_judge_counts_where_both_orders_name_the_same_winner():
    rows = labels(
        ("a", "b", "a", "first"),
        ("b", "a", "a", "second"),
        ("a", "c", "a", "first"),
        ("c", "a", "a", "first"),
        ("b", "c", "b", "tie"),
        ("c", "b", "b", "first"),
        ("c", "d", "c", "first"),
    )
    assert named(agreed_pairs(rows, PLACE, OWNERS)) == [("a", "b")]
    health = label_health(rows)
    assert (health["num_labels"], health["num_pairs"]) == (7, 4)
    assert health["order_agreement_share"] == pytest.approx(1 / 3)
    assert health["tie_share"] == pytest.approx(1 / 7)


def test_labels_with_an_item_that_is_not_held_out_are_left_out():
    assert len(labels(("a", "zzz", "a", "first"))) == 0


def test_a_clicked_pair_counts_once_and_the_clicked_item_is_better():
    rows = labels(("b", "a", "b", "first"), ("a", "b", "b", "first"))
    pairs = clicked_pairs(rows, PLACE, OWNERS, simulated=True)
    assert named(pairs) == [("b", "a")]
    assert pairs.simulated


def test_true_pairs_differ_by_more_than_the_gap_and_unknown_quality_takes_no_part():
    pairs = quality_pairs(np.array([0.1, 0.15, 0.9, np.nan]), OWNERS, min_gap=0.1, max_pairs=10, seed=0)
    assert sorted(named(pairs)) == [("c", "a"), ("c", "b")]


def test_many_true_pairs_are_drawn_once_each_and_the_same_again():
    quality, owner = np.random.default_rng(0).random(500), np.arange(500)
    one, again = (quality_pairs(quality, owner, min_gap=0.2, max_pairs=1000, seed=7) for _ in range(2))
    drawn = set(zip(np.minimum(one.better_P, one.worse_P), np.maximum(one.better_P, one.worse_P), strict=True))
    assert len(drawn) == len(one.better_P) == 1000
    assert (quality[one.better_P] - quality[one.worse_P] > 0.2).all()
    assert (one.better_P == again.better_P).all()
    assert (one.cluster_P == one.better_P).mean() == pytest.approx(0.5, abs=0.06)


def test_the_judge_is_right_by_the_share_of_its_answers_and_a_tie_is_half_right():
    rows = labels(
        ("a", "b", "a", "second"),
        ("b", "a", "a", "tie"),
        ("c", "d", "c", "first"),
        ("d", "c", "c", "second"),
        ("a", "d", "a", "cannot_judge"),
    )
    quality = np.array([0.1, 0.9, 0.8, 0.2])
    pairs = judged_pairs(rows, quality, PLACE, OWNERS, min_gap=0.05)
    right = dict(zip(named(pairs), judge_accuracy(rows, pairs, ITEMS), strict=True))
    assert right[("b", "a")] == 0.75
    assert right[("c", "d")] == 1.0
    assert np.isnan(right[("d", "a")])
    assert named(judged_pairs(rows, quality, PLACE, OWNERS, min_gap=0.7)) == [("b", "a")]
