"""Sound vectors pass every gate; vectors of another model, broken ones and a collapsed encoder never reach an index."""

import dataclasses
import json

import numpy as np
import pyarrow as pa
import pytest

from components import images, schema
from components.contract import bind, read_params, write_json
from components.errors import BadData
from components.expectations.suites import open_context
from components.shards import write_shards
from components.towers import SERVING, Serving
from components.validate_vectors.advice import ADVICE
from components.validate_vectors.batches import vectors_of
from components.validate_vectors.component import inspected, validate_vectors
from components.validate_vectors.config import ValidateVectorsConfig
from components.validate_vectors.gates import coverage_gates, items_gates, pairs_gates
from tests.conftest import PROJECT
from tests.validate_tables import listing

NUM_ITEMS, DIM = 80, 8
FINGERPRINT = "0123456789abcdef"
INS = ("embeddings", "listings", "exported")
OUTS = ("validated_vectors.json", "validate_vectors.html")


def config(**changes):
    section = read_params(PROJECT / "params.yaml")["validate_vectors"] | changes
    return bind(ValidateVectorsConfig, "validate_vectors", {"validate_vectors": section})


class Embedded:
    """Unit vectors and scores of a sound model, for a test to damage before they are written and validated in a folder."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.listings = [listing(n) for n in range(NUM_ITEMS)]
        self.vectors = rng.normal(size=(NUM_ITEMS, DIM))
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self.scores = rng.uniform(0, 1, NUM_ITEMS)
        self.rows = [{"item_id": one["item_id"], "image_id": one["image_id"], "fingerprint": FINGERPRINT} for one in self.listings]
        self.dim = DIM

    def table(self):
        vectors, scores = self.vectors.astype(np.float16), self.scores.astype(np.float32).tolist()
        return pa.Table.from_pylist(
            [row | {"vector": v, "image_score": s} for row, v, s in zip(self.rows, vectors, scores, strict=True)], schema.embeddings(DIM)
        )

    def write(self, folder):
        write_shards(folder / "embeddings", self.table(), schema.embeddings(DIM), 3)
        write_shards(folder / "listings", pa.Table.from_pylist(self.listings, schema.LISTINGS), schema.LISTINGS, 3)
        serving = Serving(FINGERPRINT, self.dim, 32, 16, 0, "fp32", images.digest())
        write_json(folder / "exported" / SERVING, dataclasses.asdict(serving))
        return folder

    def validated(self, folder, **changes):
        return validated(self.write(folder), **changes)


def validated(folder, **changes):
    summary = validate_vectors(*(folder / name for name in (*INS, *OUTS)), cfg=config(**changes), kept=folder / "kept")
    return summary, json.loads((folder / OUTS[0]).read_text(encoding="utf-8"))


def test_sound_vectors_pass_every_gate_and_say_the_same_each_time(tmp_path):
    summary, report = Embedded().validated(tmp_path)
    assert report.keys() == {"embeddings"}
    assert all(gate["success"] and gate["checked"] for gate in report["embeddings"].values())
    assert (summary.gates_checked, summary.gates_not_checked) == (11, 0)
    assert summary.fingerprint == FINGERPRINT
    assert summary.rows_in == summary.rows_out == NUM_ITEMS
    assert abs(report["embeddings"]["mean_cosine"]["observed"]) < 0.1
    before = [(tmp_path / name).read_bytes() for name in OUTS]
    validated(tmp_path)
    assert [(tmp_path / name).read_bytes() for name in OUTS] == before


def listing_without_vector(shop):
    shop.listings.append(listing(500))


def vector_of_no_listing(shop):
    shop.rows[3]["item_id"] = "m-999"


def vector_of_another_picture(shop):
    shop.rows[3]["image_id"] = f"{999:064x}"


def other_model(shop):
    shop.rows[3]["fingerprint"] = "f" * 16


def value_not_finite(shop):
    shop.vectors[3, 2] = np.nan


def value_beyond_float16(shop):
    shop.vectors[3, 2] = np.inf


def not_of_unit_length(shop):
    shop.vectors[3] *= 1.01


def zero_vector(shop):
    shop.vectors[3] = 0


def score_beyond_one(shop):
    shop.scores[3] = 1.2


def score_that_is_no_number(shop):
    shop.scores[3] = np.nan


def one_vector_for_many_pictures(shop):
    shop.vectors[:8] = shop.vectors[0]


def collapsed_encoder(shop):
    shop.vectors = 0.05 * shop.vectors + np.eye(DIM)[0]
    shop.vectors /= np.linalg.norm(shop.vectors, axis=1, keepdims=True)


def one_score_for_all(shop):
    shop.scores[:] = 0.5


def other_width(shop):
    shop.dim = 2 * DIM


FAULTS = [
    (listing_without_vector, "one_vector", "vector-coverage", "First: m-500."),
    (vector_of_no_listing, "listed", "vector-coverage", "First: m-999."),
    (vector_of_another_picture, "own_picture", "vector-coverage", "First: m-003."),
    (other_model, "fingerprint", "foreign-vectors", "First: m-003."),
    (value_not_finite, "finite", "broken-vectors", "First: m-003."),
    (value_beyond_float16, "finite", "broken-vectors", "First: m-003."),
    (not_of_unit_length, "unit_length", "broken-vectors", "First: m-003."),
    (zero_vector, "unit_length", "broken-vectors", "First: m-003."),
    (score_beyond_one, "score", "broken-vectors", "First: m-003."),
    (score_that_is_no_number, "score", "broken-vectors", "First: m-003."),
    (one_vector_for_many_pictures, "identical_share", "identical-vectors", ": 0.1, limit at most 0.05."),
    (collapsed_encoder, "mean_cosine", "collapsed-vectors", "limit at most 0.98."),
    (one_score_for_all, "score_spread", "flat-scores", ": 0, limit at least 0.02."),
    (other_width, "types", "vector-table-types", "First: vector."),
]


@pytest.mark.parametrize(("damage", "gate", "anchor", "found"), FAULTS, ids=[fault[0].__name__ for fault in FAULTS])
def test_a_fault_fails_a_gate_that_says_what_was_found_and_where_to_read_on(tmp_path, damage, gate, anchor, found):
    shop = Embedded()
    damage(shop)
    folder = shop.write(tmp_path)
    findings = inspected({name: folder / name for name in INS}, config(), open_context(None))
    failed = {finding.gate.name: str(finding) for finding in findings if finding.stops}
    assert gate in failed
    assert found in failed[gate]
    assert f"docs/runbook.md#{anchor}" in failed[gate]


def test_a_failed_gate_stops_the_line_and_leaves_no_outs(tmp_path):
    shop = Embedded()
    other_model(shop)
    with pytest.raises(BadData, match=r"(?s)1 of 11 gates of validate_vectors .*embeddings\.fingerprint .*kept/validate_vectors\.html"):
        shop.validated(tmp_path)
    assert not [name for name in OUTS if (tmp_path / name).exists()]
    assert "1 of 11 gates failed" in (tmp_path / "kept" / "validate_vectors.html").read_text(encoding="utf-8")


def test_items_that_show_one_picture_may_share_its_vector(tmp_path):
    shop = Embedded()
    shop.vectors[:20] = shop.vectors[0]
    for row, one in zip(shop.rows[:20], shop.listings[:20], strict=True):
        row["image_id"] = one["image_id"] = f"{0:064x}"
    _, report = shop.validated(tmp_path)
    assert report["embeddings"]["identical_share"]["observed"] == 0


def test_few_items_decide_nothing_about_spread_and_likeness(tmp_path):
    shop = Embedded()
    collapsed_encoder(shop)
    one_score_for_all(shop)
    _, report = shop.validated(tmp_path, min_items=NUM_ITEMS + 1)
    whys = {name: gate["why"] for name, gate in report["embeddings"].items() if not gate["checked"]}
    assert whys == dict.fromkeys(("identical_share", "score_spread", "mean_cosine"), "80 items, validate_vectors.min_items is 81")


def test_a_shop_without_items_stops_nothing_here(tmp_path):
    shop = Embedded()
    shop.listings, shop.rows, shop.vectors, shop.scores = [], [], shop.vectors[:0], shop.scores[:0]
    summary, report = shop.validated(tmp_path)
    assert summary.rows_in == 0
    assert all(gate["success"] for gate in report["embeddings"].values())


def test_random_pairs_are_the_rows_own_cosines_whatever_the_shards(tmp_path):
    shop = Embedded()
    shop.write(tmp_path)
    place = {row["item_id"]: n for n, row in enumerate(shop.rows)}
    unit = shop.vectors.astype(np.float16).astype(np.float64)
    pairs = vectors_of(tmp_path / "embeddings", tmp_path / "listings", 200, seed=0).pairs
    assert 150 < len(pairs) <= 200
    for row in pairs.to_dict("records"):
        first, second = (unit[place[row[name]]] for name in ("first_item", "second_item"))
        assert row["first_item"] != row["second_item"]
        assert row["cosine"] == pytest.approx(first @ second, abs=2e-3)
    again = vectors_of(tmp_path / "embeddings", tmp_path / "listings", 200, seed=0).pairs
    assert again.equals(pairs)


def test_each_gate_has_advice_and_no_advice_is_without_a_gate():
    cfg = config()
    gates = [*items_gates(cfg, FINGERPRINT, 0), *coverage_gates(), *pairs_gates(cfg, 0)]
    assert {gate.advice.anchor for gate in gates} | {"vector-table-types"} == ADVICE.keys()
