"""The tables that stages hand to each other, as pyarrow schemas. Units stand in each field's metadata."""

import pyarrow as pa

UTC_TIME = pa.timestamp("us", tz="UTC")


def _field(name: str, kind: pa.DataType, unit: str, *, null: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=null, metadata={"unit": unit})


LISTINGS = pa.schema(
    [
        _field("item_id", pa.string(), "id, unique"),
        _field("seller_id", pa.string(), "id", null=True),
        _field("product_id", pa.string(), "id of the exact product, null if unknown", null=True),
        _field("title", pa.string(), "text, NFC"),
        _field("title_language", pa.string(), "ja, en or und"),
        _field("description", pa.string(), "text"),
        _field("category", pa.list_(pa.string()), "names, root first"),
        _field("price", pa.float64(), "currency units"),
        _field("currency", pa.string(), "ISO 4217"),
        _field("status", pa.string(), "on_sale, sold or deleted"),
        _field("created_at", UTC_TIME, "UTC"),
        _field("app_version", pa.string(), "semantic version", null=True),
        _field("image_id", pa.string(), "sha256 of the picture's bytes"),
        _field("source", pa.string(), "the CSV's own column, or the kind of ingest"),
        _field("simulated", pa.list_(pa.string()), "columns of this row that the simulator filled in"),
    ]
)

STATS = pa.struct(
    [
        _field("brightness", pa.float32(), "mean luma, 0 to 1"),
        _field("sharpness", pa.float32(), "log10 of the Laplacian's variance"),
        _field("contrast", pa.float32(), "standard deviation of luma, 0 to 0.5"),
        _field("text_share", pa.float32(), "share of the picture that looks like lettering, 0 to 1"),
    ]
)

IMAGES = pa.schema(
    [
        _field("image_id", pa.string(), "sha256 of data"),
        _field("data", pa.binary(), "encoded picture"),
        _field("width", pa.int32(), "px"),
        _field("height", pa.int32(), "px"),
        _field("phash", pa.uint64(), "64-bit DCT hash"),
        _field("stats", STATS, "see STATS"),
    ]
)

IMPRESSIONS = pa.schema(
    [
        _field("request_id", pa.string(), "id of one results page"),
        _field("ts", UTC_TIME, "UTC"),
        _field("surface", pa.string(), "search or similar"),
        _field("platform", pa.string(), "web, ios or android"),
        _field("user_id", pa.string(), "hashed"),
        _field("query", pa.string(), "text of a search, else null", null=True),
        _field("source_item_id", pa.string(), "item whose page asked for similar ones, else null", null=True),
        _field("item_id", pa.string(), "id"),
        _field("position", pa.int32(), "slot on the page, from 0"),
        _field("price", pa.float64(), "currency units when shown"),
        _field("clicked", pa.bool_(), ""),
        _field("purchased", pa.bool_(), ""),
        _field("release_id", pa.string(), "release that ranked the page"),
        _field("simulated", pa.bool_(), "true where no person was behind it"),
    ]
)

# What a shop logs and upserts, as `ingest` takes it from a source of events: TABLE/dt=YYYY-MM-DD/*.parquet, where dt is the day (UTC) on
# which the file was written. Columns that may be null may also be absent; other columns than these are left alone.
EVENTS = {
    "listings": pa.schema(
        [
            _field("item_id", pa.string(), "id"),
            _field("seller_id", pa.string(), "id", null=True),
            _field("product_id", pa.string(), "id of the exact product", null=True),
            _field("title", pa.string(), "text"),
            _field("description", pa.string(), "text", null=True),
            _field("category", pa.list_(pa.string()), "names, root first"),
            _field("price", pa.float64(), "currency units"),
            _field("currency", pa.string(), "ISO 4217; ingest.currency where null", null=True),
            _field("status", pa.string(), "on_sale, sold or deleted"),
            _field("created_at", UTC_TIME, "UTC"),
            _field("app_version", pa.string(), "semantic version", null=True),
            _field("image_id", pa.string(), "sha256 of the picture's bytes"),
            _field("source", pa.string(), "where the row came from; events where null", null=True),
            _field("simulated", pa.list_(pa.string()), "columns of this row that nobody gave", null=True),
            _field("updated_at", UTC_TIME, "UTC; the newest row of an item counts"),
        ]
    ),
    "images": pa.schema([_field("image_id", pa.string(), "sha256 of data"), _field("data", pa.binary(), "encoded picture")]),
    "impressions": pa.schema(
        [
            *(field for field in IMPRESSIONS if field.name not in ("position", "clicked", "purchased", "simulated")),
            _field("position", pa.int64(), "slot on the page, from 0"),
            _field("clicked", pa.bool_(), "where known when logged", null=True),
            _field("purchased", pa.bool_(), "where known when logged", null=True),
            _field("simulated", pa.bool_(), "true where no person was behind it; false where null", null=True),
        ]
    ),
    "clicks": pa.schema(
        [
            _field("request_id", pa.string(), "id of the page"),
            _field("item_id", pa.string(), "item of that page"),
            _field("ts", UTC_TIME, "UTC"),
            _field("action", pa.string(), "click, purchase or like"),
        ]
    ),
}

# What the gateway writes beside, which `ingest` leaves alone: the canary's judge and whoever looks for one event read it.
_EVENT_ID = _field("event_id", pa.string(), "id that the client gave the event; of an impression /position is added")
EVENTS_BESIDE = {
    "listings": pa.schema([]),
    "images": pa.schema([]),
    "impressions": pa.schema([_EVENT_ID]),
    "clicks": pa.schema(
        [
            _EVENT_ID,
            _field("user_id", pa.string(), "hashed", null=True),
            _field("platform", pa.string(), "web, ios or android", null=True),
            _field("release_id", pa.string(), "release that ranked the page, as the client says", null=True),
        ]
    ),
}

# A sample of what the gateway answered, as predictions/dt=YYYY-MM-DD/*.parquet. Vectors of several widths may lie in one day.
PREDICTIONS = pa.schema(
    [
        _field("ts", UTC_TIME, "UTC"),
        _field("request_id", pa.string(), "id of the request"),
        _field("route", pa.string(), "similar, score, embed or items"),
        _field("release_id", pa.string(), "digest of the bundle that answered"),
        _field("item_id", pa.string(), "id, where the picture is an item's", null=True),
        _field("image_id", pa.string(), "sha256 of the picture's bytes; null where a text was asked", null=True),
        _field("fingerprint", pa.string(), "identity of the vector space"),
        _field("vector", pa.list_(pa.float16()), "unit length"),
        _field("image_score", pa.float32(), "0 to 1, higher is better; null where a text was asked", null=True),
        *(STATS.field(name).with_nullable(True) for name in ("brightness", "sharpness", "text_share")),
        _field("width", pa.int32(), "px", null=True),
        _field("height", pa.int32(), "px", null=True),
        _field("platform", pa.string(), "web, ios or android", null=True),
        _field("app_version", pa.string(), "semantic version", null=True),
        _field("latency_ms", pa.float32(), "ms from the request's arrival to its answer"),
    ]
)

# Every answer of /v1/similar while a candidate is under test, as answers/dt=YYYY-MM-DD/*.parquet: what the canary's judge counts.
ANSWERS = pa.schema(
    [
        _field("ts", UTC_TIME, "UTC"),
        _field("request_id", pa.string(), "id of the request; the exposure that the client sends names it"),
        _field("route", pa.string(), "similar"),
        _field("revision", pa.int64(), "of the channel record that the gateway went by"),
        _field("candidate_id", pa.string(), "digest of the release under test"),
        _field("arm", pa.string(), "stable or canary; shadow: what the candidate made of a request that the stable release answered"),
        _field("release_id", pa.string(), "digest of the bundle that answered"),
        _field("platform", pa.string(), "web, ios or android", null=True),
        _field("user_id", pa.string(), "hashed as in impressions", null=True),
        _field("weight_percent", pa.int32(), "of the platform's users in the canary"),
        _field("status", pa.int32(), "HTTP status"),
        _field("latency_ms", pa.float32(), "ms from the request's arrival to its answer"),
        _field("num_hits", pa.int32(), "items in the answer"),
        _field("num_sellers", pa.int32(), "distinct sellers among them; an item without a seller counts as one of its own"),
        _field("hit_scores", pa.list_(pa.float16()), "Image Scores of the items, 0 to 1"),
        _field("overlap", pa.float32(), "of a shadow: share of the stable release's items that the candidate gave too", null=True),
        _field("score_shift", pa.float32(), "of a shadow: mean Image Score of its items minus that of the stable release's", null=True),
    ]
)

SPLITS = pa.schema(
    [
        _field("item_id", pa.string(), "id"),
        _field("split", pa.string(), "train, val or test"),
        _field("group", pa.string(), "what must stay on one side: seller, product and near-duplicates joined"),
    ]
)

PAIRS = pa.schema(
    [
        _field("request_id", pa.string(), "id"),
        _field("split", pa.string(), "side on which both items lie"),
        _field("clicked_item", pa.string(), "item_id"),
        _field("skipped_item", pa.string(), "item_id"),
        _field("price_ratio", pa.float64(), "dearer over cheaper, 1 or more"),
        _field("position_gap", pa.int32(), "clicked position minus skipped position"),
        _field("weight", pa.float64(), "relative, mean 1"),
    ]
)

ADJECTIVES = pa.list_(
    pa.struct(
        [
            _field("item", pa.string(), "first or second, as shown"),
            _field("adjective", pa.string(), "one word"),
            _field("polarity", pa.int8(), "-1, 0 or 1"),
        ]
    )
)

LABELS = pa.schema(
    [
        _field("first_item", pa.string(), "item shown first"),
        _field("second_item", pa.string(), "item shown second"),
        _field("clicked_item", pa.string(), "the one of the two that was clicked"),
        _field("split", pa.string(), "side on which both items lie"),
        _field("choice", pa.string(), "first, second, tie or cannot_judge"),
        _field("first_score", pa.float32(), "0 to 1, higher is better", null=True),
        _field("second_score", pa.float32(), "0 to 1, higher is better", null=True),
        _field("adjectives", ADJECTIVES, ""),
        _field("judge", pa.string(), "heuristic, or the name of the model asked"),
        _field("rubric", pa.string(), "version of the question"),
        _field("cache_key", pa.string(), "digest of rubric, judge and both pictures in order"),
    ]
)

QUARANTINE = pa.schema(
    [
        _field("key", pa.string(), "item_id or request_id, or the row's number where it has none"),
        _field("reason", pa.string(), "code, see docs/quarantine.md"),
        _field("detail", pa.string(), "what was found"),
        _field("row", pa.string(), "the row as JSON"),
        _field("data", pa.binary(), "the picture's bytes as they came", null=True),
    ]
)

TRUTH = pa.schema(
    [
        _field("item_id", pa.string(), "id"),
        _field("quality", pa.float64(), "true photo quality, 0 to 1, from the drawing's parameters"),
        _field("kind", pa.string(), "drawn product kind"),
        _field("defects", pa.list_(pa.struct([("name", pa.string()), ("strength", pa.float64())])), "strength 0 to 1"),
    ]
)


ANCHORS = pa.schema(
    [
        _field("image_id", pa.string(), "sha256 of data"),
        _field("data", pa.binary(), "encoded picture, since the listing may be gone by the next training"),
        _field("target", pa.float64(), "the Image Score this photo is to keep, 0 to 1"),
    ]
)


def vectors(dim: int) -> pa.Schema:
    """Vectors that are not served, such as a baseline's: the shape that external vectors come in too."""
    return pa.schema([_field("item_id", pa.string(), "id"), _field("vector", pa.list_(pa.float16(), dim), "unit length")])


def embeddings(dim: int) -> pa.Schema:
    """The table of served vectors: unit-length float16 of `dim` values, and the calibrated score in [0, 1]."""
    return pa.schema(
        [
            _field("item_id", pa.string(), "id"),
            _field("image_id", pa.string(), "sha256 of the picture's bytes"),
            _field("fingerprint", pa.string(), "identity of the vector space"),
            _field("vector", pa.list_(pa.float16(), dim), "unit length"),
            _field("image_score", pa.float32(), "0 to 1, higher is better"),
        ]
    )


def golden(dim: int) -> pa.Schema:
    """Photos with the answers that the bundle must give them."""
    return pa.schema(
        [
            _field("image_id", pa.string(), "sha256 of data"),
            _field("data", pa.binary(), "encoded picture"),
            _field("vector", pa.list_(pa.float32(), dim), "unit length"),
            _field("image_score", pa.float32(), "0 to 1, higher is better"),
        ]
    )


def golden_titles(dim: int) -> pa.Schema:
    """Titles with the vectors that the bundle must give them."""
    return pa.schema([_field("title", pa.string(), "text"), _field("vector", pa.list_(pa.float32(), dim), "unit length")])


def drift_reference(dim: int) -> pa.Schema:
    """Held-out items as the model saw them: what monitoring compares production with, and the segments it reports by."""
    stats = [STATS.field(i) for i in range(STATS.num_fields)]
    listing = ("category", "seller_id", "title_language", "app_version", "price")
    return pa.schema([*embeddings(dim), *(LISTINGS.field(name) for name in listing), IMAGES.field("width"), IMAGES.field("height"), *stats])
