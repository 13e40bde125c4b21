"""Sound splits, pairs and labels pass every gate; each fault stops the line before an hour of training is spent on it."""

import hashlib
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components import schema
from components.contract import bind, read_params
from components.errors import BadData
from components.expectations.suites import open_context
from components.shards import write_shards
from components.validate_training.advice import ADVICE
from components.validate_training.component import inspected, validate_training
from components.validate_training.config import ValidateTrainingConfig
from components.validate_training.gates import adjectives_gates, coverage_gates, labels_gates, pairs_gates, splits_gates
from tests.conftest import PROJECT
from tests.validate_tables import listing

NUM_LISTINGS, NUM_PAIRS = 120, 60
INS = ("splits", "pairs", "labels", "listings")
OUTS = ("validated_training.json", "validate_training.html")
WORDS = [{"item": "first", "adjective": "sharp", "polarity": 1}, {"item": "second", "adjective": "dark", "polarity": -1}]


def config(**changes):
    section = read_params(PROJECT / "params.yaml")["validate_training"] | changes
    return bind(ValidateTrainingConfig, "validate_training", {"validate_training": section})


def side(n):
    """Eight of ten listings are trained on; the items of a pair, n and n + 60, lie on one side."""
    return {8: "val", 9: "test"}.get(n % 10, "train")


def item(n):
    return f"m-{n:03d}"


def pair(n):
    both = {"clicked_item": item(n), "skipped_item": item(n + NUM_PAIRS)}
    return {"request_id": f"req-{n:03d}", "split": side(n), **both, "price_ratio": 1.2, "position_gap": n % 3 - 3, "weight": 1.0}


def label(n, order):
    shown = [item(n), item(n + NUM_PAIRS)][::order]
    return {
        "first_item": shown[0],
        "second_item": shown[1],
        "clicked_item": item(n),
        "split": side(n),
        "choice": "first" if shown[0] == item(n) else "second",
        "first_score": 0.7 if shown[0] == item(n) else 0.4,
        "second_score": 0.4 if shown[0] == item(n) else 0.7,
        "adjectives": WORDS,
        "judge": "heuristic-1",
        "rubric": "measures-1",
        "cache_key": hashlib.sha256(f"{shown}".encode()).hexdigest(),
    }


class Prepared:
    """Rows of sound splits, pairs and labels, for a test to damage before they are written and validated in a folder."""

    def __init__(self):
        self.listings = [listing(n) for n in range(NUM_LISTINGS)]
        self.splits = [{"item_id": item(n), "split": side(n), "group": f"g-{n % 30}"} for n in range(NUM_LISTINGS)]
        self.pairs = [pair(n) for n in range(NUM_PAIRS)]
        self.labels = [label(n, order) for n in range(NUM_PAIRS) for order in (1, -1)]

    def write(self, folder):
        keys = {"listings": "item_id", "splits": "item_id", "pairs": "request_id", "labels": "first_item"}
        for name, key in keys.items():
            kind = getattr(schema, name.upper())
            write_shards(folder / name, pa.Table.from_pylist(getattr(self, name), kind), kind, 2, key=key)
        return folder

    def validated(self, folder, **changes):
        return validated(self.write(folder), **changes)


def validated(folder, **changes):
    places = [folder / name for name in (*INS, *OUTS)]
    summary = validate_training(*places, cfg=config(**changes), kept=folder / "kept")
    return summary, json.loads((folder / OUTS[0]).read_text(encoding="utf-8"))


def test_sound_tables_pass_every_gate_and_say_the_same_each_time(tmp_path):
    summary, report = Prepared().validated(tmp_path)
    assert report.keys() == {"splits", "pairs", "labels"}
    assert all(gate["success"] and gate["checked"] for suite in report.values() for gate in suite.values())
    assert (summary.gates_checked, summary.gates_not_checked) == (39, 0)
    assert summary.rows_in == summary.rows_out == NUM_LISTINGS + NUM_PAIRS + 2 * NUM_PAIRS
    assert summary.observed["labels"]["order_agreement_share"] == 1
    assert summary.observed["splits"]["train_share"] == 0.8
    before = [(tmp_path / name).read_bytes() for name in OUTS]
    validated(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in OUTS] == before
    assert (tmp_path / "kept" / "data_docs" / "index.html").exists()


def unknown_side(shop):
    shop.splits[3]["split"] = "holdout"


def listing_without_side(shop):
    shop.listings.append(listing(500))


def two_sides(shop):
    shop.splits.append(shop.splits[3] | {"split": "test"})


def split_of_nothing(shop):
    shop.splits.append({"item_id": "m-999", "split": "train", "group": "g-999"})


def leaking_group(shop):
    shop.splits[9]["group"] = "g-0"


def nothing_held_out(shop):
    for row in [*shop.splits, *shop.pairs, *shop.labels]:
        row["split"] = "train"


def little_trained_on(shop):
    for row in [*shop.splits, *shop.pairs, *shop.labels]:
        row["split"] = "val" if row["split"] == "train" else row["split"]


def pair_of_unknown_item(shop):
    shop.pairs[4]["skipped_item"] = "m-999"


def pair_on_another_side(shop):
    shop.pairs[4]["split"] = "val"


def pair_across_sides(shop):
    shop.pairs[4]["skipped_item"] = item(9)


def pair_with_itself(shop):
    shop.pairs[4]["skipped_item"] = shop.pairs[4]["clicked_item"]


def ratio_below_one(shop):
    shop.pairs[4]["price_ratio"] = 0.8


def ratio_that_is_no_number(shop):
    shop.pairs[4]["price_ratio"] = float("nan")


def same_slot(shop):
    shop.pairs[4]["position_gap"] = 0


def negative_weight(shop):
    shop.pairs[4]["weight"] = -1.0
    shop.pairs[5]["weight"] = 3.0


def weights_not_shared_out(shop):
    for row in shop.pairs:
        row["weight"] = 2.0


def pairs_twice(shop):
    shop.pairs += shop.pairs[:5]


def other_choice(shop):
    shop.labels[6]["choice"] = "both"


def score_of_ten(shop):
    shop.labels[6]["second_score"] = 8.0


def label_of_unknown_item(shop):
    for row in shop.labels[6:8]:
        row |= {name: "m-999" for name, found in row.items() if found == item(63)}


def label_on_another_side(shop):
    shop.labels[6]["split"] = "test"


def clicked_elsewhere(shop):
    shop.labels[6]["clicked_item"] = item(77)


def one_order(shop):
    del shop.labels[6]


def order_judged_twice(shop):
    shop.labels.append(shop.labels[6])


def judge_without_name(shop):
    shop.labels[6]["judge"] = " "


def rubric_without_version(shop):
    shop.labels[6]["rubric"] = ""


def key_of_another_kind(shop):
    shop.labels[6]["cache_key"] = "photo-pair-1:m-003"


def polarity_of_five(shop):
    shop.labels[6]["adjectives"] = [{"item": "first", "adjective": "sharp", "polarity": 5}]


def adjective_of_neither_photo(shop):
    shop.labels[6]["adjectives"] = [{"item": "both", "adjective": "sharp", "polarity": 1}]


def adjective_without_a_word(shop):
    shop.labels[6]["adjectives"] = [{"item": "first", "adjective": "", "polarity": 1}]


def refusing_judge(shop):
    for row in shop.labels[:48]:
        row |= {"choice": "cannot_judge", "first_score": None, "second_score": None}


def judge_of_ties(shop):
    for row in shop.labels[:90]:
        row["choice"] = "tie"


def judge_of_the_first_photo(shop):
    for row in shop.labels:
        row["choice"] = "first"


def judge_that_guesses(shop):
    for number, row in enumerate(shop.labels):
        row["choice"] = ("first", "first", "second", "second", "first", "second", "second", "first")[number % 8]


FAULTS = [
    (unknown_side, "splits.side", "split-coverage", "First: m-003."),
    (listing_without_side, "splits.one_side", "split-coverage", "First: m-500."),
    (two_sides, "splits.one_side", "split-coverage", "First: m-003."),
    (split_of_nothing, "splits.listed", "split-coverage", "First: m-999."),
    (leaking_group, "splits.group_on_one_side", "leaking-groups", ": 0.0416667, limit at most 0."),
    (nothing_held_out, "splits.test_share", "side-shares", ": 0, limit 0.01 to 0.45."),
    (little_trained_on, "splits.train_share", "side-shares", ": 0, limit at least 0.4."),
    (pair_of_unknown_item, "pairs.items_known", "pair-items", "First: req-004."),
    (pair_on_another_side, "pairs.on_side", "pair-items", "First: req-004."),
    (pair_across_sides, "pairs.on_side", "pair-items", "First: req-004."),
    (pair_with_itself, "pairs.distinct", "pair-values", "First: req-004."),
    (ratio_below_one, "pairs.price_ratio", "pair-values", "First: req-004."),
    (ratio_that_is_no_number, "pairs.price_ratio", "pair-values", "First: req-004."),
    (same_slot, "pairs.position_gap", "pair-values", "First: req-004."),
    (negative_weight, "pairs.weight", "pair-values", "First: req-004."),
    (weights_not_shared_out, "pairs.mean_weight", "pair-values", ": 2, limit 0.999 to 1.001."),
    (pairs_twice, "pairs.repeated_share", "repeated-pairs", ": 0.0769231, limit at most 0.01."),
    (other_choice, "labels.choice", "label-fields", "First: m-003 m-063."),
    (score_of_ten, "labels.second_score", "label-fields", "First: m-003 m-063."),
    (label_of_unknown_item, "labels.items_known", "label-fields", "First: m-003 m-999."),
    (label_on_another_side, "labels.on_side", "label-fields", "First: m-003 m-063."),
    (clicked_elsewhere, "labels.clicked_shown", "label-fields", "First: m-003 m-063."),
    (judge_without_name, "labels.judge", "label-fields", "First: m-003 m-063."),
    (rubric_without_version, "labels.rubric", "label-fields", "First: m-003 m-063."),
    (key_of_another_kind, "labels.cache_key", "label-fields", "First: m-003 m-063."),
    (polarity_of_five, "labels.adjective_polarity", "label-fields", "limit at most 0."),
    (adjective_of_neither_photo, "labels.adjective_photo", "label-fields", "limit at most 0."),
    (adjective_without_a_word, "labels.adjective_word", "label-fields", "limit at most 0."),
    (one_order, "labels.both_orders", "one-order-only", "First: m-003 m-063."),
    (order_judged_twice, "labels.judged_once", "one-order-only", "First: m-003 m-063."),
    (refusing_judge, "labels.cannot_judge_share", "judge-refuses", ": 0.4, limit at most 0.3."),
    (judge_of_ties, "labels.tie_share", "judge-cannot-tell", ": 0.75, limit at most 0.7."),
    (judge_of_the_first_photo, "labels.first_chosen_share", "judge-prefers-a-place", ": 1, limit 0.25 to 0.75."),
    (judge_that_guesses, "labels.order_agreement_share", "judge-contradicts-itself", ": 0.5, limit at least 0.55."),
]


@pytest.mark.parametrize(("damage", "gate", "anchor", "found"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_fails_a_gate_that_says_what_was_found_and_where_to_read_on(tmp_path, damage, gate, anchor, found):
    shop = Prepared()
    damage(shop)
    folder = shop.write(tmp_path)
    tables = {"splits", "listings", gate.split(".")[0]}
    findings = inspected({name: folder / name for name in tables}, config(), open_context(None))
    failed = {finding.name: str(finding) for finding in findings if finding.stops}
    assert gate in failed
    assert found in failed[gate]
    assert f"docs/runbook.md#{anchor}" in failed[gate]
    assert ADVICE[anchor].cause in failed[gate]


def test_a_failed_gate_stops_the_line_leaves_no_outs_and_shows_itself_on_the_page(tmp_path):
    shop = Prepared()
    judge_of_the_first_photo(shop)
    with pytest.raises(
        BadData, match=r"(?s)2 of 39 gates of validate_training .*labels\.first_chosen_share .*kept/validate_training\.html"
    ):
        shop.validated(tmp_path)
    assert not [name for name in OUTS if (tmp_path / name).exists()]
    page = (tmp_path / "kept" / "validate_training.html").read_text(encoding="utf-8")
    assert "2 of 39 gates failed" in page
    assert "docs/runbook.md#judge-prefers-a-place" in page
    assert (tmp_path / "kept" / "data_docs" / "index.html").exists()


def test_a_coin_as_judge_fails_and_a_judge_right_in_four_of_five_passes(tmp_path):
    shop = Prepared()
    for number in range(0, NUM_PAIRS, 5):
        shop.labels[2 * number]["choice"] = "second"
    _, report = shop.validated(tmp_path)
    assert report["labels"]["order_agreement_share"]["observed"] == 0.8


def test_a_new_shop_without_clicks_passes_and_says_what_was_not_checked(tmp_path):
    shop = Prepared()
    shop.pairs, shop.labels = [], []
    _, report = shop.validated(tmp_path)
    assert report["pairs"]["mean_weight"]["why"] == "there is no pair"
    assert report["labels"]["tie_share"]["why"] == "0 pairs, validate_training.min_pairs is 50"
    assert all(gate["success"] for suite in report.values() for gate in suite.values())


def test_few_listings_decide_nothing_about_shares(tmp_path):
    shop = Prepared()
    nothing_held_out(shop)
    _, report = shop.validated(tmp_path, min_listings=NUM_LISTINGS + 1)
    assert report["splits"]["test_share"]["why"] == "120 listings, validate_training.min_listings is 121"


def test_a_table_of_another_type_stops_before_any_other_gate(tmp_path):
    folder = Prepared().write(tmp_path)
    labels = pa.table({"first_item": ["a"], "second_item": ["b"]})
    for path in sorted((folder / "labels").iterdir()):
        pq.write_table(labels, path)
    with pytest.raises(BadData, match=r"(?s)1 of 3 gates .*labels\.types .*vitrine validate --explain"):
        validated(folder)


def test_each_gate_has_advice_and_no_advice_is_without_a_gate():
    cfg = config()
    gates = [*splits_gates(cfg, 0), *coverage_gates(), *pairs_gates(cfg, 0), *labels_gates(cfg, 0), *adjectives_gates()]
    assert {gate.advice.anchor for gate in gates} | {"training-table-types"} == ADVICE.keys()
