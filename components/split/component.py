"""Every listing on one side, with its seller, its product and its near-duplicates beside it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components import schema
from components.contract import In, Out, Summary
from components.shards import read_shards, shard_paths, write_shards
from components.split.duplicates import DuplicateGroups, duplicate_groups
from components.split.groups import Listing, groups_of
from components.split.sides import TEST, TRAIN, VAL, Sides, SplitConfig, sides_of


@dataclass(frozen=True, kw_only=True)
class SplitSummary(Summary):
    """Listings and groups by side, and what the caps did.

    A duplicate group above split.max_duplicate_group is not joined (capped); a group above split.max_group_share is held in train;
    groups_moved counts those that another side took because it had too little.
    """

    listings: dict[str, int]
    groups: dict[str, int]
    largest_group: int
    listings_without_seller: int
    duplicate_groups: int
    duplicate_groups_capped: int
    listings_in_capped_groups: int
    groups_held_in_train: int
    groups_moved: int


def split(validation: In, listings: In, images: In, splits: Out, *, cfg: SplitConfig) -> SplitSummary:
    """Writes item_id, split and group for every listing; raises BadData where the listings form too few groups.

    `validation` is not read: it is there so that nothing is split before the gates have passed.
    """
    rows = read_shards(listings, ["item_id", "seller_id", "product_id", "image_id"])
    phash = hashes_of(rows["image_id"].to_pylist(), images)
    duplicates = duplicate_groups(phash, cfg.phash_max_distance, cfg.max_duplicate_group)
    known = listings_of(rows, duplicates)
    groups = groups_of(known, cfg.ties)
    sides = sides_of(Counter(groups), cfg)
    table = table_of(known, groups, sides)
    write_shards(splits, table, schema.SPLITS, len(shard_paths(listings)))
    return summary_of(known, groups, sides, duplicates)


def hashes_of(image_ids: Sequence[str], images: Path) -> np.ndarray:
    """uint64 (N,): the perceptual hash of each listing's picture."""
    known: dict[str, int] = {}
    for path in shard_paths(images):
        table = pq.read_table(path, columns=["image_id", "phash"])
        known.update(zip(table["image_id"].to_pylist(), table["phash"].to_pylist(), strict=True))
    return np.array([known[image_id] for image_id in image_ids], np.uint64)


def listings_of(rows: pa.Table, duplicates: DuplicateGroups) -> list[Listing]:
    """What ties each row of the listings table to others, in order."""
    columns = [rows[name].to_pylist() for name in ("item_id", "seller_id", "product_id")]
    return [Listing(*values) for values in zip(*columns, duplicates.group.tolist(), strict=True)]


def table_of(listings: Sequence[Listing], groups: Sequence[str], sides: Sides) -> pa.Table:
    """The splits, by item_id."""
    rows = sorted((listing.item_id, sides.of[group], group) for listing, group in zip(listings, groups, strict=True))
    columns = list(zip(*rows, strict=True)) or [(), (), ()]
    return pa.table([pa.array(column, pa.string()) for column in columns], names=schema.SPLITS.names)


def summary_of(listings: Sequence[Listing], groups: Sequence[str], sides: Sides, duplicates: DuplicateGroups) -> SplitSummary:
    """The stage's metrics."""
    sizes = Counter(groups)
    by_side = Counter(sides.of[group] for group in groups)
    groups_by_side = Counter(sides.of.values())
    return SplitSummary(
        rows_in=len(listings),
        rows_out=len(listings),
        listings={side: by_side[side] for side in (TRAIN, VAL, TEST)},
        groups={side: groups_by_side[side] for side in (TRAIN, VAL, TEST)},
        largest_group=max(sizes.values(), default=0),
        listings_without_seller=sum(not listing.seller_id for listing in listings),
        duplicate_groups=duplicates.num_groups,
        duplicate_groups_capped=duplicates.num_capped,
        listings_in_capped_groups=duplicates.num_rows_capped,
        groups_held_in_train=sides.num_held_in_train,
        groups_moved=sides.num_moved,
    )
