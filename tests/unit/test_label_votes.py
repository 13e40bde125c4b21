"""What is counted from verdicts, on votes small enough to count by hand."""

import math
from dataclasses import replace

import pytest

from components.label.judge import Adjective, Verdict, cannot_judge
from components.label.votes import (
    Health,
    Vote,
    click_agreement_share,
    first_chosen_share,
    health,
    item_scores,
    order_agreement_share,
    top_adjectives,
)


def vote(first, second, choice, *, clicked=None, scores=(None, None), words=()):
    verdict = Verdict(choice, *scores, tuple(Adjective(*word) for word in words))
    return Vote(first, second, clicked or first, "train", "key", verdict)


def test_agreement_with_clicks_counts_decided_votes_only():
    votes = [
        vote("a", "b", "first", clicked="a"),
        vote("b", "a", "first", clicked="a"),
        vote("a", "c", "second", clicked="c"),
        vote("a", "d", "tie"),
        vote("a", "e", "cannot_judge"),
    ]
    assert click_agreement_share(votes) == pytest.approx(2 / 3)


def test_a_judge_that_always_takes_the_first_has_position_bias_and_no_agreement():
    votes = [vote("a", "b", "first"), vote("b", "a", "first", clicked="a")]
    assert (first_chosen_share(votes), order_agreement_share(votes), click_agreement_share(votes)) == (1.0, 0.0, 0.5)


def test_orders_agree_on_an_item_or_on_a_tie():
    same = [vote("a", "b", "first"), vote("b", "a", "second")]
    tied = [vote("a", "c", "tie"), vote("c", "a", "tie")]
    torn = [vote("a", "d", "tie"), vote("d", "a", "first")]
    half = [vote("a", "e", "first"), vote("e", "a", "cannot_judge")]
    assert order_agreement_share(same + tied + torn + half) == pytest.approx(2 / 3)


def test_an_item_counts_once_a_side_however_often_it_was_shown():
    votes = [
        vote("a", "b", "first", clicked="a", scores=(0.8, 0.2)),
        vote("b", "a", "second", clicked="a", scores=(0.4, 0.6)),
        vote("a", "c", "first", clicked="c", scores=(0.9, 0.1)),
        vote("a", "d", "first", clicked="a"),
    ]
    scores = item_scores(votes)
    assert scores["clicked"] == pytest.approx([0.7, 0.1])  # a, then c
    assert scores["skipped"] == pytest.approx([0.9, 0.3])  # a, then b


def test_labels_are_healthy_where_clicked_items_score_higher():
    votes = [vote(f"c-{n}", f"s-{n}", "first", scores=(0.6 + n / 1000, 0.4 + n / 1000)) for n in range(100)]
    found = health(votes)
    assert found.clicked_score_median == pytest.approx(0.6495)
    assert found.skipped_score_median == pytest.approx(0.4495)
    assert found.ks_statistic == 1.0
    assert found.ks_log10_p < -30


def test_labels_say_nothing_where_both_sides_score_alike():
    votes = [vote(f"c-{n}", f"s-{n}", "first", scores=(n / 100, n / 100)) for n in range(100)]
    assert (health(votes).ks_statistic, health(votes).ks_p_value) == (0.0, 1.0)


def test_one_pair_gives_numbers_and_no_scores_give_none():
    found = health([vote("a", "b", "first", scores=(0.9, 0.1))])
    assert math.isfinite(found.ks_p_value)
    assert math.isfinite(found.ks_log10_p)
    assert health([replace(vote("a", "b", "first"), verdict=cannot_judge("refused"))]) == Health()


def test_shares_of_nothing_are_none():
    assert (click_agreement_share([]), first_chosen_share([]), order_agreement_share([])) == (None, None, None)


def test_adjectives_are_counted_by_side_and_polarity_the_most_frequent_first():
    votes = [
        vote("a", "b", "first", clicked="a", words=[("first", "sharp", 1), ("second", "dark", -1)]),
        vote("b", "a", "second", clicked="a", words=[("second", "sharp", 1), ("second", "plain", 0), ("first", "blurry", -1)]),
        vote("b", "a", "second", clicked="a", words=[("first", "dark", -1)]),
    ]
    top = top_adjectives(votes)
    assert top["clicked"] == {"positive": {"sharp": 2}, "neutral": {"plain": 1}, "negative": {}}
    assert list(top["skipped"]["negative"].items()) == [("dark", 2), ("blurry", 1)]
