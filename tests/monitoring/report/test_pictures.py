"""Where a page's photos come from, and what happens to those that cannot be had."""

import datetime as dt
import hashlib
import io

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from components.errors import StoreFailed
from components.objects import FolderStore
from components.serve.log.rows import TABLES, parquet_of
from monitoring.pictures import StoredPhotos
from monitoring.report.config import PicturesConfig

DAY = dt.date(2026, 1, 21)


def photo(colour):
    """A photo of one colour, and its name."""
    Image.new("RGB", (80, 80), colour).save(sink := io.BytesIO(), "JPEG")
    return hashlib.sha256(sink.getvalue()).hexdigest(), sink.getvalue()


def noise():
    """A photo that no table can make smaller."""
    pixels = np.random.default_rng(0).integers(0, 256, (120, 120, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(sink := io.BytesIO(), "PNG")
    return hashlib.sha256(sink.getvalue()).hexdigest(), sink.getvalue()


def upload(store, day, photos, name="a"):
    """A table of uploads, as the gateway logs it."""
    columns = [pa.array(column) for column in zip(*photos, strict=True)]
    store.put(f"events/images/dt={day}/{name}.parquet", parquet_of(pa.table(columns, schema=TABLES["images"])))


def reader(store, **changes):
    told = {"a_sheet": 8, "days": 3, "max_mib": 8.0} | changes
    return StoredPhotos(store, DAY, PicturesConfig(**told))


@pytest.fixture
def store(tmp_path):
    return FolderStore(tmp_path / "store")


def test_photos_come_from_the_catalogue_and_from_earlier_uploads(store):
    red, blue, green = photo("red"), photo("blue"), photo("green")
    store.put(f"pictures/{red[0][:2]}/{red[0]}", red[1])
    upload(store, DAY, [blue])
    upload(store, DAY - dt.timedelta(days=3), [green])
    assert reader(store)([red[0], blue[0], green[0], "nowhere"]) == dict([red, blue, green])


def test_uploads_before_the_days_that_are_looked_at_are_not_read(store):
    old = photo("red")
    upload(store, DAY - dt.timedelta(days=4), [old])
    assert reader(store)([old[0]]) == {}


def test_files_beyond_the_budget_are_not_read(store):
    large, small = noise(), photo("blue")
    upload(store, DAY, [large], "a")
    upload(store, DAY, [small], "b")
    assert reader(store, max_mib=0.01)([large[0], small[0]]) == dict([small])


def test_what_is_not_what_it_is_named_is_left_out(store):
    red, blue = photo("red"), photo("blue")
    store.put(f"pictures/{red[0][:2]}/{red[0]}", blue[1])
    upload(store, DAY, [(blue[0], red[1])])
    assert reader(store)([red[0], blue[0]]) == {}


def test_a_damaged_table_costs_its_own_photos_alone(store):
    red = photo("red")
    store.put(f"events/images/dt={DAY}/0-damaged.parquet", b"PAR1 and nothing else")
    store.put(f"events/images/dt={DAY}/1-empty.parquet", b"")
    upload(store, DAY, [red], "2")
    assert reader(store)([red[0]]) == dict([red])


def test_a_store_that_is_down_gives_no_photos(store):
    class Down(FolderStore):
        def read(self, key, max_bytes=None):
            raise StoreFailed("the bucket refuses")

    upload(store, DAY, [photo("red")])
    assert reader(Down(store.root))([photo("red")[0]]) == {}


def test_names_that_are_no_digests_reach_no_other_file(store, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    assert reader(store)(["../../secret", "", "ab/../../../secret"]) == {}
