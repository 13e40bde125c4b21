"""Who may be released."""

import pytest

from components.contract import bind
from components.errors import BadParams
from components.evaluate.bootstrap import Estimate
from components.evaluate.config import EvaluateConfig
from components.evaluate.gates import Gate, GatesConfig, finding, gates_of, promotion

CFG = GatesConfig(slice="all", relevance="category", metric="ndcg_at_5", must_beat=["color_histogram", "untrained"], min_opa=0.5)


def made(low, value, clusters=40):
    return Estimate(value=value, low=low, high=2 * value - low, num_values=400, num_clusters=clusters)


def encoder(**differences):
    rows = {f"model_minus_{name}": {"ndcg_at_5": estimate} for name, estimate in differences.items()}
    return {"all": {"category": {"model": {"ndcg_at_5": made(0.3, 0.4)}, **rows}}}


def score(**sides):
    return {"all": {against: {"model": estimate} for against, estimate in sides.items()}}


def decided(encoder_table, score_table, min_clusters=20):
    return promotion([finding(gate, min_clusters) for gate in gates_of(CFG, encoder_table, score_table)])


GOOD = encoder(color_histogram=made(0.05, 0.1), untrained=made(0.02, 0.1))


def test_a_model_that_beats_its_baselines_and_orders_photos_is_promoted():
    promote, reasons = decided(GOOD, score(judge=made(0.6, 0.7)))
    assert promote
    assert [reason.split(":")[0] for reason in reasons] == ["passed"] * 3


def test_the_lower_bound_decides_and_the_reason_says_by_how_much_it_fell_short():
    promote, reasons = decided(encoder(color_histogram=made(-0.004, 0.021), untrained=made(0.02, 0.1)), score(judge=made(0.6, 0.7)))
    assert not promote
    assert reasons[0] == (
        "failed: category ndcg_at_5 on all, model minus color_histogram: 0.021 [-0.004, 0.046], "
        "lower bound must lie above 0, short by 0.004"
    )


def test_a_bound_that_is_only_reached_is_not_passed():
    assert finding(Gate("encoder", "x", made(0.0, 0.1), 0.0), 20).outcome == "failed"


def test_nineteen_clusters_decide_nothing_however_bad_the_number():
    promote, reasons = decided(encoder(color_histogram=made(-0.5, -0.4, 19), untrained=made(0.02, 0.1)), score(judge=made(0.1, 0.2, 19)))
    assert promote
    assert reasons[0].startswith("not decided")
    assert reasons[0].endswith("19 clusters of the 20 it takes")
    assert reasons[2].startswith("not decided: image score OPA against judge")


def test_a_model_is_never_promoted_on_no_evidence():
    promote, reasons = decided({"all": {}}, score(judge=made(0.6, 0.7)))
    assert not promote
    assert reasons[-1].startswith("failed: no gate of the encoder decided")


def test_true_quality_is_what_the_score_is_held_to_where_it_is_known():
    promote, reasons = decided(GOOD, score(truth=made(0.45, 0.55), judge=made(0.6, 0.7)))
    assert not promote
    assert "against truth" in reasons[2]


def test_clicks_gate_nothing():
    assert not any("clicks" in gate.what for gate in gates_of(CFG, GOOD, score(clicks=made(0.1, 0.2))))


@pytest.mark.parametrize("stem", ["model", "random", "model_minus_x"])
def test_a_file_of_vectors_cannot_take_the_name_of_a_row(stem):
    section = {"external_vectors": [f"somewhere/{stem}.parquet"], "num_draws": 100, "seed": 0, "min_clusters": 20, "min_quality_gap": 0.1}
    section |= {"max_quality_pairs": 10, "num_strips": 1, "gates": CFG.model_dump()}
    with pytest.raises(BadParams, match="rename the file"):
        bind(EvaluateConfig, "evaluate", {"evaluate": section})
