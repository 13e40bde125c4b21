"""Controllers, publishers and fetchers that meet or are killed, on a folder and on S3: real processes, and what they leave is whole."""

import os
import random
import subprocess
import sys
import time

import pytest

from components.errors import BadState, Conflict, StoreFailed
from components.objects import FolderStore
from components.release import channel
from components.release import registry as of_registry
from components.release.registry import Registry
from tests import moto_s3
from tests.conftest import PROJECT
from tests.release.killed import files, killed, num_calls
from tests.release.small_release import AT, FILES, bundle, no_bill, provenance, publish

STABLE, CANDIDATE = "a" * 64, "c" * 64


@pytest.fixture(params=["folder", "s3"])
def url(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return str(tmp_path / "registry")
    for name, value in request.getfixturevalue("moto").environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://{moto_s3.BUCKET}/{tmp_path.name}"


def start(code, *arguments):
    """A process that runs the code with the registry's URL and more as arguments, and waits for go() when it is ready."""
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, "-c", code, *map(str, arguments)], cwd=PROJECT, text=True, **pipes)


def go(*processes):
    """Lets them go, once all are ready."""
    for one in processes:
        assert one.stdout.readline() == "ready\n"
    for one in processes:
        one.stdin.write("go\n")
        one.stdin.flush()


def with_candidate(registry):
    """The registry, whose record has a candidate."""
    registry.change(lambda record: channel.first(record, STABLE))
    registry.change(lambda record: channel.proposed(record, CANDIDATE, AT, 0.1, "new"))
    return registry


CONTROLLER = """
import sys, time
from components.release.channel import paused
from components.release.registry import Registry
registry, acted = Registry.open(sys.argv[1]), 0
def act(record):
    global acted
    acted += 1
    time.sleep(0.002)  # in which another writes
    return paused(record, f"{sys.argv[2]}-{number}")
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[3])):
    registry.change(act)
    print(number, flush=True)
print(acted)
"""


def test_controllers_at_once_lose_no_change(url):
    registry = with_candidate(Registry.open(url))
    racing = [start(CONTROLLER, url, name, 12) for name in "abcd"]
    go(*racing)
    acted = [int(one.communicate(timeout=120)[0].split()[-1]) for one in racing]
    assert registry.channel()[0].revision == 2 + 4 * 12
    assert sum(acted) > 4 * 12, "none of them lost a swap, so they never met and this shows nothing"


def test_controllers_that_are_killed_leave_a_sound_record_and_every_change_that_they_told(url):
    """kill -9 at random moments while others go on; a reader looks all the time."""
    registry, rng = with_candidate(Registry.open(url)), random.Random(7)
    racing = [start(CONTROLLER, url, name, 10_000) for name in "abcdef"]
    go(*racing)
    seen, deadline = [2], time.monotonic() + 120
    for victim in racing:
        until = seen[-1] + rng.randrange(5, 15)
        while seen[-1] < until:
            assert time.monotonic() < deadline, "they no longer get on"
            seen.append(registry.channel()[0].revision)
        victim.kill()
    told = sum(len(one.communicate()[0].splitlines()) for one in racing)
    assert seen == sorted(seen)
    assert told > 10
    assert registry.channel()[0].revision >= 2 + told
    assert registry.change(lambda record: channel.paused(record, "still works")).candidate.paused == "still works"


def test_an_act_that_is_refused_is_not_tried_again(url):
    registry, calls = Registry.open(url), []

    def act(record):
        calls.append(record)
        raise Conflict("not allowed from here")

    with pytest.raises(Conflict, match="not allowed from here"):
        registry.change(act)
    assert calls == [channel.EMPTY]


def test_a_lost_swap_is_tried_again_on_the_record_as_it_then_stands(url):
    registry, calls = with_candidate(Registry.open(url)), []

    def act(record):
        calls.append(record.revision)
        if len(calls) == 1:
            Registry.open(url).change(lambda other: channel.climbed(other, ["web"], 5, AT, "first"))
        return channel.climbed(record, ["ios"], 1, AT, "second")

    after = registry.change(act)
    assert calls == [2, 3]
    assert (after.revision, after.lane("web").weight_percent, after.lane("ios").weight_percent) == (4, 5, 1)
    assert registry.channel()[0] == after


def test_a_change_that_was_overtaken_by_a_pause_is_refused(url):
    """The controller decided to climb; a person paused before it was written."""
    registry, calls = with_candidate(Registry.open(url)), []

    def act(record):
        calls.append(record.revision)
        if len(calls) == 1:
            Registry.open(url).change(lambda other: channel.paused(other, "lunch"))
        return channel.climbed(record, ["web"], 5, AT, "pass")

    with pytest.raises(Conflict, match="the ladder is paused: lunch"):
        registry.change(act)
    assert registry.channel()[0].lane("web").weight_percent == 0


def test_a_change_that_always_loses_gives_up(tmp_path, monkeypatch):
    monkeypatch.setattr(of_registry, "LONGEST_WAIT_S", 0.0)

    class Contended(FolderStore):
        def swap(self, key, data, version):
            raise Conflict("somebody else")

    with pytest.raises(Conflict, match="others changed the channel record each of 30 times"):
        Registry(Contended(tmp_path)).change(lambda record: channel.first(record, STABLE))


def test_an_act_that_changes_nothing_writes_nothing(url):
    registry = with_candidate(Registry.open(url))
    before = registry.channel()
    assert registry.change(lambda record: record) == before[0]
    assert registry.channel() == before


def test_a_change_that_leaves_all_as_it_was_is_a_revision_all_the_same(url):
    """The decision log tells by the revision which of its entries were made."""
    registry = with_candidate(Registry.open(url))
    for revision in (3, 4):
        after = registry.change(lambda record: channel.paused(record, "lunch"))
        assert (after.revision, registry.channel()[0]) == (revision, after)


def test_an_act_of_several_steps_is_one_revision(url):
    registry = with_candidate(Registry.open(url))
    after = registry.change(lambda record: channel.climbed(channel.resumed(record, AT, "go"), ["web"], 5, AT, "go"))
    assert after.revision == 3
    assert registry.channel()[0] == after


@pytest.mark.parametrize("data", [b"", b"{}", b'{"format": 2}', b" " * (1 << 20) + b" "])
def test_a_damaged_record_is_told_and_never_written_over(url, data):
    registry = Registry.open(url)
    registry.store.put("channel.json", data)
    for ask in (registry.channel, lambda: registry.change(lambda record: channel.first(record, STABLE))):
        with pytest.raises(BadState, match="channel"):
            ask()
    assert registry.store.get("channel.json") == data


PUBLISHER = """
import sys
from pathlib import Path
from components.release.registry import Registry
from tests.release.killed import files, killed, num_calls
from tests.release.small_release import publish
registry = Registry.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
print(publish(registry, Path(sys.argv[2])))
"""


@pytest.mark.proof
def test_a_publisher_that_is_killed_at_any_moment_leaves_nothing_half_visible(url, tmp_path):
    """And who publishes after it goes on, so that in the end the release is there, whole."""
    made, rng = bundle(tmp_path / "made"), random.Random(3)
    num_moments = num_calls(lambda: publish(Registry.open(f"{url}/counted"), made))
    num_visible = 0
    for number in range(4 if url.startswith("s3") else 25):
        here = f"{url}/{number}"
        assert killed(lambda here=here: publish(Registry.open(here), made), rng.randrange(1, num_moments))
        registry = Registry.open(here)
        for release in registry.releases():
            num_visible += 1
            assert files(registry.fetch(release.release_id, tmp_path / f"before-{number}")) == files(made)
        release_id = publish(registry, made)
        assert files(registry.fetch(release_id, tmp_path / f"after-{number}")) == files(made)
    assert num_visible < (4 if url.startswith("s3") else 25), "no kill came before the end, so this shows nothing"


class Breaking(FolderStore):
    """A folder that fails after so many uploads, and counts them."""

    sent: list = []  # noqa: RUF012
    limit = 10**6

    def upload(self, key, path, sha256):
        if len(self.sent) >= self.limit:
            raise StoreFailed("the cable was pulled")
        self.sent.append(key)
        super().upload(key, path, sha256)


def test_an_interrupted_publish_sends_only_what_is_not_there_yet(tmp_path):
    made, store = bundle(tmp_path / "made"), Breaking(tmp_path / "registry")
    registry, num_files = Registry(store), len(FILES) + 1
    Breaking.sent, Breaking.limit = [], 4
    with pytest.raises(StoreFailed):
        publish(registry, made)
    assert registry.releases() == []
    store.put(Breaking.sent[0], b"damaged meanwhile")
    Breaking.limit = 10**6
    release_id = publish(registry, made)
    assert len(Breaking.sent) == 4 + num_files - 3
    assert sorted(set(Breaking.sent)) == sorted(f"releases/{release_id}/{name}" for name in [*FILES, "manifest.json"])
    assert files(registry.fetch(release_id, tmp_path / "releases")) == files(made)


def test_on_s3_too_only_what_is_missing_is_sent(moto, tmp_path, monkeypatch):
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    made, registry = bundle(tmp_path / "made"), Registry.open(f"s3://{moto_s3.BUCKET}/{tmp_path.name}")
    release_id = publish(registry, made)
    before = {one.key: one.modified_s for one in registry.store.stored("releases")}
    for key in (f"releases/{release_id}.json", f"releases/{release_id}/image.onnx"):
        registry.store.delete(key)
    time.sleep(1.1)  # S3 tells time in seconds
    assert publish(registry, made) == release_id
    after = {one.key: one.modified_s for one in registry.store.stored("releases")}
    assert {key.rpartition("/")[2] for key in after if after[key] != before[key]} == {f"{release_id}.json", "image.onnx"}


def test_two_that_publish_the_same_bundle_at_once_publish_it_once(url, tmp_path):
    made = bundle(tmp_path / "made")
    racing = [start(PUBLISHER, url, made) for _ in range(4)]
    go(*racing)
    told = {one.communicate(timeout=60)[0].split()[-1] for one in racing}
    registry = Registry.open(url)
    assert {one.release_id for one in registry.releases()} == told
    assert files(registry.fetch(told.pop(), tmp_path / "releases")) == files(made)
    assert all(one.returncode == 0 for one in racing)


def test_who_loses_the_race_to_publish_takes_the_winners_record(tmp_path):
    made = bundle(tmp_path / "made")
    late, early = provenance(git_commit="1" * 40), provenance(git_commit="2" * 40)

    class Overtaken(FolderStore):
        def swap(self, key, data, version):
            Registry(FolderStore(self.root)).publish(made, early, bill=no_bill)
            return super().swap(key, data, version)

    registry = Registry(Overtaken(tmp_path / "registry"))
    release_id = registry.publish(made, late, bill=no_bill)
    (found,) = registry.releases()
    assert found.release_id == release_id
    assert b"2" * 40 in registry.document(found.provenance)


FETCHER = """
import sys
from pathlib import Path
from components.release.registry import Registry
registry = Registry.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
registry.fetch(sys.argv[2], Path(sys.argv[3]))
print("done")
"""


@pytest.mark.proof
def test_a_fetcher_that_is_killed_at_any_moment_leaves_nothing_under_the_releases_name(url, tmp_path):
    made, rng = bundle(tmp_path / "made"), random.Random(5)
    release_id = publish(Registry.open(url), made)
    num_moments = num_calls(lambda: Registry.open(url).fetch(release_id, tmp_path / "counted"))
    for number in range(4 if url.startswith("s3") else 25):
        target = tmp_path / f"{number}"
        assert killed(lambda target=target: Registry.open(url).fetch(release_id, target), rng.randrange(1, num_moments))
        if (target / release_id).exists():
            assert files(target / release_id) == files(made)
        assert files(Registry.open(url).fetch(release_id, target)) == files(made)


def test_two_that_fetch_at_once_both_have_it(url, tmp_path):
    made = bundle(tmp_path / "made")
    release_id = publish(Registry.open(url), made)
    racing = [start(FETCHER, url, release_id, tmp_path / "releases") for _ in range(4)]
    go(*racing)
    assert [one.communicate(timeout=60)[0].split() for one in racing] == [["done"]] * 4
    assert os.listdir(tmp_path / "releases") == [release_id]
    assert files(tmp_path / "releases" / release_id) == files(made)
