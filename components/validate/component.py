"""The gate between what came in and what is trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from great_expectations.data_context.data_context.abstract_data_context import AbstractDataContext

from components import schema
from components.contract import In, Out, Summary, write_json
from components.expectations.bands import Band
from components.expectations.findings import Finding, observed_of, report_of, stop_on
from components.expectations.history import past_of, read_history
from components.expectations.inspection import Part, Tables, inspect
from components.expectations.page import page_of, write_page
from components.expectations.profile import Profile
from components.expectations.suites import Suite, open_context, run_suites, write_data_docs
from components.expectations.tables import num_rows
from components.stage_log import RUNS
from components.validate import batches, gates
from components.validate.advice import ADVICE
from components.validate.config import ValidateConfig
from components.validate.past import bands_of, past_suites
from components.validate.profiling import profile_of, taken_of
from components.validate.story import story_of

KEPT = RUNS / "validate"
SCHEMAS = {"listings": schema.LISTINGS, "images": schema.IMAGES, "impressions": schema.IMPRESSIONS}
TABLES = (*SCHEMAS, "quarantine")


@dataclass(frozen=True, kw_only=True)
class ValidateSummary(Summary):
    """Rows are those of all three tables. `observed` is what the gates that leave a margin measured, by table and gate."""

    gates_checked: int
    gates_not_checked: int
    past_snapshots: int
    observed: dict[str, dict[str, float]]


@dataclass(frozen=True)
class Seen:
    """What the gates found, the snapshot's profile (None where the types are wrong) and the bands learnt from its past."""

    findings: list[Finding]
    profile: Profile | None
    past: Sequence[Profile]
    bands: dict[str, list[Band]]


def validate(
    listings: In,
    images: In,
    impressions: In,
    quarantine: In,
    snapshot: In,
    history: In,
    validation: Out,
    profile: Out,
    validate_page: Out,
    *,
    cfg: ValidateConfig,
    kept: Path = KEPT,
) -> ValidateSummary:
    """How many gates were checked and what they measured, after all have passed; raises BadData where one has not.

    Whether or not they pass, the page and Great Expectations' Data Docs are written to `kept`. Data Docs carry the time of the run and
    fetch scripts from a CDN, so they are no DVC out; `validation` and `validate_page` hold the same results without either.
    """
    tables = {"listings": listings, "images": images, "impressions": impressions, "quarantine": quarantine}
    context = open_context(kept / "data_docs")
    seen = look({**tables, "snapshot": snapshot, "history": history}, cfg, context)
    write_data_docs(context)
    page = page_of(story_of(seen.findings, tables, seen.profile, seen.past, seen.bands, cfg.history))
    write_page(kept / "validate.html", page)
    stop_on(seen.findings, "validate", kept / "validate.html")
    if seen.profile is None:
        raise AssertionError("types that pass leave a profile")
    write_json(validation, report_of(seen.findings))
    write_json(profile, seen.profile.model_dump(mode="json"))
    write_page(validate_page, page)
    return summary_of(seen, sum(seen.profile.rows.values()))


def inspected(there: Tables, cfg: ValidateConfig, context: AbstractDataContext) -> list[Finding]:
    """The findings on whatever tables are there; nothing is written."""
    return look(there, cfg, context).findings


def look(there: Tables, cfg: ValidateConfig, context: AbstractDataContext) -> Seen:
    """Everything that can be said of the tables that are there: rows once all of them are, the past once the snapshot is too."""
    findings, readable = inspect(there, SCHEMAS, ADVICE["table-types"], [Part(TABLES, lambda: row_suites(there, cfg))], context)
    if not readable or not all(name in there for name in (*TABLES, "snapshot", "history")):
        return Seen(findings, None, (), {})
    as_of, source = taken_of(there["snapshot"])
    profile, past = profile_of(there, as_of, source), past_of(read_history(there["history"]), source, as_of)
    bands = bands_of(profile, past, cfg.history)
    return Seen([*findings, *run_suites(past_suites(bands, len(past), cfg.history), context)], profile, past, bands)


def row_suites(there: Tables, cfg: ValidateConfig) -> list[Suite]:
    """The gates on the rows of the tables, and on the share of each that ingest refused."""
    shop = batches.shop(there["listings"], there["images"], there["impressions"], cfg.near_blank_contrast)
    listings, images, impressions = (there[name] for name in SCHEMAS)
    refused = [
        Suite("quarantine", n, batches.refused_rows(there["quarantine"] / f"{n}.parquet", num_rows(there[n])), gates.refused_gates(cfg, n))
        for n in SCHEMAS
    ]
    return [
        Suite("listings", "", shop.listings, gates.listings_gates(cfg, shop.freshness_unchecked), "item_id", listings),
        Suite("images", "", shop.images, gates.images_gates(cfg), "image_id", images),
        Suite("impressions", "", shop.impressions, gates.impressions_gates(cfg, len(shop.impressions)), "request_id", impressions),
        *refused,
    ]


def summary_of(seen: Seen, num_rows: int) -> ValidateSummary:
    """The stage's metrics."""
    unchecked = sum(not finding.checked for finding in seen.findings)
    return ValidateSummary(
        rows_in=num_rows,
        rows_out=num_rows,
        gates_checked=len(seen.findings) - unchecked,
        gates_not_checked=unchecked,
        past_snapshots=len(seen.past),
        observed=observed_of(seen.findings),
    )
