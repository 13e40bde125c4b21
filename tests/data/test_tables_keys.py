"""Keys of photos that lead nowhere, objects that changed since the snapshot, and mappings that cannot be."""

import pytest

from components.errors import BadData, BadParams
from tests.data.events_shop import page, photo
from tests.data.tables_shop import Shop, listing, number_of, put, put_shop


@pytest.fixture
def shop(tmp_path):
    """Six sound items in one file, and a place for another file."""
    shop = Shop(tmp_path)
    put_shop(shop.tables)
    return shop


KEYS = {
    "../secret.jpg": "picture_outside_folder",
    "photos/../../secret.jpg": "picture_outside_folder",
    "photos\\..\\..\\secret.jpg": "picture_outside_folder",
    "/etc/passwd": "picture_outside_folder",
    "C:\\photos\\0.jpg": "picture_outside_folder",
    "C:/photos/0.jpg": "picture_outside_folder",
    "\\\\server\\photos\\0.jpg": "picture_outside_folder",
    "file:///etc/passwd": "picture_outside_folder",
    "https://cdn.example/0.jpg": "picture_outside_folder",
    "s3://other/0.jpg": "picture_outside_folder",
    "photos\\0.jpg": "picture_key_invalid",
    "photos/0.jpg\n": "picture_key_invalid",
    "p" * 2000: "picture_key_invalid",
    "photos//0.jpg": "picture_missing",
    "./photos/0.jpg": "picture_missing",
    "photos/9999.jpg": "picture_missing",
    "photos": "picture_missing",
    "link.jpg": "picture_outside_folder",
}


@pytest.mark.parametrize("key", KEYS)
def test_a_key_that_leads_to_no_photo_of_the_source_is_quarantined(shop, key):
    (shop.folder / "secret.jpg").write_bytes(photo(50))
    (shop.tables / "link.jpg").symlink_to(shop.folder / "secret.jpg")
    put(shop.tables, "listings/part-9.parquet", [listing(9, photo=key)])
    assert shop.take().quarantined == {KEYS[key]: 1}
    assert key not in shop.snapshot.source.pictures


def test_a_table_that_is_a_link_out_of_the_source_is_refused(shop):
    outside = put(shop.folder, "outside.parquet", [listing(9)])
    (shop.tables / "listings/part-9.parquet").symlink_to(outside)
    with pytest.raises(BadData, match=r"listings/part-9.parquet is a link that leads out of"):
        shop.pin()


@pytest.mark.parametrize("key", ["listings/part-0.parquet", "photos/3.jpg"])
def test_an_object_that_changed_or_went_since_the_snapshot_is_refused_by_name(shop, key):
    shop.pin()
    path = shop.tables / key
    old = path.read_bytes()
    path.write_bytes(old[:-1] + bytes([old[-1] ^ 1]))
    with pytest.raises(BadData, match=f"^{key} in {shop.tables} has other bytes than when the snapshot was taken: bring the old"):
        shop.run("changed")
    path.unlink()
    with pytest.raises(BadData, match=f"^{key} is gone from {shop.tables}"):
        shop.run("gone")
    path.write_bytes(old)
    assert shop.run("back").rows_out == 6


def test_a_photo_that_came_after_the_snapshot_waits_for_the_next_one(shop):
    put(shop.tables, "listings/part-9.parquet", [listing(9)])
    shop.pin()
    (shop.tables / "photos/9.jpg").write_bytes(photo(9))
    assert shop.run("before").quarantined == {"picture_missing": 1}
    assert shop.take("after").quarantined == {}


def test_a_snapshot_of_other_tables_than_params_name_is_refused(shop):
    shop.pin()
    put(shop.tables, "log/shown.parquet", [number_of(row) for row in page(1, [0])])
    shop.set(tables={"impressions": {"at": "log"}})
    with pytest.raises(
        BadData, match=r"the snapshot is of the tables in .* \(listings at listings\), params.yaml names .*impressions at log"
    ):
        shop.run()


CONFIGS = {
    "clicks without impressions": ({"tables": {"clicks": {"at": "clicks"}}}, "a click is joined to its impression, so give both"),
    "a log without a column": (
        {"tables": {"impressions": {"at": "log", "columns": {"release_id": None}}}},
        r"impressions.columns.release_id is null: map it, or say in impressions.fixed",
    ),
    "no photo": ({"columns": {"image": None}}, "ingest.columns.image is null: set it or ingest.tables.listings.picture"),
    "a zone that is none": ({"tables": {"time_zone": "Mars/Base"}}, "no time zone of the IANA list"),
    "a unit that is none": ({"tables": {"time_unit": "m"}}, "ingest.tables.time_unit"),
    "a place outside": ({"tables": {"listings": {"at": "../listings"}}}, "name a folder or file below ingest.path"),
    "words of a number": (
        {"tables": {"listings": {"words": {"price": {"a": "b"}}}}},
        "listings.words names 'price'; it may name",
    ),
    "an unknown column": ({"tables": {"clicks": {"fixed": {"acton": "click"}}}}, "clicks.fixed names 'acton'; it may name"),
}


@pytest.mark.parametrize("how", CONFIGS)
def test_a_mapping_that_cannot_be_is_refused_by_name(shop, how):
    knobs, said = CONFIGS[how]
    with pytest.raises(BadParams, match=said):
        shop.set(**knobs)
