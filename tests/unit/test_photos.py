import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from components import schema
from components.photos import InOrder, Photos, ahead, owner_of, read_photos
from components.shards import write_shards

STATS = {"brightness": 0.5, "sharpness": 1.0, "contrast": 0.1, "text_share": 0.0}


@given(pictures=st.dictionaries(st.text(max_size=8), st.binary(max_size=50), max_size=12))
def test_photos_are_the_mapping_they_were_made_from(pictures):
    photos = Photos(pictures.items())
    assert dict(photos) == pictures
    assert list(photos) == sorted(pictures)
    assert photos.get("no such id") is None


def test_a_picture_that_comes_twice_is_kept_once():
    assert dict(Photos([("a", b"1"), ("b", b"22"), ("a", b"1")])) == {"a": b"1", "b": b"22"}


def test_photos_come_in_the_order_asked_for_and_slices_stay_unread():
    ordered = InOrder(Photos([("a", b"1"), ("b", b"22")]), ["b", "a", "b"])
    assert list(ordered) == [b"22", b"1", b"22"]
    assert isinstance(ordered[1:], InOrder)
    assert list(ordered[1:]) == [b"1", b"22"]


def test_only_wanted_pictures_are_read_from_the_shards(tmp_path):
    rows = [{"image_id": i, "data": i.encode(), "width": 20, "height": 20, "phash": 0, "stats": STATS} for i in ("a", "b", "c")]
    write_shards(tmp_path, pa.Table.from_pylist(rows, schema.IMAGES), schema.IMAGES, 2, key="image_id")
    assert dict(read_photos(tmp_path, ["c", "a", "gone"])) == {"a": b"a", "c": b"c"}


def test_reading_ahead_gives_every_item_once_in_order():
    assert list(ahead(iter(range(5)))) == [0, 1, 2, 3, 4]
    assert list(ahead([])) == []


def test_seller_12_and_product_12_are_not_one_owner():
    assert len({owner_of("12", None, "g"), owner_of(None, "12", "g"), owner_of(None, None, "12")}) == 3
