"""A seller, a product and a near-duplicate never stand on both sides, and a group keeps its side."""

import csv
import itertools
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import schema
from components.contract import bind
from components.errors import BadData, BadParams
from components.shards import read_shards, shard_of, shard_paths, write_shards
from components.split.component import split
from components.split.duplicates import close_pairs, duplicate_groups
from components.split.groups import Listing, groups_of
from components.split.sides import SplitConfig, hashed_side, sides_of

TIES = ["seller", "product", "duplicate"]
PHOTOS = Path(__file__).parents[2] / "../shared/data/photos/listings.csv"


def config(**changes):
    knobs = {
        "seed": 0,
        "val_share": 0.1,
        "test_share": 0.2,
        "ties": TIES,
        "phash_max_distance": 4,
        "max_duplicate_group": 20,
        "max_group_share": 0.03,
        "min_fill": 0.25,
    }
    return bind(SplitConfig, "split", {"split": knobs | changes})


def listings(max_size=40):
    some_id = st.one_of(st.none(), st.sampled_from("abcdefgh"))
    ties = st.tuples(some_id, some_id, st.integers(-1, 5))
    return st.lists(ties, min_size=1, max_size=max_size).map(lambda rows: [Listing(f"m-{number}", *row) for number, row in enumerate(rows)])


def tied(a, b):
    return (
        (a.seller_id is not None and a.seller_id == b.seller_id)
        or (a.product_id is not None and a.product_id == b.product_id)
        or (a.duplicate_group >= 0 and a.duplicate_group == b.duplicate_group)
    )


@given(listings())
def test_listings_share_a_group_exactly_when_a_chain_of_ties_leads_from_one_to_the_other(items):
    reached = {item.item_id: {item.item_id} for item in items}
    for a, b in itertools.combinations(items, 2):
        if tied(a, b) and reached[a.item_id] is not reached[b.item_id]:
            joined = reached[a.item_id] | reached[b.item_id]
            reached.update(dict.fromkeys(joined, joined))
    group = dict(zip([item.item_id for item in items], groups_of(items, TIES), strict=True))
    for a, b in itertools.combinations(group, 2):
        assert (group[a] == group[b]) == (b in reached[a])


@given(listings(), st.randoms())
def test_the_order_of_rows_does_not_change_a_group(items, random):
    group = dict(zip(items, groups_of(items, TIES), strict=True))
    random.shuffle(items)
    assert dict(zip(items, groups_of(items, TIES), strict=True)) == group


def test_a_group_is_named_after_its_smallest_seller_else_product_else_item():
    items = [
        Listing("m-1", "s-2", "p-1", -1),
        Listing("m-2", "s-1", "p-1", -1),
        Listing("m-3", None, "p-9", -1),
        Listing("m-0", None, None, -1),
    ]
    assert groups_of(items, TIES) == ["seller:s-1", "seller:s-1", "product:p-9", "item:m-0"]


def test_a_tie_left_out_neither_joins_nor_names():
    items = [Listing("m-1", "s-1", "p-1", -1), Listing("m-2", "s-1", None, -1)]
    assert groups_of(items, ["product"]) == ["product:p-1", "item:m-2"]


@st.composite
def close_hashes(draw):
    """Hashes around few centres, so that many lie within a few bits of each other."""
    centres = draw(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=4))
    flips = st.lists(st.integers(0, 63), max_size=7).map(lambda bits: sum({1 << bit for bit in bits}))
    near = st.tuples(st.sampled_from(centres), flips).map(lambda pair: pair[0] ^ pair[1])
    return np.array(draw(st.lists(near, min_size=1, max_size=30, unique=True)), np.uint64)


@settings(deadline=None)
@given(close_hashes(), st.integers(0, 9))
def test_close_pairs_are_those_that_comparing_each_with_each_finds(hashes, distance):
    found = {tuple(pair) for block in close_pairs(hashes, distance) for pair in block.tolist()}
    numbers = [int(value) for value in hashes]
    close = {(i, j) for i, j in itertools.combinations(range(len(numbers)), 2) if (numbers[i] ^ numbers[j]).bit_count() <= distance}
    assert found == close


def test_near_duplicates_join_through_others_and_strangers_do_not():
    phash = np.array([0, 0b1111, 0b11111111, 2**64 - 1], np.uint64)
    assert duplicate_groups(phash, 4, 20).group.tolist() == [0, 0, 0, -1]
    assert duplicate_groups(phash, 3, 20).group.tolist() == [-1, -1, -1, -1]


def test_a_placeholder_under_many_listings_is_counted_and_not_joined():
    phash = np.array([7] * 21 + [2**64 - 1] * 2, np.uint64)
    found = duplicate_groups(phash, 4, 20)
    assert found.group.tolist() == [-1] * 21 + [0, 0]
    assert (found.num_groups, found.num_capped, found.num_rows_capped) == (1, 1, 21)


def test_sides_get_their_shares_of_many_small_groups():
    sides = sides_of({f"seller:{n}": 5 for n in range(3000)}, config()).of
    counts = Counter(sides.values())
    assert counts["test"] / 3000 == pytest.approx(0.2, abs=0.03)
    assert counts["val"] / 3000 == pytest.approx(0.1, abs=0.03)


@given(st.dictionaries(st.text(min_size=1, max_size=5), st.integers(1, 3), min_size=100, max_size=130), st.integers(0, 5))
def test_a_group_keeps_its_side_when_others_come(sizes, seed):
    cfg = config(seed=seed, min_fill=0.0, max_group_share=1.0)
    before = sides_of(dict(list(sizes.items())[:90]), cfg).of
    after = sides_of(sizes, cfg).of
    assert before == {group: after[group] for group in before}


def test_another_seed_gives_other_sides():
    assert len({tuple(hashed_side(f"seller:{n}", config(seed=seed)) for n in range(50)) for seed in range(5)}) == 5


def test_one_huge_seller_is_trained_on_whatever_the_seed():
    sizes = {f"seller:{n}": 2 for n in range(200)} | {"seller:huge": 300}
    for seed in range(10):
        sides = sides_of(sizes, config(seed=seed))
        assert sides.of["seller:huge"] == "train"
        assert sides.num_held_in_train == 1


@given(st.lists(st.integers(1, 1000), min_size=3, max_size=12), st.integers(0, 20))
def test_three_groups_are_enough_for_three_sides_and_the_largest_is_trained_on(counts, seed):
    sizes = {f"seller:{n}": count for n, count in enumerate(counts)}
    sides = sides_of(sizes, config(seed=seed)).of
    assert sides.keys() == sizes.keys()
    assert set(sides.values()) == {"train", "val", "test"}
    assert max(counts) in {sizes[group] for group in sizes if sides[group] == "train"}


def test_ten_equal_sellers_are_shared_out_by_the_shares():
    sides = sides_of({f"seller:{n}": 10 for n in range(10)}, config())
    assert Counter(sides.of.values()) == {"train": 7, "test": 2, "val": 1}
    assert sides.num_moved == 3


@pytest.mark.parametrize("max_group_share", [0.03, 1.0])
def test_no_seed_leaves_a_side_of_three_groups_empty(max_group_share):
    for seed in range(100):
        sides = sides_of({"seller:a": 1000, "seller:b": 1, "seller:c": 1}, config(seed=seed, max_group_share=max_group_share))
        assert sorted(sides.of.values()) == ["test", "train", "val"]


def test_where_no_group_is_hashed_into_train_it_takes_the_largest():
    sizes = {"seller:a": 3, "seller:b": 1000, "seller:c": 3}
    cfgs = [config(seed=seed, max_group_share=1.0) for seed in range(300)]
    emptied = [cfg for cfg in cfgs if all(hashed_side(group, cfg) != "train" for group in sizes)]
    assert emptied
    assert {sides_of(sizes, cfg).of["seller:b"] for cfg in emptied} == {"train"}


def test_two_groups_stop_the_run_with_what_is_needed():
    with pytest.raises(BadData, match=r"100 listings form 2 group\(s\), joined by seller, product, duplicate; .* at least 3"):
        sides_of({"seller:a": 60, "seller:b": 40}, config())


def test_no_listings_stop_the_run():
    with pytest.raises(BadData, match="0 listings form 0 group"):
        sides_of({}, config())


def test_shares_that_leave_nothing_to_train_on_are_refused():
    with pytest.raises(BadParams, match="nothing is left to train on"):
        config(val_share=0.5, test_share=0.5)


def row(item_id, seller_id=None, product_id=None):
    given = {
        "item_id": item_id,
        "seller_id": seller_id,
        "product_id": product_id,
        "title": "Shoes",
        "title_language": "en",
        "description": "",
        "category": ["Footwear"],
        "price": 5.0,
        "currency": "JPY",
        "status": "on_sale",
        "created_at": datetime(2025, 1, 1, tzinfo=UTC),
        "app_version": None,
        "image_id": f"picture of {item_id}",
        "source": "test",
        "simulated": [],
    }
    return given


def picture(item_id, phash):
    stats = dict.fromkeys(("brightness", "sharpness", "contrast", "text_share"), 0.5)
    return {"item_id": item_id, "image_id": f"picture of {item_id}", "data": b"", "width": 64, "height": 64, "phash": phash, "stats": stats}


def write_shop(folder, rows, phashes, num_shards=3):
    write_shards(folder / "listings", pa.Table.from_pylist(rows, schema.LISTINGS), schema.LISTINGS, num_shards)
    keyed = pa.schema([*schema.IMAGES, pa.field("item_id", pa.string())])
    pictures = [picture(row["item_id"], phash) for row, phash in zip(rows, phashes, strict=True)]
    write_shards(folder / "images", pa.Table.from_pylist(pictures, keyed), schema.IMAGES, num_shards)


def split_shop(folder, rows, phashes, **changes):
    write_shop(folder, rows, phashes)
    summary = split(folder / "validation.json", folder / "listings", folder / "images", folder / "splits", cfg=config(**changes))
    return summary, read_shards(folder / "splits").to_pylist()


def random_shop(seed, num_rows=120):
    rng = np.random.default_rng(seed)
    sellers = [None if n == 0 else f"s-{n}" for n in rng.integers(0, 40, num_rows)]
    products = [None if n > 60 else f"p-{n}" for n in rng.integers(0, 300, num_rows)]
    centres = rng.integers(0, 2**63, 600, dtype=np.uint64)
    which, flipped = rng.integers(0, 600, num_rows), rng.integers(0, 64, num_rows)
    phashes = [int(centres[n]) ^ (1 << int(bit)) for n, bit in zip(which, flipped, strict=True)]
    rows = [row(f"m-{n}", seller, product) for n, (seller, product) in enumerate(zip(sellers, products, strict=True))]
    return rows, phashes


@pytest.mark.parametrize("seed", range(5))
def test_no_seller_product_or_near_duplicate_crosses_sides(tmp_path, seed):
    rows, phashes = random_shop(seed)
    summary, found = split_shop(tmp_path, rows, phashes, max_group_share=1.0)
    side = {one["item_id"]: one["split"] for one in found}
    for (a, hash_a), (b, hash_b) in itertools.combinations(zip(rows, phashes, strict=True), 2):
        same_seller = a["seller_id"] is not None and a["seller_id"] == b["seller_id"]
        same_product = a["product_id"] is not None and a["product_id"] == b["product_id"]
        if same_seller or same_product or (hash_a ^ hash_b).bit_count() <= 4:
            assert side[a["item_id"]] == side[b["item_id"]]
    assert summary.duplicate_groups_capped == 0
    assert summary.listings_without_seller == sum(one["seller_id"] is None for one in rows)


def test_every_listing_is_there_once_in_the_shard_of_its_listing(tmp_path):
    rows, phashes = random_shop(7)
    summary, found = split_shop(tmp_path, rows, phashes)
    assert sorted(one["item_id"] for one in found) == sorted(one["item_id"] for one in rows)
    assert sum(summary.listings.values()) == summary.rows_in == summary.rows_out == len(rows)
    assert sum(summary.groups.values()) == len({one["group"] for one in found})
    for index, path in enumerate(shard_paths(tmp_path / "splits")):
        assert {shard_of(one["item_id"], 3) for one in pq.read_table(path).to_pylist()} <= {index}


def test_rows_in_another_order_give_equal_bytes(tmp_path):
    rows, phashes = random_shop(3)
    split_shop(tmp_path / "a", rows, phashes)
    split_shop(tmp_path / "b", rows[::-1], phashes[::-1])
    for a, b in zip(shard_paths(tmp_path / "a" / "splits"), shard_paths(tmp_path / "b" / "splits"), strict=True):
        assert a.read_bytes() == b.read_bytes()


def test_a_shop_without_sellers_is_split_by_item(tmp_path):
    rows = [row(f"m-{n}") for n in range(300)]
    phashes = [int(value) for value in np.random.default_rng(0).integers(0, 2**63, 300, dtype=np.uint64)]
    summary, found = split_shop(tmp_path, rows, phashes)
    assert {one["group"] for one in found} == {f"item:m-{n}" for n in range(300)}
    assert summary.listings["test"] == pytest.approx(60, abs=25)


@pytest.mark.skipif(not PHOTOS.exists(), reason="the real photos are not beside this repository")
def test_the_real_photos_keep_twenty_clothing_contributors_for_the_test():
    rows = list(csv.DictReader(PHOTOS.open(encoding="utf-8")))
    items = [Listing(one["item_id"], one["contributor_id"], one["group_id"], -1) for one in rows]
    groups = groups_of(items, TIES)
    sides = sides_of(Counter(groups), config())
    held_out = {item.seller_id for item, group in zip(items, groups, strict=True) if item.seller_id and sides.of[group] == "test"}
    assert len(held_out) >= 20
    assert sides.num_held_in_train == 5
