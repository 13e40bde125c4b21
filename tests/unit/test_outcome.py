"""What a run's summary says, from reports and verdicts alone."""

from flows.outcome import Metric, headline, markdown, message, metric_rows, outcome_of, stage_rows
from flows.stage import StageRun

INTERVAL = {"value": 0.5, "low": 0.4, "high": 0.6}
NDCG = {"ndcg_at_5": INTERVAL}
EVALUATE = {
    "rows_in": 1200,
    "rows_out": 90,
    "encoder": {
        "all": {"category": {"model": NDCG, "random": NDCG, "model_minus_random": NDCG}},
        "clothing": {"category": {"model": NDCG}},
    },
    "image_score": {"all": {"truth": {"model": {**INTERVAL, "num_pairs": 900}, "sharpness": INTERVAL}}},
    "score_distribution": {"mean": 0.5},
    "promote": False,
    "reasons": ["ndcg_at_5 0.4 < 0.45", "too few clusters"],
}


def run_of(stage, verdict="ran"):
    return StageRun(stage=stage, verdict=verdict, seconds=1.25)


def outcome(reports, *runs):
    return outcome_of(runs, reports, "2025-01-01T00:00:00Z")


def test_the_headline_is_the_model_over_all_items():
    assert headline({"evaluate": EVALUATE, "label": {"rows_in": 3, "agreement": 0.9}}) == {
        "category ndcg_at_5": Metric(0.5, 0.4, 0.6),
        "image_score truth": Metric(0.5, 0.4, 0.6),
    }


def test_without_an_evaluation_every_stages_own_numbers_are_shown_but_no_flags_and_no_row_counts():
    reports = {"label": {"rows_in": 3, "agreement": 0.9, "is_heuristic": True, "judge": "heuristic", "by_side": {"first": 2}}}
    assert headline(reports) == {"label.agreement": Metric(0.9), "label.by_side.first": Metric(2)}


def test_not_promoted_is_said_with_every_reason():
    said = message(outcome({"evaluate": EVALUATE}, run_of("embed", "unchanged"), run_of("index", "restored"), run_of("evaluate")))
    assert said == "3 stages: 1 ran, 1 restored, 1 unchanged; not promoted: ndcg_at_5 0.4 < 0.45; too few clusters"
    assert message(outcome({"evaluate": EVALUATE | {"promote": True}}, run_of("evaluate"))) == "1 stages: 1 ran; promoted"
    assert message(outcome({}, run_of("pairs"))) == "1 stages: 1 ran"


def test_a_metric_stands_beside_the_last_runs_or_is_new():
    now = outcome({"label": {"agreement": 0.9, "pairs": 1200}}, run_of("label"))
    assert metric_rows(now, {"label.agreement": Metric(0.85), "gone": Metric(1.0)})[1:] == [
        ("label.agreement", "0.9", "", "0.85", "+0.05"),
        ("label.pairs", "1,200", "", "", "new"),
    ]


def test_stage_rows_hold_verdict_seconds_and_counts():
    rows = stage_rows(outcome({"evaluate": EVALUATE}, run_of("pairs", "unchanged"), run_of("evaluate")))
    assert rows[1:] == [("pairs", "unchanged", "1.2", "", "", ""), ("evaluate", "ran", "1.2", "1,200", "90", "")]


def test_markdown_keeps_a_bar_in_a_name_out_of_the_table():
    text = markdown(outcome({"label": {"a|b": 1.0}}, run_of("label")), {})
    assert "| label.a\\|b | 1 |  |  | new |" in text
    assert "## Metrics" not in markdown(outcome({}, run_of("label")), {})
