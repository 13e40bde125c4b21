"""A drawn day as rows of a window: the prediction log joined with the listings. R rows, N cards of the pool."""

from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.calibrator import Calibrator
from components.ingest.admit import language_of
from components.ingest.market import APP_VERSIONS
from components.ingest.shoppers import PLATFORMS
from components.schema import UTC_TIME
from monitoring.buckets import QUALITIES, SELLER_SIZES, quality_of, seller_size_of
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.quiet import NO_VERSION, Drawn
from monitoring.window import COLUMNS

LOST_TITLE = "?" * 8
LOST_LANGUAGE = language_of(LOST_TITLE)
OPTIONAL = ("item_id", "app_version", "category", "title_language", "seller_id")  # fields that a sound row may lack


def rows_of(pool: Pool, drawn: Drawn, num_listings: np.ndarray, request_prefix: str, calibrator: Calibrator | None) -> pa.Table:
    """R rows of monitoring.window.COLUMNS; `num_listings` are those of each seller, by number; 0 for a new one.
    Without an item, what its listing would say is null."""
    card, shown = pa.array(drawn.card), pa.array(drawn.card, mask=~drawn.listed)
    scores = scores_of(pool, drawn.card, calibrator)
    columns: dict[str, pa.Array | pa.ChunkedArray] = {
        "ts": pa.array(drawn.ts_us, UTC_TIME),
        "request_id": request_ids(request_prefix, len(drawn)),
        "item_id": pool.cards["item_id"].take(shown),
        "image_score": pa.array(scores),
        "latency_ms": pa.array(drawn.latency_ms),
        "platform": _named(PLATFORMS, drawn.platform),
        "app_version": _named(APP_VERSIONS, drawn.version, drawn.version == NO_VERSION),
        "category": pool.roots.take(shown),
        "title_language": _languages(pool, drawn, shown),
        "seller_id": pool.cards["seller_id"].take(shown),
        "seller_size": _named(SELLER_SIZES, seller_size_of(num_listings[pool.seller[drawn.card]]), ~drawn.listed),
        "quality": _named(QUALITIES, quality_of(scores, pool.quality_edges)),
    }
    return pa.table({name: columns[name] if name in columns else pool.cards[name].take(card) for name in COLUMNS.names}, schema=COLUMNS)


def scores_of(pool: Pool, card: np.ndarray, calibrator: Calibrator | None) -> np.ndarray:
    """float32 (R,) Image Scores as the release in service answers them."""
    scores = pool.number_of("image_score")[card]
    return scores if calibrator is None else calibrator(scores)


def missing_share(rows: pa.Table) -> dict[str, float]:
    """Share of rows, 0 to 1, that lack each field that a row may lack. A title of no language counts as lacking one."""
    lost = pc.sum(pc.equal(rows["title_language"], LOST_LANGUAGE)).as_py() or 0
    counts = {name: rows[name].null_count + (lost if name == "title_language" else 0) for name in OPTIONAL}
    return {name: count / max(rows.num_rows, 1) for name, count in counts.items()}


def request_ids(prefix: str, count: int) -> pa.Array:
    """`count` ids that begin with the prefix, ascending."""
    return pc.binary_join_element_wise(pa.scalar(prefix), _numbers(1 << max(count - 1, 1).bit_length()).slice(0, count), "-")


@lru_cache(maxsize=4)
def _numbers(count: int) -> pa.Array:
    return pa.array([f"{number:06d}" for number in range(count)], pa.string())


def _named(names: tuple[str, ...], place: np.ndarray, missing: np.ndarray | None = None) -> pa.Array:
    return pa.array(names, pa.string()).take(pa.array(place, mask=missing))


def _languages(pool: Pool, drawn: Drawn, shown: pa.Array) -> pa.Array:
    found = pool.cards["title_language"].take(shown)
    if not drawn.odd_title.any():
        return found
    return pc.if_else(pa.array(drawn.odd_title), LOST_LANGUAGE, found)
