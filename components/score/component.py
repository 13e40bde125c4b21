"""The edge of `score`: votes and an encoder in, an Image Score head with its frozen scale out."""

import dataclasses
import hashlib
import logging
from pathlib import Path

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field
from torch import Tensor

from components import calibrator
from components.contract import Config, In, Out, Summary, write_curve
from components.errors import BadData, BadParams
from components.head import HeadShape, ScoreHead, save_head
from components.photos import Items, read_items, read_photos
from components.schema import ANCHORS
from components.score.train import HeadConfig, Lessons, OwnTrunkConfig, Taught, read_features, teach_on_own_trunk, teach_on_shared_trunk
from components.shards import read_shards, write_table
from components.siglip import Encoder, load_encoder
from components.votes import Vote, agreed_votes

log = logging.getLogger("vitrine")


class ScoreConfig(Config):
    """`num_anchors` photos carry the scale of the score from one training to the next."""

    head: HeadConfig
    own_trunk: OwnTrunkConfig
    num_anchors: int = Field(ge=2)
    threads: int = Field(ge=1)
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreSummary(Summary):
    """OPA is ordered pair accuracy on validation votes, in [0, 1], higher is better; null without such votes.

    Rows are votes: in, the pairs labelled; out, those used, on train and validation sides.
    """

    num_train_votes: int
    num_val_votes: int
    val_opa_shared_trunk: float | None
    val_opa_own_trunk: float | None
    own_trunk: bool
    num_anchors: int


def score(
    encoder: In, labels: In, listings: In, images: In, splits: In, score_head: Out, score_curve: Out, *, cfg: ScoreConfig
) -> ScoreSummary:
    """A head that orders photos as the judge does, beside the calibrator and the anchors that fix its scale.

    Votes are pairs on which the judge said the same in both orders. Raises BadData where the train side has none.
    """
    torch.set_num_threads(cfg.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, items = load_encoder(encoder), read_items(listings, splits, ["train", "val"])
    table = read_shards(labels)
    votes = [vote for vote in agreed_votes(table) if vote.split in ("train", "val")]
    photos = _Photos.of(items, votes, images, cfg.num_anchors)
    lessons = _lessons(votes, photos)
    if not len(lessons.train_P2):
        raise BadData(
            f"score: of {len(table)} labels none is an agreed vote on the train side, so there is nothing to learn the Image Score from; "
            "see choices in reports/label.json and pairs in reports/pairs.json"
        )
    shared, own, feature_NF = _teach_both(model, photos.data, lessons, cfg)
    kept = own if own and _own_is_worth_it(shared, own, cfg.own_trunk) else shared
    save_head(score_head, kept.head, kept.trunk)
    if kept.trunk is not None:
        feature_NF = read_features(kept.trunk, photos.data, model.image_px, cfg.head.layers)
    num_anchors = _write_scale(score_head, kept.head, feature_NF, photos)
    _write_curve(shared, own, score_curve)
    return ScoreSummary(
        rows_in=len({frozenset(p) for p in zip(table["first_item"].to_pylist(), table["second_item"].to_pylist(), strict=True)}),
        rows_out=len(lessons.train_P2) + len(lessons.val_P2),
        num_train_votes=len(lessons.train_P2),
        num_val_votes=len(lessons.val_P2),
        val_opa_shared_trunk=shared.val_opa,
        val_opa_own_trunk=own.val_opa if own else None,
        own_trunk=kept is own,
        num_anchors=num_anchors,
    )


@dataclasses.dataclass(frozen=True)
class _Photos:
    """The photos that votes or anchors need, each once: its id, its bytes, its row by item, and which rows are anchors."""

    image_ids: list[str]
    data: list[bytes]
    row_of_item: dict[str, int]
    anchor_rows: list[int]

    @classmethod
    def of(cls, items: Items, votes: list[Vote], images: Path, num_anchors: int) -> "_Photos":
        """Anchors are the photos with the lowest digest of their id, so no score can choose them."""
        anchors = sorted(set(items.image_ids), key=lambda i: hashlib.sha256(i.encode()).digest())[:num_anchors]
        voted = {item_id for vote in votes for item_id in (vote.better, vote.worse)}
        image_of = {i: p for i, p in zip(items.item_ids, items.image_ids, strict=True) if i in voted}
        image_ids = sorted({*anchors, *image_of.values()})
        data, row_of = read_photos(images, image_ids), {image_id: row for row, image_id in enumerate(image_ids)}
        return cls(image_ids, [data[i] for i in image_ids], {i: row_of[p] for i, p in image_of.items()}, [row_of[a] for a in anchors])


def _lessons(votes: list[Vote], photos: _Photos) -> Lessons:
    def of(side: str) -> np.ndarray:
        rows = [(photos.row_of_item[v.better], photos.row_of_item[v.worse]) for v in votes if v.split == side]
        return np.array(rows, np.int64).reshape(-1, 2)

    return Lessons(of("train"), of("val"))


def _teach_both(model: Encoder, photos: list[bytes], lessons: Lessons, cfg: ScoreConfig) -> tuple[Taught, Taught | None, Tensor]:
    """The head on the shared trunk, the one on its own trunk where that is asked for, and the shared trunk's features."""
    trunk, num_layers = model.vision_model, len(model.vision_model.encoder.layers)
    if any(not 0 <= layer <= num_layers for layer in cfg.head.layers):
        raise BadParams(f"score.head.layers = {cfg.head.layers}: this trunk has layers 0 (stem) to {num_layers}")
    shape = HeadShape(cfg.head.layers, model.width, cfg.head.hidden, own_trunk=False)
    feature_NF = read_features(trunk, photos, model.image_px, cfg.head.layers)
    shared = teach_on_shared_trunk(feature_NF, lessons, shape, cfg.head, cfg.seed)
    log.info("score: validation OPA on the shared trunk %s", shared.val_opa)
    if cfg.own_trunk.when == "never":
        return shared, None, feature_NF
    start = ScoreHead(dataclasses.replace(shape, own_trunk=True))
    start.load_state_dict(shared.head.state_dict())
    own = teach_on_own_trunk(trunk, photos, model.image_px, lessons, start, cfg.head, cfg.own_trunk, cfg.seed)
    log.info("score: validation OPA on a trunk of its own %s", own.val_opa)
    return shared, own, feature_NF


def _own_is_worth_it(shared: Taught, own: Taught, cfg: OwnTrunkConfig) -> bool:
    if cfg.when == "always":
        return True
    return shared.val_opa is not None and own.val_opa is not None and own.val_opa - shared.val_opa > cfg.max_opa_cost


@torch.no_grad()
def _write_scale(folder: Path, head: ScoreHead, feature_NF: Tensor, photos: _Photos) -> int:
    """Writes anchors and calibrator, and returns how many anchors there are."""
    rows = photos.anchor_rows
    raw = torch.sigmoid(head(feature_NF[rows])).numpy().astype(np.float64)
    target = calibrator.mid_ranks(raw)
    calibrator.fit(raw, target).write(folder / calibrator.CALIBRATOR)
    columns = {"image_id": [photos.image_ids[r] for r in rows], "data": [photos.data[r] for r in rows], "target": target.tolist()}
    write_table(folder / calibrator.ANCHORS, pa.table({n: pa.array(v, ANCHORS.field(n).type) for n, v in columns.items()}), ANCHORS)
    return len(rows)


def _write_curve(shared: Taught, own: Taught | None, path: Path) -> None:
    rows = [{"trunk": "shared", **row} for row in shared.curve] + [{"trunk": "own", **row} for row in (own.curve if own else [])]
    write_curve(path, ["epoch", "trunk", "train_loss", "val_opa"], rows)
