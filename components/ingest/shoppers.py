"""Shoppers with a known click model, over any catalogue: what each page showed, and what was clicked and bought.

P = pages, C = candidates of a page, S = slots of a page. Arrays are named for their shapes.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from components.ingest.drawing.palette import COLOURS
from components.ingest.market import ClickModel, MarketConfig
from components.ingest.rows import CatalogueItem
from components.ingest.shelf import Shelf, shared_share, stocked
from components.schema import IMPRESSIONS, UTC_TIME

RELEASE = "legacy"
PLATFORMS = ("web", "ios", "android")
PLATFORM_SHARES = (0.4, 0.35, 0.25)
NUM_FAVOURITE_LEAVES, NUM_FAVOURITE_COLOURS = 3, 2
FAVOURITE_SHARE = 0.7
COLOUR_QUERY_SHARE = 0.5
LEAF, COLOUR, WORDS, LIKED = 0.45, 0.25, 0.15, 0.15
CANDIDATES_PER_SLOT = 5
PAGES_AT_ONCE = 4096
DAY_US = 86_400_000_000
_USER, _TIME, _PAGE = 11, 12, 13


@dataclass(frozen=True)
class Users:
    """U shoppers: hashed ids, platforms, favourite leaves (U, 3) and colours (U, 2)."""

    user_id: pa.Array
    platform: np.ndarray
    leaves: np.ndarray
    colours: np.ndarray


@dataclass(frozen=True)
class Shop:
    """Who can meet what: the N items with their ids and prices, and the shoppers."""

    shelf: Shelf
    users: Users
    item_ids: pa.Array
    prices: pa.Array


@dataclass(frozen=True)
class Pages:
    """P pages before they are filled: who asked, when, on which surface, and the item that stands for the wish."""

    user: np.ndarray
    ts: np.ndarray
    similar: np.ndarray
    wish: np.ndarray
    coloured: np.ndarray


def browse(items: Sequence[CatalogueItem], cfg: MarketConfig, salt: int | None = None) -> pa.Table:
    """Impressions (schema.IMPRESSIONS) of cfg.num_requests pages in order of time, each position from 0 without gaps.

    With a `salt` the same shoppers ask for other pages, whose request_ids it stands in.

    Search pages are ranked by a noisy legacy ranker: words shared with the query, then price. Pages of similar items are shuffled,
    so that there position says nothing about relevance. Clicks follow cfg.click, see ClickModel and relevance.
    """
    if not items or not cfg.num_requests:
        return IMPRESSIONS.empty_table()
    shelf, salted = stocked(items), () if salt is None else (salt,)
    ts = _times(cfg, salted)
    shop = Shop(
        shelf=shelf,
        users=new_users(shelf.num_leaves, cfg),
        item_ids=pa.array([item.item_id for item in items], pa.string()),
        prices=pa.array([item.price for item in items], pa.float64()),
    )
    starts = range(0, cfg.num_requests, PAGES_AT_ONCE)
    return pa.concat_tables(_block(ts[start : start + PAGES_AT_ONCE], start, shop, cfg, salted) for start in starts)


def new_users(num_leaves: int, cfg: MarketConfig) -> Users:
    """The market's shoppers, who like some of the `num_leaves` leaf categories and some colours."""
    rng = np.random.default_rng([cfg.seed, _USER])
    names = [hashlib.sha256(f"{cfg.seed}/user/{number}".encode()).hexdigest()[:16] for number in range(cfg.num_users)]
    return Users(
        user_id=pa.array(names, pa.string()),
        platform=rng.choice(len(PLATFORMS), size=cfg.num_users, p=PLATFORM_SHARES),
        leaves=rng.integers(num_leaves, size=(cfg.num_users, NUM_FAVOURITE_LEAVES)),
        colours=rng.integers(len(COLOURS), size=(cfg.num_users, NUM_FAVOURITE_COLOURS)),
    )


def examination(position: np.ndarray, click: ClickModel) -> np.ndarray:
    """Probability that a shopper looks at the slot: (1 + position) ** -position_bias."""
    return np.asarray((1.0 + position) ** -click.position_bias)


def attraction(relevance: np.ndarray, quality: np.ndarray, click: ClickModel) -> np.ndarray:
    """Probability that an item looked at is clicked."""
    logit = click.intercept + click.taste_weight * relevance + click.quality_weight * (quality - 0.5)
    return np.asarray(1.0 / (1.0 + np.exp(-logit)))


def relevance(leaf_match: np.ndarray, colour_match: np.ndarray, shared_words: np.ndarray, liked: np.ndarray) -> np.ndarray:
    """Relevance in [0, 1]: same leaf category, same colour, shared title words, and a colour that the shopper likes."""
    return np.asarray(LEAF * leaf_match + COLOUR * colour_match + WORDS * shared_words + LIKED * liked)


def _times(cfg: MarketConfig, salted: tuple[int, ...]) -> np.ndarray:
    """Microseconds of every page, ascending: days alike, the middle of the day busiest, all before as_of."""
    rng = np.random.default_rng([cfg.seed, _TIME, *salted])
    day = rng.integers(cfg.num_days, size=cfg.num_requests) + rng.beta(3, 3, size=cfg.num_requests)
    start_us = round(cfg.now.timestamp() * 1e6) - cfg.num_days * DAY_US
    return np.sort(start_us + (day * DAY_US).astype(np.int64))


def _block(ts_P: np.ndarray, first_page: int, shop: Shop, cfg: MarketConfig, salted: tuple[int, ...]) -> pa.Table:
    """The impressions of the pages asked for at `ts_P`, which are numbered from first_page."""
    rng = np.random.default_rng([cfg.seed, _PAGE, first_page, *salted])
    series = "-".join(map(str, ("sim", cfg.seed, *salted)))
    pages = _asked(ts_P, shop.shelf, shop.users, cfg, rng)
    item_PS, shown_PS = _filled(pages, shop.shelf, cfg.num_slots, rng)
    match_PS = _relevance(pages, item_PS, shop.shelf, shop.users)
    seen_PS = rng.random(item_PS.shape) < examination(np.arange(item_PS.shape[1]), cfg.click)
    clicked_PS = seen_PS & (rng.random(item_PS.shape) < attraction(match_PS, shop.shelf.quality[item_PS], cfg.click))
    bought_PS = clicked_PS & (rng.random(item_PS.shape) < cfg.click.purchase_share * match_PS)
    page, slot = np.nonzero(shown_PS)
    outcome = {
        "position": pa.array(slot, pa.int32()),
        "clicked": pa.array(clicked_PS[shown_PS]),
        "purchased": pa.array(bought_PS[shown_PS]),
    }
    columns = {**_of_pages(pages, page, first_page, shop, series), **_of_items(item_PS[shown_PS], shop), **outcome}
    return pa.table(columns, schema=IMPRESSIONS)


def _of_pages(pages: Pages, page: np.ndarray, first_page: int, shop: Shop, series: str) -> dict[str, pa.Array]:
    """Columns that a page's impressions share; `page` is the row of `pages` that each impression belongs to. Pages of one `series` are
    numbered on."""
    shelf, user, similar = shop.shelf, pages.user[page], pages.similar[page]
    asked = zip(pages.similar, pages.coloured, pages.wish, strict=True)
    query_P = [None if similar else (shelf.coloured if coloured else shelf.queries)[wish] for similar, coloured, wish in asked]
    request_P = [f"{series}-{first_page + number:08d}" for number in range(len(query_P))]
    return {
        "request_id": pa.array(request_P, pa.string()).take(pa.array(page)),
        "ts": pa.array(pages.ts[page], UTC_TIME),
        "surface": pa.array(["search", "similar"]).take(pa.array(similar.astype(np.int64))),
        "platform": pa.array(PLATFORMS).take(pa.array(shop.users.platform[user])),
        "user_id": shop.users.user_id.take(pa.array(user)),
        "query": pa.array(query_P, pa.string()).take(pa.array(page)),
        "source_item_id": shop.item_ids.take(pa.array(pages.wish[page], mask=~similar)),
        "release_id": pa.repeat(RELEASE, len(page)),
        "simulated": pa.repeat(True, len(page)),
    }


def _of_items(item: np.ndarray, shop: Shop) -> dict[str, pa.Array]:
    rows = pa.array(item)
    return {"item_id": shop.item_ids.take(rows), "price": shop.prices.take(rows)}


def _asked(ts_P: np.ndarray, shelf: Shelf, users: Users, cfg: MarketConfig, rng: np.random.Generator) -> Pages:
    """Who asks for what: mostly an item of a leaf the shopper likes, else any item."""
    num_pages, num_items = len(ts_P), len(shelf.leaf)
    user_P = rng.integers(len(users.user_id), size=num_pages)
    liked_P = users.leaves[user_P, rng.integers(NUM_FAVOURITE_LEAVES, size=num_pages)]
    any_P = shelf.leaf[rng.integers(num_items, size=num_pages)]
    leaf_P = np.where(rng.random(num_pages) < FAVOURITE_SHARE, liked_P, any_P)
    return Pages(
        user=user_P,
        ts=ts_P,
        similar=rng.random(num_pages) < cfg.similar_share,
        wish=_from_leaf(leaf_P, shelf, rng.random(num_pages)),
        coloured=rng.random(num_pages) < COLOUR_QUERY_SHARE,
    )


def _from_leaf(leaf: np.ndarray, shelf: Shelf, luck: np.ndarray) -> np.ndarray:
    """An item of each leaf, chosen by luck in [0, 1)."""
    first = shelf.starts[leaf]
    return np.asarray(shelf.members[first + (luck * (shelf.starts[leaf + 1] - first)).astype(np.int64)])


def _filled(pages: Pages, shelf: Shelf, num_slots: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items in the slots of every page (P, S), and which slots are filled, those first. No page shows an item twice or its own wish."""
    item_PC = _candidates(pages, shelf, num_slots * CANDIDATES_PER_SLOT, rng)
    score_PC = _legacy_score(pages, item_PC, shelf, rng)
    again_PC = np.zeros(item_PC.shape, bool)
    again_PC[:, 1:] = item_PC[:, 1:] == item_PC[:, :-1]
    own_PC = pages.similar[:, None] & (item_PC == pages.wish[:, None])
    score_PC[again_PC | own_PC] = -np.inf
    best_PS = np.argsort(-score_PC, axis=1, kind="stable")[:, :num_slots]
    shown_PS = np.isfinite(np.take_along_axis(score_PC, best_PS, axis=1))
    luck_PS = np.where(shown_PS, rng.random(shown_PS.shape), 2.0)
    slot_PS = np.where(pages.similar[:, None], np.argsort(luck_PS, axis=1), np.arange(best_PS.shape[1]))
    return np.take_along_axis(item_PC, np.take_along_axis(best_PS, slot_PS, axis=1), axis=1), np.sort(~shown_PS, axis=1) == 0


def _candidates(pages: Pages, shelf: Shelf, num_candidates: int, rng: np.random.Generator) -> np.ndarray:
    """Items that could be shown (P, C), ascending, repeats included: three in four from the leaf asked for, the rest from anywhere."""
    num_pages, num_near = len(pages.wish), num_candidates * 3 // 4
    near_PC = _from_leaf(shelf.leaf[pages.wish][:, None], shelf, rng.random((num_pages, num_near)))
    any_PC = rng.integers(len(shelf.leaf), size=(num_pages, num_candidates - num_near))
    return np.sort(np.concatenate([near_PC, any_PC], axis=1), axis=1)


def _legacy_score(pages: Pages, item_PC: np.ndarray, shelf: Shelf, rng: np.random.Generator) -> np.ndarray:
    """What the old ranker thinks: shared words and leaf, cheaper first, with noise; on pages of similar items mostly noise."""
    words_PC = shared_share(_asked_words(pages, shelf)[:, None, :], shelf.words[item_PC])
    leaf_PC = shelf.leaf[item_PC] == shelf.leaf[pages.wish][:, None]
    noise_PC = rng.gumbel(size=item_PC.shape) * np.where(pages.similar, 0.9, 0.35)[:, None]
    return np.asarray(words_PC + 0.7 * leaf_PC - 0.5 * shelf.price_rank[item_PC] + noise_PC)


def _asked_words(pages: Pages, shelf: Shelf) -> np.ndarray:
    query_PW = np.where(pages.coloured[:, None], shelf.coloured_words[pages.wish], shelf.query_words[pages.wish])
    return np.asarray(np.where(pages.similar[:, None], shelf.words[pages.wish], query_PW))


def _relevance(pages: Pages, item_PS: np.ndarray, shelf: Shelf, users: Users) -> np.ndarray:
    wish_P1 = pages.wish[:, None]
    colour_PS = shelf.colour[item_PS]
    liked_PS = (colour_PS[..., None] == users.colours[pages.user][:, None, :]).any(axis=-1)
    same_colour_PS = (colour_PS >= 0) & (colour_PS == shelf.colour[wish_P1])
    wanted_PS = np.where((pages.similar | pages.coloured)[:, None], same_colour_PS, liked_PS)
    shared_PS = shared_share(_asked_words(pages, shelf)[:, None, :], shelf.words[item_PS])
    return relevance(shelf.leaf[item_PS] == shelf.leaf[wish_P1], wanted_PS, shared_PS, liked_PS)
