"""What evaluate reports on small shops whose right answers are known."""

import csv
import dataclasses
import hashlib
import io
import json
import re
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components import schema
from components.contract import bind, read_params, write_json
from components.errors import BadBundle, BadData
from components.evaluate.component import evaluate
from components.evaluate.config import EvaluateConfig
from components.evaluate.held_out import read_vectors
from components.evaluate.rankings import Exact
from components.evaluate.relevance import category_relevance, codes_of, product_relevance
from components.evaluate.table import Row, measure
from components.images import digest as images_digest
from components.neighbours import IndexConfig, build
from components.objects import FolderStore
from components.releases import keep
from components.shards import shard_of, write_shards, write_table
from components.towers import Serving
from tests.release_bundle import name_stable, write_bundle
from tests.unit.test_rankings import held

FINGERPRINT = "0123456789abcdef"
LEAVES = [("Apparel", "Hat"), ("Apparel", "Skirt"), ("Home", "Cup"), ("Home", "Lamp")]
NOW = datetime(2026, 1, 1, tzinfo=UTC)
NUM_SHARDS = 2
VECTORS = pa.schema([("item_id", pa.string()), ("vector", pa.list_(pa.float16()))])
CFG = bind(EvaluateConfig, "evaluate", read_params()).model_copy(update={"num_draws": 100, "num_strips": 2, "external_vectors": []})


def picture(rng):
    """A noisy photo of chance colour: colours tell nothing about the category."""
    pixels = (rng.integers(0, 256, 3) + rng.normal(0, 12, (24, 24, 3))).clip(0, 255).astype(np.uint8)
    sink = io.BytesIO()
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


class Shop:
    """A folder of tables as the stages before evaluate leave them. Vectors lie near their category's own direction."""

    def __init__(self, folder, num_items=96, num_owners=24, *, seed=0, **column):
        rng = np.random.default_rng(seed)
        self.folder, self.rng, self.ids = folder, rng, [f"item-{n:03d}" for n in range(num_items)]
        self.leaf = [LEAVES[n % len(LEAVES)] for n in range(num_items)]
        self.owner = [f"seller-{rng.integers(num_owners):02d}" for _ in range(num_items)]
        self.pictures = pictures = [picture(rng) for _ in self.ids]
        directions = np.eye(16)[:4][[LEAVES.index(leaf) for leaf in self.leaf]]
        self.vectors = directions + rng.normal(0, 0.2, (num_items, 16))
        self.vectors /= np.linalg.norm(self.vectors, axis=1, keepdims=True)
        self.scores = rng.random(num_items)
        self._write_listings(pictures, column)
        self.write_model(rng.normal(size=(num_items, 8)))
        self.write("impressions", [], schema.IMPRESSIONS, key="request_id")
        self.write("labels", [], schema.LABELS, key="first_item")
        self.write("truth", [], schema.TRUTH)
        for name in ("finetune", "score"):
            (folder / f"{name}.csv").write_text("epoch,train_loss\n0,1.5\n1,0.75\n")

    def write(self, name, rows, table_schema, key="item_id"):
        write_shards(self.folder / name, pa.Table.from_pylist(rows, schema=table_schema), table_schema, NUM_SHARDS, key=key)

    def _write_listings(self, pictures, column):
        image_id = [hashlib.sha256(data).hexdigest() for data in pictures]
        fixed = {"title_language": "en", "description": "", "price": 1.0, "currency": "JPY", "status": "on_sale", "created_at": NOW}
        fixed |= {"app_version": None, "source": "shop.csv", "simulated": [], "product_id": None, **column}
        rows = [
            {"item_id": i, "seller_id": o, "title": f"帽子 <{i}>", "category": list(leaf), "image_id": image, **fixed}
            for i, o, leaf, image in zip(self.ids, self.owner, self.leaf, image_id, strict=True)
        ]
        self.write("listings", [row | column for row in rows], schema.LISTINGS)
        self.write("splits", [{"item_id": i, "split": "test", "group": f"group-{i}"} for i in self.ids], schema.SPLITS)
        stats = {"brightness": 0.5, "sharpness": 1.0, "contrast": 0.2, "text_share": 0.0}
        images = [
            {"image_id": m, "data": d, "width": 24, "height": 24, "phash": 0, "stats": stats}
            for m, d in zip(image_id, pictures, strict=True)
        ]
        for k in range(NUM_SHARDS):
            members = [image for image, item in zip(images, self.ids, strict=True) if shard_of(item, NUM_SHARDS) == k]
            table = pa.Table.from_pylist(members, schema=schema.IMAGES)
            write_table(self.folder / "images" / f"shard-{k:05d}.parquet", table, schema.IMAGES)
        self.image_id = image_id

    def write_model(self, untrained):
        self.write_embeddings(FINGERPRINT)
        index = IndexConfig(flat_below=20_000, num_cells=4, num_probes=4)
        build(self.folder / "index", self.ids, served_as(self.vectors), FINGERPRINT, index)
        serving = Serving(FINGERPRINT, dim=16, image_px=32, max_tokens=8, pad_id=0, precision="fp32", preprocessing=images_digest())
        write_json(self.folder / "exported" / "serving.json", dataclasses.asdict(serving))
        write_json(self.folder / "snapshot.json", {"source": {"kind": "simulate"}})
        write_vectors(self.folder / "untrained.parquet", self.ids, untrained)

    def write_embeddings(self, fingerprint):
        values = zip(self.ids, self.image_id, self.vectors.astype(np.float16), self.scores, strict=True)
        rows = [{"item_id": i, "image_id": m, "fingerprint": fingerprint, "vector": v, "image_score": float(s)} for i, m, v, s in values]
        self.write("embeddings", rows, schema.embeddings(16))

    def write_truth(self, quality):
        rows = [{"item_id": i, "quality": float(q), "kind": "hat", "defects": []} for i, q in zip(self.ids, quality, strict=True)]
        self.write("truth", rows, schema.TRUTH)

    def write_labels(self, better_of):
        rows = []
        for first, second in (self.rng.choice(len(self.ids), 2, replace=False) for _ in range(200)):
            for a, b in ((first, second), (second, first)):
                choice = "first" if better_of(a, b) == a else "second"
                row = {"first_item": self.ids[a], "second_item": self.ids[b], "clicked_item": self.ids[first], "choice": choice}
                row |= {"split": "test", "adjectives": [], "judge": "heuristic", "rubric": "1", "cache_key": "k"}
                rows.append(row)
        self.write("labels", rows, schema.LABELS, key="first_item")

    def pages(self, clicked, *, simulated, num_pages=120, first=0):
        rows = []
        for page in range(first, first + num_pages):
            source, *shown = self.rng.choice(len(self.ids), 9, replace=False)
            for position, n in enumerate(shown):
                row = {"request_id": f"page-{page}", "ts": NOW, "surface": "similar", "platform": "web", "user_id": f"user-{page % 40}"}
                row |= {"query": None, "source_item_id": self.ids[source], "item_id": self.ids[n], "position": position, "price": 1.0}
                rows.append(row | {"clicked": clicked(source, n), "purchased": False, "release_id": "none", "simulated": simulated})
        return rows

    def release(self, vectors, *, held_out=None, catalogue=None, golden=None, scores=None, **facts):
        """Makes a bundle with these answers the stable release; `held_out` and `catalogue` are places of items, all where not given."""
        places = range(len(self.ids)) if held_out is None else held_out
        scores = self.scores if scores is None else scores
        rows = [{"item_id": self.ids[n], "image_id": self.image_id[n], "vector": vectors[n], "image_score": scores[n]} for n in places]
        known = self.ids if catalogue is None else [self.ids[n] for n in catalogue]
        made = self.folder / f"made-{len(list(self.folder.glob('made-*')))}"
        write_bundle(made, held_out=rows, catalogue=known, golden=self.pictures[:3] if golden is None else golden, **facts)
        name_stable(self.folder / "snapshot.json", keep(made, self.folder / "releases"))
        return made

    def evaluated(self, *external):
        d = self.folder
        cfg = CFG.model_copy(update={"external_vectors": [str(path) for path in external]})
        ins = [d / name for name in ("snapshot.json", "exported", "embeddings", "index", "listings", "images", "impressions", "splits")]
        ins += [d / name for name in ("labels", "truth", "untrained.parquet", "finetune.csv", "score.csv")]
        outs = d / "evaluate.html", d / "verdict.json"
        summary = evaluate(*ins, *outs, cfg=cfg, store=FolderStore(d / "cache"), kept_in=d / "releases")
        write_json(d / "evaluate.json", dataclasses.asdict(summary))
        return json.loads((d / "evaluate.json").read_text())


def served_as(vectors):
    """Vectors as `index` reads them: kept in half precision."""
    return vectors.astype(np.float16).astype(np.float32)


def write_vectors(path, items, vectors):
    rows = [{"item_id": i, "vector": v} for i, v in zip(items, np.asarray(vectors, np.float16), strict=True)]
    pq.write_table(pa.Table.from_pylist(rows, schema=VECTORS), path)


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A shop whose model is right: what it says, and its folder."""
    shop = Shop(tmp_path_factory.mktemp("good"), product_id="one")
    shop.write_truth(shop.scores)
    shop.write_labels(lambda a, b: a if shop.scores[a] > shop.scores[b] else b)
    pages = shop.pages(lambda s, n: shop.leaf[s] == shop.leaf[n], simulated=True)
    shop.write("impressions", pages, schema.IMPRESSIONS, key="request_id")
    return shop, shop.evaluated()


def test_a_model_that_knows_the_categories_is_promoted_with_its_reasons(good):
    _, report = good
    rows = report["encoder"]["all"]["category"]
    assert rows["model"]["ndcg_at_5"]["value"] > 0.9
    assert rows["random"]["ndcg_at_5"]["value"] < 0.45
    assert rows["model_minus_color_histogram"]["ndcg_at_5"]["low"] > 0.3
    assert report["promote"]
    assert [reason.split(":")[0] for reason in report["reasons"]] == ["passed"] * 3 + ["not decided"]
    assert report["reasons"][3] == "not decided: no stable release: only the baselines decide"
    assert report["stable"] == {}
    assert (report["rows_in"], report["rows_out"], report["index_recall_at_5"]) == (96, 96, 1.0)


def test_encoder_goes_from_slice_to_relevance_to_row_to_metric_and_nothing_else(good):
    _, report = good
    assert list(report["encoder"]) == ["Apparel", "Home", "all", "shop.csv"]
    own = {"model", "untrained", "color_histogram", "random"}
    for by_relevance in report["encoder"].values():
        assert set(by_relevance) == {"category", "product", "interactions"}
        for rows in by_relevance.values():
            assert set(rows) == own | {f"model_minus_{name}" for name in own - {"model"}}
            for metrics in rows.values():
                assert set(metrics) == {"ndcg_at_5", "p_at_1", "p_at_3"}
                assert all(m["low"] <= m["value"] <= m["high"] for m in metrics.values())


def test_a_score_that_is_the_truth_orders_every_pair(good):
    shop, report = good
    sides = report["image_score"]["all"]
    assert sides["truth"]["model"]["low"] == sides["truth"]["model"]["value"] == 1.0
    assert sides["truth"]["brightness"]["value"] == 0.5
    assert sides["judge_vs_truth"]["judge"]["value"] == 1.0
    assert sides["judge"]["model"]["value"] == 1.0
    assert 20 <= sides["judge"]["model"]["num_clusters"] <= len(set(shop.owner))
    assert abs(sides["clicks"]["model"]["value"] - 0.5) < 0.15


def test_simulated_clicks_are_marked_and_decide_nothing(good):
    _, report = good
    assert report["encoder"]["all"]["interactions"]["model"]["ndcg_at_5"]["value"] > 0.95
    counts = report["encoder_counts"]["all"]["interactions"]
    assert (counts["simulated"], counts["decides"]) == (True, False)
    assert 20 <= counts["num_clusters"] <= 40
    assert report["image_score"]["all"]["clicks"]["model"]["decides"] is False


def test_the_page_needs_nothing_else_and_shows_photos(good):
    shop, _ = good
    page = (shop.folder / "evaluate.html").read_text(encoding="utf-8")
    assert not re.findall(r"https?://|<script|<link|@import|url\(", page)
    assert len(page) < 5_000_000
    assert page.count("data:image/jpeg;base64,/9j/") >= 2 * 13
    assert "帽子 &lt;item-" in page
    assert "<item-" not in page
    assert "may be released" in page


def test_the_verdict_carries_the_word_the_reasons_and_the_numbers(good):
    shop, report = good
    verdict = json.loads((shop.folder / "verdict.json").read_text())
    assert (verdict["promote"], verdict["reasons"], verdict["fingerprint"]) == (True, report["reasons"], FINGERPRINT)
    assert verdict["headline"]["ndcg_at_5"]["category"]["model"] == report["encoder"]["all"]["category"]["model"]["ndcg_at_5"]
    assert verdict["headline"]["image_score_opa"]["truth"]["value"] == 1.0


def test_equal_inputs_give_equal_bytes_with_the_cache_cold_or_warm(tmp_path):
    shop = Shop(tmp_path)
    shop.evaluated()
    outs = [tmp_path / name for name in ("evaluate.json", "evaluate.html", "verdict.json")]
    first = [path.read_bytes() for path in outs]
    shop.evaluated()
    assert [path.read_bytes() for path in outs] == first


def test_a_model_no_better_than_its_start_is_not_promoted(tmp_path):
    shop = Shop(tmp_path)
    write_vectors(tmp_path / "untrained.parquet", shop.ids, shop.vectors)
    report = shop.evaluated()
    assert not report["promote"]
    assert report["reasons"][1].startswith("failed: category ndcg_at_5 on all, model minus untrained: 0.000")
    assert "not to be released" in (tmp_path / "evaluate.html").read_text()


def test_few_sellers_are_reported_but_decide_nothing(tmp_path):
    report = Shop(tmp_path, num_owners=5).evaluated()
    assert report["encoder"]["all"]["category"]["model"]["ndcg_at_5"]["value"] > 0.9
    assert report["encoder_counts"]["all"]["category"]["decides"] is False
    assert not report["promote"]
    assert report["reasons"][-1].startswith("failed: no gate of the encoder decided")


def test_without_sellers_the_products_are_owners_and_without_products_the_groups(tmp_path):
    by_product = Shop(tmp_path / "a", seller_id=None, product_id="one").evaluated()
    counts = by_product["encoder_counts"]["all"]["category"]
    assert (counts["num_queries"], counts["num_without_relevant"]) == (0, 96)
    by_group = Shop(tmp_path / "b", seller_id=None).evaluated()
    assert by_group["encoder_counts"]["all"]["category"]["num_clusters"] == 96


@pytest.mark.parametrize("num_items", [0, 1])
def test_a_shop_with_nothing_to_measure_gets_a_page_and_no_promotion(tmp_path, num_items):
    shop = Shop(tmp_path, num_items=max(num_items, 1))
    if not num_items:
        shop.write("splits", [{"item_id": shop.ids[0], "split": "train", "group": "g"}], schema.SPLITS)
    report = shop.evaluated()
    assert report["rows_in"] == num_items
    assert report["encoder"]["all"] == report["image_score"]["all"] == {}
    assert not report["promote"]
    assert "Nothing to measure it on" in (tmp_path / "evaluate.html").read_text()


def test_where_people_clicked_simulated_pages_are_left_out_and_counted(tmp_path):
    shop = Shop(tmp_path)
    real = shop.pages(lambda s, n: shop.leaf[s] == shop.leaf[n], simulated=False)
    made_up = shop.pages(lambda s, n: shop.leaf[s] != shop.leaf[n], simulated=True, num_pages=30, first=1000)
    shop.write("impressions", real + made_up, schema.IMPRESSIONS, key="request_id")
    report = shop.evaluated()
    assert report["encoder"]["all"]["interactions"]["model"]["ndcg_at_5"]["value"] > 0.95
    assert report["encoder_counts"]["all"]["interactions"]["decides"] is True
    assert 0 < report["num_simulated_pages_left_out"] <= 30


def test_external_vectors_are_a_row_with_the_share_of_their_value_reached(tmp_path):
    shop = Shop(tmp_path)
    write_vectors(tmp_path / "production.parquet", shop.ids[:48], shop.vectors[:48])
    report = shop.evaluated(tmp_path / "production.parquet")
    rows = report["encoder"]["all"]["category"]
    assert rows["model_minus_production"]["ndcg_at_5"]["value"] == pytest.approx(0, abs=0.02)
    assert report["share_of"]["production"]["all"]["category"]["share"] == pytest.approx(1, abs=0.02)
    assert report["coverage"]["production"] == {"num_items": 48, "share": 0.5}


def test_external_vectors_that_are_not_there_or_not_vectors_are_refused_by_name(tmp_path):
    shop = Shop(tmp_path)
    with pytest.raises(BadData, match=r"nowhere\.parquet.*there is no such file"):
        shop.evaluated(tmp_path / "nowhere.parquet")
    pq.write_table(pa.table({"id": ["a"], "vector": ["b"]}), tmp_path / "wrong.parquet")
    with pytest.raises(BadData, match=r"wrong\.parquet.*found id: string"):
        shop.evaluated(tmp_path / "wrong.parquet")
    pq.write_table(pa.table({"item_id": shop.ids[:2], "vector": [[1.0, 2.0], [1.0]]}), tmp_path / "ragged.parquet")
    with pytest.raises(BadData, match="one length"):
        shop.evaluated(tmp_path / "ragged.parquet")
    pq.write_table(pa.table({"item_id": shop.ids[:1], "vector": [[1.0, float("nan")]]}), tmp_path / "nan.parquet")
    with pytest.raises(BadData, match="not finite"):
        shop.evaluated(tmp_path / "nan.parquet")


def test_external_vectors_that_changed_since_the_snapshot_are_refused(tmp_path):
    shop = Shop(tmp_path)
    write_vectors(tmp_path / "production.parquet", shop.ids, shop.vectors)
    write_json(tmp_path / "snapshot.json", {"source": {"kind": "folder", "external_vectors": {"production.parquet": "0" * 64}}})
    with pytest.raises(BadData, match="has changed since the snapshot"):
        shop.evaluated(tmp_path / "production.parquet")


def test_vectors_of_another_model_are_refused(tmp_path):
    shop = Shop(tmp_path)
    shop.write_embeddings("another-model")
    with pytest.raises(BadBundle, match="another-model"):
        shop.evaluated()


def test_an_index_of_another_model_or_of_fewer_items_is_refused(tmp_path):
    shop = Shop(tmp_path)
    cfg = IndexConfig(flat_below=20_000, num_cells=4, num_probes=4)
    build(tmp_path / "index", shop.ids, served_as(shop.vectors), "another-model", cfg)
    with pytest.raises(BadBundle, match="another-model"):
        shop.evaluated()
    build(tmp_path / "index", shop.ids[1:], served_as(shop.vectors[1:]), FINGERPRINT, cfg)
    with pytest.raises(BadBundle, match="lacks 1 of 96"):
        shop.evaluated()


def test_the_published_numbers_of_mobilenet_on_the_real_photos_come_out(photos):
    """README beside the photos: clothing .565 .538 .533, grocery products .963 .912 .888 (P@1, P@3, nDCG@5)."""
    rows = pq.read_table(photos / "baseline_mobilenet_v2_pca128.parquet", columns=["item_id"])["item_id"].to_pylist()
    listings = {line["item_id"]: line for line in read_listings(photos)}
    vectors = read_vectors(photos / "baseline_mobilenet_v2_pca128.parquet", rows)
    lines = [listings[item] for item in sorted(rows)]
    items = held(
        [(line["category"], line["subcategory"]) for line in lines],
        [line["contributor_id"] or line["group_id"] for line in lines],
        product=[line["group_id"] or None for line in lines],
        vectors=[vectors[line["item_id"]] for line in lines],
    )
    model = Row("model", items.vector_ND, Exact(items.vector_ND), np.ones(len(lines), bool))
    clothing = codes_of([line["group_id"] or None for line in lines]) < 0
    category, product = measure(category_relevance(items), [model]), measure(product_relevance(items), [model])
    assert category.value_QM["model"][clothing[category.item_Q]].mean(axis=0) == pytest.approx([0.533, 0.565, 0.538], abs=0.002)
    assert product.value_QM["model"].mean(axis=0) == pytest.approx([0.888, 0.963, 0.912], abs=0.002)


def read_listings(photos):
    with open(photos / "listings.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
