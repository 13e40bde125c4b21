"""Shelves that users of both arms were really shown, read back from the gateway's own log of events."""

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from components.objects import ObjectStore
from components.release.report.story import Photo, Shelf
from components.shards import read_shards

ARMS = ("stable", "canary")
NUM_PHOTOS = 7


@dataclass(frozen=True)
class Catalogue:
    """What a photo on the page needs to be told apart by, by item_id."""

    image_id: Mapping[str, str]
    title: Mapping[str, str]
    leaf: Mapping[str, str]

    @classmethod
    def read(cls, listings: Path) -> "Catalogue":
        """That of the listings."""
        rows = read_shards(listings, ["item_id", "image_id", "title", "category"]).to_pylist()
        leaf = {row["item_id"]: row["category"][-1] if row["category"] else "" for row in rows}
        return cls({row["item_id"]: row["image_id"] for row in rows}, {row["item_id"]: row["title"] for row in rows}, leaf)


def compared(store: ObjectStore, stable_id: str, candidate_id: str, catalogue: Catalogue, num: int) -> list[Shelf]:
    """At most `num` items beside which users of both arms were shown something, those first whose shelves differ most in how many items are
    of the same category; no two of one category."""
    shown = _logged(store, "events/impressions", ["request_id", "source_item_id", "item_id", "position", "release_id", "ts"])
    if shown.is_empty():
        return []
    tapped = _logged(store, "events/clicks", ["request_id", "item_id"]).unique().with_columns(tapped=pl.lit(True))
    arms = {stable_id: "stable", candidate_id: "canary"}
    pages = (
        shown.filter(pl.col("release_id").is_in(list(arms)), pl.col("source_item_id").is_not_null())
        .with_columns(arm=pl.col("release_id").replace_strict(arms, default=None))
        .join(tapped, on=["request_id", "item_id"], how="left")
    )
    firsts = pages.sort("ts", "request_id").group_by("source_item_id", "arm", maintain_order=True).agg(pl.col("request_id").first())
    both = firsts.filter(pl.len().over("source_item_id") == len(ARMS)).select("request_id")
    rows = pages.join(both, on="request_id").sort("source_item_id", "arm", "position")
    shelves = [_shelf(str(source), some, catalogue) for (source,), some in rows.group_by("source_item_id", maintain_order=True)]
    return _spread(shelves, num)


def _logged(store: ObjectStore, prefix: str, columns: Sequence[str]) -> pl.DataFrame:
    tables = [pl.read_parquet(io.BytesIO(store.get(one.key) or b""), columns=list(columns)) for one in store.stored(prefix)]
    return pl.concat(tables) if tables else pl.DataFrame(schema=list(columns))


@dataclass(frozen=True)
class _Found:
    leaf: str
    gap: int
    shelf: Shelf


def _shelf(source: str, rows: pl.DataFrame, catalogue: Catalogue) -> _Found:
    leaf = catalogue.leaf.get(source, "")

    def photo(row: Mapping[str, object]) -> Photo:
        item = str(row["item_id"])
        is_fit = catalogue.leaf.get(item) == leaf
        return Photo(catalogue.image_id.get(item, ""), catalogue.title.get(item, item), is_fit, bool(row["tapped"]))

    photos = {arm: [photo(row) for row in rows.filter(pl.col("arm") == arm).head(NUM_PHOTOS).to_dicts()] for arm in ARMS}
    fits = [sum(bool(one.is_fit) for one in photos[arm]) for arm in ARMS]
    head = Photo(catalogue.image_id.get(source, ""), catalogue.title.get(source, source))
    return _Found(leaf, abs(fits[0] - fits[1]), Shelf(head, photos))


def _spread(found: Sequence[_Found], num: int) -> list[Shelf]:
    """The widest gaps, one of each leaf category."""
    widest: dict[str, _Found] = {}
    for one in sorted(found, key=lambda one: -one.gap):
        widest.setdefault(one.leaf, one)
    return [one.shelf for one in list(widest.values())[:num]]  # still the widest first


def pictures(shelves: Sequence[Shelf]) -> set[str]:
    """The image_ids that the page shows."""
    photos = [one for shelf in shelves for one in (shelf.source, *(photo for arm in shelf.arms.values() for photo in arm))]
    return {photo.image_id for photo in photos if photo.image_id}
