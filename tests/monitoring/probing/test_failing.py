"""A gateway that is down, slow or failing, and probings that end in the middle."""

import itertools

import pytest

from components.errors import BadBundle, GatewayFailed, StoreFailed
from components.objects import FolderStore
from monitoring.probes import GOLDEN
from monitoring.probing.asker import client_of
from monitoring.probing.prober import probe
from monitoring.probing.summary import lines
from tests.faulty_proxy import Fate, before
from tests.monitoring.probing.shop import make_shop, probing, serving, write_bundle
from tests.serve.gateway import free_port

NEW = range(100, 105)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """A gateway that these tests ask one after the other; the answers of each are removed."""
    folder = tmp_path_factory.mktemp("shop")
    with serving(make_shop(folder / "workspace"), folder / "state") as one:
        one.upsert(*NEW)
        yield one


@pytest.fixture(autouse=True)
def _forgotten(shop):
    yield
    for one in list(shop.store.stored("probes")):
        shop.store.delete(one.key)


def port_of(shop):
    return int(shop.live.url.rpartition(":")[2])


def behind(proxy, **changes):
    return probing(address=f"http://127.0.0.1:{proxy.port}", **changes)


def rows_of(probed):
    return set(zip(probed.rows["kind"].to_pylist(), probed.rows["name"].to_pylist(), strict=True))


def test_a_gateway_that_fails_now_and_then_is_asked_again(shop):
    number = itertools.count(1)
    with before(port_of(shop), lambda *_: Fate.REFUSED if next(number) % 3 == 0 else Fate.PASSED) as proxy:
        probed = shop.probe(behind(proxy))
    assert probed.is_whole
    assert probed.num_requests > probed.rows.num_rows + 10


def test_an_answer_that_is_cut_off_or_does_not_come_is_asked_for_again(shop):
    number = itertools.count(1)
    fates = {5: Fate.CUT, 9: Fate.HUNG, 13: Fate.LOST}
    with before(port_of(shop), lambda *_: fates.get(next(number), Fate.PASSED)) as proxy:
        probed = shop.probe(behind(proxy, timeout_s=5.0))  # above what a busy machine takes for an answer that does come
    assert probed.is_whole
    assert probed.num_requests == probed.rows.num_rows + 1 + len(fates)


@pytest.mark.parametrize(("fate", "words"), [(Fate.REFUSED, "HTTP 500"), (Fate.HUNG, "ReadTimeout")])
def test_a_gateway_that_goes_down_ends_the_probing_what_it_answered_is_kept_and_the_rest_told(shop, fate, words):
    number = itertools.count(1)
    with before(port_of(shop), lambda *_: fate if next(number) > 20 else Fate.PASSED) as proxy:
        probed = shop.probe(behind(proxy, timeout_s=0.5, max_tries=2))
    assert isinstance(probed.failure, GatewayFailed)
    assert "gave no answer to 3 questions in a row" in str(probed.failure)
    assert words in str(probed.failure)
    assert probed.rows.num_rows + sum(probed.unanswered.values()) >= 19
    assert probed.num_not_asked > 10
    assert f"{'not asked':<24}{probed.num_not_asked}" in lines(probed)
    again = shop.probe()
    assert (again.is_whole, again.num_before) == (True, probed.rows.num_rows)
    assert again.num_requests < again.rows.num_rows + 5


def test_a_probing_of_the_same_hour_goes_on_and_counts_nothing_twice(shop):
    number = itertools.count(1)
    with before(port_of(shop), lambda *_: Fate.REFUSED if next(number) > 20 else Fate.PASSED) as proxy:
        first = shop.probe(behind(proxy, max_tries=1))
    again = shop.probe()
    third = shop.probe()
    assert len(rows_of(again)) == again.rows.num_rows == third.rows.num_rows
    assert rows_of(first) < rows_of(again) == rows_of(third)
    assert third.num_requests == 1
    assert [one.key for one in shop.store.stored("probes")] == [third.key]


def test_a_gateway_that_is_not_there_is_told_at_once_and_nothing_is_written(shop):
    probed = shop.probe(probing(address=f"http://127.0.0.1:{free_port()}", max_tries=2))
    assert "cannot be asked: no answer (ConnectError), tried 2 times" in str(probed.failure)
    assert (probed.rows.num_rows, list(shop.store.stored("probes"))) == (0, [])
    assert probed.num_not_asked > 30


def test_a_probing_that_is_ended_by_force_leaves_no_half_file_and_starts_again(shop):
    def sleep(seconds):
        raise KeyboardInterrupt

    number = itertools.count(1)
    with (
        before(port_of(shop), lambda *_: Fate.REFUSED if next(number) > 10 else Fate.PASSED) as proxy,
        pytest.raises(KeyboardInterrupt),
    ):
        shop.probe(behind(proxy), sleep=sleep)
    assert list(shop.store.stored("probes")) == []
    assert shop.probe().is_whole


def test_a_gateway_that_is_slow_as_a_whole_ends_the_probing(shop):
    clock = itertools.count(step=2.0)
    probed = shop.probe(probing(address=shop.live.url, limit_s=50.0), clock=lambda: next(clock), sleep=lambda _: None)
    assert "is too slow: 50 s are over" in str(probed.failure)
    assert 0 < probed.rows.num_rows < 30


def test_a_file_of_probes_that_cannot_be_read_is_written_anew(shop):
    key = shop.probe().key
    shop.store.put(key, b"PAR1 half of it")
    probed = shop.probe()
    assert (probed.is_whole, probed.num_before) == (True, 0)
    assert (GOLDEN in probed.rows["kind"].to_pylist(), shop.probe().num_requests) == (True, 1)


def test_a_store_that_cannot_be_written_is_told(shop, tmp_path):
    class Full(FolderStore):
        def put(self, key, data):
            raise StoreFailed("the bucket cannot be reached")

    cfg = probing(address=shop.live.url)
    with client_of(cfg, None) as client, pytest.raises(StoreFailed):
        probe(shop.bundle, Full(shop.state / "store"), cfg, client)


def test_a_bundle_that_was_altered_is_refused_before_anything_is_asked(shop, tmp_path):
    bundle = write_bundle(tmp_path / "bundle")
    with open(bundle / "golden.parquet", "ab") as file:
        file.write(b"more")
    shop.workspace, kept = tmp_path, shop.workspace
    with pytest.raises(BadBundle, match=r"golden\.parquet was altered"):
        shop.probe()
    shop.workspace = kept
