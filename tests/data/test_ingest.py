"""Ingest over folders broken in every way it names: each row ends as a listing or in quarantine, and nothing is lost between."""

import csv
import hashlib
import io
import json
import logging
from datetime import UTC, datetime
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from components import schema
from components.contract import bind, read_params
from components.errors import BadData
from components.images import MAX_PICTURE_BYTES
from components.ingest.account import Account
from components.ingest.broken import bomb, pinpoint
from components.ingest.component import ingest
from components.ingest.config import IngestConfig
from components.ingest.market import MarketConfig, simulate
from components.ingest.report import IngestSummary
from components.ingest.snapshot import SimulatedDigest, Snapshot
from components.objects import FolderStore
from components.shards import read_shards, shard_of, shard_paths
from flows.pins import digest_of

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")
COLUMNS = ("item_id", "image", "title", "category", "subcategory", "contributor_id", "price", "currency", "created_at")
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
CLOCK = datetime(2026, 1, 2, tzinfo=UTC)
SMALL_MARKET = {"num_listings": 60, "as_of": AS_OF.isoformat()}


def photo(number=0, kind="JPEG", mode="RGB", **options):
    """A drawn photo; each number is another one."""
    picture = Image.new("RGB", (96, 72), (40 * number % 256, 120, 200 - 9 * number % 200))
    ImageDraw.Draw(picture).ellipse((10 + number % 30, 10, 60, 60), fill=(250, 30 * number % 256, 90))
    picture.convert(mode).save(sink := io.BytesIO(), kind, **options)
    return sink.getvalue()


def row(number, **changes):
    made = {
        "item_id": f"i-{number}",
        "image": f"{number}.jpg",
        "title": f"Shirt {number}",
        "category": "Fashion",
        "subcategory": ("Shirts", "Hats")[number % 2],
        "contributor_id": f"s-{number % 3}",
        "price": "900",
        "created_at": "2025-11-05",
    }
    return made | changes


def write_folder(folder, rows, files, columns=COLUMNS):
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)
    with open(folder / "listings.csv", "w", encoding="utf-8", errors="surrogateescape", newline="") as file:
        writer = csv.DictWriter(file, columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return folder


class Shop:
    """A place to ingest into: outs in a folder of their own per run, one work cache."""

    def __init__(self, folder, **knobs):
        self.folder = folder
        self.market = bind(MarketConfig, "market", PARAMS).model_copy(update=SMALL_MARKET)
        self.cfg = bind(IngestConfig, "ingest", PARAMS).model_copy(update={"num_shards": 3, "max_quarantine_share": 1.0, **knobs})
        self.store = FolderStore(folder / "cache")

    def pin(self, photos):
        """Takes the snapshot of a folder, or of the simulated market for None."""
        if photos is None:
            self.cfg = self.cfg.model_copy(update={"source": "simulate", "path": None})
            source, time = SimulatedDigest(kind="simulate"), AS_OF
        else:
            self.cfg = self.cfg.model_copy(update={"source": "folder", "path": str(photos), "csv": "listings.csv"})
            source, time = digest_of(str(photos), "listings.csv", self.cfg.columns, CLOCK)
        taken = Snapshot(source=source, as_of=time or AS_OF, stable_release=None)
        (self.folder / "snapshot.json").write_text(taken.model_dump_json())
        return self

    def run(self, name="run"):
        """The summary; outs lie in self.folder / name."""
        self.out = self.folder / name
        self.out.mkdir()
        names = ("listings", "images", "impressions", "quarantine", "truth")
        outs = {one: self.out / one for one in names} | {"market_sheet": self.out / "market.png"}
        kept = self.folder / "kept"
        return ingest(self.folder / "snapshot.json", **outs, cfg=self.cfg, market=self.market, store=self.store, kept=kept)

    def table(self, name):
        return read_shards(self.out / name).to_pylist()

    def quarantined(self, name, folder=None):
        return pq.read_table((folder or self.out / "quarantine") / f"{name}.parquet").to_pylist()

    def reasons(self, name):
        return {one["key"]: one["reason"] for one in self.quarantined(name)}


def bytes_of(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def shop(tmp_path):
    return Shop(tmp_path)


def test_every_broken_picture_is_quarantined_by_name_with_its_bytes(shop, tmp_path):
    (tmp_path / "secret.jpg").write_bytes(photo())
    files = {
        "0.jpg": photo(0),
        "1.jpg": b"",
        "2.jpg": photo(2)[:-200],
        "3.jpg": b"<html>not found</html>",
        "4.jpg": pinpoint(),
        "5.jpg": bomb(),
        "6.jpg": photo(6) + bytes(MAX_PICTURE_BYTES),
        "dir.jpg/x.jpg": photo(7),
    }
    outside = {9: "../secret.jpg", 10: str(tmp_path / "secret.jpg"), 11: "link.jpg"}
    names = {7: "gone.jpg", 8: "", **outside, 12: "dir.jpg", 13: "n" * 300, 14: "loop.jpg"}
    photos = write_folder(tmp_path / "photos", [row(n, image=names.get(n, f"{n}.jpg")) for n in range(15)], files)
    (photos / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    summary = shop.pin(photos).run()
    assert shop.reasons("images") == {
        "i-1": "picture_empty",
        "i-2": "picture_truncated",
        "i-3": "picture_wrong_format",
        "i-4": "picture_too_small",
        "i-5": "picture_too_many_pixels",
        "i-6": "picture_too_many_bytes",
        "i-7": "picture_missing",
        "i-8": "picture_missing",
        "i-9": "picture_outside_folder",
        "i-10": "picture_outside_folder",
        "i-11": "picture_outside_folder",
        "i-12": "picture_missing",
        "i-13": "picture_missing",
        "i-14": "picture_missing",
    }
    assert [one["item_id"] for one in shop.table("listings")] == ["i-0"]
    kept = {one["key"]: one["data"] for one in shop.quarantined("images") if one["data"] is not None}
    assert kept == {f"i-{n}": files[f"{n}.jpg"] for n in (1, 2, 3, 4, 5)}
    assert (summary.rows_in, summary.rows_out, summary.rows_quarantined) == (15, 1, 14)
    assert str(tmp_path) not in "".join(one["detail"] for one in shop.quarantined("images") if one["key"] != "i-10")


def test_every_broken_row_is_quarantined_by_name_as_it_came(shop, tmp_path):
    rows = [
        row(0),
        row(1, item_id=""),
        row(0, title="Another"),
        row(3, price="-5"),
        row(4, price="cheap"),
        row(5, title=" "),
        row(6, category=""),
        row(7, created_at="31/12/2025"),
        row(8, title="x" * 501),
        row(9, title="caf\udce9"),
        row(10, title="two\nlines, one title"),
        row(11, title="x" * 100_000),
        row(12, price="0"),
        row(13, price="2e9"),
        row(14, currency="EUR"),
        row(15, created_at="2026-01-03"),
        row(16, created_at="1987-06-05"),
        row(0),
    ]
    photos = write_folder(tmp_path / "photos", rows, {f"{n}.jpg": photo(n) for n in range(17)})
    with open(photos / "listings.csv", "ab") as file:
        file.write(b'i-20,0.jpg,"Open\ni-21,too,few\ni-22,0.jpg,Shi')
    summary = shop.pin(photos).run()
    assert summary.quarantined == {
        "category_missing": 1,
        "currency_unknown": 1,
        "id_conflict": 1,
        "id_duplicate": 1,
        "id_missing": 1,
        "price_invalid": 1,
        "price_negative": 1,
        "price_too_high": 1,
        "price_zero": 1,
        "row_malformed": 3,
        "text_invalid": 1,
        "time_before_shop": 1,
        "time_in_future": 1,
        "time_invalid": 1,
        "title_missing": 1,
        "title_too_long": 2,
    }
    assert {one["title"] for one in shop.table("listings")} == {"Shirt 0", "two lines, one title"}
    kept = shop.quarantined("listings")
    ids = ["i-0", "i-3", "i-4", "i-5", "i-6", "i-7", "i-8", "i-9", "i-11", "i-12", "i-13", "i-14", "i-15", "i-16", "i-0"]
    assert [one["key"] for one in kept] == ["row 2", *ids, "row 19", "row 20", "row 21"]
    told = {one["key"]: json.loads(one["row"]) for one in kept}
    assert (told["i-3"]["price"], told["i-9"]["title"], told["i-11"]["title"]) == ("-5", "caf\udce9", "x" * 100_000)
    assert (told["row 19"]["text"], told["row 21"]["text"]) == ('i-20,0.jpg,"Open\n', "i-22,0.jpg,Shi")
    assert "the file ends in the middle of this row" in kept[-1]["detail"]
    assert {one["data"] for one in kept} == {None}


def test_a_date_that_has_not_come_does_not_move_the_catalogue_into_the_past(shop, tmp_path):
    rows = [row(0), row(1, created_at="2099-01-01"), row(2, created_at="2025-12-31")]
    summary = shop.pin(write_folder(tmp_path / "photos", rows, {f"{n}.jpg": photo(n) for n in range(3)})).run()
    assert summary.quarantined == {"time_in_future": 1}
    assert max(one["ts"] for one in shop.table("impressions")) <= datetime(2025, 12, 31, tzinfo=UTC)


def test_one_reason_can_have_a_limit_of_its_own(tmp_path):
    shop = Shop(tmp_path, max_share_of_reason={"picture_missing": 0.001})
    rows = [row(n, image="gone.jpg" if n > 5 else f"{n}.jpg") for n in range(8)]
    shop.pin(write_folder(tmp_path / "photos", rows, {f"{n}.jpg": photo(n) for n in range(6)}))
    with pytest.raises(BadData) as stop:
        shop.run()
    assert str(stop.value) == (
        "2 of 8 listings were quarantined as picture_missing (limit 0.1 %). "
        "First: i-6 (picture_missing: no file 'gone.jpg' in the folder). "
        f"They are in {tmp_path / 'kept'}; see docs/quarantine.md before raising ingest.max_share_of_reason.picture_missing."
    )


def test_odd_but_sound_pictures_come_in_with_their_bytes_untouched(shop, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = {
        "0.jpg": photo(0, exif=exif),
        "1.jpg": photo(1, mode="CMYK"),
        "2.jpg": photo(2, "PNG", "P"),
        "3.jpg": photo(3, "GIF", "P"),
        "4.jpg": photo(4, "WEBP"),
        "5.jpg": photo(5, "PNG", "LA"),
        "6.jpg": photo(6, progressive=True),
    }
    shop.pin(write_folder(tmp_path / "photos", [row(n) for n in range(7)], files)).run()
    assert {one["image_id"]: one["data"] for one in shop.table("images")} == {hashlib.sha256(d).hexdigest(): d for d in files.values()}
    rotated = next(one for one in shop.table("images") if one["data"] == files["0.jpg"])
    assert (rotated["width"], rotated["height"]) == (72, 96)


def test_tables_fit_their_schemas_and_every_row_lies_in_the_shard_of_its_key(shop, tmp_path):
    shop.pin(write_folder(tmp_path / "photos", [row(n) for n in range(20)], {f"{n}.jpg": photo(n) for n in range(20)})).run()
    tables = {"listings": schema.LISTINGS, "images": schema.IMAGES, "impressions": schema.IMPRESSIONS, "truth": schema.TRUTH}
    for name, kind in tables.items():
        assert [pq.read_schema(path).remove_metadata() for path in shard_paths(shop.out / name)] == [kind.remove_metadata()] * 3
    for index in range(3):
        ids = pq.read_table(shard_paths(shop.out / "listings")[index])
        shown = pq.read_table(shard_paths(shop.out / "images")[index])["image_id"].to_pylist()
        assert ids["item_id"].to_pylist() == sorted(ids["item_id"].to_pylist())
        assert {shard_of(item_id, 3) for item_id in ids["item_id"].to_pylist()} <= {index}
        assert shown == sorted(set(ids["image_id"].to_pylist()))
    tables = ("listings", "images", "impressions", "clicks", "files")
    assert {path.stem for path in (shop.out / "quarantine").iterdir()} == set(tables)


def test_one_photo_shown_by_many_items_is_stored_once_a_shard(shop, tmp_path):
    summary = shop.pin(write_folder(tmp_path / "photos", [row(n, image="0.jpg") for n in range(20)], {"0.jpg": photo()})).run()
    assert (summary.rows_out, summary.num_images, len(shop.table("images"))) == (20, 1, 3)


def test_values_the_csv_lacks_are_simulated_and_marked(shop, tmp_path):
    rows = [row(0), row(1, price="", created_at=""), row(2)]
    shop.pin(write_folder(tmp_path / "photos", rows, {f"{n}.jpg": photo(n) for n in range(3)}))
    summary = shop.run()
    first, second, _ = sorted(shop.table("listings"), key=lambda one: one["item_id"])
    assert (first["price"], first["currency"], first["simulated"]) == (900.0, "JPY", ["app_version", "status"])
    assert second["simulated"] == ["app_version", "created_at", "currency", "price", "status"]
    assert second["price"] > 0
    assert second["created_at"] < datetime(2025, 11, 5, tzinfo=UTC)
    assert first["source"] == "folder"
    assert summary.simulated == ["app_version", "created_at", "currency", "price", "status", "impressions"]
    assert summary.columns_absent == ["app_version", "description", "product_id", "source", "status"]
    seen = shop.table("impressions")
    assert {one["simulated"] for one in seen} == {True}
    assert max(one["ts"] for one in seen) <= datetime(2025, 11, 5, tzinfo=UTC)
    assert shop.table("truth") == []


def test_the_order_of_the_csv_decides_nothing_but_who_keeps_an_id(shop, tmp_path):
    rows, files = [row(n) for n in range(12)], {f"{n}.jpg": photo(n) for n in range(12)}
    shop.pin(write_folder(tmp_path / "photos", rows, files)).run("forward")
    shop.pin(write_folder(tmp_path / "photos", rows[::-1], files)).run("backward")
    assert bytes_of(tmp_path / "forward") == bytes_of(tmp_path / "backward")


def test_the_number_of_shards_decides_nothing_but_where_rows_lie(shop, tmp_path):
    def impressions():
        return sorted((one["request_id"], one["position"], one["item_id"], one["clicked"]) for one in shop.table("impressions"))

    shop.pin(write_folder(tmp_path / "photos", [row(n) for n in range(12)], {f"{n}.jpg": photo(n) for n in range(12)})).run("three")
    with_three = impressions()
    shop.cfg = shop.cfg.model_copy(update={"num_shards": 1})
    shop.run("one")
    assert impressions() == with_three


def test_outs_are_equal_with_the_work_cache_empty_warm_or_half_full(shop, tmp_path, caplog):
    rows = [row(n, image=f"{n // 2}.jpg") for n in range(16)]
    files = {f"{n}.jpg": photo(n) for n in range(8)} | {"3.jpg": photo(3)[:-200]}
    shop.pin(write_folder(tmp_path / "photos", rows, files)).run("empty")
    with caplog.at_level(logging.INFO, "vitrine"):
        shop.run("warm")
    assert "16 reused from the work cache, 0 worked on" in caplog.text
    segments = sorted((tmp_path / "cache").rglob("*.parquet"))
    segments[0].unlink()
    segments[1].write_bytes(b"damaged")
    shop.run("half")
    assert bytes_of(tmp_path / "empty") == bytes_of(tmp_path / "warm") == bytes_of(tmp_path / "half")


def test_too_many_bad_rows_stop_the_run_and_say_where_they_are(tmp_path):
    shop = Shop(tmp_path, max_quarantine_share=0.25)
    rows = [row(n, price="-5" if n in (4, 2) else "900") for n in range(8)]
    shop.pin(write_folder(tmp_path / "photos", rows, {f"{n}.jpg": photo(n) for n in range(8)})).run("at the limit")
    shop.pin(write_folder(tmp_path / "photos", [*rows[:7], row(7, image="gone.jpg")], {}))
    with pytest.raises(BadData) as stop:
        shop.run("over it")
    assert str(stop.value) == (
        "3 of 8 listings were quarantined (limit 25 %): price_negative 2, picture_missing 1. First: i-2 (price_negative: '-5' is below 0). "
        f"They are in {tmp_path / 'kept'}; see docs/quarantine.md before raising ingest.max_quarantine_share."
    )
    assert [one["key"] for one in shop.quarantined("listings", tmp_path / "kept")] == ["i-2", "i-4"]
    assert [one["key"] for one in shop.quarantined("images", tmp_path / "kept")] == ["i-7"]


@pytest.mark.parametrize("rows", [[], [row(0, price="-5")]])
def test_a_source_without_one_good_row_stops_the_run_whatever_the_limit(shop, tmp_path, rows):
    with pytest.raises(BadData, match=r"no rows|1 of 1 listings"):
        shop.pin(write_folder(tmp_path / "photos", rows, {"0.jpg": photo()})).run()


@pytest.mark.parametrize("change", ["csv", "picture", "picture of a bad row", "gone", "come"])
def test_a_folder_that_changed_since_its_snapshot_is_refused(shop, tmp_path, change):
    rows = [row(0), row(1), row(2, price="-5"), row(3, image="later.jpg")]
    photos = write_folder(tmp_path / "photos", rows, {f"{n}.jpg": photo(n) for n in range(3)})
    shop.pin(photos)
    {
        "csv": lambda: write_folder(photos, [*rows, row(9)], {}),
        "picture": lambda: (photos / "1.jpg").write_bytes(photo(1, quality=50)),
        "picture of a bad row": lambda: (photos / "2.jpg").write_bytes(photo(5)),
        "gone": lambda: (photos / "0.jpg").unlink(),
        "come": lambda: (photos / "later.jpg").write_bytes(photo(4)),
    }[change]()
    with pytest.raises(BadData, match=r"the folder changed since the snapshot .*: run `vitrine source folder "):
        shop.run()


def test_files_that_the_csv_does_not_name_do_not_count_as_change(shop, tmp_path):
    photos = write_folder(tmp_path / "photos", [row(0)], {"0.jpg": photo()})
    shop.pin(photos)
    (photos / "unlisted.jpg").write_bytes(photo(5))
    assert shop.run().rows_out == 1


def test_params_and_snapshot_that_name_two_sources_are_refused(shop, tmp_path):
    shop.pin(write_folder(tmp_path / "photos", [row(0)], {"0.jpg": photo()}))
    shop.cfg = shop.cfg.model_copy(update={"source": "simulate", "path": None})
    with pytest.raises(BadData, match=r"the snapshot is of the folder .* params.yaml names the simulated market"):
        shop.run()


def test_another_as_of_than_the_snapshots_is_refused(shop):
    shop.pin(None)
    shop.market = shop.market.model_copy(update={"as_of": "2026-02-01T00:00:00Z"})
    with pytest.raises(BadData, match=r"market\.as_of is 2026-02-01.*run `vitrine source simulate`"):
        shop.run()


def test_the_simulated_market_comes_in_whole_with_its_truth(tmp_path):
    shop = Shop(tmp_path).pin(None)
    shop.market = shop.market.model_copy(update={"bad_share": 0.2})
    summary = shop.run()
    assert summary.rows_in == 60
    assert summary.rows_quarantined == sum(summary.quarantined.values()) == 12
    assert set(summary.quarantined) == {
        "picture_missing", "picture_truncated", "id_conflict", "price_negative",
        "picture_too_small", "title_missing", "picture_too_many_pixels", "picture_empty",
    }  # fmt: skip
    listed, truths = shop.table("listings"), shop.table("truth")
    assert [one["item_id"] for one in listed] == [one["item_id"] for one in truths]
    first = {}
    for _, truth in simulate(shop.market):
        first.setdefault(truth.item_id, truth.quality)
    assert {one["item_id"]: one["quality"] for one in truths} == {one["item_id"]: first[one["item_id"]] for one in listed}
    assert {one["item_id"] for one in shop.table("impressions")} <= {one["item_id"] for one in listed}
    assert {one["source"] for one in listed} == {"simulate"}
    assert Image.open(shop.out / "market.png").width > 500


FAULTS = {
    "none": {},
    "no id": {"item_id": ""},
    "same id": {"item_id": "i-0"},
    "price": {"price": "-1"},
    "title": {"title": ""},
    "cut": {"image": "cut.jpg"},
    "gone": {"image": "gone.jpg"},
    "outside": {"image": "../x.jpg"},
    "utf-8": {"title": "\udcff"},
    "many faults": {"title": "", "price": "x", "image": ""},
}


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sampled_from(sorted(FAULTS)), min_size=1, max_size=10))
def test_every_row_ends_as_a_listing_or_in_quarantine(tmp_path_factory, faults):
    folder = tmp_path_factory.mktemp("any")
    rows = [row(n, image="0.jpg") | FAULTS[fault] for n, fault in enumerate(["none", *faults])]
    shop = Shop(folder).pin(write_folder(folder / "photos", rows, {"0.jpg": photo(), "cut.jpg": photo()[:-200]}))
    summary: IngestSummary = shop.run()
    kept = len(shop.quarantined("listings")) + len(shop.quarantined("images"))
    assert summary.rows_in == len(rows) == summary.rows_out + summary.rows_quarantined
    assert (len(shop.table("listings")), kept) == (summary.rows_out, summary.rows_quarantined)
    assert Account(**summary.accounts["listings"]).balanced
    assert sum(summary.quarantined.values()) == summary.rows_quarantined


def test_forty_of_the_real_photos_come_in_whole(shop, tmp_path, photos):
    with open(photos / "listings.csv", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[::99]
    files = {one["image"]: (photos / one["image"]).read_bytes() for one in rows}
    summary = shop.pin(write_folder(tmp_path / "photos", rows, files, columns=tuple(rows[0]))).run()
    assert (summary.rows_in, summary.rows_out, summary.num_images) == (40, 40, 40)
    listed = {one["item_id"]: one for one in shop.table("listings")}
    first = listed[rows[0]["item_id"]]
    assert (first["category"], first["source"]) == ([rows[0]["category"], rows[0]["subcategory"]], rows[0]["source"])
    assert {one["seller_id"] for one in listed.values()} >= {None, rows[0]["contributor_id"]}
