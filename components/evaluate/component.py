"""The edge of `evaluate`: what would be served, measured on held-out items against baselines, and the verdict on it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from components import releases
from components.contract import In, Out, Summary, write_json
from components.evaluate.config import EvaluateConfig
from components.evaluate.held_out import HeldOut, read_held_out
from components.evaluate.interactions import read_pages
from components.evaluate.orders import held_out_labels, label_health
from components.evaluate.page import Story, write_page
from components.evaluate.pictures import read_thumbnails
from components.evaluate.rankings import Searcher
from components.evaluate.relevance import category_relevance, product_relevance, slices_of
from components.evaluate.results import Results, coverage_of, results_of
from components.evaluate.rows import baseline_rows, external_rows, index_recall, served_row
from components.evaluate.score_table import distribution
from components.evaluate.sides import clicks_are_simulated, pixel_scores, read_quality, score_sides
from components.evaluate.stable import read_stable
from components.evaluate.strips import ends_of_score, good_and_bad, image_ids
from components.evaluate.table import STABLE, Measured, Row, measure, measure_pages
from components.neighbours import NeighbourIndex
from components.objects import ObjectStore
from components.shards import read_shards
from components.towers import Serving
from components.work_cache import default_store

log = logging.getLogger("vitrine")


@dataclass(frozen=True, kw_only=True)
class EvaluateSummary(Summary):
    """`encoder` goes slice -> relevance -> row -> metric -> value, low, high; `image_score` slice -> against -> row -> value, low, high
    and counts. docs/evaluation.md defines each word."""

    fingerprint: str
    promote: bool
    reasons: list[str]
    encoder: Mapping[str, Any]
    encoder_counts: Mapping[str, Any]
    image_score: Mapping[str, Any]
    score_distribution: Mapping[str, float]
    labels: Mapping[str, float]
    share_of: Mapping[str, Any]
    stable: Mapping[str, Any]
    coverage: Mapping[str, Any]
    index_recall_at_5: float | None
    num_owners: int
    num_simulated_pages_left_out: int


def evaluate(
    snapshot: In,
    exported: In,
    embeddings: In,
    index: In,
    listings: In,
    images: In,
    impressions: In,
    splits: In,
    labels: In,
    truth: In,
    untrained_vectors: In,
    finetune_curve: In,
    score_curve: In,
    evaluate_page: Out,
    verdict: Out,
    *,
    cfg: EvaluateConfig,
    open_index: Callable[[Path], Searcher] = NeighbourIndex.open,
    store: ObjectStore | None = None,
    kept_in: Path = releases.RELEASES,
) -> EvaluateSummary:
    """The encoder and the image score on held-out items, beside the stable release and baselines, and whether they may be released.

    Raises BadBundle where model, vectors and index are not of one space or the stable release cannot be read, BadData where external
    vectors are not what they should be.
    """
    store = store or default_store()
    fingerprint = Serving.read(exported).fingerprint
    release = releases.find(releases.stable_release(snapshot), kept_in)
    held = read_held_out(listings, splits, embeddings, fingerprint)
    log.info("evaluate: %d held-out items of %d owners", len(held.item_id), len(set(held.owner)))
    stable = read_stable(held, images, release, cfg.stable, store) if release else None
    rows = [served_row(held, open_index(index), fingerprint), *([stable.row] if stable else [])]
    rows += baseline_rows(held, images, untrained_vectors, cfg.seed, store)
    rows += external_rows(held, cfg.external_vectors, snapshot)
    measured = measured_by(held, rows, impressions)
    judged = held_out_labels(pl.DataFrame(read_shards(labels)), held.positions())
    rivals = ({STABLE: stable.score_N} if stable else {}) | pixel_scores(images, held)
    sides = score_sides(held, judged, read_quality(truth, held), rivals, clicks_are_simulated(impressions), cfg)
    results = results_of(measured, sides, rows, slices_of(held.category, held.source), stable, cfg)
    summary = summary_of(held, rows, measured, judged, results, fingerprint)
    write_page(evaluate_page, story(summary, results, held, rows, measured[0], images, cfg.num_strips, (finetune_curve, score_curve)))
    write_json(verdict, results.verdict(fingerprint))
    return summary


def measured_by(held: HeldOut, rows: Sequence[Row], impressions: Path) -> list[Measured]:
    """Per-query values for each kind of relevance, category first."""
    kinds = [measure(relevance, rows) for relevance in (category_relevance(held), product_relevance(held))]
    return [*kinds, measure_pages(read_pages(impressions, held.positions()), rows)]


def summary_of(
    held: HeldOut, rows: Sequence[Row], measured: Sequence[Measured], judged: pl.DataFrame, results: Results, fingerprint: str
) -> EvaluateSummary:
    """The report of the stage."""
    return EvaluateSummary(
        rows_in=len(held.item_id) + held.num_without_vector,
        rows_out=len(held.item_id),
        fingerprint=fingerprint,
        promote=results.promote,
        reasons=results.reasons,
        encoder=results.encoder_json(),
        encoder_counts=results.encoder_counts,
        image_score=results.score_counts,
        score_distribution=distribution(held.score_N),
        labels=label_health(judged),
        share_of=results.share_of,
        stable=results.stable,
        coverage=coverage_of(rows),
        index_recall_at_5=index_recall(held, rows[0]),
        num_owners=len(set(held.owner)),
        num_simulated_pages_left_out=sum(one.num_simulated_left_out for one in measured),
    )


def story(
    summary: EvaluateSummary,
    results: Results,
    held: HeldOut,
    rows: Sequence[Row],
    by_category: Measured,
    images: Path,
    num_strips: int,
    curves: tuple[Path, Path],
) -> Story:
    """What the page shows: the results, and the photos that explain them."""
    good, bad = good_and_bad(by_category, category_relevance(held), rows, held, num_strips)
    highest, lowest = ends_of_score(held, 2 * num_strips)
    return Story(
        results=results,
        fingerprint=summary.fingerprint,
        facts=facts_of(summary),
        scores=held.score_N.tolist(),
        curves={"Encoder": curves[0], "Image score": curves[1]},
        good=good,
        bad=bad,
        highest=highest,
        lowest=lowest,
        thumbnails=read_thumbnails(images, image_ids([*good, *bad], [*highest, *lowest])),
    )


def facts_of(summary: EvaluateSummary) -> dict[str, str]:
    """The counts at the head of the page."""
    facts = {"held-out items": f"{summary.rows_out:,}", "owners": f"{summary.num_owners:,}"}
    if without := summary.rows_in - summary.rows_out:
        facts["without a vector"] = f"{without:,}"
    if summary.stable:
        facts["stable release"] = summary.stable["release"][:12]
    partial = {name: f"{cover['share']:.0%}" for name, cover in summary.coverage.items() if cover["share"] < 1}
    if summary.index_recall_at_5 is not None:
        facts["found by the index"] = f"{summary.index_recall_at_5:.1%}"
    facts |= {f"covered by {name}": share for name, share in partial.items()}
    labels = summary.labels
    facts |= {"labels": f"{labels['num_labels']:,}", "not to be judged": f"{labels['cannot_judge_share']:.1%}"}
    return facts
