"""The edge of `score`: votes and an encoder in, an Image Score head with its frozen scale out."""

import dataclasses
import logging
from pathlib import Path

import numpy as np
import torch
from pydantic import Field

from components import releases
from components.contract import Config, In, Out, Summary, write_curve
from components.errors import BadData, BadParams
from components.head import HeadShape, ScoreHead, save_head
from components.objects import ObjectStore
from components.photos import Items, read_items, read_photos
from components.score.resume import Resume, resume_from
from components.score.scale import Outputs, begin, carry_on, chosen_anchors
from components.score.train import HeadConfig, Lessons, OwnTrunkConfig, Taught, read_features, teach_on_own_trunk, teach_on_shared_trunk
from components.shards import read_shards
from components.siglip import Encoder, load_encoder
from components.votes import Vote, agreed_votes
from components.work_cache import default_store

log = logging.getLogger("vitrine")


class ScoreConfig(Config):
    """`num_anchors` photos carry the scale of the score from one training to the next; less than min_anchor_share of those of the
    stable release do not."""

    head: HeadConfig
    own_trunk: OwnTrunkConfig
    num_anchors: int = Field(ge=2)
    min_anchor_share: float = Field(gt=0, le=1)
    threads: int = Field(ge=1)
    seed: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class ScoreSummary(Summary):
    """OPA is ordered pair accuracy on validation votes, in [0, 1], higher is better; null without such votes.

    Rows are votes: in, the pairs labelled; out, those used, on train and validation sides. `scale_of` is the release whose scale was
    carried on, null where this training begins one; `anchor_shift` the mean distance of its anchors' Image Scores from their targets.
    """

    num_train_votes: int
    num_val_votes: int
    val_opa_shared_trunk: float | None
    val_opa_own_trunk: float | None
    own_trunk: bool
    scale_of: str | None
    num_anchors: int
    num_anchors_left_out: int
    anchor_shift: float


def score(
    snapshot: In,
    validated_training: In,
    encoder: In,
    labels: In,
    listings: In,
    images: In,
    splits: In,
    score_head: Out,
    score_curve: Out,
    *,
    cfg: ScoreConfig,
    kept_in: Path = releases.RELEASES,
    store: ObjectStore | None = None,
) -> ScoreSummary:
    """A head that orders photos as the judge does, beside the calibrator and the anchors that fix its scale.

    Votes are pairs on which the judge said the same in both orders. Raises BadData where the train side has none, or where too few
    anchors of the stable release can still be used, and BadBundle where that release cannot be read. Goes on from the checkpoints of a
    run with the same encoder, photos, votes, params and code. `validated_training` is not read: its gates pass before anything is taught.
    """
    release = releases.find(releases.stable_release(snapshot), kept_in)
    torch.set_num_threads(cfg.threads)
    torch.use_deterministic_algorithms(True, warn_only=True)
    model, items = load_encoder(encoder), read_items(listings, splits, ["train", "val"])
    table = read_shards(labels)
    votes = [vote for vote in agreed_votes(table) if vote.split in ("train", "val")]
    photos = _Photos.of(items, votes, images)
    lessons = _lessons(votes, photos)
    if not len(lessons.train_P2):
        raise BadData(
            f"score: of {len(table)} labels none is an agreed vote on the train side, so there is nothing to learn the Image Score from; "
            "see choices in reports/label.json and pairs in reports/pairs.json"
        )
    resume = resume_from(store or default_store(), cfg.model_dump_json(), encoder, photos.data, lessons)
    shared, own = _teach_both(model, photos.data, lessons, cfg, resume)
    kept = own if own and _own_is_worth_it(shared, own, cfg.own_trunk) else shared
    save_head(score_head, kept.head, kept.trunk)
    outputs = _outputs(kept, model, cfg.head.layers)
    if release:
        held_out = set(read_items(listings, splits, ["test"]).image_ids)
        scale = carry_on(score_head, release, outputs, held_out, cfg.min_anchor_share)
    else:
        anchors = chosen_anchors(items.image_ids, cfg.num_anchors)
        scale = begin(score_head, anchors, read_photos(images, anchors), outputs)
    _write_curve(shared, own, score_curve)
    return ScoreSummary(
        rows_in=len({frozenset(p) for p in zip(table["first_item"].to_pylist(), table["second_item"].to_pylist(), strict=True)}),
        rows_out=len(lessons.train_P2) + len(lessons.val_P2),
        num_train_votes=len(lessons.train_P2),
        num_val_votes=len(lessons.val_P2),
        val_opa_shared_trunk=shared.val_opa,
        val_opa_own_trunk=own.val_opa if own else None,
        own_trunk=kept is own,
        scale_of=release.name if release else None,
        num_anchors=scale.num_anchors,
        num_anchors_left_out=scale.num_left_out,
        anchor_shift=scale.shift,
    )


@dataclasses.dataclass(frozen=True)
class _Photos:
    """The photos that votes need, each once: its bytes, and its row by item."""

    data: list[bytes]
    row_of_item: dict[str, int]

    @classmethod
    def of(cls, items: Items, votes: list[Vote], images: Path) -> "_Photos":
        voted = {item_id for vote in votes for item_id in (vote.better, vote.worse)}
        image_of = {i: p for i, p in zip(items.item_ids, items.image_ids, strict=True) if i in voted}
        image_ids = sorted(set(image_of.values()))
        data, row_of = read_photos(images, image_ids), {image_id: row for row, image_id in enumerate(image_ids)}
        return cls([data[i] for i in image_ids], {i: row_of[p] for i, p in image_of.items()})


def _lessons(votes: list[Vote], photos: _Photos) -> Lessons:
    def of(side: str) -> np.ndarray:
        rows = [(photos.row_of_item[v.better], photos.row_of_item[v.worse]) for v in votes if v.split == side]
        return np.array(rows, np.int64).reshape(-1, 2)

    return Lessons(of("train"), of("val"))


def _teach_both(model: Encoder, photos: list[bytes], lessons: Lessons, cfg: ScoreConfig, resume: Resume) -> tuple[Taught, Taught | None]:
    """The head on the shared trunk, and the one on its own trunk where that is asked for."""
    trunk, num_layers = model.vision_model, len(model.vision_model.encoder.layers)
    if any(not 0 <= layer <= num_layers for layer in cfg.head.layers):
        raise BadParams(f"score.head.layers = {cfg.head.layers}: this trunk has layers 0 (stem) to {num_layers}")
    shape = HeadShape(cfg.head.layers, model.width, cfg.head.hidden, own_trunk=False)
    trunk.to("cuda" if torch.cuda.is_available() else "cpu")
    feature_NF = read_features(trunk, photos, model.image_px, cfg.head.layers)
    shared = teach_on_shared_trunk(feature_NF, lessons, shape, cfg.head, cfg.seed, checkpoints=resume.shared)
    log.info("score: validation OPA on the shared trunk %s", shared.val_opa)
    if cfg.own_trunk.when == "never":
        return shared, None
    start = ScoreHead(dataclasses.replace(shape, own_trunk=True)).to(feature_NF.device)
    start.load_state_dict(shared.head.state_dict())
    own = teach_on_own_trunk(trunk, photos, model.image_px, lessons, start, cfg.head, cfg.own_trunk, cfg.seed, checkpoints=resume.own)
    log.info("score: validation OPA on a trunk of its own %s", own.val_opa)
    return shared, own


def _own_is_worth_it(shared: Taught, own: Taught, cfg: OwnTrunkConfig) -> bool:
    if cfg.when == "always":
        return True
    return shared.val_opa is not None and own.val_opa is not None and own.val_opa - shared.val_opa > cfg.max_opa_cost


def _outputs(kept: Taught, model: Encoder, layers: list[int]) -> Outputs:
    trunk = model.vision_model if kept.trunk is None else kept.trunk

    @torch.no_grad()
    def outputs(photos: list[bytes]) -> np.ndarray:
        feature_NF = read_features(trunk, photos, model.image_px, layers)
        return torch.sigmoid(kept.head(feature_NF)).cpu().numpy().astype(np.float64)

    return outputs


def _write_curve(shared: Taught, own: Taught | None, path: Path) -> None:
    rows = [{"trunk": "shared", **row} for row in shared.curve] + [{"trunk": "own", **row} for row in (own.curve if own else [])]
    write_curve(path, ["epoch", "trunk", "train_loss", "val_opa"], rows)
