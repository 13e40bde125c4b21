"""What is asked on which day, and what answers mean. Pure, but for a bundle on the disk."""

import base64
import datetime as dt
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadBundle, BadPicture
from components.images import decode
from components.manifest import MANIFEST, write_manifest
from components.objects import FolderStore
from components.serve.log.rows import TABLES, parquet_of
from monitoring.probes import COPY, NEIGHBOURS, UPSERT
from monitoring.probing.known import probe_items, read_known
from monitoring.probing.questions import Moment, cosine, is_found, questions
from monitoring.probing.sample import lowest
from monitoring.probing.written import Version, written
from tests.monitoring.probing.shop import NUM_ITEMS, image_id_of, item_id, listing, photo, probing, write_bundle

NOON = dt.datetime(2026, 3, 4, 12, 40, tzinfo=dt.UTC)
HOUR = dt.timedelta(hours=1)
PHOTOS = {image_id_of(photo(number)): photo(number) for number in (*range(NUM_ITEMS), *range(100, 130))}
LATELY = {item_id(number): Version(image_id_of(photo(number)), is_deleted=False) for number in range(100, 130)}


@pytest.fixture(scope="module")
def known(tmp_path_factory):
    return read_known(write_bundle(tmp_path_factory.mktemp("known") / "bundle"), 8)


def asked(known, kind, at=NOON, seed=1, lately=LATELY, **changes):
    found = questions(known, lately, lambda image_id: PHOTOS[image_id], probing(**changes), Moment(at, seed))
    return {one.name: one for one in found if one.kind == kind}


@given(st.sets(st.text(max_size=8), max_size=60), st.integers(0, 20), st.randoms(use_true_random=False))
def test_the_lowest_hashes_do_not_depend_on_the_order_and_a_new_name_takes_the_place_of_one_at_most(names, num, rng):
    shuffled = list(names)
    rng.shuffle(shuffled)
    chosen = lowest(names, num, "a day")
    assert chosen == lowest(shuffled, num, "a day")
    assert len(chosen) == min(num, len(names))
    assert len(set(chosen) - set(lowest(names | {"new one in the shop"}, num, "a day"))) <= 1


def test_the_same_hour_and_seed_ask_the_same_and_send_the_same_bytes(known):
    for kind in (COPY, UPSERT):
        first, again, later = (asked(known, kind, at) for at in (NOON, NOON + HOUR / 4, NOON + HOUR))
        assert list(first) == list(again) != list(later)
        assert [one.body() for one in first.values()] == [one.body() for one in again.values()]
    assert list(asked(known, COPY, seed=2)) != list(asked(known, COPY))


def test_the_probes_whose_neighbours_are_watched_stay_from_day_to_day(known):
    days = [list(asked(known, NEIGHBOURS, NOON + number * dt.timedelta(days=1), seed=number)) for number in range(3)]
    assert days == [probe_items(known, 6)] * 3


@pytest.mark.parametrize(("num_lately", "expected"), [(30, 5), (3, 3), (0, 0)])
def test_a_fixed_share_of_the_copies_is_of_items_written_lately_and_no_others_take_their_place(known, num_lately, expected):
    lately = dict(list(LATELY.items())[:num_lately])
    names = set(asked(known, COPY, lately=lately, num_copies=20, lately_share=0.25))
    assert len(names & LATELY.keys()) == expected
    assert len(names - LATELY.keys()) == 15


def test_what_was_deleted_is_not_asked_about(known):
    lately = {item_id(number): Version("", is_deleted=True) for number in range(NUM_ITEMS - 5)}
    assert not asked(known, UPSERT, lately=lately)
    assert set(asked(known, COPY, lately=lately)) == {item_id(number) for number in range(NUM_ITEMS - 5, NUM_ITEMS)}


def test_a_copy_is_another_picture_of_the_same_thing(known):
    (name, one), *_ = asked(known, COPY).items()
    sent = base64.b64decode(one.body()["picture_base64"])
    number = int(name.removeprefix("i-"))
    assert sent != photo(number)
    there, before = (np.asarray(decode(data), np.float32).mean(axis=(0, 1)) for data in (sent, photo(number)))
    assert there == pytest.approx(before, rel=0.12)


def test_a_photo_that_is_no_picture_is_told_when_it_is_asked(known):
    found = questions(known, {}, lambda image_id: b"no picture", probing(), Moment(NOON, 1))
    copy = next(one for one in found if one.kind == COPY)
    with pytest.raises(BadPicture):
        copy.body()


@given(st.lists(st.floats(allow_nan=True), max_size=5) | st.none() | st.text() | st.lists(st.none(), min_size=3, max_size=3))
def test_a_cosine_is_a_cosine_or_no_number(vector):
    found = cosine(np.array([0.6, 0.8, 0.0], np.float32), vector)
    assert math.isnan(found) or -1 <= found <= 1
    if vector == [0.6, 0.8, 0.0]:
        assert found == pytest.approx(1)


def test_an_item_is_found_among_the_ten_or_where_all_ten_show_its_photo():
    def answer(*pairs):
        return {"items": [{"item_id": name, "image_id": image} for name, image in pairs]}

    assert is_found("i", "photo", answer(("j", "other"), ("i", "photo"))).value == 1
    assert is_found("i", "photo", answer(*((f"j{n}", "photo") for n in range(10)))).value == 1
    assert is_found("i", "photo", answer(*((f"j{n}", "photo") for n in range(9)))).value == 0
    assert is_found("i", "photo", answer()).value == 0


def test_an_items_newest_row_counts_and_only_those_of_the_time_asked_for(tmp_path):
    def put(name, *rows):
        store.put(f"events/listings/dt={name}.parquet", parquet_of(pa.Table.from_pylist(list(rows), TABLES["listings"])))

    store = FolderStore(tmp_path)
    put("2026-03-04/b", listing(1, NOON - 2 * HOUR, status="deleted"), listing(2, NOON - 3 * HOUR), listing(5, NOON + HOUR))
    put("2026-03-04/a", listing(1, NOON - 3 * HOUR), listing(2, NOON - HOUR, image_id="new"), listing(3, NOON - 30 * HOUR))
    put("2026-03-05/late", listing(4, NOON - HOUR))
    store.put("events/listings/dt=2026-03-04/broken.parquet", b"PAR1")
    found = written(store, NOON - 24 * HOUR, NOON)
    assert {name: (one.image_id[:3], one.is_deleted) for name, one in found.items()} == {
        item_id(1): (image_id_of(photo(1))[:3], True),
        item_id(2): ("new", False),
        item_id(4): (image_id_of(photo(4))[:3], False),
    }


def test_a_bundle_that_does_not_say_whose_photos_it_holds_is_refused(tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    items = bundle / "index/items.parquet"
    pq.write_table(pq.read_table(items).select(["item_id"]), items)
    (bundle / MANIFEST).unlink()
    write_manifest(bundle, {"fingerprint": "f"})
    with pytest.raises(BadBundle, match="dvc repro"):
        read_known(bundle, 8)
