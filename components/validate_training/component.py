"""The gate between what was prepared and what is trained on: sides, pairs and labels."""

from dataclasses import dataclass
from pathlib import Path

from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

from components import schema
from components.contract import In, Out, Summary, write_json
from components.expectations.findings import Finding, observed_of, report_of, stop_on
from components.expectations.inspection import Part, Tables, inspect
from components.expectations.page import page_of, write_page
from components.expectations.suites import Suite, open_context, write_data_docs
from components.expectations.tables import num_rows
from components.stage_log import RUNS
from components.validate_training import batches, gates
from components.validate_training.advice import ADVICE
from components.validate_training.config import ValidateTrainingConfig
from components.validate_training.story import story_of

KEPT = RUNS / "validate_training"
SCHEMAS = {"splits": schema.SPLITS, "pairs": schema.PAIRS, "labels": schema.LABELS}


@dataclass(frozen=True, kw_only=True)
class ValidateTrainingSummary(Summary):
    """Rows are those of splits, pairs and labels. `observed` is what the gates that leave a margin measured, by table and gate."""

    gates_checked: int
    gates_not_checked: int
    observed: dict[str, dict[str, float]]


def validate_training(
    splits: In,
    pairs: In,
    labels: In,
    listings: In,
    validated_training: Out,
    training_page: Out,
    *,
    cfg: ValidateTrainingConfig,
    kept: Path = KEPT,
) -> ValidateTrainingSummary:
    """How many gates were checked and what they measured, after all have passed; raises BadData where one has not.

    Whether or not they pass, the page and Great Expectations' Data Docs are written to `kept`.
    """
    tables = {"splits": splits, "pairs": pairs, "labels": labels, "listings": listings}
    context = open_context(kept / "data_docs")
    findings, readable = look(tables, cfg, context)
    write_data_docs(context)
    page = page_of(story_of(findings, tables, readable))
    write_page(kept / "validate_training.html", page)
    stop_on(findings, "validate_training", kept / "validate_training.html")
    write_json(validated_training, report_of(findings))
    write_page(training_page, page)
    num_seen, unchecked = sum(num_rows(tables[name]) for name in SCHEMAS), sum(not finding.checked for finding in findings)
    return ValidateTrainingSummary(
        rows_in=num_seen,
        rows_out=num_seen,
        gates_checked=len(findings) - unchecked,
        gates_not_checked=unchecked,
        observed=observed_of(findings),
    )


def inspected(there: Tables, cfg: ValidateTrainingConfig, context: AbstractDataContext) -> list[Finding]:
    """The findings on whatever tables are there; nothing is written."""
    return look(there, cfg, context)[0]


def look(there: Tables, cfg: ValidateTrainingConfig, context: AbstractDataContext) -> tuple[list[Finding], bool]:
    """The findings, table by table as far as they are there, and whether the types were right."""
    parts = [
        Part(("splits", "listings"), lambda: splits_suites(there, cfg)),
        Part(("pairs", "splits", "listings"), lambda: pairs_suites(there, cfg)),
        Part(("labels", "splits", "listings"), lambda: labels_suites(there, cfg)),
    ]
    return inspect(there, SCHEMAS, ADVICE["training-table-types"], parts, context)


def splits_suites(there: Tables, cfg: ValidateTrainingConfig) -> list[Suite]:
    """The gates on splits, and on listings that have none."""
    rows = batches.splits_rows(there["splits"], batches.Sides.read(there["listings"], there["splits"]))
    covered = batches.listings_rows(there["listings"], there["splits"])
    return [
        Suite("splits", "", rows, gates.splits_gates(cfg, len(rows)), "item_id", there["splits"]),
        Suite("splits", "listings", covered, gates.coverage_gates(), "item_id", there["listings"]),
    ]


def pairs_suites(there: Tables, cfg: ValidateTrainingConfig) -> list[Suite]:
    """The gates on pairs."""
    rows = batches.pairs_rows(there["pairs"], batches.Sides.read(there["listings"], there["splits"]))
    return [Suite("pairs", "", rows, gates.pairs_gates(cfg, len(rows)), "request_id", there["pairs"])]


def labels_suites(there: Tables, cfg: ValidateTrainingConfig) -> list[Suite]:
    """The gates on labels and their adjectives."""
    rows = batches.labels_rows(there["labels"], batches.Sides.read(there["listings"], there["splits"]))
    words = batches.adjectives_rows(there["labels"])
    return [
        Suite("labels", "", rows, gates.labels_gates(cfg, rows["pair"].nunique()), "pair", there["labels"]),
        Suite("labels", "adjectives", words, gates.adjectives_gates(), "cache_key", there["labels"]),
    ]
