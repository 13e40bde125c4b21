"""How a pool is made of a finished workspace: its photos as they are, and as each fault leaves them, embedded once."""

import hashlib
import json
import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import bundle as layout
from components.calibrator import ANCHORS
from components.contract import bind, path_of
from components.embed.component import EmbedConfig
from components.errors import BadData
from components.fingerprint import file_digest
from components.ingest.admit import language_of
from components.ingest.market import MarketConfig
from components.manifest import MANIFEST, folder_digest
from components.photos import read_photos
from components.shards import read_shards
from components.towers import Towers
from monitoring.buckets import quality_edges_of
from monitoring.rehearsal import photos
from monitoring.rehearsal.cards import Row, Source, ai_made, altered, floods, new_kinds
from monitoring.rehearsal.config import PoolConfig
from monitoring.rehearsal.pool import ABOUT_FILE, CARDS, DARKER, QUIET, RESIZED, Known, Pool, load, save

log = logging.getLogger("vitrine")

LISTED = ["item_id", "image_id", "seller_id", "title", "title_language", "description", "category", "price", "currency", "app_version"]
ODD_TITLE = "★★★ {:.0f} ★★★"


def pool_of(params: Mapping[str, Any], cfg: PoolConfig, cache: Path) -> Pool:
    """The pool of the workspace that params.yaml describes. It is made once for a bundle and config, and then lies in `cache`.

    Raises BadData where the workspace has no listings to make it of; BadBundle where its bundle is not whole."""
    key = _key(params, cfg)
    folder = cache / key
    if not (folder / ABOUT_FILE).is_file():
        started = time.monotonic()
        pool = _made(params, cfg, folder)
        log.info("rehearsal: a pool of %d photos embedded in %.1f s", pool.cards.num_rows, time.monotonic() - started)
        return pool
    return load(folder)


def _key(params: Mapping[str, Any], cfg: PoolConfig) -> str:
    code = [Path(__file__).with_name(name).read_bytes() for name in ("making.py", "cards.py", "photos.py", "kinds.py", "pool.py")]
    facts = [file_digest(path_of("bundle", params) / MANIFEST), folder_digest(path_of("embeddings", params)), cfg.model_dump_json()]
    return hashlib.sha256(b"\0".join([*(fact.encode() for fact in facts), *code])).hexdigest()[:16]


def _made(params: Mapping[str, Any], cfg: PoolConfig, folder: Path) -> Pool:
    bundle = path_of("bundle", params)
    rows = _quiet(params, cfg)
    embed = bind(EmbedConfig, "embed", params)
    source = Source(
        rows=rows,
        data=read_photos(path_of("images", params), [row["image_id"] for row in rows]),
        towers=Towers.open(bundle, threads=embed.threads),
        batch_size=embed.batch_size,
        rng=np.random.default_rng(0),
    )
    pictures: dict[str, bytes] = dict(source.data)
    market = bind(MarketConfig, "market", params)
    cards = [*rows, *altered(source, DARKER, photos.darker, pictures), *altered(source, RESIZED, photos.badly_resized, pictures)]
    cards += [*ai_made(source, pictures), *new_kinds(source, cfg.num_new, market.photo_px, pictures)]
    cards += floods(source, cfg.num_floods, cfg.flood_size, pictures)
    manifest = json.loads((bundle / MANIFEST).read_text(encoding="utf-8"))
    reference = pq.read_table(bundle / layout.DRIFT_REFERENCE, columns=["image_score"])
    pool = Pool(
        cards=pa.Table.from_pylist(cards, schema=CARDS),
        vectors=np.stack([card["vector"] for card in cards]),
        known=_known(source, bundle, cfg.num_augmented),
        fingerprint=str(manifest["fingerprint"]),
        release_id=file_digest(bundle / MANIFEST),
        quality_edges=quality_edges_of(reference["image_score"].to_numpy()),
        click=market.click,
    )
    return save(pool, pictures, folder)


def _quiet(params: Mapping[str, Any], cfg: PoolConfig) -> list[Row]:
    """The quiet cards, in order of their kind: listings with the vectors and scores of the embeddings."""
    rng = np.random.default_rng(1)
    stats = {row["image_id"]: row for row in read_shards(path_of("images", params), ["image_id", "width", "height", "stats"]).to_pylist()}
    served = {row["item_id"]: row for row in read_shards(path_of("embeddings", params), ["item_id", "vector", "image_score"]).to_pylist()}
    good = _quality(path_of("truth", params))
    listed = sorted(read_shards(path_of("listings", params), LISTED).to_pylist(), key=lambda row: str(row["item_id"]))
    listed = [row for row in listed if row["seller_id"] and row["category"]]
    if not listed:
        raise BadData("no listing has a seller and a category, so no days can be simulated: run `dvc repro ingest`")
    chosen = sorted(rng.permutation(len(listed))[: cfg.max_items].tolist())
    odd = rng.random(len(chosen)) < cfg.odd_title_share
    rows = [_card(listed[place], served, stats, good, titled=not odd[number]) for number, place in enumerate(chosen)]
    return sorted(rows, key=lambda row: (row["category"], row["item_id"]))


def _quality(truth: Path) -> dict[str, float]:
    """True quality of photos by item, where the simulator knows it."""
    if not truth.is_dir():
        return {}
    table = read_shards(truth, ["item_id", "quality"])
    return dict(zip(table["item_id"].to_pylist(), table["quality"].to_pylist(), strict=True))


def _card(listed: Row, served: Mapping[str, Row], stats: Mapping[str, Row], good: Mapping[str, float], *, titled: bool) -> Row:
    picture, answer = stats[listed["image_id"]], served[listed["item_id"]]
    row: Row = listed | {"part": QUIET, "made_of": -1, "width": picture["width"], "height": picture["height"]} | picture["stats"]
    if not titled:
        row["title"] = ODD_TITLE.format(listed["price"])
    row["title_language"] = language_of(row["title"])
    appeal = good.get(listed["item_id"], answer["image_score"])
    return row | {"image_score": answer["image_score"], "vector": np.array(answer["vector"], np.float32), "appeal": appeal}


def _known(source: Source, bundle: Path, num_copies: int) -> Known:
    """What the bundle answers to its own anchors and golden photos, and vectors of altered copies of quiet cards."""
    anchors, golden = pq.read_table(bundle / ANCHORS), pq.read_table(bundle / layout.GOLDEN)
    vectors, _ = source.embedded(golden["data"].to_pylist())
    copied = np.sort(source.rng.permutation(len(source.rows))[:num_copies])
    altered = [photos.listed_again(source.data[source.rows[number]["image_id"]], source.rng) for number in copied]
    return Known(
        anchor_scores=source.embedded(anchors["data"].to_pylist())[1],
        anchor_targets=anchors["target"].to_numpy().astype(np.float32),
        golden_cosine=np.asarray((vectors * np.stack(golden["vector"].to_numpy())).sum(axis=1), np.float32),
        copies=source.embedded(altered)[0],
        copied=copied,
    )
