"""What changed that day, against the reference and the days before."""

import dataclasses

import pytest

from monitoring.changes import LEAST_MOVE, changes_of
from tests.monitoring.report.judged_days import tiny_shop


def changed(fault, number=20, **told):
    shop = tiny_shop()
    judged = shop.judged(fault, number)
    return changes_of(judged.day.window(), {"reference": judged.reference, "day before": judged.yesterday}, **told), judged


def mix_of(changes, dimension):
    return next(mix for mix in changes.mixes if mix.dimension == dimension)


def test_the_category_that_grew_comes_first():
    found, judged = changed("mix_shift")
    first = mix_of(found, "category").shares[0]
    grown = judged.judgement.causes[0].segments[0].segment
    assert f"category={first.value}" == grown
    assert first.now - first.beside[1] > 0.05


def test_the_seller_of_a_flood_is_among_those_that_grew_most_and_is_new():
    found, _ = changed("seller_flood")
    flood = next(seller for seller in found.sellers if seller.seller_id == "s-flood")
    assert flood.is_new
    assert flood.beside == (0.0, 0.0)
    grown = [seller.now - seller.beside[-1] for seller in found.sellers]
    assert grown == sorted(grown, reverse=True)
    assert found.new_sellers.now > 0.05


def test_shares_are_of_the_whole_log_and_not_of_the_sample():
    shop = tiny_shop()
    judged = shop.judged()
    window = dataclasses.replace(judged.day.window(), num_rows={"all": 1000, "platform=web": 900, "platform=ios": 100})
    found = changes_of(window, {"reference": judged.reference})
    assert {share.value: share.now for share in mix_of(found, "platform").shares}["web"] == pytest.approx(0.9)


def test_what_moved_hardly_is_counted_and_not_listed():
    found, _ = changed(None)
    for mix in found.mixes:
        assert all(share.moved >= LEAST_MOVE for share in mix.shares)


def test_a_dimension_that_the_reference_does_not_know_has_no_share_there():
    shop = tiny_shop()
    judged = shop.judged("resize_bug")
    counts = {name: count for name, count in judged.reference.num_rows.items() if not name.startswith("platform=")}
    found = changes_of(
        judged.day.window(), {"reference": dataclasses.replace(judged.reference, num_rows=counts), "day before": judged.yesterday}
    )
    assert {share.beside[0] for share in mix_of(found, "platform").shares} == {None}


def test_releases_are_named_by_rows_and_refusals_that_are_none_left_out():
    found, _ = changed(None, releases={"old": 10, "new": 890}, refused={"title_missing": 3, "price_negative": 0})
    assert list(found.releases) == ["new", "old"]
    assert found.refused == {"title_missing": 3}


def test_a_reference_that_knows_none_of_the_sellers_says_nothing_of_them():
    shop = tiny_shop()
    judged = shop.judged("seller_flood")
    names = [f"other-{number}" for number in range(judged.reference.rows.num_rows)]
    place = judged.reference.rows.column_names.index("seller_id")
    other = dataclasses.replace(judged.reference, rows=judged.reference.rows.set_column(place, "seller_id", [names]))
    found = changes_of(judged.day.window(), {"reference": other, "day before": judged.yesterday})
    assert {seller.beside[0] for seller in found.sellers} == {None}
    assert all(seller.beside[1] is not None for seller in found.sellers)
