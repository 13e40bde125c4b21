"""What a run's summary says, from reports and verdicts alone."""

import json

from flows.outcome import CacheUse, Metric, headline, markdown, message, metric_rows, notes, outcome_of, read_uses, stage_rows
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


def outcome(reports, *runs, cache=None):
    return outcome_of(runs, reports, "2025-01-01T00:00:00Z", cache)


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


def test_frozen_stages_are_counted_as_such():
    assert message(outcome({}, run_of("finetune", "frozen"), run_of("embed"))) == "2 stages: 1 ran, 1 frozen"


def test_what_the_work_cache_spared_stands_beside_the_stages_that_used_it():
    shown = outcome({}, run_of("split"), run_of("embed"), cache={"embed": CacheUse(2921, 33)})
    assert stage_rows(shown) == [
        ("stage", "verdict", "seconds", "rows in", "rows out", "refused", "reused", "recomputed"),
        ("split", "ran", "1.2", "", "", "", "", ""),
        ("embed", "ran", "1.2", "", "", "", "2,921", "33"),
    ]
    assert "reused" not in stage_rows(outcome({}, run_of("split")))[0]


def test_a_stage_that_worked_on_everything_again_says_what_changed():
    use = {
        "embed": CacheUse(0, 2954, ("fingerprint",)),
        "label": CacheUse(0, 9, ("code", "params")),
        "ingest": CacheUse(5, 5, ("code",)),
        "evaluate": CacheUse(0, 7),
    }
    said = notes(outcome({}, *map(run_of, use), cache=use))
    assert said == [
        "embed: fingerprint changed, so all 2,954 were worked on again",
        "label: code and params changed, so all 9 were worked on again",
    ]
    assert said[0] in markdown(outcome({}, *map(run_of, use), cache=use), {})


def test_uses_of_the_work_cache_are_the_newest_of_stages_that_ran_in_this_flow_run(tmp_path):
    def row(stage, started, reused, **more):
        return json.dumps({"stage": stage, "started": started, "cache": {"reused": reused, "recomputed": 1, "changed": []}} | more)

    since = "2026-01-02T00:00:00Z"
    lines = [
        row("embed", "2026-01-01T23:59:59Z", 1),
        row("embed", "2026-01-02T00:00:00Z", 2),
        row("embed", "2026-01-02T00:00:05Z", 3),
        row("label", "2026-01-02T00:00:06Z", 4),
        row("evaluate", "2026-01-01T12:00:00Z", 5),
        json.dumps({"stage": "split", "started": "2026-01-02T00:00:07Z"}),
        '{"stage": "ingest", "star',
    ]
    (tmp_path / "stages.jsonl").write_text("\n".join(lines))
    ran = [run_of("embed"), run_of("label", "unchanged"), run_of("evaluate"), run_of("split"), run_of("ingest")]
    assert read_uses(ran, since, tmp_path / "stages.jsonl") == {"embed": CacheUse(3, 1)}
    assert read_uses(ran, since, tmp_path / "none") == {}


def test_markdown_keeps_a_bar_in_a_name_out_of_the_table():
    text = markdown(outcome({"label": {"a|b": 1.0}}, run_of("label")), {})
    assert "| label.a\\|b | 1 |  |  | new |" in text
    assert "## Metrics" not in markdown(outcome({}, run_of("label")), {})
