"""label: a judge compares the photos of click pairs, each pair in both orders."""

import logging
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from components import schema
from components.contract import In, Out, Summary, code_digest
from components.errors import BadData
from components.label.asking import all_answers
from components.label.config import LabelConfig
from components.label.heuristic import HeuristicJudge, Notebook
from components.label.judge import Judge
from components.label.sample import SPLITS, both_orders, distinct_pairs, sample, with_pictures
from components.label.votes import (
    Health,
    Vote,
    click_agreement_share,
    first_chosen_share,
    health,
    label_rows,
    order_agreement_share,
    top_adjectives,
)
from components.objects import ObjectStore
from components.photos import read_photos
from components.shards import read_shards, shard_paths, write_shards
from components.work_cache import WorkCache, default_store

log = logging.getLogger("vitrine")


@dataclass(frozen=True, kw_only=True)
class LabelSummary(Summary):
    """How the judge judged. Shares lie in [0, 1] and are None where nothing was judged; votes.py says what each one counts."""

    judge: str
    rubric: str
    num_pairs: int
    num_same_picture: int
    pairs_by_split: Mapping[str, int]
    choices: Mapping[str, int]
    unusable: Mapping[str, int]
    order_agreement_share: float | None
    click_agreement_share: float | None
    first_chosen_share: float | None
    health: Health
    adjectives: Mapping[str, Mapping[str, Mapping[str, int]]]


def label(
    pairs: In,
    impressions: In,
    listings: In,
    images: In,
    labels: Out,
    *,
    cfg: LabelConfig,
    store: ObjectStore | None = None,
    judge: Judge | None = None,
) -> LabelSummary:
    """Two rows a sampled pair, one for each order of its photos. A pair of items is judged once, however many pages showed it.

    Raises JudgeFailed or CallLimit after all answers so far are in the work cache, where the next run finds them.
    """
    store = store or default_store()
    measures = WorkCache(store, "label-measures", {"code": code_digest("label"), "image_px": str(cfg.image_px)})
    judge = judge or judge_of(cfg, measures)
    clicks = pl.DataFrame(read_shards(pairs, ["request_id", "split", "clicked_item", "skipped_item"]))
    distinct = distinct_pairs(clicks, read_requests(impressions, clicks))
    pictured = with_pictures(distinct, pl.DataFrame(read_shards(listings, ["item_id", "image_id"])))
    chosen = sample(pictured, cfg.split_shares.model_dump(), cfg.max_pairs)
    log.info("label: %d of %d pairs of items go to %s, each in both orders", chosen.height, pictured.height, judge.id)
    answers = answers_of(judge, cfg, store)
    votes = votes_on(chosen, judge, images, cfg, answers)
    measures.close()
    answers.close()
    table = pa.Table.from_pylist(label_rows(votes, judge), schema.LABELS)
    write_shards(labels, table, schema.LABELS, len(shard_paths(listings)), key="first_item")
    return summary_of(votes, judge, rows_in=clicks.height, num_same_picture=distinct.height - pictured.height)


def judge_of(cfg: LabelConfig, measures: WorkCache) -> Judge:
    """The judge that params name. The heuristic's measures are kept by picture, and made again when its code changes."""
    if cfg.judge == "openai":
        from components.label.openai_judge import OpenAiJudge  # here, since its client takes seconds to import

        return OpenAiJudge(cfg)
    return HeuristicJudge(Notebook(measures.pack("pictures"), cfg.image_px), cfg.tie_margin)


def read_requests(impressions: Path, clicks: pl.DataFrame) -> pl.DataFrame:
    """request_id, ts and query of the pages that gave pairs, one row a page."""
    pages = pl.scan_parquet(shard_paths(impressions)).select("request_id", "ts", "query")
    wanted = clicks.lazy().select("request_id").unique()
    return pages.join(wanted, on="request_id", how="semi").group_by("request_id").agg(pl.min("ts"), pl.min("query")).collect()


def answers_of(judge: Judge, cfg: LabelConfig, store: ObjectStore) -> WorkCache:
    """Verdicts by question, kept by everything that changes an answer. A model's depend on no code here: they are paid for, and data."""
    asked = {"judge": judge.id, "rubric": judge.rubric, "image_px": str(cfg.image_px)}
    if not judge.paid:
        return WorkCache(store, "label", asked | {"tie_margin": str(cfg.tie_margin), "code": code_digest("label")})
    knobs = {"temperature": str(cfg.temperature), "max_answer_tokens": str(cfg.max_answer_tokens)}
    return WorkCache(store, "label", asked | knobs, paid=True)


def votes_on(chosen: pl.DataFrame, judge: Judge, images: Path, cfg: LabelConfig, answers: WorkCache) -> list[Vote]:
    """The judge's votes on the pairs, two a pair."""
    showings = both_orders(chosen, with_query=judge.paid and cfg.show_query)
    kept = answers.pack("answers")
    verdicts = all_answers([s.question for s in showings], judge, lambda ids: pictures_of(images, ids), kept, cfg.concurrency)
    return [Vote(s.first_item, s.second_item, s.clicked_item, s.split, s.question.key(judge), verdicts[s.question]) for s in showings]


def pictures_of(images: Path, image_ids: set[str]) -> Mapping[str, bytes]:
    """Encoded pictures by image_id. Raises BadData where one is missing."""
    found = read_photos(images, image_ids)
    if missing := sorted(image_ids - set(found)):
        raise BadData(f"{len(missing)} of {len(image_ids)} pictures of the pairs are not in images, first {missing[0]}; rerun ingest")
    return found


def summary_of(votes: list[Vote], judge: Judge, *, rows_in: int, num_same_picture: int) -> LabelSummary:
    """The votes, counted."""
    choices = Counter(vote.verdict.choice for vote in votes)
    splits = Counter({vote.pair: vote.split for vote in votes}.values())
    return LabelSummary(
        rows_in=rows_in,
        rows_out=len(votes),
        judge=judge.id,
        rubric=judge.rubric,
        num_pairs=len(votes) // 2,
        num_same_picture=num_same_picture,
        pairs_by_split={split: splits[split] for split in SPLITS},
        choices={choice: choices[choice] for choice in ("first", "second", "tie", "cannot_judge")},
        unusable=dict(Counter(vote.verdict.unusable for vote in votes if vote.verdict.unusable)),
        order_agreement_share=order_agreement_share(votes),
        click_agreement_share=click_agreement_share(votes),
        first_chosen_share=first_chosen_share(votes),
        health=health(votes),
        adjectives=top_adjectives(votes),
    )
