"""What evaluate makes of a stable release, on small shops whose right answers are known."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import BadBundle
from components.evaluate.held_out import read_held_out
from components.evaluate.stable import read_stable
from components.images import normalise
from components.manifest import write_manifest
from components.objects import FolderStore
from components.photos import squares
from components.releases import find, keep, stable_release
from components.towers import open_session
from tests.behaviour.test_evaluate import CFG, FINGERPRINT, LEAVES, Shop
from tests.release_bundle import SIDE_PX, name_stable, write_golden


def judged(shop):
    """The shop with a judge that says what the shop's scores say."""
    shop.write_labels(lambda a, b: a if shop.scores[a] > shop.scores[b] else b)
    return shop


def worse(shop, noise):
    """Vectors with chance added: what a release would answer that knows the categories less well."""
    found = shop.vectors + shop.rng.normal(0, noise, shop.vectors.shape)
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def test_a_model_that_lost_against_the_stable_release_is_not_promoted_though_it_beats_the_baselines(tmp_path):
    shop = judged(Shop(tmp_path))
    better, shop.vectors = shop.vectors, worse(shop, 0.5)
    shop.write_model(shop.rng.normal(size=(96, 8)))
    shop.release(better)
    report = shop.evaluated()
    rows = report["encoder"]["all"]["category"]
    assert rows["model"]["ndcg_at_5"]["value"] < rows["stable"]["ndcg_at_5"]["value"]
    assert rows["model_minus_stable"]["ndcg_at_5"]["high"] < -0.03
    assert rows["model_minus_color_histogram"]["ndcg_at_5"]["low"] > 0
    assert not report["promote"]
    assert [reason.split(":")[0] for reason in report["reasons"]] == ["passed"] * 3 + ["failed", "passed"]
    page = (tmp_path / "evaluate.html").read_text()
    assert "<td>stable</td>" in page
    assert "<td>model − stable</td>" in page
    assert f"<dt>stable release</dt><dd>{report['stable']['release'][:12]}</dd>" in page


def test_a_model_like_the_stable_release_differs_by_nothing_and_is_promoted(tmp_path):
    shop = judged(Shop(tmp_path))
    shop.release(shop.vectors)
    report = shop.evaluated()
    assert report["encoder"]["all"]["category"]["model_minus_stable"]["ndcg_at_5"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert report["image_score"]["all"]["judge"]["model_minus_stable"]["value"] == 0.0
    assert report["stable"] == {
        "release": json.loads((tmp_path / "snapshot.json").read_text())["stable_release"],
        "num_compared": 96,
        "num_taught": 0,
        "num_unasked": 0,
        "golden_cosine": None,
    }
    assert report["promote"]
    assert json.loads((tmp_path / "verdict.json").read_text())["stable_release"] == report["stable"]["release"]


def test_an_image_score_worse_than_the_stable_releases_is_not_promoted(tmp_path):
    shop = judged(Shop(tmp_path))
    shop.release(shop.vectors, scores=shop.scores)
    shop.scores = shop.rng.permutation(shop.scores)
    shop.write_embeddings(FINGERPRINT)
    report = shop.evaluated()
    assert report["image_score"]["all"]["judge"]["stable"]["value"] == 1.0
    assert report["image_score"]["all"]["judge"]["model_minus_stable"]["high"] < 0
    assert report["reasons"][4].startswith("failed: image score OPA against judge on all, model minus stable: -0.")


def test_what_the_stable_release_was_taught_on_is_left_out_with_all_of_its_owners_items(tmp_path):
    """Its bundle holds items 0 to 95; it held out all but five, so it was taught on those."""
    shop = Shop(tmp_path)
    perfect = np.eye(16)[:4][[LEAVES.index(leaf) for leaf in shop.leaf]]
    shop.release(perfect, held_out=range(5, 96))
    owners = {shop.owner[n] for n in range(5)}
    taught = sum(owner in owners for owner in shop.owner)
    report = shop.evaluated()
    assert 5 < taught < 60
    assert report["stable"]["num_taught"] == taught
    assert report["stable"]["num_compared"] == 96 - taught
    assert report["coverage"]["stable"]["num_items"] == 96 - taught


def test_a_stable_release_that_was_taught_on_nearly_everything_decides_nothing(tmp_path):
    """As after a change of split.seed: too few owners are left that it never saw."""
    shop = judged(Shop(tmp_path))
    seen = {f"seller-{n:02d}" for n in range(20)}
    shop.release(shop.vectors, held_out=[n for n in range(96) if shop.owner[n] not in seen])
    report = shop.evaluated()
    assert [reason.split(":")[0] for reason in report["reasons"]] == ["passed"] * 3 + ["not decided"] * 2
    assert report["promote"]


def test_photos_new_since_the_stable_release_go_through_its_own_tower_and_only_once(tmp_path, caplog):
    caplog.set_level("INFO")
    shop = Shop(tmp_path)
    made = shop.release(shop.vectors, held_out=range(60), catalogue=range(60))
    report = shop.evaluated()
    assert report["stable"]["num_compared"] == 96
    assert report["stable"]["golden_cosine"] > 0.9999
    assert "evaluate-stable: 0 reused from the work cache, 36 worked on" in caplog.text
    outs = [tmp_path / name for name in ("evaluate.json", "evaluate.html", "verdict.json")]
    first = [path.read_bytes() for path in outs]
    shop.evaluated()
    assert "evaluate-stable: 36 reused from the work cache, 0 worked on" in caplog.text
    assert [path.read_bytes() for path in outs] == first
    assert answers_of(shop, made, range(60, 96)) == pytest.approx(scores_shown(shop, range(60, 96)), abs=1e-6)


def answers_of(shop, made, places):
    """The image scores that the bundle's own graph gives these items' photos."""
    session = open_session(made / "image.onnx")
    return [float(session.run(None, {"pixels": normalise(squares([shop.pictures[n]], SIDE_PX))})[1][0]) for n in places]


def scores_shown(shop, places):
    """The image scores that evaluate knows of the stable release, item by item."""
    d = shop.folder
    held_out = read_held_out(d / "listings", d / "splits", d / "embeddings", FINGERPRINT)
    release = find(stable_release(d / "snapshot.json"), d / "releases")
    stable = read_stable(held_out, d / "images", release, CFG.stable, FolderStore(d / "cache"))
    return [stable.score_N[n] for n in places]


def test_a_stable_release_of_another_preprocessing_is_compared_where_it_gives_its_own_answers(tmp_path):
    """An edit of components/images.py that moves no vector must not end all comparison."""
    shop = Shop(tmp_path)
    shop.release(shop.vectors, held_out=range(60), catalogue=range(60), preprocessing="0" * 64)
    assert shop.evaluated()["stable"]["num_compared"] == 96


def test_where_golden_photos_come_back_otherwise_only_what_was_written_down_is_compared(tmp_path):
    shop = judged(Shop(tmp_path))
    made = shop.release(shop.vectors, held_out=range(60), catalogue=range(60))
    write_golden(made, shop.pictures[:3], turn=lambda vector: -vector)
    (made / "manifest.json").unlink()
    write_manifest(made, {"promote": True})
    name_stable(tmp_path / "snapshot.json", keep(made, tmp_path / "releases"))
    report = shop.evaluated()
    assert report["stable"]["golden_cosine"] == pytest.approx(-1.0, abs=1e-3)
    assert (report["stable"]["num_compared"], report["stable"]["num_unasked"]) == (60, 36)
    assert report["encoder"]["all"]["category"]["model_minus_stable"]["ndcg_at_5"]["value"] == 0.0
    assert report["reasons"][-1].startswith("not decided: 36 items that the stable release did not hold out itself")


def test_golden_photos_that_are_refused_now_count_as_changed(tmp_path):
    shop = Shop(tmp_path)
    made = shop.release(shop.vectors, held_out=range(60), catalogue=range(60))
    golden = pq.read_table(made / "golden.parquet")
    data = pa.array([b"no picture", *golden["data"].to_pylist()[1:]], pa.binary())
    pq.write_table(golden.set_column(1, golden.schema.field("data"), data), made / "golden.parquet")
    (made / "manifest.json").unlink()
    write_manifest(made, {"promote": True})
    name_stable(tmp_path / "snapshot.json", keep(made, tmp_path / "releases"))
    assert shop.evaluated()["stable"]["golden_cosine"] == 0.0


def test_a_stable_release_that_is_not_there_stops_the_run(tmp_path):
    shop = Shop(tmp_path)
    name_stable(tmp_path / "snapshot.json", "0" * 64)
    with pytest.raises(BadBundle, match=r"is not in .*vitrine snapshot --stable FOLDER"):
        shop.evaluated()
