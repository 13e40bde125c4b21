"""Bad releases for rehearsals are whole, consistent and as bad as they say; every check before the canary lets them through."""

import json
import os
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from components import releases
from components.bundle import GOLDEN, INDEX_FOLDER, Bundle
from components.contract import read_params
from components.errors import BadData
from components.manifest import MANIFEST, verified_manifest
from components.neighbours import ITEMS, NeighbourIndex
from components.towers import Towers
from flows import faults
from tests.release.rehearsed import promoted
from tests.serve.gateway import running

# Two epochs on 32 px make vectors of which nothing is asked here but where they stand.
LENIENT = {"index": {"gate": {"min_recall_at_10": 0.0, "max_latency_ratio": 1000.0, "max_p95_ms": 1000.0}}}


@pytest.fixture(scope="module")
def workspace(finished):
    """The finished workspace, whose bundle counts as promoted, as the working folder."""
    before = Path.cwd()
    os.chdir(finished)
    yield finished
    os.chdir(before)


@pytest.fixture(scope="module")
def params(workspace):
    return read_params()


@pytest.fixture(scope="module")
def made(workspace, params, tmp_path_factory):
    """Every kind of bad release."""
    folder = tmp_path_factory.mktemp("faults")
    return {kind: faults.make(kind, promoted(params, folder), folder / kind, 1) for kind in faults.KINDS}


def vectors_of(bundle):
    index = NeighbourIndex.open(bundle / INDEX_FOLDER)
    return {item: index.vector_of(row) for row, item in enumerate(index.item_ids)}


def test_the_seed_chooses_the_kind_and_every_kind_can_be_chosen():
    assert [faults.chosen(seed) for seed in range(30)] == [faults.chosen(seed) for seed in range(30)]
    assert {faults.chosen(seed) for seed in range(30)} == set(faults.KINDS)


@pytest.mark.parametrize("kind", faults.KINDS)
def test_a_bad_release_is_whole_may_be_released_and_says_what_it_is(made, kind):
    manifest = verified_manifest(made[kind].bundle)
    assert manifest["promote"] is True
    assert manifest["rehearsal"] == {"kind": kind, "about": made[kind].about}
    assert (
        Bundle.open(made[kind].bundle).digest
        != Bundle.open(Path(promoted(read_params(), made[kind].bundle.parents[1])["paths"]["bundle"])).digest
    )


def test_the_same_seed_makes_the_same_release_and_another_one_shuffles_otherwise(made, params, tmp_path):
    ready = promoted(params, made["shuffled"].bundle.parents[1])
    again, other = (faults.make("shuffled", ready, tmp_path / str(seed), seed) for seed in (1, 2))
    assert Bundle.open(again.bundle).digest == Bundle.open(made["shuffled"].bundle).digest
    assert Bundle.open(other.bundle).digest != Bundle.open(made["shuffled"].bundle).digest


def test_shuffling_moves_the_vectors_of_one_category_among_its_own_items(made, params):
    good, bad = vectors_of(Path(params["paths"]["bundle"])), vectors_of(made["shuffled"].bundle)
    category = {
        row["item_id"]: row["category"][0]
        for path in Path(params["paths"]["listings"]).glob("*.parquet")
        for row in pq.read_table(path, columns=["item_id", "category"]).to_pylist()
    }
    moved = {item for item in good if not np.array_equal(good[item], bad[item])}
    assert {category[item] for item in moved} == {max(sorted(set(category.values())), key=list(category.values()).count)}
    assert len(moved) > 0.8 * sum(category[item] == category[next(iter(moved))] for item in good)
    assert sorted(vector.tobytes() for vector in good.values()) == sorted(vector.tobytes() for vector in bad.values())


def test_its_items_keep_their_pictures_and_scores(made, params):
    names = ["item_id", "image_id", "image_score"]
    tables = [
        pq.read_table(Path(bundle) / INDEX_FOLDER / ITEMS, columns=names) for bundle in (params["paths"]["bundle"], made["shuffled"].bundle)
    ]
    assert tables[0].sort_by("item_id").equals(tables[1].sort_by("item_id"))


def test_changed_preprocessing_is_another_space_whose_golden_answers_have_the_same_mistake(made, params):
    good, bad = Towers.open(Path(params["paths"]["bundle"])), Towers.open(made["preprocessing"].bundle)
    assert good.serving.fingerprint != bad.serving.fingerprint
    pixels = np.random.default_rng(0).uniform(-1, 1, (1, 3, good.serving.image_px, good.serving.image_px)).astype(np.float32)
    np.testing.assert_allclose(bad.embed_pixels(pixels)[0], good.embed_pixels((pixels + 1) * 127.5)[0], atol=1e-5)
    row = pq.read_table(made["preprocessing"].bundle / GOLDEN).to_pylist()[0]
    np.testing.assert_allclose(bad.embed_picture(row["data"])[0], row["vector"], atol=1e-5)


def test_a_slow_release_is_the_same_model_and_says_by_how_much_it_is_late(made, params):
    assert made["slow"].delay_ms == faults.SLOW_MS
    good, bad = vectors_of(Path(params["paths"]["bundle"])), vectors_of(made["slow"].bundle)
    assert all(np.array_equal(good[item], bad[item]) for item in good)


def test_what_may_not_be_released_makes_no_bad_release_either(params, made, tmp_path):
    ready = promoted(params, tmp_path)
    manifest = json.loads((Path(ready["paths"]["bundle"]) / MANIFEST).read_text()) | {"promote": False}
    (Path(ready["paths"]["bundle"]) / MANIFEST).write_text(json.dumps(manifest))
    with pytest.raises(BadData, match="promote: false"):
        faults.make("slow", ready, tmp_path / "slow", 1)


def test_a_gateway_lets_each_of_them_in_and_plays_the_slow_one(made, workspace, tmp_path):
    """Golden answers and the gate of the index hold: it takes users to tell."""
    slow_id = Bundle.open(made["slow"].bundle).digest
    with running(workspace, tmp_path / "state", LENIENT | {"rehearsal": {"release": slow_id, "late_ms": made["slow"].delay_ms}}) as gateway:
        took_ms = {}
        for kind, fault in made.items():
            release_id = releases.keep(fault.bundle, gateway.gateway.router.folder)
            loaded = gateway.client.post("/v1/releases", json={"release_id": release_id})
            assert loaded.status_code == 200, f"{kind}: {loaded.text}"
            item = gateway.client.get("/v1/items?limit=1").json()["items"][0]["item_id"]
            answers = [gateway.client.get("/v1/similar", params={"item_id": item, "release": release_id}) for _ in range(3)]
            took_ms[kind] = min(answer.elapsed.total_seconds() * 1000 for answer in answers)
        assert took_ms["slow"] >= made["slow"].delay_ms
        assert took_ms["shuffled"] < made["slow"].delay_ms
