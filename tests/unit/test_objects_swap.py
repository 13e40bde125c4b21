"""Compare-and-swap, and files that are streamed: one set of rules for a folder and for S3 (moto's server, which honours conditions)."""

import hashlib
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from components import objects
from components.bucket import S3Store, client
from components.errors import Conflict, DiskFull, StoreFailed, TooLarge
from components.objects import PARTIAL, Calls, FolderStore, open_store
from tests import faulty_proxy, moto_s3
from tests.faulty_proxy import Fate
from tests.small_disk import small_disk

QUICK = Calls(connect_s=4, read_s=4, attempts=3)


@pytest.fixture(scope="module")
def moto():
    with moto_s3.serving() as server:
        yield server


def at(server, monkeypatch):
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)


@pytest.fixture(params=["folder", "s3"])
def store(request, tmp_path, monkeypatch):
    if request.param == "folder":
        return FolderStore(tmp_path / "store")
    at(request.getfixturevalue("moto"), monkeypatch)
    return open_store(f"s3://{moto_s3.BUCKET}/{tmp_path.name}")


def keys(store, prefix=""):
    return [one.key for one in store.stored(prefix)]


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def write(path, data):
    path.write_bytes(data)
    return path


def test_a_swap_gives_the_version_that_the_next_one_needs(store):
    version = store.swap("a/k", b"one", None)
    assert store.read("a/k") == objects.Versioned(b"one", version)
    after = store.swap("a/k", b"two", version)
    assert store.read("a/k") == objects.Versioned(b"two", after)
    assert store.read("a/none") is None
    assert keys(store) == ["a/k"]


@pytest.mark.parametrize("stale", [None, "first", '"00000000000000000000000000000000"'])
def test_a_swap_on_another_version_changes_nothing(store, stale):
    first = store.swap("k", b"one", None)
    now = store.swap("k", b"two", first)
    with pytest.raises(Conflict, match="k was changed by another process"):
        store.swap("k", b"three", first if stale == "first" else stale)
    assert store.read("k") == objects.Versioned(b"two", now)


def test_a_swap_of_what_is_gone_is_a_conflict(store):
    version = store.swap("k", b"one", None)
    store.delete("k")
    with pytest.raises(Conflict):
        store.swap("k", b"two", version)
    assert store.read("k") is None


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 3), st.binary(max_size=8)), max_size=8))
def test_only_the_version_that_stands_is_replaced(store, steps):
    for key in "ab":
        store.delete(key)
    versions, model = {"a": [None], "b": [None]}, {}
    for key, age, data in steps:
        asked = versions[key][max(0, len(versions[key]) - 1 - age)]
        if asked == (sha_or_tag(store, key) if key in model else None):
            versions[key].append(store.swap(key, data, asked))
            model[key] = data
        else:
            with pytest.raises(Conflict):
                store.swap(key, data, asked)
    assert {key: store.get(key) for key in "ab" if store.get(key) is not None} == model


def sha_or_tag(store, key):
    return store.read(key).version


def test_of_many_that_create_an_object_one_wins(store):
    def create(number):
        try:
            store.swap("k", f"{number}".encode(), None)
        except Conflict:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        won = [number for number in pool.map(create, range(24)) if number is not None]
    assert [store.get("k")] == [f"{number}".encode() for number in won]


COUNTER = """
import sys, time
from components.errors import Conflict
from components.objects import open_store
store, lost = open_store(sys.argv[1]), 0
print("ready", flush=True)
sys.stdin.readline()
for _ in range(int(sys.argv[2])):
    while True:
        there = store.read("count")
        time.sleep(0.002)  # in which another writes
        try:
            store.swap("count", str(int(there.data) + 1 if there else 1).encode(), there and there.version)
            break
        except Conflict:
            lost += 1
print(lost)
"""


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_processes_that_count_together_lose_no_count(kind, request, tmp_path):
    url, env = str(tmp_path / "store"), dict(os.environ)
    if kind == "s3":
        url, env = f"s3://{moto_s3.BUCKET}/{tmp_path.name}", env | request.getfixturevalue("moto").environment
    command = [sys.executable, "-c", COUNTER, url, "15"]
    racing = [subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert [one.stdout.readline() for one in racing] == ["ready\n"] * 4
    for one in racing:
        one.stdin.write("go\n")
        one.stdin.flush()
    lost = [int(one.communicate(timeout=120)[0]) for one in racing]
    assert sum(lost) > 0, "they never met, so this shows nothing"
    assert counted(url, env) == 60


def counted(url, env):
    code = "import sys; from components.objects import open_store; print(open_store(sys.argv[1]).get('count').decode())"
    return int(subprocess.run([sys.executable, "-c", code, url], env=env, capture_output=True, text=True, check=True).stdout)


def test_a_holder_that_is_killed_leaves_no_lock(tmp_path):
    code = (
        "import sys, time; from pathlib import Path; from components.objects import FolderStore\n"
        "with FolderStore(Path(sys.argv[1]))._locked():\n    print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "held\n"
    took = threading.Thread(target=FolderStore(tmp_path).swap, args=("k", b"1", None))
    took.start()
    took.join(0.3)
    assert took.is_alive()
    assert FolderStore(tmp_path).get("k") is None
    holder.kill()
    holder.wait()
    took.join(10)
    assert FolderStore(tmp_path).get("k") == b"1"


def test_a_holder_that_hangs_is_told_in_time(tmp_path, monkeypatch):
    monkeypatch.setattr(objects, "LOCK_WAIT_S", 0.2)
    store = FolderStore(tmp_path)
    with store._locked(), pytest.raises(StoreFailed, match=r"\.swap\.lock is held by another process"):
        store.swap("k", b"1", None)
    store.swap("k", b"1", None)


def test_an_object_that_is_too_large_is_not_read(store, tmp_path):
    store.put("k", b"x" * 1001)
    with pytest.raises(TooLarge, match=r"k has 1,001 bytes; 1,000 are read at most"):
        store.read("k", 1000)
    with pytest.raises(TooLarge, match="1,001 bytes"):
        store.download("k", tmp_path / "taken", 1000)
    assert store.read("k", 1001).data == b"x" * 1001
    assert not (tmp_path / "taken").exists() or (tmp_path / "taken").stat().st_size == 0


@pytest.mark.parametrize("num_bytes", [0, 1, 9 << 20, 20 << 20])  # S3 sends the last two in parts
def test_a_file_comes_back_as_it_was_sent(store, tmp_path, num_bytes):
    data = os.urandom(num_bytes)
    store.upload("a/file", write(tmp_path / "sent", data), sha256(data))
    assert store.download("a/file", tmp_path / "taken", num_bytes)
    assert (tmp_path / "taken").read_bytes() == data
    assert store.sha256("a/file") == sha256(data)
    assert keys(store) == ["a/file"]


def test_what_is_not_there_has_no_digest_and_is_not_taken(store, tmp_path):
    assert store.sha256("none") is None
    assert store.download("none", tmp_path / "taken", 10) is False


def test_an_object_that_was_written_by_hand_has_no_digest_that_was_sent(store, tmp_path):
    store.upload("k", write(tmp_path / "sent", b"one"), sha256(b"one"))
    store.put("k", b"two")
    assert store.sha256("k") != sha256(b"one")


def test_half_written_files_of_long_ago_are_removed(store):
    now = time.time()
    if isinstance(store, FolderStore):
        (store.root / "a").mkdir(parents=True)
        for name, age_s in (("old", 7200), ("new", 0)):
            path = write(store.root / "a" / f"{PARTIAL}{name}", b"half")
            os.utime(path, (now - age_s, now - age_s))
        left = [f"{PARTIAL}new"]
        find = lambda: [path.name for path in (store.root / "a").iterdir()]  # noqa: E731
        store.clear_partial("a", now - 3600)
    else:
        store.client.create_multipart_upload(Bucket=store.bucket, Key=store._at("a/new"))
        find = lambda: [one["Key"] for one in store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", ())]  # noqa: E731
        store.clear_partial("a", 0)
        left = [store._at("a/new")]
    assert find() == left
    store.clear_partial("a", now + 3600)
    assert find() == []


def test_a_folder_that_is_none_is_told(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(StoreFailed, match=r"file: .*(Not a directory|File exists)"):
        FolderStore(tmp_path / "file").swap("k", b"1", None)


def test_a_full_disk_is_told_and_leaves_the_object_as_it_was(tmp_path):
    large = write(tmp_path / "large", b"x" * (2 << 20))
    with small_disk(tmp_path / "disk", size_mib=1) as disk:
        store = FolderStore(disk.folder)
        version = store.swap("k", b"one", None)
        for fill in (lambda: store.swap("k", large.read_bytes(), version), lambda: store.upload("k", large, "")):
            with pytest.raises(DiskFull, match="No space left on device"):
                fill()
        assert store.read("k") == objects.Versioned(b"one", version)
        assert keys(store) == ["k"]


def test_a_server_that_knows_no_conditions_is_found_out_before_anything_is_lost(s3, tmp_path, monkeypatch):
    at(s3, monkeypatch)
    store = open_store(f"s3://shop/{tmp_path.name}")
    for ask in (store.check_swaps, lambda: store.swap("k", b"1", None)):
        with pytest.raises(StoreFailed, match=r"s3://shop does not honour conditional writes .*Use a server that does"):
            ask()
    assert keys(store) == []


@pytest.fixture
def faulty(moto, tmp_path, monkeypatch):
    """A store behind a proxy, which passes everything on until a test says otherwise."""
    with faulty_proxy.before(moto.port, lambda method, path: Fate.PASSED) as proxy:
        for name, value in moto_s3.environment_at(proxy.port).items():
            monkeypatch.setenv(name, value)
        yield S3Store(moto_s3.BUCKET, tmp_path.name, client(QUICK)), proxy


def once(fate, method="PUT", after=0):
    """That fate for one request of the method, after so many of them."""
    left = [after]

    def choose(asked, path):
        if asked != method or left[0] < 0:
            return Fate.PASSED
        left[0] -= 1
        return fate if left[0] < 0 else Fate.PASSED

    return choose


@pytest.mark.parametrize("fate", [Fate.REFUSED, Fate.LOST])
@pytest.mark.parametrize("version", ["none", "first"])
def test_a_swap_whose_answer_is_lost_is_known_to_have_been_made(faulty, fate, version):
    store, proxy = faulty
    store.check_swaps()
    first = store.swap("k", b"one", None) if version == "first" else None
    proxy.choose = once(fate)
    after = store.swap("k", b"two", first)
    assert store.read("k") == objects.Versioned(b"two", after)
    assert proxy.num(fate) == 1


def test_a_swap_that_failed_once_and_then_lost_is_a_conflict(faulty, moto):
    store, proxy = faulty
    first = store.swap("k", b"one", None)
    others = S3Store(store.bucket, store.prefix, client(QUICK))

    def refused_while_another_swaps(method, path):
        if method == "PUT" and path.endswith("/k") and not swapped:
            swapped.append(True)
            threading.Thread(target=others.swap, args=("k", b"theirs", first)).start()
            time.sleep(0.2)
            return Fate.REFUSED
        return Fate.PASSED

    swapped = []
    others.check_swaps()
    direct(others, moto)
    proxy.choose = refused_while_another_swaps
    with pytest.raises(Conflict):
        store.swap("k", b"mine", first)
    assert store.get("k") == b"theirs"


def direct(store, moto):
    """Has the store speak to the server without the proxy."""
    store.client.meta.events.register("before-send.s3", lambda request, **_: _redirected(request, moto.port))


def _redirected(request, port):
    request.url = request.url.replace(request.url.split("/")[2], f"127.0.0.1:{port}")


def test_a_swap_that_may_have_been_overwritten_since_is_not_called_lost(faulty, moto):
    """Ours was made, its answer lost, and others went on from it: doing it again could do it twice."""
    store, proxy = faulty
    first = store.swap("k", b"one", None)
    others = S3Store(store.bucket, store.prefix, client(QUICK))
    others.check_swaps()
    direct(others, moto)
    done = []

    def lost_then_overwritten(method, path):
        if method != "PUT" or not path.endswith("/k"):
            return Fate.PASSED
        done.append(path)
        if len(done) == 2:
            others.swap("k", b"theirs", others.read("k").version)
        return Fate.LOST if len(done) == 1 else Fate.PASSED

    proxy.choose = lost_then_overwritten
    with pytest.raises(StoreFailed):
        store.swap("k", b"mine", first)
    assert store.get("k") == b"theirs"


@pytest.mark.parametrize("act", ["read", "swap", "upload", "download", "sha256"])
def test_a_bucket_that_hangs_is_given_up_in_time(faulty, act, tmp_path):
    store, proxy = faulty
    store.upload("k", write(tmp_path / "sent", b"1"), sha256(b"1"))
    store.check_swaps()
    store = S3Store(store.bucket, store.prefix, client(Calls(connect_s=2, read_s=1, attempts=2)), store.proven)
    proxy.choose = lambda method, path: Fate.HUNG
    acts = {
        "read": lambda: store.read("k"),
        "swap": lambda: store.swap("k", b"2", None),
        "upload": lambda: store.upload("k", tmp_path / "sent", sha256(b"1")),
        "download": lambda: store.download("k", tmp_path / "taken", 1),
        "sha256": lambda: store.sha256("k"),
    }
    started = time.monotonic()
    with pytest.raises(StoreFailed, match=r"s3://shop/.*AWS_ENDPOINT_URL_S3"):
        acts[act]()
    assert time.monotonic() - started < 30  # two tries of a second each, and a pause between them
    proxy.choose = lambda method, path: Fate.PASSED
    assert store.read("k").data == b"1"


@pytest.mark.parametrize("fate", [Fate.CUT, Fate.REFUSED, Fate.HUNG])
def test_a_download_that_breaks_off_goes_on(faulty, fate, tmp_path):
    store, proxy = faulty
    data = os.urandom(9 << 20)
    store.upload("k", write(tmp_path / "sent", data), sha256(data))
    proxy.choose = once(fate, "GET")
    assert store.download("k", tmp_path / "taken", len(data))
    assert (tmp_path / "taken").read_bytes() == data
    assert proxy.num(fate) == 1


@pytest.mark.parametrize("act", ["get", "read"])
def test_an_answer_that_is_cut_off_once_is_asked_for_again(faulty, act):
    store, proxy = faulty
    store.put("k", b"x" * 1000)
    proxy.choose = once(Fate.CUT, "GET")
    assert (store.get("k") if act == "get" else store.read("k").data) == b"x" * 1000
    assert proxy.num(Fate.CUT) == 1


def test_an_answer_that_is_cut_off_is_no_object(faulty):
    store, proxy = faulty
    store.put("k", b"x" * 1000)
    proxy.choose = lambda method, path: Fate.CUT if method == "GET" else Fate.PASSED
    with pytest.raises(StoreFailed):
        store.read("k")


def test_a_large_file_is_never_all_in_memory(moto, tmp_path, monkeypatch):
    """A process that sends and takes 96 MB, whose memory grows by far less."""
    path = tmp_path / "large"
    with open(path, "wb") as file:
        for _ in range(96):
            file.write(os.urandom(1 << 20))
    code = (
        "import resource, sys; from pathlib import Path; from components.objects import open_store\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024\n"
        "store, path = open_store(sys.argv[1]), Path(sys.argv[2])\n"
        "store.upload('warm', Path(sys.argv[3]), 'x'); before = peak()\n"
        "store.upload('k', path, 'x'); store.download('k', path.with_name('taken'), path.stat().st_size); print(peak() - before)"
    )
    env = os.environ | moto.environment
    command = [sys.executable, "-c", code, f"s3://{moto_s3.BUCKET}/{tmp_path.name}", str(path), str(write(tmp_path / "small", b"1"))]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True, timeout=120)
    assert float(done.stdout) < 85
    assert (tmp_path / "taken").read_bytes() == path.read_bytes()
