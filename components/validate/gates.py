"""What must hold for the data before anything is trained on it: the gates of each suite, with their limits."""

import great_expectations.expectations as gxe

from components.expectations.gate import Gate, between, matching, mean_between, one_of
from components.images import MAX_PICTURE_PIXELS, MIN_SIDE_PX
from components.validate.advice import ADVICE
from components.validate.config import ValidateConfig

PICTURE_RANGES = (
    ("width", MIN_SIDE_PX, MAX_PICTURE_PIXELS // MIN_SIDE_PX),
    ("height", MIN_SIDE_PX, MAX_PICTURE_PIXELS // MIN_SIDE_PX),
    ("brightness", 0, 1),
    ("sharpness", -10, 10),
    ("contrast", 0, 0.5),
    ("text_share", 0, 1),
)
PAST_KINDS = {
    "volume": ("share of tables whose number of rows lies outside its band", "volume-moved"),
    "null_share": ("share of columns whose empty share lies outside its band", "nulls-moved"),
    "category_mix": ("share of mixes further from the past's mean than past mixes are", "mix-moved"),
    "price_quantiles": ("share of price quantiles outside their band", "prices-moved"),
}


def listings_gates(cfg: ValidateConfig, freshness_unchecked: str) -> list[Gate]:
    """Over one row a listing."""
    return [
        Gate("rows", gxe.ExpectTableRowCountToBeBetween(min_value=cfg.min_listings), "listings", ADVICE["too-few-listings"]),
        Gate(
            "item_id_unique",
            gxe.ExpectColumnValuesToBeUnique(column="item_id"),
            "share of listings whose id is taken",
            ADVICE["repeated-ids"],
        ),
        Gate("title", between("title_length", 1, None), "share of listings without a title", ADVICE["listing-fields"]),
        Gate("category", between("category_levels", 1, None), "share of listings without a category", ADVICE["listing-fields"]),
        Gate("price", between("price", 0, cfg.max_price), "share of listings with a price out of range", ADVICE["listing-fields"]),
        Gate(
            "currency", matching("currency", "^[A-Z]{3}$"), "share of listings whose currency is no ISO 4217 code", ADVICE["listing-fields"]
        ),
        Gate("status", one_of("status", ["on_sale", "sold", "deleted"]), "share of listings with another status", ADVICE["listing-fields"]),
        Gate(
            "language", one_of("title_language", ["ja", "en", "und"]), "share of listings with another language", ADVICE["listing-fields"]
        ),
        Gate("picture", one_of("has_picture", [True]), "share of listings whose picture is not in their shard", ADVICE["missing-pictures"]),
        Gate(
            "near_duplicate_share",
            mean_between("looks_repeated", None, cfg.max_near_duplicate_share),
            "share of listings whose picture has the hash of an earlier one",
            ADVICE["near-duplicate-pictures"],
        ),
        Gate(
            "newest_age_days",
            gxe.ExpectColumnMinToBeBetween(column="age_days", min_value=-cfg.max_listing_ahead_days, max_value=cfg.max_listing_age_days),
            "days from the newest listing to the newest impression",
            ADVICE["stale-data"],
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
            ADVICE["repeated-ids"],
        ),
        Gate("image_id", matching("image_id", "^[0-9a-f]{64}$"), "share of pictures whose id is no sha256", ADVICE["picture-fields"]),
        *(
            Gate(name, between(name, low, high), f"share of pictures with {name} out of range", ADVICE["picture-fields"])
            for name, low, high in PICTURE_RANGES
        ),
        Gate(
            "near_blank_share",
            mean_between("near_blank", None, cfg.max_near_blank_share),
            f"share of pictures with contrast below {cfg.near_blank_contrast:g}",
            ADVICE["near-blank-pictures"],
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
            ADVICE["repeated-ids"],
        ),
        Gate("position", between("position", 0, None), "share of impressions before the first slot", ADVICE["impression-fields"]),
        Gate("price", between("price", 0, cfg.max_price), "share of impressions with a price out of range", ADVICE["impression-fields"]),
        Gate("surface", one_of("surface", ["search", "similar"]), "share of impressions on another surface", ADVICE["impression-fields"]),
        Gate(
            "platform",
            one_of("platform", ["web", "ios", "android"]),
            "share of impressions on another platform",
            ADVICE["impression-fields"],
        ),
        Gate("asked", one_of("asked", [True]), "share of impressions with neither query nor source item", ADVICE["impression-fields"]),
        Gate(
            "unknown_item_share",
            one_of("item_known", [True], mostly=1 - cfg.max_unknown_item_share),
            "share of impressions of items that are no listing",
            ADVICE["unknown-items"],
        ),
        Gate(
            "click_through",
            mean_between("clicked", cfg.min_click_through, cfg.max_click_through),
            "share of impressions that were clicked",
            ADVICE["click-through"],
            f"{num_impressions} impressions, validate.min_impressions is {cfg.min_impressions}" if few else "",
        ),
    ]


def refused_gates(cfg: ValidateConfig, table: str) -> list[Gate]:
    """Over the first refused rows of a table, each with the share of all its rows that were refused."""
    refused = gxe.ExpectColumnMaxToBeBetween(column="share", max_value=cfg.max_quarantine_share)
    return [Gate(f"{table}_share", refused, f"share of {table} that ingest refused", ADVICE["too-much-quarantined"])]


def past_gates(kind: str, unchecked: str) -> list[Gate]:
    """Over one row a band learnt from past snapshots: all numbers of this kind lie within theirs."""
    measure, anchor = PAST_KINDS[kind]
    return [Gate(kind, between("deviation", -1, 1), measure, ADVICE[anchor], unchecked)]
