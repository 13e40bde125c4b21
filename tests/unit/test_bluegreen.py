import dataclasses

import numpy as np
import pytest

from components.serve.index.bluegreen import Figures, judge, overlap, recall
from components.serve.index.config import GateConfig
from components.serve.items import Hit
from tests.serve.index_stores import item

CFG = GateConfig(
    num_queries=10, max_missing_share=0.01, min_recall_at_10=0.95, min_overlap_at_10=0.2, max_latency_ratio=3.0, max_p95_ms=50.0
)
SOUND = Figures(
    num_items=1000,
    num_queries=200,
    recall_at_10=0.99,
    median_ms=0.3,
    p95_ms=0.6,
    missing_share=0.0,
    overlap_at_10=0.5,
    live_median_ms=0.3,
    live_p95_ms=0.5,
    latency_ratio=1.0,
)


def hits(*cosines: tuple[str, float]) -> list[Hit]:
    return [Hit(item(name), cosine, 0.5) for name, cosine in cosines]


def test_a_sound_candidate_may_answer_and_its_figures_are_told():
    verdict = judge(SOUND, CFG)
    assert verdict.passed
    assert verdict.reasons == ()
    assert verdict.figures["recall_at_10"] == 0.99


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"missing_share": 0.02}, "missing_share 0.02 > 0.01"),
        ({"recall_at_10": 0.9}, "recall_at_10 0.9 < 0.95"),
        ({"overlap_at_10": 0.1}, "overlap_at_10 0.1 < 0.2"),
        ({"latency_ratio": 4.5}, "latency_ratio 4.5 > 3"),
        ({"p95_ms": 51.0}, "p95_ms 51 > 50"),
    ],
)
def test_each_limit_that_is_broken_is_named_with_what_was_found(changes, reason):
    assert judge(dataclasses.replace(SOUND, **changes), CFG).reasons == (reason,)


def test_figures_at_their_limits_pass():
    at = {"missing_share": 0.01, "recall_at_10": 0.95, "overlap_at_10": 0.2, "latency_ratio": 3.0, "p95_ms": 50.0}
    assert judge(dataclasses.replace(SOUND, **at), CFG).passed


def test_all_reasons_are_told_at_once():
    assert len(judge(dataclasses.replace(SOUND, recall_at_10=0.0, missing_share=1.0), CFG).reasons) == 2


def test_the_first_generation_is_judged_by_itself():
    alone = dict.fromkeys(("missing_share", "overlap_at_10", "live_median_ms", "live_p95_ms", "latency_ratio"))
    assert judge(dataclasses.replace(SOUND, **alone), CFG).passed
    assert judge(dataclasses.replace(SOUND, **alone, recall_at_10=0.5), CFG).reasons == ("recall_at_10 0.5 < 0.95",)


def test_an_empty_candidate_never_answers():
    assert judge(dataclasses.replace(SOUND, num_items=0, recall_at_10=0.0), CFG).reasons == ("num_items 0: the candidate is empty",)


def test_recall_counts_what_is_as_near_as_the_exact_neighbours():
    exact = hits(("a", 0.9), ("b", 0.8), ("c", 0.8))
    assert recall(exact, exact) == 1
    assert recall(hits(("a", 0.9), ("d", 0.8), ("c", 0.8)), exact) == 1, "d is as near as b"
    assert recall(hits(("a", 0.9), ("e", 0.7), ("f", 0.6)), exact) == pytest.approx(1 / 3)
    assert recall([], exact) == 0
    assert recall([], []) == 1


def test_overlap_is_jaccard():
    assert overlap(hits(("a", 1), ("b", 1)), hits(("b", 1), ("c", 1))) == pytest.approx(1 / 3)
    assert overlap([], []) == 1
    assert overlap(hits(("a", 1)), []) == 0
    assert np.isclose(overlap(hits(("a", 1)), hits(("a", 0.5))), 1)
