"""Who may be released."""

import numpy as np
import pytest

from components.contract import bind
from components.errors import BadParams
from components.evaluate.bootstrap import Estimate
from components.evaluate.config import EvaluateConfig
from components.evaluate.gates import Gate, GatesConfig, finding, gates_of, promotion, remarks_on
from components.evaluate.stable import Stable, StableConfig
from components.evaluate.table import Row

CFG = GatesConfig(
    slice="all",
    relevance="category",
    metric="ndcg_at_5",
    must_beat=["color_histogram", "untrained"],
    min_opa=0.5,
    max_loss_to_stable=0.03,
    max_opa_loss_to_stable=0.02,
)
ASKED = StableConfig(min_golden_cosine=0.99, threads=1)


def made(low, value, clusters=40):
    return Estimate(value=value, low=low, high=2 * value - low, num_values=400, num_clusters=clusters)


def encoder(**differences):
    rows = {f"model_minus_{name}": {"ndcg_at_5": estimate} for name, estimate in differences.items()}
    return {"all": {"category": {"model": {"ndcg_at_5": made(0.3, 0.4)}, **rows}}}


def score(**sides):
    return {"all": {against: {"model": estimate} for against, estimate in sides.items()}}


def decided(encoder_table, score_table, min_clusters=20, *, stable=False):
    return promotion([finding(gate, min_clusters) for gate in gates_of(CFG, encoder_table, score_table, stable=stable)])


def against_stable(difference, opa_difference=None, **counts):
    """The verdict on a model that beats its baselines, with these differences to the stable release."""
    estimates = {"color_histogram": made(0.05, 0.1), "untrained": made(0.02, 0.1), "stable": difference}
    opa = {"judge": {"model": made(0.6, 0.7), "model_minus_stable": opa_difference or made(0.0, 0.01)}}
    return decided(encoder(**estimates), {"all": opa}, stable=True, **counts)


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
    assert not any("clicks" in gate.what for gate in gates_of(CFG, GOOD, score(clicks=made(0.1, 0.2)), stable=True))


def test_a_model_as_good_as_the_stable_release_within_the_margin_is_promoted():
    promote, reasons = against_stable(made(-0.02, 0.0), made(-0.01, 0.0))
    assert promote
    assert [reason.split(":")[0] for reason in reasons] == ["passed"] * 5


def test_a_model_that_may_have_lost_more_than_the_margin_is_not_promoted_though_it_beats_its_baselines():
    promote, reasons = against_stable(made(-0.04, 0.01))
    assert not promote
    assert reasons[3] == (
        "failed: category ndcg_at_5 on all, model minus stable: 0.010 [-0.040, 0.060], lower bound must lie above -0.03, short by 0.010"
    )


def test_an_image_score_that_lost_accuracy_against_the_stable_release_is_not_promoted():
    promote, reasons = against_stable(made(0.0, 0.02), made(-0.05, -0.04))
    assert not promote
    assert reasons[4].startswith("failed: image score OPA against judge on all, model minus stable: -0.040")


def test_too_few_clusters_leave_the_decision_to_the_baselines():
    promote, reasons = against_stable(made(-0.5, -0.4, clusters=19), made(-0.5, -0.4, clusters=19))
    assert promote
    assert [reason.split(":")[0] for reason in reasons[3:]] == ["not decided"] * 2


def test_a_stable_release_that_could_not_be_measured_is_named_and_decides_nothing():
    promote, reasons = decided(GOOD, score(judge=made(0.6, 0.7)), stable=True)
    assert promote
    assert reasons[3] == "not decided: category ndcg_at_5 on all, model minus stable: nothing to measure it on"


def test_without_a_stable_release_the_reasons_say_so():
    (remark,) = remarks_on(None, ASKED)
    assert remark.reason == "not decided: no stable release: only the baselines decide"
    assert promotion([remark])[0] is False


def test_items_that_could_not_be_compared_are_named_with_the_reason():
    row = Row("stable", np.zeros((3, 1)), None, np.ones(3, bool))
    (remark,) = remarks_on(Stable("d" * 64, row, np.zeros(3), num_taught=0, num_unasked=7, golden_cosine=0.5), ASKED)
    assert remark.reason.startswith("not decided: 7 items that the stable release did not hold out itself")
    assert "cosine 0.5000, below 0.99" in remark.reason
    assert remarks_on(Stable("d" * 64, row, np.zeros(3), num_taught=2, num_unasked=0, golden_cosine=None), ASKED) == []


@pytest.mark.parametrize("stem", ["model", "stable", "random", "model_minus_x"])
def test_a_file_of_vectors_cannot_take_the_name_of_a_row(stem):
    section = {"external_vectors": [f"somewhere/{stem}.parquet"], "num_draws": 100, "seed": 0, "min_clusters": 20, "min_quality_gap": 0.1}
    section |= {"max_quality_pairs": 10, "num_strips": 1, "gates": CFG.model_dump(), "stable": ASKED.model_dump()}
    with pytest.raises(BadParams, match="rename the file"):
        bind(EvaluateConfig, "evaluate", {"evaluate": section})
