"""What must hold for the data before anything is trained on it: the gates of each suite, with their limits."""

from dataclasses import dataclass

import great_expectations.expectations as gxe
from great_expectations.expectations.expectation import Expectation
from pydantic import Field

from components.contract import Config
from components.images import MAX_PICTURE_PIXELS, MIN_SIDE_PX

PICTURE_RANGES = (
    ("width", MIN_SIDE_PX, MAX_PICTURE_PIXELS // MIN_SIDE_PX),
    ("height", MIN_SIDE_PX, MAX_PICTURE_PIXELS // MIN_SIDE_PX),
    ("brightness", 0, 1),
    ("sharpness", -10, 10),
    ("contrast", 0, 0.5),
    ("text_share", 0, 1),
)
NEXT_STEP = {
    "table-types": "A file was written by other code than this: run `dvc repro -f ingest`, and look at components/schema.py if it stays.",
    "too-few-listings": "Point ingest.path at the whole catalogue, or look in data/quarantine/listings.parquet for what was refused.",
    "repeated-ids": "Find the rows that share an id in the source and keep one of each.",
    "listing-fields": "Correct the columns in the source, or their mapping under ingest in params.yaml.",
    "missing-pictures": "Run `dvc repro -f ingest`: it refuses listings without a picture, so these files do not belong together.",
    "stale-data": "Take a newer export of listings or of impressions; check that both clocks are in UTC.",
    "picture-fields": "Run `dvc repro -f ingest`: it measures each picture, so these files do not belong together.",
    "near-blank-pictures": "Look at the pictures named here; a lost background or an empty placeholder is the usual cause.",
    "near-duplicate-pictures": "Look at the listings named here; one placeholder under many listings is the usual cause.",
    "impression-fields": "Correct the log's columns, or the code that writes it.",
    "unknown-items": "Export listings and impressions for the same days, deleted listings included.",
    "click-through": "Compare with last week's share: a log that lost its clicks, or kept nothing else, teaches the wrong lesson.",
    "too-much-quarantined": "Count the reasons in data/quarantine/, mend the most frequent one at its source.",
}


class ValidateConfig(Config):
    """Limits of the gates. Shares lie in [0, 1]; ages are days between the newest listing and the newest impression."""

    min_listings: int = Field(gt=0)
    max_price: float = Field(gt=0)
    max_listing_age_days: float = Field(ge=0)
    max_listing_ahead_days: float = Field(ge=0)
    near_blank_contrast: float = Field(ge=0, le=0.5)
    max_near_blank_share: float = Field(ge=0, le=1)
    max_near_duplicate_share: float = Field(ge=0, le=1)
    max_unknown_item_share: float = Field(ge=0, le=1)
    min_impressions: int = Field(gt=0)
    min_click_through: float = Field(ge=0, le=1)
    max_click_through: float = Field(ge=0, le=1)
    max_quarantine_share: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Gate:
    """One rule of a suite. `measure` says what the observed number is; `anchor` is its section in docs/runbook.md.

    A gate with a text in `unchecked` is reported with that reason and does not decide.
    """

    name: str
    expectation: Expectation
    measure: str
    anchor: str
    unchecked: str = ""


def schema_gates() -> list[Gate]:
    """Over one row a column: each column is there, with its type, and no other."""
    types = gxe.ExpectColumnPairValuesToBeEqual(column_A="found", column_B="expected", ignore_row_if="neither")
    return [Gate("types", types, "share of columns with another type than components/schema.py gives", "table-types")]


def listings_gates(cfg: ValidateConfig, freshness_unchecked: str) -> list[Gate]:
    """Over one row a listing."""
    return [
        Gate("rows", gxe.ExpectTableRowCountToBeBetween(min_value=cfg.min_listings), "listings", "too-few-listings"),
        Gate("item_id_unique", gxe.ExpectColumnValuesToBeUnique(column="item_id"), "share of listings whose id is taken", "repeated-ids"),
        Gate("title", _between("title_length", 1, None), "share of listings without a title", "listing-fields"),
        Gate("category", _between("category_levels", 1, None), "share of listings without a category", "listing-fields"),
        Gate("price", _between("price", 0, cfg.max_price), "share of listings with a price out of range", "listing-fields"),
        Gate("currency", _matching("currency", "^[A-Z]{3}$"), "share of listings whose currency is no ISO 4217 code", "listing-fields"),
        Gate("status", _one_of("status", ["on_sale", "sold", "deleted"]), "share of listings with another status", "listing-fields"),
        Gate("language", _one_of("title_language", ["ja", "en", "und"]), "share of listings with another language", "listing-fields"),
        Gate("picture", _one_of("has_picture", [True]), "share of listings whose picture is not in their shard", "missing-pictures"),
        Gate(
            "near_duplicate_share",
            gxe.ExpectColumnMeanToBeBetween(column="looks_repeated", max_value=cfg.max_near_duplicate_share),
            "share of listings whose picture has the hash of an earlier one",
            "near-duplicate-pictures",
        ),
        Gate(
            "newest_age_days",
            gxe.ExpectColumnMinToBeBetween(column="age_days", min_value=-cfg.max_listing_ahead_days, max_value=cfg.max_listing_age_days),
            "days from the newest listing to the newest impression",
            "stale-data",
            freshness_unchecked,
        ),
    ]


def images_gates(cfg: ValidateConfig) -> list[Gate]:
    """Over one row a picture and shard."""
    return [
        Gate(
            "image_id_unique",
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["shard", "image_id"]),
            "share of pictures that their shard holds twice",
            "repeated-ids",
        ),
        Gate("image_id", _matching("image_id", "^[0-9a-f]{64}$"), "share of pictures whose id is no sha256", "picture-fields"),
        *(
            Gate(name, _between(name, low, high), f"share of pictures with {name} out of range", "picture-fields")
            for name, low, high in PICTURE_RANGES
        ),
        Gate(
            "near_blank_share",
            gxe.ExpectColumnMeanToBeBetween(column="near_blank", max_value=cfg.max_near_blank_share),
            f"share of pictures with contrast below {cfg.near_blank_contrast:g}",
            "near-blank-pictures",
        ),
    ]


def impressions_gates(cfg: ValidateConfig, num_impressions: int) -> list[Gate]:
    """Over one row an impression. Click-through decides nothing below min_impressions: a new shop has no log yet."""
    few = num_impressions < cfg.min_impressions
    return [
        Gate(
            "slot_unique",
            gxe.ExpectCompoundColumnsToBeUnique(column_list=["request_id", "position"]),
            "share of impressions whose slot on the page is taken",
            "repeated-ids",
        ),
        Gate("position", _between("position", 0, None), "share of impressions before the first slot", "impression-fields"),
        Gate("price", _between("price", 0, cfg.max_price), "share of impressions with a price out of range", "impression-fields"),
        Gate("surface", _one_of("surface", ["search", "similar"]), "share of impressions on another surface", "impression-fields"),
        Gate("platform", _one_of("platform", ["web", "ios", "android"]), "share of impressions on another platform", "impression-fields"),
        Gate("asked", _one_of("asked", [True]), "share of impressions with neither query nor source item", "impression-fields"),
        Gate(
            "unknown_item_share",
            _one_of("item_known", [True], mostly=1 - cfg.max_unknown_item_share),
            "share of impressions of items that are no listing",
            "unknown-items",
        ),
        Gate(
            "click_through",
            gxe.ExpectColumnMeanToBeBetween(column="clicked", min_value=cfg.min_click_through, max_value=cfg.max_click_through),
            "share of impressions that were clicked",
            "click-through",
            f"{num_impressions} impressions, validate.min_impressions is {cfg.min_impressions}" if few else "",
        ),
    ]


def quarantine_gates(cfg: ValidateConfig) -> list[Gate]:
    """Over one row, with a column a table: the share of it that ingest refused."""
    return [
        Gate(
            f"{table}_share",
            gxe.ExpectColumnMaxToBeBetween(column=table, max_value=cfg.max_quarantine_share),
            f"share of {table} that ingest refused",
            "too-much-quarantined",
        )
        for table in ("listings", "images", "impressions")
    ]


def _between(column: str, low: float, high: float | None) -> Expectation:
    return gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high)


def _one_of(column: str, values: list[str] | list[bool], mostly: float = 1.0) -> Expectation:
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=values, mostly=mostly)


def _matching(column: str, pattern: str) -> Expectation:
    return gxe.ExpectColumnValuesToMatchRegex(column=column, regex=pattern)
