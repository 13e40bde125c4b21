"""The profile of a snapshot: its tables in a few dozen numbers."""

import json
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from components import schema
from components.errors import BadData
from components.expectations.profile import OTHER, Mix, Prices, Profile, Quantiles, Shares
from components.expectations.tables import num_rows
from components.shards import shard_paths

PRICE_QUANTILES = {"q05": 0.05, "q25": 0.25, "q50": 0.5, "q75": 0.75, "q95": 0.95}
STATS_QUANTILES = {"q05": 0.05, "q50": 0.5, "q95": 0.95}
STATS = ("brightness", "sharpness", "contrast", "text_share")
MAX_LEAVES = 200
PATH_SIGN = " > "


def profile_of(tables: Mapping[str, Path], as_of: datetime, source: str) -> Profile:
    """The profile of listings, images, impressions and quarantine; no picture's bytes are read."""
    listings, impressions = _scan(tables["listings"]), _scan(tables["impressions"])
    counts = {name: num_rows(tables[name]) for name in ("listings", "images", "impressions")}
    shares = {"listings": null_shares(listings, schema.LISTINGS.names), "impressions": null_shares(impressions, schema.IMPRESSIONS.names)}
    return Profile(
        as_of=as_of,
        source=source,
        rows=counts,
        null_share=shares,
        mix=mix_of(listings),
        prices=prices_of(listings),
        click_through=impressions.select(pl.col("clicked").mean()).collect().item(),
        picture_stats=picture_stats(_scan(tables["images"])),
        quarantine_share={name: refused_by_reason(tables["quarantine"] / f"{name}.parquet", count) for name, count in counts.items()},
    )


def taken_of(snapshot: Path) -> tuple[datetime, str]:
    """When the snapshot was taken and of what kind of source, from data/snapshot.json.

    The kind alone: a weekly export lies in another folder each week, and no out may hold a path of one machine.
    """
    try:
        taken: dict[str, Any] = json.loads(snapshot.read_text(encoding="utf-8"))
        return datetime.fromisoformat(taken["as_of"]), str(taken["source"]["kind"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadData(f"{snapshot} is no snapshot ({type(error).__name__}: {error}): run `vitrine source`, which takes one") from None


def _scan(folder: Path) -> pl.LazyFrame:
    return pl.scan_parquet(shard_paths(folder))


def null_shares(rows: pl.LazyFrame, columns: list[str]) -> Shares:
    """Column -> share of rows that are null, blank or an empty list. Empty without rows."""
    found = rows.select([_is_empty(name, kind).mean().alias(name) for name, kind in rows.collect_schema().items() if name in columns])
    row = found.collect(engine="streaming").row(0, named=True)
    return {name: float(share) for name, share in sorted(row.items()) if share is not None}


def _is_empty(name: str, kind: pl.DataType) -> pl.Expr:
    column = pl.col(name)
    if kind == pl.String:
        return column.is_null() | (column.str.strip_chars() == "").fill_null(True)
    if isinstance(kind, pl.List):
        return column.is_null() | (column.list.len() == 0).fill_null(True)
    return column.is_null()


def mix_of(listings: pl.LazyFrame) -> Mix:
    """Shares of listings by category and currency."""
    rows = listings.select(
        root=pl.col("category").list.first(), leaf=pl.col("category").list.join(PATH_SIGN), currency="currency"
    ).collect()
    return Mix(root=_shares(rows["root"]), leaf=_shares(rows["leaf"]), currency=_shares(rows["currency"]))


def _shares(names: pl.Series) -> Shares:
    """Name -> share, the largest MAX_LEAVES by name; what is left is `(other)`, which also holds rows without a name."""
    counts = [(name, count) for name, count in names.value_counts().iter_rows() if name is not None]
    kept = dict(sorted(counts, key=lambda pair: (-pair[1], pair[0]))[:MAX_LEAVES])
    if left := len(names) - sum(kept.values()):
        kept[OTHER] = kept.get(OTHER, 0) + left
    return {name: count / len(names) for name, count in sorted(kept.items())}


def prices_of(listings: pl.LazyFrame) -> dict[str, Prices]:
    """Currency -> count and quantiles of its listings' prices."""
    shown = [pl.col("price").quantile(at, "linear").alias(name) for name, at in PRICE_QUANTILES.items()]
    found = listings.group_by("currency").agg(pl.len().alias("num_listings"), *shown).sort("currency").collect()
    rows = found.iter_rows(named=True)
    return {
        row["currency"]: Prices(num_listings=row["num_listings"], quantiles={name: row[name] for name in PRICE_QUANTILES}) for row in rows
    }


def picture_stats(images: pl.LazyFrame) -> dict[str, Quantiles]:
    """Statistic -> quantiles over pictures. Empty without pictures."""
    stats = images.select(pl.col("stats").struct.field(*STATS)).collect()
    if stats.is_empty():
        return {}
    return {name: {key: float(stats[name].quantile(at, "linear") or 0.0) for key, at in STATS_QUANTILES.items()} for name in STATS}


def refused_by_reason(path: Path, num_accepted: int) -> Shares:
    """Reason -> share of the table's rows that were refused for it."""
    counts = sorted(pl.read_parquet(path, columns=["reason"])["reason"].value_counts().iter_rows())
    total = num_accepted + sum(count for _, count in counts)
    return {reason: count / total for reason, count in counts}
