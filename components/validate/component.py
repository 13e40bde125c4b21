"""The gate between what came in and what is trained on."""

from dataclasses import dataclass
from pathlib import Path

from components import schema
from components.contract import RUNS, In, Out, Summary, write_json
from components.validate import batches, gates
from components.validate.findings import Finding, report_of, stop_on
from components.validate.gates import ValidateConfig
from components.validate.suites import Suite, open_context, run_suites, write_data_docs

DATA_DOCS = RUNS / "validate" / "data_docs"


@dataclass(frozen=True, kw_only=True)
class ValidateSummary(Summary):
    """Rows are those of all three tables. `observed` is what the gates that leave a margin measured, by table and gate."""

    gates_checked: int
    gates_not_checked: int
    observed: dict[str, dict[str, float]]


def validate(
    listings: In,
    images: In,
    impressions: In,
    quarantine: In,
    validation: Out,
    *,
    cfg: ValidateConfig,
    data_docs: Path = DATA_DOCS,
) -> ValidateSummary:
    """How many gates were checked and what they measured, after all have passed; raises BadData where one has not.

    Data Docs, static HTML by Great Expectations, are written to `data_docs` whether or not the gates pass. They carry the time of the
    run and fetch scripts from a CDN, so they lie in runs/ and are no DVC out; `validation` holds the same results without either.
    """
    context = open_context(data_docs)
    findings = run_suites(type_suites(listings, images, impressions), context)
    num_rows = 0
    if not any(finding.stops for finding in findings):
        shop = batches.shop(listings, images, impressions, cfg.near_blank_contrast)
        rows = [("listings", len(shop.listings)), ("images", len(shop.images)), ("impressions", len(shop.impressions))]
        num_rows = sum(count for _, count in rows)
        refused = Suite("quarantine", "", batches.refused_shares(quarantine, rows), gates.quarantine_gates(cfg))
        findings += run_suites([*row_suites(shop, cfg), refused], context)
    write_data_docs(context)
    stop_on(findings, data_docs)
    write_json(validation, report_of(findings))
    return summary_of(findings, num_rows)


def type_suites(listings: Path, images: Path, impressions: Path) -> list[Suite]:
    """Columns and types, looked at first: where they are wrong no other gate can be computed."""
    tables = [
        ("listings", listings, schema.LISTINGS),
        ("images", images, schema.IMAGES),
        ("impressions", impressions, schema.IMPRESSIONS),
    ]
    return [Suite(name, "types", batches.types_of(folder, kind), gates.schema_gates(), "column") for name, folder, kind in tables]


def row_suites(shop: batches.Shop, cfg: ValidateConfig) -> list[Suite]:
    """The gates on the rows of the three tables."""
    return [
        Suite("listings", "", shop.listings, gates.listings_gates(cfg, shop.freshness_unchecked), "item_id"),
        Suite("images", "", shop.images, gates.images_gates(cfg), "image_id"),
        Suite("impressions", "", shop.impressions, gates.impressions_gates(cfg, len(shop.impressions)), "request_id"),
    ]


def summary_of(findings: list[Finding], num_rows: int) -> ValidateSummary:
    """The stage's metrics."""
    observed: dict[str, dict[str, float]] = {}
    for finding in findings:
        if finding.observed is not None and finding.high != 0:
            observed.setdefault(finding.suite, {})[finding.gate.name] = finding.observed
    unchecked = sum(bool(finding.gate.unchecked) for finding in findings)
    return ValidateSummary(
        rows_in=num_rows,
        rows_out=num_rows,
        gates_checked=len(findings) - unchecked,
        gates_not_checked=unchecked,
        observed=observed,
    )
