"""A shop's own tables in a bucket: fetched once, held to their digests, and again where the server fails, dawdles or is gone."""

import os
import random
import re
from collections import Counter

import pytest

from components.errors import BadData, StoreFailed
from components.ingest.tables.depot import Depot
from components.objects import Calls, open_store
from tests import faulty_proxy
from tests.data.events_shop import photo
from tests.data.tables_shop import Shop, listing, put, put_shop
from tests.data.test_ingest import bytes_of
from tests.faulty_proxy import Fate

IMPATIENT = Calls(connect_s=2, read_s=1, attempts=2)


@pytest.fixture
def proxy(s3, monkeypatch):
    """What every request to the bucket passes through."""
    port = int(s3.environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2])
    with faulty_proxy.before(port, lambda method, path: Fate.PASSED) as proxy:
        for name, value in s3.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{proxy.port}")
        yield proxy


@pytest.fixture
def shop(tmp_path, s3, proxy):
    """Six sound items in two files, in a bucket; `shop.tables` is a folder with the same objects."""
    shop = Shop(tmp_path, url=f"{s3.url}/{tmp_path.name}")
    put_shop(shop.tables)
    put(shop.tables, "listings/more/part-1.parquet", [listing(1)])
    sent(shop)
    return shop


def sent(shop):
    """Puts everything in the folder into the bucket."""
    store = open_store(shop.url)
    for key, data in bytes_of(shop.tables).items():
        if store.get(key) != data:
            store.put(key, data)


def fetched(proxy, since=0):
    """How often each object was asked for and answered whole, by its name."""
    done = [path for method, path, fate in proxy.seen[since:] if method == "GET" and fate is Fate.PASSED and "list-type" not in path]
    return Counter(re.sub(r"\?.*", "", path).rpartition("/")[2] for path in done)


def test_a_bucket_gives_what_a_folder_gives_and_each_object_is_fetched_once(shop, proxy, tmp_path):
    before = len(proxy.seen)
    shop.take("bucket")
    names = {"part-0.parquet", "part-1.parquet", *(f"{n}.jpg" for n in range(6))}
    assert fetched(proxy, before) == dict.fromkeys(names, 1)
    in_bucket = bytes_of(shop.out)
    shop.url = str(shop.tables)
    shop.set(path=shop.url).take("folder")
    assert bytes_of(shop.out) == in_bucket


def test_a_large_file_is_fetched_in_parts_each_tried_again(shop, proxy):
    rows = [listing(n, photo=None, data=os.urandom(100_000)) for n in range(10, 110)]
    put(shop.tables, "listings/large.parquet", rows, compression="none", use_dictionary=False, row_group_size=10)
    sent(shop)
    cut = iter([Fate.CUT])
    proxy.choose = lambda method, path: next(cut, Fate.PASSED) if "large" in path and method == "GET" else Fate.PASSED
    put(shop.tables, "listings/part-0.parquet", [listing(n, data=None) for n in range(6)])
    put(shop.tables, "listings/more/part-1.parquet", [listing(1, data=None)])
    sent(shop)
    summary = shop.set(tables={"listings": {"picture": "data"}}).take()
    assert (summary.rows_out, summary.rows_quarantined, proxy.num(Fate.CUT)) == (6, 100, 1)
    assert fetched(proxy)["large.parquet"] > 1


def test_a_later_snapshot_fetches_what_is_new_alone(shop, proxy):
    first = shop.pin().snapshot
    put(shop.tables, "listings/more/part-2.parquet", [listing(6)])
    (shop.tables / "photos/6.jpg").write_bytes(photo(6))
    (shop.tables / "photos/3.jpg").write_bytes(photo(33))
    sent(shop)
    before = len(proxy.seen)
    assert shop.take().rows_out == 7
    assert fetched(proxy, before) == {"part-2.parquet": 1, "6.jpg": 1, "3.jpg": 1}
    assert first.source.pictures["photos/3.jpg"] != shop.snapshot.source.pictures["photos/3.jpg"]


def test_an_ingest_that_broke_off_goes_on_where_it_was(shop, proxy, tmp_path):
    shop.pin()
    shop.downloads = tmp_path / "another clone's"
    before = len(proxy.seen)
    proxy.choose = lambda method, path: Fate.REFUSED if path.endswith(("4.jpg", "5.jpg")) else Fate.PASSED
    depot = Depot.of(shop.url, shop.downloads, IMPATIENT)
    pinned = shop.snapshot.source
    with pytest.raises(StoreFailed, match=r"[45].jpg: .*AWS_ENDPOINT_URL_S3"):
        depot.fetch(pinned.tables["listings"].files | pinned.pictures)
    proxy.choose = lambda method, path: Fate.PASSED
    assert shop.run().rows_out == 6
    assert max(fetched(proxy, before).values()) == 1
    assert len(fetched(proxy, before)) == 8


def test_one_call_in_five_that_fails_costs_time_and_nothing_else(shop, proxy, tmp_path):
    dice = random.Random(7)
    proxy.choose = lambda method, path: dice.choice([Fate.REFUSED, Fate.CUT]) if dice.random() < 0.2 else Fate.PASSED
    shop.take("troubled")
    assert proxy.num(Fate.REFUSED) + proxy.num(Fate.CUT) > 0
    troubled = bytes_of(shop.out)
    proxy.choose = lambda method, path: Fate.PASSED
    shop.downloads = tmp_path / "again"
    shop.take("calm")
    assert bytes_of(shop.out) == troubled


def test_a_server_that_answers_after_two_seconds_is_waited_for(shop, proxy):
    proxy.delay_s = 2.0
    assert shop.take().rows_out == 6


@pytest.mark.parametrize("fate", [Fate.HUNG, Fate.REFUSED])
def test_a_server_that_is_gone_is_told_in_time_and_nothing_fetched_is_lost(shop, proxy, fate, tmp_path):
    pinned = shop.pin().snapshot.source
    depot = Depot.of(shop.url, tmp_path / "elsewhere", IMPATIENT)
    depot.fetch({key: digest for key, digest in pinned.pictures.items() if key != "photos/5.jpg"})
    proxy.choose = lambda method, path: fate
    with pytest.raises(StoreFailed, match=r"^s3://shop/.*Check the bucket's name, and AWS_ENDPOINT_URL_S3 and the credentials"):
        depot.fetch(pinned.pictures)
    with pytest.raises(StoreFailed):
        list(depot.store.stored())
    proxy.choose = lambda method, path: Fate.PASSED
    before = len(proxy.seen)
    Depot.of(shop.url, tmp_path / "elsewhere").fetch(pinned.pictures)
    assert fetched(proxy, before) == {"5.jpg": 1}


def test_a_server_that_does_not_listen_is_told(shop, monkeypatch):
    shop.pin()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9")
    with pytest.raises(StoreFailed, match=r"^s3://shop/.*/listings/.*parquet: Could not connect"):
        Depot.of(shop.url, shop.folder / "elsewhere", IMPATIENT).fetch(shop.snapshot.source.tables["listings"].files)


@pytest.mark.parametrize("key", ["listings/part-0.parquet", "photos/3.jpg"])
def test_an_object_that_changed_since_the_snapshot_is_refused_by_name(shop, key, tmp_path):
    shop.pin()
    store, old = open_store(shop.url), (shop.tables / key).read_bytes()
    store.put(key, old[:-1] + bytes([old[-1] ^ 1]))
    assert shop.run("what was fetched still counts").rows_out == 6
    shop.downloads = tmp_path / "elsewhere"
    with pytest.raises(BadData, match=f"^{key} in {shop.url} has other bytes than when the snapshot was taken"):
        shop.run("other bytes")
    store.put(key, old + b"more")
    with pytest.raises(BadData, match=f"^{key} in {shop.url} has other bytes"):
        shop.run("more bytes")
    store.delete(key)
    with pytest.raises(BadData, match=f"^{key} is gone from {shop.url}"):
        shop.run("gone")


def test_a_download_that_was_damaged_on_the_disk_is_fetched_again(shop, proxy):
    digest = shop.pin().snapshot.source.pictures["photos/2.jpg"]
    kept = shop.downloads / "objects" / digest.sha256[:2] / digest.sha256
    kept.write_bytes(bytes(len(kept.read_bytes())))
    before = len(proxy.seen)
    assert shop.run().quarantined == {}
    assert fetched(proxy, before) == {"2.jpg": 1}


def test_keys_and_limits_hold_in_a_bucket_too(shop):
    open_store(shop.url).put("listings/more/part-2.parquet", put(shop.tables, "x.parquet", [listing(9, photo="../x.jpg")]).read_bytes())
    assert shop.take().quarantined == {"picture_outside_folder": 1}
    with pytest.raises(BadData, match=r"holds more than 5 objects \(ingest.tables.max_objects\)"):
        shop.set(tables={"max_objects": 5}).pin()
