"""Ingest from a source of events: each row that was upserted or logged counts once, whatever file it came in and whenever."""

import os

import pytest

from components.errors import BadData, BadParams
from components.objects import open_store
from flows.pins import events_of
from tests.data.events_shop import CLOCK, Shop, at, click, digest, image, impression, listing, page, put, put_shop


@pytest.fixture
def shop(tmp_path):
    """Six sound items on the first day."""
    shop = Shop(tmp_path)
    put_shop(shop.events)
    return shop


def done(shop):
    """The impressions that something was done on."""
    return {key: ("bought" if one["purchased"] else "clicked") for key, one in shop.shown().items() if one["clicked"] or one["purchased"]}


def test_listings_photos_and_pages_come_in_with_what_was_clicked(shop):
    put(shop.events, "impressions", 2, [*page(1, [0, 1, 2]), *page(2, [3, 4])])
    put(shop.events, "clicks", 2, [click(1, 1), click(1, 1, at(2, 14), action="purchase")])
    put(shop.events, "clicks", 3, [click(2, 3, at(3, 1))])
    summary = shop.take()
    assert shop.snapshot.as_of == at(3, 1)
    assert (summary.rows_in, summary.rows_out, summary.num_images, summary.num_impressions) == (6, 6, 6, 5)
    assert done(shop) == {("r-1", "i-1"): "bought", ("r-2", "i-3"): "clicked"}
    assert {one["source"] for one in shop.items().values()} == {"events"}
    assert (summary.simulated, shop.table("truth")) == ([], [])


def test_nothing_is_made_up_and_what_a_row_says_was_made_up_stays_marked(shop):
    put(shop.events, "listings", 2, [listing(6, at(2), simulated=["price"], source="dump", app_version="1.2.0")])
    put(shop.events, "images", 2, [image(6)])
    put(shop.events, "impressions", 2, [*page(1, [0], simulated=True), *page(2, [1])])
    summary = shop.take()
    assert (shop.items()["i-6"]["simulated"], shop.items()["i-6"]["source"]) == (["price"], "dump")
    assert (shop.items()["i-0"]["simulated"], shop.items()["i-0"]["app_version"]) == ([], None)
    assert {key[0]: one["simulated"] for key, one in shop.shown().items()} == {"r-1": True, "r-2": False}
    assert summary.simulated == ["price", "impressions"]


def test_of_several_upserts_the_newest_counts_whatever_file_it_is_in(shop):
    put(shop.events, "listings", 2, [listing(0, at(2, 5), price=500.0), listing(0, at(2, 3), price=700.0)])
    put(shop.events, "listings", 4, [listing(0, at(2, 4), price=600.0, image_id=digest(1))])
    summary = shop.take()
    assert (shop.items()["i-0"]["price"], shop.items()["i-0"]["image_id"]) == (500.0, digest(0))
    assert summary.accounts["listings"]["superseded"] == 3


def test_a_faulty_row_is_mended_by_a_newer_one(shop):
    put(shop.events, "listings", 2, [listing(0, at(2), price=0.0)])
    assert shop.take("broken").quarantined == {"price_zero": 1}
    put(shop.events, "listings", 3, [listing(0, at(3), price=5.0)])
    assert shop.take("mended").quarantined == {}
    assert shop.items()["i-0"]["price"] == 5.0


def test_repeated_files_and_rows_count_once(shop):
    pages, clicks = [*page(1, [0, 1]), *page(1, [0, 1])], [click(1, 0), click(1, 0)]
    for name in ("a", "b"):
        put(shop.events, "impressions", 2, pages, name)
        put(shop.events, "clicks", 2, clicks, name)
    put(shop.events, "listings", 3, [listing(n) for n in range(6)])
    put(shop.events, "images", 3, [image(n) for n in range(6)])
    put(shop.events, "clicks", 3, [click(1, 0, at(2, 20))])
    summary = shop.take()
    assert {name: account["repeated"] for name, account in summary.accounts.items()} == {
        "listings": 6,
        "images": 6,
        "impressions": 6,
        "clicks": 4,
    }
    assert (summary.rows_out, summary.num_impressions, done(shop)) == (6, 2, {("r-1", "i-0"): "clicked"})


def test_a_row_in_two_files_is_judged_by_the_day_of_the_later_one(shop):
    upserts, pages, clicks = [listing(6, at(4))], page(1, [0, 6], at(4)), [click(1, 0, at(4))]
    for day in (2, 5, 3):
        put(shop.events, "listings", day, upserts)
        put(shop.events, "impressions", day, pages)
        put(shop.events, "clicks", day, clicks)
    put(shop.events, "images", 3, [image(6)])
    summary = shop.take(as_of=at(6))
    assert (summary.quarantined, summary.quarantined_impressions, summary.quarantined_clicks) == ({}, {}, {})
    assert (summary.rows_out, summary.num_impressions, done(shop)) == (7, 2, {("r-1", "i-0"): "clicked"})


def test_an_impression_logged_again_with_its_outcome_is_the_same_impression(shop):
    put(shop.events, "impressions", 2, page(1, [0, 1]))
    put(shop.events, "impressions", 3, [impression(1, 0, 0, clicked=True, purchased=False)])
    summary = shop.take()
    assert (summary.num_impressions, done(shop)) == (2, {("r-1", "i-0"): "clicked"})


def test_a_purchase_without_a_click_is_a_click_too(shop):
    put(shop.events, "impressions", 2, page(1, [0, 1]))
    put(shop.events, "clicks", 2, [click(1, 1, action="purchase")])
    shop.take()
    assert shop.shown()["r-1", "i-1"]["clicked"]


def test_a_like_is_known_and_no_click_and_every_row_stands_under_one_word(shop):
    put(shop.events, "impressions", 2, page(1, [0, 1, 2]))
    likes = [click(1, 0, action="like"), click(1, 0, action="like"), click(77, 3, action="like"), click(1, 2, at(20), action="like")]
    put(shop.events, "clicks", 2, [*likes, click(1, 1), click(1, 1, action="like")])
    put(shop.events, "clicks", 20, [click(1, 2, at(19), action="like", item_id=None)])
    summary = shop.take(as_of=at(19, 13))
    counted = {word: count for word, count in summary.accounts["clicks"].items() if count}
    assert counted == {"rows_in": 7, "rows_out": 1, "repeated": 1, "left_out": 3, "quarantined": 2}
    assert summary.quarantined_clicks == {"id_missing": 1, "time_in_future": 1}
    assert done(shop) == {("r-1", "i-1"): "clicked"}


def test_rows_later_than_as_of_wait_for_a_later_snapshot_and_then_come_once(shop):
    put(shop.events, "listings", 3, [listing(0, at(3), price=1.0), listing(9, at(3))])
    put(shop.events, "images", 3, [image(9)])
    put(shop.events, "impressions", 2, page(1, [0, 1]))
    put(shop.events, "impressions", 3, page(2, [2, 9], at(3)))
    put(shop.events, "clicks", 3, [click(1, 1, at(3, 1)), click(2, 9, at(3, 13))])
    early = shop.take("early", as_of=at(3, 0))
    assert {name: account["held_back"] for name, account in early.accounts.items()} == {
        "listings": 2,
        "images": 0,
        "impressions": 2,
        "clicks": 2,
    }
    assert (early.rows_out, early.num_impressions, done(shop)) == (6, 2, {})
    assert shop.items()["i-0"]["price"] == 900.0
    late = shop.take("late")
    assert (late.rows_out, late.num_impressions) == (7, 4)
    assert done(shop) == {("r-1", "i-1"): "clicked", ("r-2", "i-9"): "clicked"}


def test_a_click_that_came_before_its_page_did_waits_in_quarantine_for_it(shop):
    put(shop.events, "impressions", 2, page(1, [0]))
    put(shop.events, "clicks", 2, [click(1, 0), click(2, 3)])
    assert shop.take("without").quarantined_clicks == {"click_without_impression": 1}
    put(shop.events, "impressions", 2, page(2, [3]), "late")
    assert shop.take("with").quarantined_clicks == {}
    assert done(shop) == {("r-1", "i-0"): "clicked", ("r-2", "i-3"): "clicked"}


def test_files_that_came_after_the_snapshot_change_nothing(shop):
    put(shop.events, "impressions", 2, page(1, [0, 1]))
    shop.take("before")
    put(shop.events, "impressions", 1, page(2, [0, 1], at(1, 2)), "late")
    put(shop.events, "listings", 3, [listing(0, at(3), price=1.0)])
    (shop.events / "impressions" / "dt=2026-03-02" / "half").write_bytes(b"PAR1")
    shop.run("after")
    assert bytes_of(shop.folder / "before") == bytes_of(shop.folder / "after")
    shop.take("next")
    assert len(shop.table("impressions")) == 4


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda path: path.unlink(), "is gone from .*bring it back, or run `vitrine snapshot`, which does without it"),
        (lambda path: path.write_bytes(path.read_bytes() + b"."), "has other bytes than when the snapshot was taken"),
    ],
)
def test_a_pinned_file_that_is_gone_or_changed_is_refused_by_name(shop, damage, said):
    damaged = put(shop.events, "impressions", 2, page(1, [0, 1]), "mine")
    shop.pin()
    damage(damaged)
    with pytest.raises(BadData, match=r"impressions/dt=2026-03-02/mine\.parquet .*" + said[:5]) as refusal:
        shop.run()
    assert refusal.match(said)


def test_the_window_keeps_the_newest_days_of_impressions_and_what_was_done_on_them(tmp_path):
    shop = Shop(tmp_path, retention_days=5)
    put_shop(shop.events)
    put(shop.events, "impressions", 9, page(1, [0, 1], at(9)))
    put(shop.events, "impressions", 10, page(2, [2, 3], at(10, 23)))
    put(shop.events, "impressions", 15, page(3, [4, 5], at(15)))
    put(shop.events, "clicks", 9, [click(1, 0, at(9, 13))])
    put(shop.events, "clicks", 10, [click(1, 1, at(10, 13)), click(2, 2, at(10, 23.5)), click(9, 9, at(10, 1))])
    summary = shop.take()
    assert shop.snapshot.as_of == at(15)
    assert shop.shown().keys() == {("r-2", "i-2"), ("r-2", "i-3"), ("r-3", "i-4"), ("r-3", "i-5")}
    assert done(shop) == {("r-2", "i-2"): "clicked"}
    assert summary.accounts["impressions"]["past_retention"] == 2
    assert summary.accounts["clicks"]["past_retention"] == 3
    assert summary.quarantined_clicks == {}


def test_files_that_the_window_left_behind_are_not_pinned_and_asking_for_them_is_refused(tmp_path):
    shop = Shop(tmp_path, retention_days=5)
    put_shop(shop.events)
    put(shop.events, "impressions", 1, page(1, [0, 1], at(1)))
    put(shop.events, "impressions", 25, page(2, [2, 3], at(25)))
    shop.pin()
    assert [name for name in shop.snapshot.source.files if "impressions" in name] == ["impressions/dt=2026-03-25/part-0.parquet"]
    (shop.events / "impressions" / "dt=2026-03-01" / "part-0.parquet").unlink()
    assert shop.run().num_impressions == 2
    shop.cfg = shop.cfg.model_copy(update={"retention_days": 6})
    with pytest.raises(BadData, match=r"pins impressions from 2026-03-13 on, ingest.retention_days = 6 asks .*`vitrine snapshot`"):
        shop.run("longer")


def test_what_was_sold_before_the_window_and_not_shown_in_it_is_past_retention(tmp_path):
    shop = Shop(tmp_path, retention_days=5)
    put_shop(shop.events, range(7))
    put(shop.events, "listings", 2, [listing(n, at(2), status=status) for n, status in ((0, "sold"), (1, "deleted"), (2, "sold"))])
    put(shop.events, "listings", 14, [listing(3, at(14), status="sold")])
    put(shop.events, "impressions", 14, page(1, [2, 4, 5], at(14)))
    put(shop.events, "impressions", 15, [impression(2, 0, 5, at(15), surface="similar", query=None, source_item_id="i-6")])
    summary = shop.take()
    assert set(shop.items()) == {"i-2", "i-3", "i-4", "i-5", "i-6"}
    assert summary.accounts["listings"]["past_retention"] == 2
    assert summary.accounts["images"]["left_out"] == 2


def test_a_sample_is_of_whole_pages_with_their_clicks_and_a_larger_one_holds_the_smaller(tmp_path):
    shop = Shop(tmp_path, impression_share=0.5)
    put_shop(shop.events)
    put(shop.events, "impressions", 2, [row for n in range(40) for row in page(n, [0, 1, 2])])
    put(shop.events, "clicks", 2, [click(n, 1) for n in range(40)])
    half = shop.take("half")
    pages = {request for request, _ in shop.shown()}
    assert 10 < len(pages) < 30
    assert half.num_impressions == 3 * len(pages)
    assert {request for request, _ in done(shop)} == pages
    assert half.accounts["clicks"]["not_sampled"] == 40 - len(pages)
    assert half.accounts["impressions"]["not_sampled"] == 120 - 3 * len(pages)
    shop.cfg = shop.cfg.model_copy(update={"impression_share": 0.8})
    shop.take("more")
    assert pages < {request for request, _ in shop.shown()}


def test_the_number_of_shards_decides_nothing_but_where_rows_lie(tmp_path):
    shop = Shop(tmp_path)
    put_shop(shop.events)
    put(shop.events, "impressions", 2, [row for n in range(20) for row in page(n, [0, 1, 2])])
    put(shop.events, "clicks", 2, [click(n, n % 3) for n in range(20)])
    shop.take("two")
    with_two = shop.items(), shop.shown()
    shop.cfg = shop.cfg.model_copy(update={"num_shards": 5})
    shop.run("five")
    assert (shop.items(), shop.shown()) == with_two


def test_as_of_is_the_newest_row_that_is_not_after_the_clock_or_after_its_files_day(tmp_path):
    shop = Shop(tmp_path)
    put_shop(shop.events)
    put(shop.events, "impressions", 5, page(1, [0, 1], at(5, 3)))
    put(shop.events, "clicks", 6, [click(1, 0, at(4))])
    put(shop.events, "impressions", 4, page(2, [0, 1], at(20)), "ahead")
    assert shop.pin().snapshot.as_of == at(5, 3)
    assert shop.pin(clock=at(5, 2)).snapshot.as_of == at(4)
    with pytest.raises(BadData, match=r"no row of the events in .* that is of before now"):
        shop.pin(clock=at(-30))
    with pytest.raises(BadParams, match="has not come yet"):
        shop.pin(as_of=CLOCK.replace(year=2027))


def test_a_folder_without_events_says_how_they_should_lie(tmp_path):
    shop = Shop(tmp_path)
    with pytest.raises(BadData, match=r"holds no events: events lie at listings/.*dt=YYYY-MM-DD/NAME\.parquet"):
        shop.pin()
    with pytest.raises(BadData, match="does not exist"):
        events_of(str(tmp_path / "nowhere"), shop.cfg, None, CLOCK)


def test_events_in_a_bucket_come_in_like_those_in_a_folder(tmp_path, s3, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    shop = Shop(tmp_path)
    put_shop(shop.events)
    put(shop.events, "impressions", 2, page(1, [0, 1]))
    shop.take("folder")
    bucket = open_store(url := f"{s3.url}/events-test")
    for path in shop.events.rglob("*.parquet"):
        bucket.put(path.relative_to(shop.events).as_posix(), path.read_bytes())
    shop.events, shop.cfg = url, shop.cfg.model_copy(update={"path": url})
    shop.take("bucket")
    assert bytes_of(tmp_path / "bucket") == bytes_of(tmp_path / "folder")
    assert os.listdir(tmp_path / "bucket")
