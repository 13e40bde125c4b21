"""A registry in a bucket that refuses, fails every fifth call, loses answers or hangs; and in one of a server that checks signatures."""

import os
import random
import time

import pytest

from components.errors import Conflict, StoreFailed
from components.objects import Calls, FolderStore
from components.release import channel
from components.release.registry import Registry
from tests import faulty_proxy, moto_s3, s3_server
from tests.faulty_proxy import Fate
from tests.release.killed import files
from tests.release.small_release import AT, FILES, bundle, publish

STABLE, CANDIDATE = "a" * 64, "c" * 64
QUICK = Calls(connect_s=4, read_s=4, attempts=5)
HASTY = Calls(connect_s=4, read_s=2, attempts=1)


@pytest.fixture
def proxy(moto, monkeypatch):
    """A proxy before the bucket, which passes everything on until a test says otherwise."""
    with faulty_proxy.before(moto.port, lambda method, path: Fate.PASSED) as proxy:
        for name, value in moto_s3.environment_at(proxy.port).items():
            monkeypatch.setenv(name, value)
        yield proxy


def every_fifth(seed, *fates):
    """A fifth of all requests, by chance, has one of those fates."""
    rng = random.Random(seed)
    return lambda method, path: rng.choice(fates) if rng.random() < 0.2 else Fate.PASSED


def until_done(act, limit=20):
    """What the act returns, after it was tried again wherever the bucket could not be used."""
    for _ in range(limit):
        try:
            return act()
        except StoreFailed:
            continue
    raise AssertionError(f"not once in {limit} times")


@pytest.mark.parametrize("seed", [1])
def test_a_bucket_that_fails_a_fifth_of_all_calls_ends_with_every_release_whole(proxy, tmp_path, seed):
    """Refused before they are done, done though the answer says they are not, and answers that break off."""
    proxy.choose = every_fifth(seed, Fate.REFUSED, Fate.LOST, Fate.CUT)
    registry = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", QUICK)
    made = [bundle(tmp_path / word, word, files=FILES | {"large.parquet": b"PAR1" + os.urandom(9 << 20)}) for word in "ab"]
    ids = [until_done(lambda one=one: publish(registry, one)) for one in made]
    for one, release_id in zip(made, ids, strict=True):
        assert files(until_done(lambda release_id=release_id: registry.fetch(release_id, tmp_path / "releases"))) == files(one)
    assert {one.release_id for one in until_done(registry.releases)} == set(ids)
    assert sum(proxy.num(fate) for fate in (Fate.REFUSED, Fate.LOST, Fate.CUT)) > 10
    proxy.choose = lambda method, path: Fate.PASSED
    assert [publish(registry, one) for one in made] == ids  # nothing in the registry was damaged


@pytest.mark.parametrize("seed", [1, 2])
def test_a_record_behind_a_failing_bucket_takes_every_change_once(proxy, tmp_path, seed):
    registry = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", QUICK)
    registry.change(lambda record: channel.first(record, STABLE))
    registry.change(lambda record: channel.proposed(record, CANDIDATE, AT, 0.1, "new"))
    proxy.choose = every_fifth(seed, Fate.REFUSED, Fate.LOST, Fate.CUT)
    for number in range(25):
        until_done(lambda number=number: registry.change(lambda record: paused_once(record, f"{number}")))
    assert proxy.num(Fate.LOST) > 0
    proxy.choose = lambda method, path: Fate.PASSED
    record, _ = registry.channel()
    assert (record.revision, record.candidate.paused) == (27, "24")


def paused_once(record, reason):
    """The record, paused for that reason; one that is already stays as it is, so that trying again is safe."""
    return record if record.candidate.paused == reason else channel.paused(record, reason)


def test_a_rollback_whose_answer_is_lost_is_not_done_twice(proxy, tmp_path):
    """Twice, it would take the candidate away and then the stable release too."""
    registry = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", QUICK)
    for act in (
        lambda record: channel.first(record, "b" * 64),
        lambda record: channel.proposed(record, STABLE, AT, 0.1, "new"),
        channel.declared_stable,
        lambda record: channel.proposed(record, CANDIDATE, AT, 0.1, "new"),
    ):
        registry.change(act)
    lost = []

    def first_put_is_lost(method, path):
        if method == "PUT" and not lost:
            lost.append(path)
            return Fate.LOST
        return Fate.PASSED

    proxy.choose = first_put_is_lost
    after = registry.change(channel.rolled_back)
    assert lost
    assert (after.stable, after.candidate, after.previous) == (STABLE, None, ("b" * 64,))
    assert registry.channel()[0] == after


@pytest.mark.parametrize("act", ["channel", "change", "publish", "fetch", "releases", "prune"])
def test_a_bucket_that_hangs_is_given_up_in_time_and_nothing_is_damaged(proxy, tmp_path, act):
    registry = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", QUICK)
    hasty = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", HASTY)
    made, more = bundle(tmp_path / "a", "a"), bundle(tmp_path / "b", "b")
    release_id = publish(registry, made)
    before = {one.key: registry.store.get(one.key) for one in registry.store.stored()}
    acts = {
        "channel": lambda bucket: bucket.channel(),
        "change": lambda bucket: bucket.change(lambda record: channel.first(record, release_id)),
        "publish": lambda bucket: publish(bucket, more),
        "fetch": lambda bucket: bucket.fetch(release_id, tmp_path / "releases"),
        "releases": lambda bucket: bucket.releases(),
        "prune": lambda bucket: bucket.prune(1),
    }
    proxy.choose = lambda method, path: Fate.HUNG
    started = time.monotonic()
    with pytest.raises(StoreFailed, match=r"s3://shop/.*AWS_ENDPOINT_URL_S3"):
        acts[act](hasty)
    assert time.monotonic() - started < 30
    proxy.choose = lambda method, path: Fate.PASSED
    assert {one.key: registry.store.get(one.key) for one in registry.store.stored()} == before
    assert files(registry.fetch(release_id, tmp_path / "releases")) == files(made)
    acts[act](registry)


def test_a_bucket_that_hangs_in_the_middle_of_a_publish_shows_nothing_and_the_next_one_goes_on(proxy, tmp_path):
    registry, made = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", HASTY), bundle(tmp_path / "made")
    proxy.choose = lambda method, path: Fate.HUNG if len(proxy.seen) > 15 else Fate.PASSED
    with pytest.raises(StoreFailed):
        publish(registry, made)
    num_sent = sum(method == "PUT" and "/releases/" in path for method, path, fate in proxy.seen if fate is Fate.PASSED)
    assert num_sent > 0
    proxy.choose = lambda method, path: Fate.PASSED
    assert registry.releases() == []
    proxy.seen.clear()
    release_id = publish(registry, made)
    put = [path for method, path, _ in proxy.seen if method == "PUT" and f"/{release_id}/" in path and "/releases/" in path]
    assert len(put) == len(FILES) + 1 - num_sent
    assert files(registry.fetch(release_id, tmp_path / "releases")) == files(made)


@pytest.fixture
def signed(tmp_path, monkeypatch):
    """rclone's server over a registry that was made in a folder; it checks signatures and knows no conditional writes."""
    with s3_server.serving(tmp_path / "s3") as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        made = bundle(tmp_path / "made", files=FILES | {"large.parquet": b"PAR1" + os.urandom(20 << 20)})
        yield server, made, publish(Registry(FolderStore(server.folder / "registry")), made)


def test_a_release_is_fetched_from_a_server_that_checks_signatures(signed, tmp_path):
    server, made, release_id = signed
    registry = Registry.open(f"{server.url}/registry")
    assert files(registry.fetch(release_id, tmp_path / "releases")) == files(made)
    assert [one.release_id for one in registry.releases()] == [release_id]
    assert registry.channel() == (channel.EMPTY, None)


def test_a_wrong_secret_is_told_and_not_shown(signed, tmp_path, monkeypatch):
    server, _, release_id = signed
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret")
    registry = Registry.open(f"{server.url}/registry")
    for act in (registry.channel, registry.releases, lambda: registry.fetch(release_id, tmp_path / "releases")):
        with pytest.raises(StoreFailed, match="AWS_ENDPOINT_URL_S3 and the credentials") as caught:
            act()
        assert "wrong-secret" not in str(caught.value)


def test_a_server_without_conditional_writes_is_refused_before_a_bundle_is_sent(signed, tmp_path):
    server, made, _ = signed
    registry = Registry.open(f"{server.url}/another")
    for act in (lambda: publish(registry, made), lambda: registry.change(lambda record: channel.first(record, STABLE))):
        with pytest.raises(StoreFailed, match="does not honour conditional writes"):
            act()
    assert list(registry.store.stored()) == []


def test_a_bucket_that_is_not_there_and_credentials_that_are_not_are_told(moto, tmp_path, monkeypatch):
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(StoreFailed, match=r"s3://nowhere/.*NoSuchBucket"):
        Registry.open("s3://nowhere/x", HASTY).change(lambda record: channel.first(record, STABLE))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    with pytest.raises(StoreFailed, match="credentials"):
        Registry.open(f"s3://{moto_s3.BUCKET}/x", HASTY).channel()


def test_a_port_where_nobody_listens_is_told_in_time(monkeypatch):
    for name, value in moto_s3.environment_at(9).items():
        monkeypatch.setenv(name, value)
    started = time.monotonic()
    with pytest.raises(StoreFailed, match="Could not connect"):
        Registry.open("s3://shop/x", HASTY).channel()
    assert time.monotonic() - started < 30


def test_a_conflict_is_no_failure_of_the_store(proxy, tmp_path):
    registry = Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}", QUICK)
    version = registry.store.swap("k", b"1", None)
    registry.store.swap("k", b"2", version)
    with pytest.raises(Conflict):
        registry.store.swap("k", b"3", version)
