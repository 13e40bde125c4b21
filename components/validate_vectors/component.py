"""The gate between vectors and the index that serves them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext
from markupsafe import Markup

from components import schema
from components.contract import In, Out, Summary, write_json
from components.expectations.drawings import histogram
from components.expectations.findings import Finding, observed_of, report_of, stop_on
from components.expectations.inspection import Part, Tables, inspect
from components.expectations.page import Story, page_of, write_page
from components.expectations.suites import Suite, open_context, write_data_docs
from components.expectations.tables import num_rows
from components.stage_log import RUNS
from components.towers import Serving
from components.validate_vectors import batches, gates
from components.validate_vectors.advice import ADVICE
from components.validate_vectors.config import ValidateVectorsConfig

KEPT = RUNS / "validate_vectors"
ABOUT = (
    "Gates on the vectors and scores that would be served, before an index is built. Dots are what was found, thick lines what is allowed."
)
BINS = 40


@dataclass(frozen=True, kw_only=True)
class ValidateVectorsSummary(Summary):
    """Rows are those of embeddings. `observed` is what the gates that leave a margin measured, by table and gate."""

    fingerprint: str
    gates_checked: int
    gates_not_checked: int
    observed: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Seen:
    """What the gates found, and the random pairs of vectors they looked at; None where the types are wrong."""

    findings: list[Finding]
    vectors: batches.Vectors | None


def validate_vectors(
    embeddings: In,
    listings: In,
    exported: In,
    validated_vectors: Out,
    vectors_page: Out,
    *,
    cfg: ValidateVectorsConfig,
    kept: Path = KEPT,
) -> ValidateVectorsSummary:
    """How many gates were checked and what they measured, after all have passed; raises BadData where one has not.

    Whether or not they pass, the page and Great Expectations' Data Docs are written to `kept`.
    """
    context = open_context(kept / "data_docs")
    fingerprint, num_vectors = Serving.read(exported).fingerprint, num_rows(embeddings)
    seen = look({"embeddings": embeddings, "listings": listings, "exported": exported}, cfg, context)
    write_data_docs(context)
    page = page_of(story_of(seen, fingerprint, num_vectors))
    write_page(kept / "validate_vectors.html", page)
    stop_on(seen.findings, "validate_vectors", kept / "validate_vectors.html")
    write_json(validated_vectors, report_of(seen.findings))
    write_page(vectors_page, page)
    unchecked = sum(not finding.checked for finding in seen.findings)
    return ValidateVectorsSummary(
        rows_in=num_vectors,
        rows_out=num_vectors,
        fingerprint=fingerprint,
        gates_checked=len(seen.findings) - unchecked,
        gates_not_checked=unchecked,
        observed=observed_of(seen.findings),
    )


def inspected(there: Tables, cfg: ValidateVectorsConfig, context: AbstractDataContext) -> list[Finding]:
    """The findings on whatever tables are there; nothing is written."""
    return look(there, cfg, context).findings


def look(there: Tables, cfg: ValidateVectorsConfig, context: AbstractDataContext) -> Seen:
    """Everything that can be said once vectors, listings and the exported model are there; nothing before."""
    if not all(name in there for name in ("embeddings", "listings", "exported")):
        return Seen([], None)
    serving = Serving.read(there["exported"])
    found: list[batches.Vectors] = []

    def suites() -> list[Suite]:
        found.append(batches.vectors_of(there["embeddings"], there["listings"], cfg.num_random_pairs, cfg.seed))
        return suites_of(found[0], there, cfg, serving.fingerprint)

    parts = [Part(("embeddings", "listings"), suites)]
    findings, _ = inspect(there, {"embeddings": schema.embeddings(serving.dim)}, ADVICE["vector-table-types"], parts, context)
    return Seen(findings, found[0] if found else None)


def suites_of(vectors: batches.Vectors, there: Tables, cfg: ValidateVectorsConfig, fingerprint: str) -> list[Suite]:
    """The gates on vectors, on listings that have none, and on random pairs of vectors."""
    items, num_items = vectors.items, len(vectors.items)
    covered = batches.listings_rows(there["listings"], there["embeddings"])
    return [
        Suite("embeddings", "", items, gates.items_gates(cfg, fingerprint, num_items), "item_id", there["embeddings"]),
        Suite("embeddings", "listings", covered, gates.coverage_gates(), "item_id", there["listings"]),
        Suite("embeddings", "pairs", vectors.pairs, gates.pairs_gates(cfg, num_items), "first_item"),
    ]


def story_of(seen: Seen, fingerprint: str, num_vectors: int) -> Story:
    """What reports/validate_vectors.html tells; where the types are wrong, the gates are all there is."""
    return Story(
        title="Validation of vectors and scores",
        about=ABOUT,
        stage="validate_vectors",
        facts={"vector space": fingerprint, "vectors": f"{num_vectors:,}"},
        findings=seen.findings,
        charts=charts_of(seen.vectors) if seen.vectors else {},
    )


def charts_of(vectors: batches.Vectors) -> dict[str, Markup]:
    """Histograms of the cosines of random pairs and of the image scores."""
    charts = {}
    if len(vectors.pairs):
        cosines = vectors.pairs["cosine"].to_numpy()
        charts[f"Cosine of {len(cosines):,} random pairs"] = histogram(cosines, BINS, low=-1.0, high=1.0)
    scores = vectors.items["image_score"].to_numpy().astype(np.float64)
    scores = scores[np.isfinite(scores)]
    return charts | ({"Image scores": histogram(scores, BINS, low=0.0, high=1.0)} if len(scores) else {})
