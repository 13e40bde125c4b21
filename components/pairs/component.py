"""From search pages to pairs: what was clicked beside what was passed over."""

import logging
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa

from components import schema
from components.contract import In, Out, Summary
from components.pairs.candidates import Fate, PairsConfig, candidates, capped, weighted
from components.shards import shard_paths, write_shards

log = logging.getLogger("vitrine")

SIDES = ("train", "val", "test")


@dataclass(frozen=True, kw_only=True)
class PairsSummary(Summary):
    """rows_in are impressions, rows_out pairs. candidates = pairs + dropped, each candidate counted under the first rule it broke."""

    search_pages: int
    search_pages_with_a_click: int
    candidates: int
    dropped: dict[str, int]
    pairs: dict[str, int]


def pairs(impressions: In, splits: In, pairs: Out, *, cfg: PairsConfig) -> PairsSummary:
    """Writes the pairs, sharded by request. None at all is a table too: the counts then say where they went."""
    sides = pl.read_parquet(shard_paths(splits), columns=["item_id", "split"])
    mined = [mine(path, sides, cfg) for path in shard_paths(impressions)]
    kept = weighted(pl.concat([one.kept for one in mined]))
    write_shards(pairs, table_of(kept), schema.PAIRS, len(mined), key="request_id")
    summary = summary_of(kept, pl.concat([one.fates for one in mined]), pl.concat([one.pages for one in mined]).sum())
    if not summary.rows_out:
        log.warning("pairs: no pair was found in %d search pages; see docs/runbook.md#no-pairs", summary.search_pages)
    return summary


@dataclass(frozen=True)
class Mined:
    """Of one shard: its pairs, how many candidates met which fate, and one row that counts impressions and pages."""

    kept: pl.DataFrame
    fates: pl.DataFrame
    pages: pl.DataFrame


def mine(path: Path, sides: pl.DataFrame, cfg: PairsConfig) -> Mined:
    """A shard's pairs. A page lies in one shard whole, so shards know nothing of each other and only one is in memory."""
    shown = pl.scan_parquet(path)
    found, pages = pl.collect_all([candidates(shown, sides.lazy(), cfg), page_counts(shown)], engine="streaming")
    found = capped(found, cfg.max_per_request)
    return Mined(found.filter(pl.col("fate") == Fate.KEPT.value), found["fate"].value_counts(), pages)


def page_counts(shown: pl.LazyFrame) -> pl.LazyFrame:
    """One row: impressions, search pages, and those with a click."""
    search = pl.col("surface") == "search"
    return shown.select(
        impressions=pl.len(),
        pages=pl.col("request_id").filter(search).n_unique(),
        clicked=pl.col("request_id").filter(search & pl.col("clicked")).n_unique(),
    )


def table_of(kept: pl.DataFrame) -> pa.Table:
    """The pairs as schema.PAIRS has them."""
    return kept.select(schema.PAIRS.names).to_arrow().cast(schema.PAIRS)


def summary_of(kept: pl.DataFrame, by_shard: pl.DataFrame, pages: pl.DataFrame) -> PairsSummary:
    """The stage's metrics."""
    fates = dict(by_shard.group_by("fate").sum().iter_rows())
    sides = dict(kept["split"].value_counts().iter_rows())
    num_impressions, num_pages, num_clicked = pages.row(0)
    return PairsSummary(
        rows_in=num_impressions,
        rows_out=len(kept),
        search_pages=num_pages,
        search_pages_with_a_click=num_clicked,
        candidates=sum(fates.values()),
        dropped={fate.value: fates.get(fate.value, 0) for fate in Fate if fate != Fate.KEPT},
        pairs={side: sides.get(side, 0) for side in SIDES},
    )
