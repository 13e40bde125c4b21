"""Shoppers at a live gateway click as the market's own do, whoever answers."""

import itertools
from collections import Counter

import numpy as np
import pytest

from components.contract import bind, read_params
from components.ingest.market import MarketConfig
from components.ingest.rows import CatalogueItem
from components.ingest.shelf import stocked
from components.ingest.shoppers import PLATFORMS, browse, new_users
from components.serve.log.wire import Act, Exposure, event_of
from flows.shoppers import Crowd, ShoppersConfig, Visit, told
from tests.conftest import PROJECT

PARAMS = read_params(PROJECT / "params.yaml")
CFG = ShoppersConfig(pages_per_s=50.0, return_share=0.3, num_users=500, num_slots=6, num_connections=4)
LEAVES = (("Fashion", "Shoes"), ("Fashion", "Bags"), ("Home", "Mugs"))


def make_items(num=60):
    """Items of three leaf categories in turn, in two colours, of good and bad photos."""
    return [
        CatalogueItem(
            f"m-{n:03d}", f"{'red' if n % 2 else 'blue'} {LEAVES[n % 3][1]}", LEAVES[n % 3], 900.0, f"s-{n % 7}", 0.9 if n % 4 else 0.2
        )
        for n in range(num)
    ]


def make_crowd(items=None, seed=5, cfg=CFG):
    items = items or make_items()
    market = bind(MarketConfig, "market", PARAMS)
    shelf = stocked(items)
    users = new_users(shelf.num_leaves, market.model_copy(update={"num_users": cfg.num_users, "seed": seed}))
    ids = [item.item_id for item in items]
    return Crowd(shelf, users, users.user_id.to_pylist(), ids, {one: row for row, one in enumerate(ids)}, market.click, seed)


def first_visits(crowd, num, cfg=CFG):
    return list(itertools.islice(crowd.visits(cfg), num))


def test_the_same_seed_gives_the_same_visits_and_the_same_luck():
    visits = first_visits(make_crowd(), 50)
    assert visits == first_visits(make_crowd(), 50)
    assert visits != first_visits(make_crowd(seed=6), 50)
    shown = make_crowd().item_ids[:6]
    again = [make_crowd().reaction(visit, shown)[0].tolist() for visit in visits]
    assert again == [make_crowd().reaction(visit, shown)[0].tolist() for visit in visits]


def test_fresh_users_come_and_old_ones_return():
    visits = first_visits(make_crowd(), 400)
    users = [visit.user for visit in visits]
    seen, returned = set(), 0
    for user in users:
        returned += user in seen
        seen.add(user)
    assert 0.2 < returned / len(users) < 0.4
    assert seen == set(range(len(seen)))  # nobody is left out and nobody comes before their turn


def test_more_visits_than_users_begin_with_the_first_again():
    few = CFG.model_copy(update={"num_users": 20})
    visits = first_visits(make_crowd(cfg=few), 100, few)
    assert {visit.user for visit in visits} == set(range(20))


def test_visits_are_due_at_the_rate_in_the_mean():
    visits = first_visits(make_crowd(), 2000)
    assert visits[-1].due_s == pytest.approx(2000 / CFG.pages_per_s, rel=0.1)
    assert all(a.due_s < b.due_s for a, b in itertools.pairwise(visits))


def test_what_is_like_the_wish_is_tapped_more_than_what_is_not():
    crowd = make_crowd()
    like, unlike = Counter(), Counter()
    for visit in first_visits(crowd, 600):
        wish = crowd.shelf.leaf[visit.wish]
        same = [one for one in np.flatnonzero(crowd.shelf.leaf == wish) if one != visit.wish][:6]
        other = np.flatnonzero(crowd.shelf.leaf != wish)[:6]
        for found, rows in ((like, same), (unlike, other)):
            clicked, bought = crowd.reaction(visit, [crowd.item_ids[row] for row in rows])
            found.update(taps=int(clicked.sum()), bought=int(bought.sum()))
            assert not (bought & ~clicked).any()
    assert like["taps"] > 2 * unlike["taps"]
    assert like["bought"] > unlike["bought"]


def test_they_tap_the_shelves_of_the_market_as_often_as_its_own_shoppers_do():
    """The same click model: over pages that the simulator filled, the share of slots tapped is the same within chance."""
    items = make_items(120)
    crowd = make_crowd(items)
    market = bind(MarketConfig, "market", PARAMS).model_copy(
        update={"num_requests": 3000, "similar_share": 1.0, "num_users": 500, "seed": 5}
    )
    pages = {}
    for row in browse(items, market).to_pylist():
        pages.setdefault((row["request_id"], row["source_item_id"], row["user_id"]), []).append(row)
    user_of = {name: number for number, name in enumerate(crowd.user_ids)}
    theirs = ours = shown = 0
    for number, ((_, source, user), rows) in enumerate(pages.items()):
        visit = Visit(number, user_of[user], crowd.row_of[source], 0.0)
        ours += int(crowd.reaction(visit, [row["item_id"] for row in rows])[0].sum())
        theirs += sum(row["clicked"] for row in rows)
        shown += len(rows)
    sigma = (2 * theirs * (1 - theirs / shown)) ** 0.5
    assert theirs > 300
    assert abs(ours - theirs) < 4 * sigma


def test_a_page_and_what_was_done_on_it_are_events_that_the_gateway_takes():
    answer = {
        "request_id": "v7",
        "release_id": "a" * 64,
        "items": [{"item_id": "m-001", "price": 900.0}, {"item_id": "m-002", "price": 500.0}],
    }
    events = [event_of(one) for one in told(answer, "m-009", "u1", PLATFORMS[0], np.array([True, True]), np.array([False, True]))]
    assert isinstance(events[0], Exposure)
    assert [shown.position for shown in events[0].items] == [0, 1]
    acts = [(one.type, one.item_id) for one in events[1:] if isinstance(one, Act)]
    assert acts == [("click", "m-001"), ("click", "m-002"), ("purchase", "m-002")]
    assert {one.request_id for one in events} == {"v7"}
    assert len({one.event_id for one in events}) == len(events)
