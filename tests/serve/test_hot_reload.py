"""Releases come, answer and go while the gateway is asked: nothing is dropped, nothing is mixed, and what is broken never answers."""

import json
import shutil
import threading
import time
from contextlib import contextmanager

import httpx
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from components import releases
from components.manifest import MANIFEST, write_manifest
from tests.serve.canary_shop import until
from tests.serve.gateway import running
from tests.serve.rival import LENIENT
from tests.serve.test_gateway import in_base64, listing, photo


@pytest.fixture
def shop(finished, tmp_path):
    with running(finished, tmp_path, LENIENT) as gateway:
        yield gateway


def keep(shop, bundle) -> str:
    return releases.keep(bundle, shop.gateway.router.folder)


@contextmanager
def asked_without_pause(shop):
    """What the gateway answers to three callers who ask for the whole block: (status, release, fingerprint in header, in body)."""
    answers, stop = [], threading.Event()

    def ask(query):
        with httpx.Client(base_url=shop.url, timeout=30) as client:
            while not stop.is_set():
                answer = client.post("/v1/similar", json=query)
                body = answer.json()
                answers.append((answer.status_code, body.get("release_id"), answer.headers["x-fingerprint"], body.get("fingerprint")))

    queries = ({"text": "mug"}, {"picture_base64": in_base64(photo(1))}, {"text": "bag", "k": 100})
    threads = [threading.Thread(target=ask, args=(query,)) for query in queries]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        stop.set()
        for thread in threads:
            thread.join(30)


def test_a_new_release_takes_over_and_goes_back_without_one_failed_request(shop, rival):
    old = shop.gateway.router.active
    new = keep(shop, rival / "bundle")
    with asked_without_pause(shop) as answers:
        loaded = shop.client.post("/v1/releases", json={"release_id": new})
        assert loaded.status_code == 200, loaded.text
        assert shop.client.get("/v1/releases").json()["active"] == old
        assert shop.client.post(f"/v1/releases/{new}/activate").status_code == 200
        time.sleep(0.3)
        began = time.perf_counter()
        assert shop.client.post("/v1/releases/rollback").json()["active"] == old
        rolled_back_s = time.perf_counter() - began
        time.sleep(0.3)
    assert {status for status, *_ in answers} == {200}
    assert {release for _, release, *_ in answers} == {old, new}
    assert len({(release, *fingerprints) for _, release, *fingerprints in answers}) == 2  # one fingerprint a release, in both places
    assert rolled_back_s < 1


def test_what_is_written_while_a_release_is_built_is_found_in_both(shop, rival):
    new = keep(shop, rival / "bundle")
    done = threading.Event()
    written, deleted = [], []

    def write():
        with httpx.Client(base_url=shop.url, timeout=30) as client:
            for number in range(10_000):
                if done.is_set():
                    return
                client.put(f"/v1/items/w-{number}", json=listing(picture_base64=in_base64(photo(1000 + number)))).raise_for_status()
                written.append(number)
                if number % 3 == 2:
                    client.delete(f"/v1/items/w-{number}").raise_for_status()
                    deleted.append(number)

    writer = threading.Thread(target=write)
    writer.start()
    while len(written) < 5:
        time.sleep(0.01)
    assert shop.client.post("/v1/releases", json={"release_id": new}).status_code == 200
    done.set()
    writer.join(30)
    for number in written:
        for release in (None, new):
            query = {"picture_base64": in_base64(photo(1000 + number)), "k": 1} | ({"release": release} if release else {})
            best = shop.client.post("/v1/similar", json=query).json()["items"][0]
            assert (best["item_id"] == f"w-{number}" and best["cosine"] > 0.999) == (number not in deleted), (number, release)


def test_an_altered_bundle_is_refused_and_the_old_one_goes_on(shop, rival):
    new = keep(shop, rival / "bundle")
    path = shop.gateway.router.folder / new / "calibrator.json"
    path.write_bytes(path.read_bytes() + b" ")
    refused = shop.client.post("/v1/releases", json={"release_id": new})
    assert (refused.status_code, refused.json()["code"]) == (409, "release_refused")
    assert "altered" in refused.json()["detail"]
    assert shop.client.get("/health/ready").status_code == 200
    assert new not in {row["release_id"] for row in shop.client.get("/v1/releases").json()["releases"]}


def with_other_weights(bundle, folder):
    """A bundle whose digests match, but whose image tower is not the one that its golden answers came from."""
    shutil.copytree(bundle, folder)
    model = onnx.load(folder / "image.onnx")
    weights = max(model.graph.initializer, key=lambda one: int(np.prod(one.dims)))
    noise = np.random.default_rng(0).normal(size=tuple(weights.dims)).astype(np.float32)
    weights.CopyFrom(numpy_helper.from_array(noise * np.abs(numpy_helper.to_array(weights)).mean(), weights.name))
    onnx.save(model, folder / "image.onnx")
    facts = {k: v for k, v in json.loads((folder / MANIFEST).read_text()).items() if k not in ("format", "files")}
    (folder / MANIFEST).unlink()
    write_manifest(folder, facts)
    return folder


def test_a_bundle_that_does_not_give_its_golden_answers_never_answers(shop, finished, tmp_path):
    new = keep(shop, with_other_weights(finished / "bundle", tmp_path / "wrong"))
    refused = shop.client.post("/v1/releases", json={"release_id": new})
    assert (refused.status_code, refused.json()["code"]) == (409, "release_refused")
    assert "golden" in refused.json()["detail"]
    assert shop.client.get("/health/ready").status_code == 200
    assert shop.client.post(f"/v1/releases/{new}/activate").json()["code"] == "release_unknown"


def test_a_first_bundle_that_does_not_give_its_golden_answers_is_never_ready(finished, tmp_path):
    workspace = tmp_path / "shop"
    shutil.copytree(finished, workspace, symlinks=True, ignore=shutil.ignore_patterns(".git", "cache", "tmp", "bundle"))
    with_other_weights(finished / "bundle", workspace / "bundle")
    with running(workspace, tmp_path / "state", ready=False) as gateway:
        deadline = time.monotonic() + 30
        while not gateway.failed and time.monotonic() < deadline:
            assert gateway.client.get("/health/ready").status_code == 503
            time.sleep(0.05)
        assert "golden" in str(gateway.failed[0])
        assert gateway.client.get("/health/live").status_code == 200


def test_the_index_gate_refuses_a_release_whose_neighbours_are_other_ones(finished, rival, tmp_path):
    with running(finished, tmp_path, {"index": {"gate": {"min_overlap_at_10": 1.0}}}) as strict:
        refused = strict.client.post("/v1/releases", json={"release_id": keep(strict, rival / "bundle")})
        assert refused.json()["code"] == "release_refused"
        assert "overlap" in refused.json()["detail"]


def test_a_release_out_of_service_is_gone_and_the_active_one_cannot_be(shop, rival):
    new = keep(shop, rival / "bundle")
    shop.client.post("/v1/releases", json={"release_id": new}).raise_for_status()
    assert shop.client.delete(f"/v1/releases/{shop.gateway.router.active}").json()["code"] == "release_refused"
    assert shop.client.delete(f"/v1/releases/{new}").status_code == 200
    assert shop.client.post("/v1/similar", json={"text": "mug", "release": new}).json()["code"] == "release_unknown"


@contextmanager
def started(workspace, tmp_path, caplog):
    """A gateway that has done everything that a start does: it answers before, with what answered last."""
    caplog.clear()
    with running(workspace, tmp_path, LENIENT) as gateway:
        until(lambda: "serve: ready, release" in caplog.text)
        yield gateway


def test_after_a_restart_the_release_that_answered_last_answers_again(finished, rival, tmp_path, caplog):
    caplog.set_level("INFO", "vitrine")
    with started(finished, tmp_path, caplog) as first:
        new = keep(first, rival / "bundle")
        first.client.post("/v1/releases", json={"release_id": new}).raise_for_status()
        first.client.post(f"/v1/releases/{new}/activate").raise_for_status()
        first.client.put("/v1/items/kept", json=listing(picture_base64=in_base64(photo(77)))).raise_for_status()
    for workspace in (finished, rival):  # the bundle at hand is the one that was there at first, then the one that answers
        with started(workspace, tmp_path, caplog) as again:
            assert again.gateway.router.active == new
            best = again.client.post("/v1/similar", json={"picture_base64": in_base64(photo(77)), "k": 1}).json()["items"][0]
            assert best["item_id"] == "kept"


def test_a_bundle_that_is_new_at_a_start_is_taken_in_once_and_may_be_gone_back_from(finished, rival, tmp_path, caplog):
    caplog.set_level("INFO", "vitrine")
    with started(finished, tmp_path, caplog) as first:
        old = first.gateway.router.active
    with started(rival, tmp_path, caplog) as second:
        assert second.gateway.router.active != old
        second.client.post("/v1/releases/rollback").raise_for_status()
    with started(rival, tmp_path, caplog) as third:
        assert third.gateway.router.active == old
        assert "goes on, which answered last" in caplog.text
