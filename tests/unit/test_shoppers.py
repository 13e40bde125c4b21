"""Shoppers: the impressions they leave are a faithful sample of the click model that params state."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from components import schema
from components.contract import bind, read_params
from components.ingest.market import MarketConfig
from components.ingest.rows import CatalogueItem
from components.ingest.shelf import colour_of, shared_share, stocked, words_of
from components.ingest.shoppers import attraction, browse, examination, relevance

PARAMS = read_params(Path(__file__).resolve().parents[2] / "params.yaml")
KINDS = (
    ("Mugs", "mug", "マグカップ"),
    ("Lamps", "lamp", "ランプ"),
    ("Rings", "ring", "指輪"),
    ("Chairs", "chair", "椅子"),
    ("Caps", "cap", "キャップ"),
)
COLOURS = (("red", "赤"), ("blue", "水色"), ("green", "緑"), ("black", "黒"))


def make_cfg(click: dict[str, float] | None = None, **changes: Any) -> MarketConfig:
    section = {**PARAMS["market"], "num_requests": 3000, **changes, "click": {**PARAMS["market"]["click"], **(click or {})}}
    return bind(MarketConfig, "market", {"market": section})


def make_items(count: int, quality: float | None = -1.0) -> list[CatalogueItem]:
    """A catalogue of mugs to caps in four colours; quality is random where -1."""
    rng = np.random.default_rng(1)
    items = []
    for number in range(count):
        leaf, english, japanese = KINDS[number % len(KINDS)]
        colour = COLOURS[int(rng.integers(len(COLOURS)))]
        title = f"{colour[0]} {english}" if rng.random() < 0.5 else f"{colour[1]} {japanese} 美品"
        price = float(round(2000 * np.exp(0.35 * rng.normal())))
        items.append(
            CatalogueItem(f"i-{number:04d}", title, ("Root", leaf), price, None, float(rng.random()) if quality == -1.0 else quality)
        )
    return items


def make_impressions(items: Sequence[CatalogueItem], cfg: MarketConfig) -> pl.DataFrame:
    table = pl.from_arrow(browse(items, cfg))
    assert isinstance(table, pl.DataFrame)
    return table


def test_impressions_fit_their_schema_and_their_time():
    cfg = make_cfg(num_requests=300)
    table = browse(make_items(60), cfg)
    table.validate(full=True)
    assert table.schema.equals(schema.IMPRESSIONS)
    assert not any(table[f.name].null_count for f in schema.IMPRESSIONS if not f.nullable)
    ts = pl.from_arrow(table)["ts"]
    assert ts.is_sorted()
    assert ts.max() < cfg.now
    assert (cfg.now - ts.min()).days < cfg.num_days


def test_every_page_counts_its_slots_from_0_and_shows_no_item_twice():
    seen = make_impressions(make_items(200), make_cfg())
    pages = seen.group_by("request_id").agg(
        pl.col("position").sort(), pl.col("item_id").n_unique(), pl.len(), pl.col("user_id").n_unique().alias("users")
    )
    assert pages["len"].to_list() == pages["item_id"].to_list() == [12] * 3000
    assert all(positions == list(range(12)) for positions in pages["position"].to_list())
    assert pages["users"].max() == 1


def test_a_page_has_either_a_query_or_a_source_item_which_it_does_not_show():
    seen = make_impressions(make_items(60), make_cfg(num_requests=500))
    search, similar = seen.filter(surface="search"), seen.filter(surface="similar")
    assert search["query"].null_count() == similar["source_item_id"].null_count() == 0
    assert search["source_item_id"].null_count() == len(search) > 0
    assert similar["query"].null_count() == len(similar) > 0
    assert not (similar["source_item_id"] == similar["item_id"]).any()
    assert set(seen["platform"]) == {"web", "ios", "android"}
    assert set(seen["release_id"]) == {"legacy"}
    assert seen["simulated"].all()


@pytest.mark.parametrize("position_bias", [0.3, 0.9])
def test_the_position_bias_can_be_read_off_the_shuffled_pages(position_bias):
    seen = make_impressions(make_items(300), make_cfg({"position_bias": position_bias}, num_requests=16_000, similar_share=1.0))
    by_slot = (
        seen.group_by("position").agg(pl.col("clicked").mean().alias("share"), pl.col("clicked").sum().alias("clicks")).sort("position")
    )
    slope, _ = np.polyfit(
        np.log1p(by_slot["position"].to_numpy()), np.log(by_slot["share"].to_numpy()), 1, w=np.sqrt(by_slot["clicks"].to_numpy())
    )
    assert -slope == pytest.approx(position_bias, abs=0.06)


def test_on_shuffled_pages_a_slot_says_nothing_about_the_item_in_it():
    items = make_items(300)
    quality = {item.item_id: item.quality for item in items}
    seen = make_impressions(items, make_cfg(similar_share=1.0)).with_columns(quality=pl.col("item_id").replace_strict(quality))
    leaf = {item.item_id: item.category[-1] for item in items}
    same = seen["item_id"].replace_strict(leaf) == seen["source_item_id"].replace_strict(leaf)
    assert abs(np.corrcoef(seen["position"], same)[0, 1]) < 0.02
    assert abs(np.corrcoef(seen["position"], seen["quality"])[0, 1]) < 0.02


@pytest.mark.parametrize(("quality_weight", "low", "high"), [(2.5, 2.2, 6.0), (0.0, 0.85, 1.17), (-2.5, 0.16, 0.45)])
def test_better_photos_are_clicked_more_exactly_where_the_model_says_so(quality_weight, low, high):
    items = make_items(300)
    quality = {item.item_id: item.quality for item in items}
    seen = make_impressions(items, make_cfg({"quality_weight": quality_weight})).with_columns(
        quality=pl.col("item_id").replace_strict(quality)
    )
    good, poor = seen.filter(pl.col("quality") > 0.75)["clicked"].mean(), seen.filter(pl.col("quality") < 0.25)["clicked"].mean()
    assert low < good / poor < high


def test_unknown_quality_is_read_as_the_middle_one():
    cfg = make_cfg(num_requests=400)
    assert browse(make_items(60, quality=None), cfg) == browse(make_items(60, quality=0.5), cfg)


def test_shoppers_click_what_shares_leaf_and_colour_with_what_they_wanted():
    items = make_items(300)
    leaf = {item.item_id: item.category[-1] for item in items}
    colour = {item.item_id: colour_of(words_of(item.title)) for item in items}
    seen = make_impressions(items, make_cfg(similar_share=1.0))
    seen = seen.with_columns(
        same_leaf=pl.col("item_id").replace_strict(leaf) == pl.col("source_item_id").replace_strict(leaf),
        same_colour=pl.col("item_id").replace_strict(colour) == pl.col("source_item_id").replace_strict(colour),
    )
    share = {key: group["clicked"].mean() for key, group in seen.group_by("same_leaf", "same_colour")}
    assert share[(True, True)] > 1.8 * share[(True, False)] > 1.8 * 1.3 * share[(False, False)]


def test_the_defaults_give_a_plausible_click_through_and_enough_pairs():
    seen = make_impressions(make_items(300), make_cfg())
    assert 0.03 < seen["clicked"].mean() < 0.12
    search = seen.filter(surface="search").select("request_id", "position", "price", "clicked")
    pairs = search.filter("clicked").join(search.filter(~pl.col("clicked")), on="request_id", suffix="_skipped")
    close = pairs.filter(
        (pl.col("price") / pl.col("price_skipped")).log().abs() <= np.log(1.5),
        (pl.col("position") - pl.col("position_skipped").cast(pl.Int32)).abs() <= 3,
    )
    assert close["request_id"].n_unique() > 0.25 * search["request_id"].n_unique()


def test_only_what_was_clicked_is_bought_and_at_the_share_that_params_state():
    seen = make_impressions(make_items(300), make_cfg({"purchase_share": 0.5}))
    bought = seen.filter("purchased")
    assert bought["clicked"].all()
    assert 0.2 < len(bought) / seen["clicked"].sum() < 0.5


def test_the_same_seed_gives_the_same_impressions_and_another_seed_others():
    items = make_items(80)
    assert browse(items, make_cfg(num_requests=200)) == browse(items, make_cfg(num_requests=200))
    assert browse(items, make_cfg(num_requests=200))["item_id"] != browse(items, make_cfg(num_requests=200, seed=8))["item_id"]


@pytest.mark.parametrize("num_items", [1, 2, 5])
def test_a_catalogue_smaller_than_a_page_gives_short_pages(num_items):
    seen = make_impressions(make_items(num_items), make_cfg(num_requests=200))
    pages = seen.group_by("request_id", "surface").agg(pl.col("position").sort(), pl.len())
    assert pages.filter(surface="search")["len"].max() == num_items
    assert (pages.filter(surface="similar")["len"].max() or 0) == num_items - 1
    assert seen.select("request_id", "item_id").is_unique().all()
    assert all(positions == list(range(len(positions))) for positions in pages["position"].to_list())


def test_no_items_or_no_pages_give_an_empty_table():
    assert len(browse([], make_cfg())) == len(browse(make_items(5), make_cfg(num_requests=0))) == 0


def test_the_click_model_is_the_one_its_docstring_states():
    click = make_cfg({"position_bias": 1.0, "intercept": -1.0, "taste_weight": 2.0, "quality_weight": 4.0}).click
    assert examination(np.array([0, 1, 3]), click) == pytest.approx([1.0, 0.5, 0.25])
    assert attraction(np.array([0.5]), np.array([0.5]), click) == pytest.approx([0.5])
    assert attraction(np.array([0.5]), np.array([1.0]), click) == pytest.approx([1 / (1 + np.exp(-2))])
    assert relevance(np.ones(1), np.ones(1), np.ones(1), np.ones(1)) == pytest.approx([1.0])


def test_a_query_is_made_of_the_colour_and_the_words_typical_of_the_leaf():
    shelf = stocked(make_items(100))
    english = next(row for row, item in enumerate(make_items(100)) if item.title.endswith("mug"))
    colour = make_items(100)[english].title.split()[0]
    assert shelf.queries[english] == "mug"
    assert shelf.coloured[english] == f"{colour} mug"
    assert {query for query in shelf.queries if not query.isascii()} == {japanese for _, _, japanese in KINDS}


def test_a_title_without_typical_words_is_searched_for_by_its_leaf():
    items = [CatalogueItem("a", "", ("Food", "Oat milk"), 1.0, None, None), CatalogueItem("b", "赤 マグカップ", (), 2.0, None, None)]
    shelf = stocked(items)
    assert shelf.queries[0] == "oat milk"
    assert shelf.colour.tolist() == [-1, colour_of(["red"])]


def test_the_share_of_shared_words_is_exact_for_a_common_vocabulary():
    shelf = stocked(
        [CatalogueItem(str(n), title, ("x",), 1.0, None, None) for n, title in enumerate(["red big mug", "red mug", "blue lamp"])]
    )
    assert shared_share(shelf.words[0], shelf.words) == pytest.approx([1.0, 2 / 3, 0.0])
