"""Pairs come from one page, one side, one price range and near slots, and each page counts as one decision."""

from collections import Counter, defaultdict
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components import schema
from components.contract import bind
from components.pairs.candidates import PairsConfig, candidates, capped, examined, weighted
from components.pairs.component import pairs
from components.shards import read_shards, shard_of, shard_paths, write_shards

SIDE = {f"m-{n}": side for n, side in enumerate(["train"] * 6 + ["val"] * 2 + ["test"] * 3)}


def config(**changes):
    knobs = {"max_price_ratio": 1.5, "position_window": 3, "max_per_request": 5, "continuation": 0.5}
    return bind(PairsConfig, "pairs", {"pairs": knobs | changes})


def impression(request_id, position, item_id, price=10.0, clicked=False, surface="search"):
    return {
        "request_id": request_id,
        "ts": datetime(2025, 1, 1, tzinfo=UTC),
        "surface": surface,
        "platform": "web",
        "user_id": "u",
        "query": "shoes" if surface == "search" else None,
        "source_item_id": None if surface == "search" else "m-0",
        "item_id": item_id,
        "position": position,
        "price": price,
        "clicked": clicked,
        "purchased": False,
        "release_id": "r",
        "simulated": True,
    }


def page(request_id, *slots, **changes):
    """A page from texts such as "m-1 12 x": item, price, and an x where it was clicked."""
    cells = [slot.split() for slot in slots]
    return [impression(request_id, n, item, float(price), bool(rest), **changes) for n, (item, price, *rest) in enumerate(cells)]


pages = st.lists(
    st.tuples(
        st.sampled_from(["search", "search", "similar"]),
        st.lists(st.tuples(st.sampled_from([*SIDE, "m-99"]), st.sampled_from([0.0, 8.0, 10.0, 13.0, 30.0]), st.booleans()), max_size=9),
    ),
    max_size=6,
).map(
    lambda drawn: [
        impression(f"req-{n}", position, item, price, clicked, surface)
        for n, (surface, slots) in enumerate(drawn)
        for position, (item, price, clicked) in enumerate(slots)
    ]
)


def splits_table():
    rows = [{"item_id": item, "split": side, "group": item} for item, side in SIDE.items()]
    return pa.Table.from_pylist(rows, schema.SPLITS)


def frame(table):
    return pl.from_arrow(table).lazy()


def found_in(rows, cfg):
    shown = frame(pa.Table.from_pylist(rows, schema.IMPRESSIONS))
    return capped(candidates(shown, frame(splits_table()), cfg).collect(), cfg.max_per_request)


def kept_in(rows, cfg):
    return weighted(found_in(rows, cfg).filter(pl.col("fate") == "kept"))


def naive_fates(rows, cfg):
    """Every candidate by (request, clicked position, skipped position) with its fate before the cap, the slow way."""
    by_page = defaultdict(list)
    for row in rows:
        if row["surface"] == "search":
            by_page[row["request_id"]].append(row)
    fates = {}
    for request_id, shown in by_page.items():
        for a in shown:
            for b in shown:
                near = abs(a["position"] - b["position"]) <= cfg.position_window
                if a["clicked"] and not b["clicked"] and near and a["item_id"] != b["item_id"]:
                    fates[request_id, a["position"], b["position"]] = naive_fate(a, b, cfg)
    return fates


def naive_fate(a, b, cfg):
    sides = SIDE.get(a["item_id"]), SIDE.get(b["item_id"])
    if None in sides:
        return "unknown_item"
    if sides[0] != sides[1]:
        return "across_sides"
    dear, cheap = max(a["price"], b["price"]), min(a["price"], b["price"])
    return "kept" if dear == cheap or (cheap > 0 and dear / cheap <= cfg.max_price_ratio) else "price"


@settings(deadline=None, max_examples=60)
@given(pages)
def test_candidates_are_what_comparing_every_two_slots_of_a_page_finds(rows):
    cfg = config(max_per_request=None)
    found = {(one["request_id"], one["clicked_position"], one["skipped_position"]): one["fate"] for one in found_in(rows, cfg).to_dicts()}
    assert found == naive_fates(rows, cfg)


@settings(deadline=None, max_examples=60)
@given(pages, st.integers(1, 6))
def test_pairs_keep_to_one_page_one_side_the_window_the_ratio_and_the_cap(rows, cap):
    cfg = config(max_per_request=cap)
    shown = {(row["request_id"], row["position"]): row for row in rows}
    kept = kept_in(rows, cfg).to_dicts()
    for pair in kept:
        clicked, skipped = (shown[pair["request_id"], pair[f"{role}_position"]] for role in ("clicked", "skipped"))
        assert (clicked["item_id"], skipped["item_id"]) == (pair["clicked_item"], pair["skipped_item"])
        assert clicked["clicked"]
        assert not skipped["clicked"]
        assert clicked["surface"] == skipped["surface"] == "search"
        assert SIDE[clicked["item_id"]] == SIDE[skipped["item_id"]] == pair["split"]
        assert 1 <= pair["price_ratio"] <= cfg.max_price_ratio
        assert pair["position_gap"] == clicked["position"] - skipped["position"]
        assert 0 < abs(pair["position_gap"]) <= cfg.position_window
    eligible = Counter(key[0] for key, fate in naive_fates(rows, cfg).items() if fate == "kept")
    assert Counter(pair["request_id"] for pair in kept) == {page: min(count, cap) for page, count in eligible.items()}


@settings(deadline=None, max_examples=60)
@given(pages)
def test_weights_have_mean_one(rows):
    weight = kept_in(rows, config())["weight"]
    assert len(weight) == 0 or weight.mean() == pytest.approx(1)
    assert (weight > 0).all()


@settings(deadline=None, max_examples=30)
@given(pages, st.randoms())
def test_the_order_of_rows_does_not_matter(rows, random):
    before = kept_in(rows, config())
    random.shuffle(rows)
    assert kept_in(rows, config()).equals(before)


def test_slots_above_the_last_click_were_looked_at_and_those_below_fade():
    positions = pl.DataFrame({"skipped": [0, 2, 4, 5, 6], "last": [3, 3, 3, 3, 3]})
    seen = positions.select(examined(pl.col("skipped"), pl.col("last"), 0.5)).to_series().to_list()
    assert seen == [1, 1, 0.5, 0.25, 0.125]


def test_the_last_click_of_the_page_decides_what_was_looked_at_also_for_an_earlier_click():
    found = found_in(page("req-1", "m-1 10 x", "m-2 10", "m-3 10 x", "m-4 10"), config())
    seen = {(one["clicked_item"], one["skipped_item"]): one["examined"] for one in found.to_dicts()}
    assert seen == {("m-1", "m-2"): 1, ("m-1", "m-4"): 0.5, ("m-3", "m-2"): 1, ("m-3", "m-4"): 0.5}


def test_a_page_with_many_pairs_does_not_outvote_one_with_a_single_pair():
    rows = page("req-1", "m-1 10", "m-2 10", "m-3 10", "m-4 10 x") + page("req-2", "m-1 10", "m-2 10 x")
    weight = kept_in(rows, config()).group_by("request_id").agg(pl.col("weight").sum()).sort("request_id")["weight"].to_list()
    assert weight[0] == pytest.approx(weight[1])


def test_the_cap_keeps_what_was_surely_looked_at_and_near():
    rows = page("req-1", "m-1 10", "m-2 10", "m-3 10 x", "m-4 10", "m-5 10")
    kept = kept_in(rows, config(max_per_request=2))
    assert kept["skipped_item"].to_list() == ["m-2", "m-1"]


def run_pairs(folder, rows, **changes):
    write_shards(folder / "impressions", pa.Table.from_pylist(rows, schema.IMPRESSIONS), schema.IMPRESSIONS, 3, key="request_id")
    write_shards(folder / "splits", splits_table(), schema.SPLITS, 2)
    summary = pairs(folder / "impressions", folder / "splits", folder / "pairs", cfg=config(**changes))
    return summary, read_shards(folder / "pairs").to_pylist()


def test_the_stage_says_where_every_candidate_went(tmp_path):
    rows = [
        *page("req-1", "m-0 10", "m-1 12 x", "m-2 90", "m-6 10", "m-99 10"),
        *page("req-2", "m-6 10 x", "m-7 10"),
        *page("req-3", "m-3 10", "m-4 10"),
        *page("req-4", "m-3 10 x", "m-4 10", surface="similar"),
    ]
    summary, found = run_pairs(tmp_path, rows)
    assert [(one["clicked_item"], one["skipped_item"], one["split"]) for one in sorted(found, key=lambda one: one["request_id"])] == [
        ("m-1", "m-0", "train"),
        ("m-6", "m-7", "val"),
    ]
    assert (summary.rows_in, summary.rows_out, summary.candidates) == (11, 2, 5)
    assert (summary.search_pages, summary.search_pages_with_a_click) == (3, 2)
    assert summary.dropped == {"unknown_item": 1, "across_sides": 1, "price": 1, "over_cap": 0}
    assert summary.pairs == {"train": 1, "val": 1, "test": 0}


def test_pairs_lie_in_the_shard_of_their_page(tmp_path):
    run_pairs(tmp_path, [row for n in range(20) for row in page(f"req-{n}", "m-1 10 x", "m-2 10")])
    paths = shard_paths(tmp_path / "pairs")
    assert len(paths) == 3
    for index, path in enumerate(paths):
        table = pq.read_table(path)
        assert table.schema.equals(schema.PAIRS)
        assert {shard_of(one, 3) for one in table["request_id"].to_pylist()} == {index}


@pytest.mark.parametrize("rows", [[], page("req-1", "m-1 10", "m-2 10"), page("req-1", "m-1 10 x")])
def test_no_pairs_are_a_table_too(tmp_path, rows):
    summary, found = run_pairs(tmp_path, rows)
    assert found == []
    assert summary.rows_out == summary.candidates == 0
    assert summary.rows_in == len(rows)
    assert pq.read_table(shard_paths(tmp_path / "pairs")[0]).schema.equals(schema.PAIRS)


def test_a_repeated_run_gives_equal_bytes(tmp_path):
    rows = [
        row
        for n in range(200)
        for row in page(f"req-{n}", *(f"m-{(n + k) % 6} {10 + k} {'x' if (n + k) % 4 == 0 else ''}" for k in range(6)))
    ]
    run_pairs(tmp_path / "a", rows)
    run_pairs(tmp_path / "b", rows[::-1])
    for a, b in zip(shard_paths(tmp_path / "a" / "pairs"), shard_paths(tmp_path / "b" / "pairs"), strict=True):
        assert a.read_bytes() == b.read_bytes()
