"""A log among a shop's own tables: people's clicks take the place of simulated ones, and then nothing is made up."""

import pytest

from tests.data.events_shop import at, click, impression, page
from tests.data.tables_shop import Shop, done, listing, logged, number_of, put, put_photos, put_shop


@pytest.fixture
def shop(tmp_path):
    """Six sound items."""
    shop = Shop(tmp_path)
    put_shop(shop.tables)
    return shop


def test_a_log_of_the_shops_own_takes_the_place_of_simulated_shoppers(shop):
    shown = [number_of(row) for row in [*page(1, [0, 1, 2]), *page(2, [3, 4]), *page(3, [0, 9])]]
    clicks = [number_of(click(1, 1)), number_of(click(2, 3, action="buy_comp")), number_of(click(2, 4, action="item_like"))]
    words = {"action": {"buy_comp": "purchase", "item_like": "like"}}
    summary = logged(shop, shown, clicks).set(tables={"clicks": {"words": words}}).take()
    assert done(shop) == {("r-1", "1"): "clicked", ("r-2", "3"): "bought"}
    assert summary.quarantined_impressions == {"item_unknown": 1}
    assert summary.accounts["clicks"]["left_out"] == 1
    assert (summary.num_impressions, summary.simulated) == (6, [])
    assert shop.snapshot.as_of == at(2, 13)


def test_with_a_log_nothing_is_made_up(shop):
    put(shop.tables, "listings/part-1.parquet", [listing(6, price=None)])
    put_photos(shop.tables, [6])
    summary = logged(shop, [number_of(row) for row in page(1, [0, 1])]).take()
    assert (summary.quarantined, summary.simulated) == ({"price_missing": 1}, [])


def test_a_log_without_our_columns_can_say_what_they_would_hold(shop):
    rows = [{"page": 7, "when": at(2), "who": "u", "words": "hat", "item": n, "slot": n, "yen": 5, "hit": int(n == 1)} for n in range(3)]
    put(shop.tables, "log/a.parquet", rows)
    columns = {
        "request_id": "page",
        "ts": "when",
        "user_id": "who",
        "query": "words",
        "item_id": "item",
        "position": "slot",
        "price": "yen",
    }
    own = {"at": "log", "columns": {**columns, "clicked": "hit", "surface": None, "platform": None}}
    shop.set(tables={"impressions": {**own, "fixed": {"surface": "search", "platform": "web", "release_id": "before"}}}).take()
    assert done(shop) == {("7", "1"): "clicked"}
    assert {one["release_id"] for one in shop.shown().values()} == {"before"}


def test_rows_of_the_log_after_as_of_wait_for_a_later_snapshot(shop):
    shown = [number_of(row) for row in [*page(1, [0, 1], at(2)), *page(2, [2, 3], at(4))]]
    logged(shop, shown, [number_of(click(1, 1)), number_of(click(2, 2, at(4, 13)))])
    early = shop.take("early", as_of=at(3))
    assert (early.num_impressions, early.accounts["impressions"]["held_back"], early.accounts["clicks"]["held_back"]) == (2, 2, 1)
    assert shop.take("late").num_impressions == 4


def test_what_was_sold_before_the_log_and_not_shown_in_it_is_past_retention(shop):
    rows = [listing(n, status="sold", written=at(1)) for n in range(3)] + [listing(3, written=at(1))]
    put(shop.tables, "listings/part-0.parquet", rows)
    shop.set(retention_days=2, tables={"listings": {"updated_at": "written"}})
    assert shop.take("without a log").rows_out == 4
    logged(shop, [number_of(row) for row in page(1, [0, 3], at(9))])
    summary = shop.take("with one")
    assert set(shop.items()) == {"0", "3"}
    assert summary.accounts["listings"]["past_retention"] == 2


def test_a_column_of_the_log_without_a_value_is_a_fault_of_its_row(shop):
    shown = [number_of(row) for row in [impression(1, 0, 0), impression(1, 1, 1, price=None), impression(2, 0, 2, when=None, ts=None)]]
    assert logged(shop, shown).take().quarantined_impressions == {"price_missing": 1, "time_missing": 1}
