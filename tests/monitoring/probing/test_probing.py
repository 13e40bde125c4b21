"""The prober against a real gateway: sound, stale, another's, and one that loses things."""

import asyncio
import datetime as dt
import io
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.errors import GatewayFailed, WrongRelease
from components.fingerprint import file_digest
from components.serve.log.rows import TABLES, parquet_of
from monitoring.extras import Extras
from monitoring.probes import COPY, GOLDEN, NEIGHBOURS, UPSERT, extras_of
from tests.monitoring.detectors.test_extras import of_extras
from tests.monitoring.probing.shop import (
    NUM_ANCHORS,
    NUM_GOLDEN,
    NUM_ITEMS,
    asked_of,
    image_id_of,
    item_id,
    listing,
    make_shop,
    names_of,
    photo,
    probing,
    serving,
    value_of,
    write_bundle,
)
from tests.serve.small_shop import key_for

NEW = range(100, 110)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory):
    """A workspace with a bundle. Tests read it and leave it as it is."""
    return make_shop(tmp_path_factory.mktemp("shop") / "workspace")


@pytest.fixture
def shop(workspace, tmp_path):
    with serving(workspace, tmp_path / "state") as one:
        yield one


def test_a_sound_gateway_answers_as_its_bundle_says_it_must(shop):
    shop.upsert(*NEW)
    probed = shop.probe()
    assert probed.is_whole
    assert value_of(probed, GOLDEN) == pytest.approx(np.ones(NUM_GOLDEN), abs=1e-4)
    anchors = extras_of(probed.rows)
    assert anchors.anchor_scores == pytest.approx(anchors.anchor_targets, abs=1e-3)
    assert value_of(probed, UPSERT).tolist() == [1.0] * len(NEW)
    assert len(value_of(probed, COPY)) == 20
    assert value_of(probed, COPY).mean() >= 0.8
    assert value_of(probed, NEIGHBOURS).tolist() == [10.0] * 6


def test_what_a_probing_says_goes_through_the_detectors(shop):
    shop.upsert(*NEW)
    extras = extras_of(shop.probe().rows)
    found = of_extras(extras, extras)
    assert found["golden"].value == pytest.approx(0, abs=1e-4)
    assert found["findable"].effect == "new items that are found 100 % -> 100 %"
    assert {name: found[name].value for name in ("anchors", "self_retrieval", "neighbour_churn")} == pytest.approx(
        {"anchors": 0.0, "self_retrieval": 0.0, "neighbour_churn": 0.0}
    )


def test_items_that_the_log_has_and_the_index_not_are_not_found(shop):
    shop.upsert(*NEW[:5])
    shop.lose(*NEW[5:])
    probed = shop.probe()
    found = dict(zip(names_of(probed, UPSERT), value_of(probed, UPSERT), strict=True))
    assert found == {item_id(number): float(number in NEW[:5]) for number in NEW}
    found = of_extras(Extras(num_upserts=40, num_findable=40), extras_of(probed.rows))["findable"]
    assert (found.value, found.effect) == (0.5, "new items that are found 100 % -> 50 %")
    lately = [name in [item_id(number) for number in NEW] for name in names_of(probed, COPY)]
    assert sum(lately) == 5
    assert probed.num_gone == 0


def test_items_that_are_deleted_or_shown_otherwise_meanwhile_are_no_failures(shop):
    shop.upsert(*NEW)
    shop.delete(*NEW[:4])
    shop.upsert(NEW[4], shows=999)
    probed = shop.probe()
    assert sorted(names_of(probed, UPSERT)) == [item_id(number) for number in NEW[4:]]
    assert value_of(probed, UPSERT).tolist() == [1.0] * 6


def test_an_item_that_goes_while_it_is_asked_about_is_no_failure(shop):
    shop.upsert(*NEW)
    gone = []

    def sleep(seconds: float) -> None:
        if not gone:
            gone.append(seconds)
            shop.delete(*NEW[:5])

    probed = shop.probe(probing(address=shop.live.url, rows_per_s=50.0), sleep=sleep)
    assert probed.num_gone >= 5
    assert value_of(probed, UPSERT).tolist() == [1.0] * 5


def test_items_that_the_gateway_never_had_or_lost_long_ago_are_gone_and_told(tmp_path):
    workspace = make_shop(tmp_path / "workspace", range(NUM_ITEMS - 20))
    with serving(workspace, tmp_path / "state") as shop:
        probed = shop.probe(probing(address=shop.live.url, num_copies=NUM_ITEMS, num_probes=NUM_ITEMS, lately_share=0.0))
    assert probed.is_whole
    assert len(names_of(probed, NEIGHBOURS)) == NUM_ITEMS - 20
    assert not {item_id(number) for number in range(NUM_ITEMS - 20, NUM_ITEMS)} & set(names_of(probed, COPY))
    assert probed.num_gone + probed.num_bad_photos == 40


def test_ten_items_with_the_very_photo_are_a_find(shop):
    shop.upsert(*range(100, 115), shows=100)
    assert value_of(shop.probe(), UPSERT).tolist() == [1.0] * 10


def test_photos_that_are_lost_or_broken_are_counted_and_left_out(shop):
    shop.upsert(*NEW)
    for number, data in ((NEW[0], None), (NEW[1], b"not that photo")):
        image_id = image_id_of(photo(number))
        key = f"pictures/{image_id[:2]}/{image_id}"
        shop.store.delete(key) if data is None else shop.store.put(key, data)
    probed = shop.probe(probing(address=shop.live.url, num_copies=0))
    assert (probed.num_bad_photos, probed.is_whole) == (2, True)
    assert sorted(names_of(probed, UPSERT)) == [item_id(number) for number in NEW[2:]]


def test_a_photo_that_the_gateway_does_not_take_is_no_failure_of_the_index(shop):
    data, now = b"no picture at all", dt.datetime.now(dt.UTC)
    row = listing(300, now, image_id=image_id_of(data))
    shop.store.put(f"pictures/{image_id_of(data)[:2]}/{image_id_of(data)}", data)
    shop.store.put(f"events/listings/dt={now:%Y-%m-%d}/odd.parquet", parquet_of(pa.Table.from_pylist([row], TABLES["listings"])))
    probed = shop.probe()
    assert (probed.num_bad_photos, names_of(probed, UPSERT)) == (2, [])  # as an upsert, and as a copy


def test_a_file_of_listings_that_cannot_be_read_is_left_out(shop):
    shop.upsert(*NEW[:3])
    shop.store.put(f"events/listings/dt={dt.datetime.now(dt.UTC):%Y-%m-%d}/broken.parquet", b"PAR1 half of it")
    assert len(value_of(shop.probe(), UPSERT)) == 3


def test_another_release_behind_the_address_is_refused_by_name(workspace, tmp_path, shop):
    shop.workspace = tmp_path
    for name, other in (("model", {"seed": 1}), ("twin", {"twin": True})):
        shop.workspace = tmp_path / name
        write_bundle(shop.bundle, **other)
        probed = shop.probe()
        assert isinstance(probed.failure, WrongRelease)
        for release in (shop.live.gateway.router.active, release_of(shop)):
            assert f"release {release[:12]}" in str(probed.failure)
        assert (probed.rows.num_rows, probed.num_requests, list(shop.store.stored("probes"))) == (0, 1, [])


def release_of(shop):
    return file_digest(shop.bundle / "manifest.json")


def test_a_release_that_leaves_in_the_middle_ends_the_probing_and_its_answers_are_kept(shop):
    served = shop.live.gateway.router.served
    release, num = dict(served), []

    def sleep(seconds: float) -> None:
        num.append(seconds)
        if len(num) == 10:
            served.clear()

    probed = shop.probe(probing(address=shop.live.url, rows_per_s=50.0), sleep=sleep)
    served.update(release)
    assert isinstance(probed.failure, WrongRelease)
    assert "has no release" in str(probed.failure)
    assert 0 < probed.rows.num_rows < 15
    assert probed.num_not_asked > 20
    again = shop.probe()
    assert (again.is_whole, again.num_before) == (True, probed.rows.num_rows)


def test_a_golden_photo_that_the_release_refuses_has_no_number(shop):
    register = shop.live.gateway.asking.pictures.register
    asyncio.run(register.condemn(image_id_of(photo(0)), photo(0), "it did harm"))
    probed = shop.probe()
    assert probed.is_whole
    assert sum(math.isnan(value) for value in value_of(probed, GOLDEN)) == 1
    assert of_extras(Extras(), extras_of(probed.rows))["golden"].value == 1


def test_probes_stand_in_no_log_of_predictions_and_are_answered_afresh(workspace, tmp_path):
    with serving(workspace, tmp_path / "state", {"log": {"prediction_share": 1.0}}) as shop:
        shop.upsert(*NEW[:2])
        before = decoded(shop)
        assert [decoded_by(shop, {}) for _ in range(2)] == [1, 0]
        assert [decoded_by(shop, {"x-probe": "1"}) for _ in range(2)] == [1, 1]
        assert decoded(shop) - before == 3
        shop.probe()
        asked_of(shop.live.client).raise_for_status()
    rows = logged(shop)
    assert sorted(row["route"] for row in rows) == ["items", "items", "similar", "similar", "similar"]
    assert not [row for row in rows if row["request_id"].startswith("probe-")]


def logged(shop):
    """What the gateway logged of its answers, by the time that it closed."""
    return [row for one in shop.store.stored("predictions") for row in pq.read_table(io.BytesIO(shop.store.get(one.key))).to_pylist()]


def decoded(shop):
    """How many pictures were decoded so far."""
    return shop.live.gateway.asking.pictures.decoder.figures()["decoded"]


def decoded_by(shop, headers):
    before = decoded(shop)
    asked_of(shop.live.client, **headers).raise_for_status()
    return decoded(shop) - before


def test_the_key_needs_to_read_and_to_probe_and_nothing_else(workspace, tmp_path):
    state = tmp_path / "state"
    keys = {scopes: key_for(state, *scopes) for scopes in (("read",), ("probe",), ("read", "probe"))}
    with serving(workspace, state) as shop:
        assert shop.probe(key=keys["read", "probe"]).is_whole
        shop.at += dt.timedelta(hours=1)
        for key, why in ((None, "key_missing"), (keys["read",], "scope_missing"), (keys["probe",], "scope_missing")):
            probed = shop.probe(key=key)
            assert isinstance(probed.failure, GatewayFailed)
            assert why in str(probed.failure)
            assert "--scope read --scope probe" in str(probed.failure)
        headers = {"authorization": f"Bearer {keys['read', 'probe']}", "x-probe": "2"}
        assert asked_of(shop.live.client, **headers).json()["code"] == "invalid"


def test_a_key_that_has_used_up_its_rate_waits_as_long_as_the_gateway_says(workspace, tmp_path):
    state = tmp_path / "state"
    key = key_for(state, "read", "probe", rate=20.0, burst=20)
    with serving(workspace, state) as shop:
        probed = shop.probe(key=key)
    assert probed.is_whole
    assert probed.num_requests >= NUM_GOLDEN + NUM_ANCHORS + 15 + 6 + 1
