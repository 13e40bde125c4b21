"""The gateway's routes on a real bundle: what each answers, what each refuses, and that every answer says whose it is."""

import base64
import io
import json
import sys

import numpy as np
import pytest
from PIL import Image

from components.neighbours import NeighbourIndex
from components.towers import Towers
from tests.serve.gateway import metric, running


@pytest.fixture(scope="module")
def shop(finished, tmp_path_factory):
    """A gateway that all tests of this file share; each keeps to items of its own."""
    with running(finished, tmp_path_factory.mktemp("gateway"), {"log": {"prediction_share": 1.0}}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def towers(finished):
    return Towers.open(finished / "bundle", threads=1)


def photo(seed: int = 0, side: int = 64) -> bytes:
    """A JPEG of coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(blocks).resize((side, side), Image.Resampling.NEAREST).save(target, "JPEG")
    return target.getvalue()


def in_base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def listing(**changes):
    return {
        "title": "red mug",
        "category": ["kitchen", "mugs"],
        "price": 700,
        "currency": "JPY",
        "picture_base64": in_base64(photo()),
    } | changes


def some_item(shop):
    return shop.client.get("/v1/items", params={"limit": 1}).json()["items"][0]


def test_similar_items_of_an_item_leave_the_item_itself_out(shop):
    item_id = some_item(shop)["item_id"]
    answer = shop.client.get("/v1/similar", params={"item_id": item_id, "k": 7})
    body = answer.json()
    cosines = [item["cosine"] for item in body["items"]]
    assert answer.status_code == 200
    assert len(body["items"]) == 7
    assert item_id not in {item["item_id"] for item in body["items"]}
    assert cosines == sorted(cosines, reverse=True)
    assert body["query"]["item_id"] == item_id


def test_text_and_pictures_are_answered_by_the_bundles_own_towers(shop, towers, finished):
    """The best neighbour lies as near as the nearest vector of the bundle's index, compared without the gateway."""
    vectors = vectors_of(finished)
    by_text = shop.client.post("/v1/similar", json={"text": "mug", "k": 3}).json()["items"]
    by_photo = shop.client.post("/v1/similar", json={"picture_base64": in_base64(photo(3)), "k": 3}).json()["items"]
    for found, query in ((by_text, towers.embed_titles(["mug"])[0]), (by_photo, towers.embed_picture(photo(3))[0])):
        assert found[0]["cosine"] == pytest.approx(float((vectors @ query).max()), abs=2e-3)


def vectors_of(finished):
    """(N, D) the vectors of the bundle's own index."""
    index = NeighbourIndex.open(finished / "bundle/index")
    return np.stack([index.vector_of(row) for row in range(len(index.item_ids))])


def test_an_upload_and_base64_get_the_same_answer(shop):
    uploaded = shop.client.post("/v1/similar/upload", files={"picture": ("a.jpg", photo(4))}, data={"k": "5"}).json()
    posted = shop.client.post("/v1/similar", json={"picture_base64": in_base64(photo(4)), "k": 5}).json()
    assert uploaded["items"] == posted["items"]
    assert uploaded["query"] == posted["query"]


def test_filters_hold_for_every_neighbour(shop):
    item = some_item(shop)
    asked = {"item_id": item["item_id"], "k": 20, "category": item["category"][:1], "max_price": item["price"] * 2, "status": "on_sale"}
    found = shop.client.get("/v1/similar", params=asked).json()["items"]
    assert found
    assert all(one["category"][0] == item["category"][0] and one["price"] <= item["price"] * 2 for one in found)
    assert {one["status"] for one in found} == {"on_sale"}


def test_every_answer_says_which_release_and_which_vector_space_it_is_of(shop):
    release = shop.gateway.router.of()
    for answer in (
        shop.client.get("/v1/similar", params={"text": "mug"}),
        shop.client.get("/v1/similar", params={"item_id": "nobody"}),
        shop.client.get("/health/ready"),
        shop.client.get("/health/live"),
        shop.client.get("/nowhere"),
        shop.client.get("/"),
        shop.client.post("/v1/embed", json={"inputs": []}),
    ):
        assert answer.headers["x-release-id"] == release.release_id, answer.url
        assert answer.headers["x-fingerprint"] == release.fingerprint, answer.url


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("/v1/similar", {}, 422, "invalid"),
        ("/v1/similar", {"text": "a", "item_id": "b"}, 422, "invalid"),
        ("/v1/similar", {"text": "  "}, 422, "invalid"),
        ("/v1/similar", {"text": "a" * 1001}, 422, "invalid"),
        ("/v1/similar", {"text": "a", "k": 101}, 422, "invalid"),
        ("/v1/similar", {"text": "a", "k": 0}, 422, "invalid"),
        ("/v1/similar", {"text": "a\0b"}, 422, "invalid"),
        ("/v1/similar", {"text": "a", "surprise": 1}, 422, "invalid"),
        ("/v1/similar", {"item_id": "nobody"}, 404, "item_unknown"),
        ("/v1/similar", {"text": "a", "release": "0" * 64}, 404, "release_unknown"),
        ("/v1/similar", {"text": "a", "fingerprint": "another"}, 409, "fingerprint_mismatch"),
        ("/v1/similar", {"picture_base64": "%%%"}, 422, "invalid"),
        ("/v1/similar", {"picture_base64": in_base64(b"hello, I am no picture")}, 422, "picture_wrong_format"),
        ("/v1/similar", {"picture_base64": in_base64(photo()[:300])}, 422, "picture_truncated"),
        ("/v1/similar", {"picture_url": "https://example.org/a.jpg"}, 422, "picture_url_off"),
        ("/v1/score", {"item_id": "nobody"}, 404, "item_unknown"),
        ("/v1/score", {}, 422, "invalid"),
        ("/v1/embed", {"inputs": [{"text": "a"}] * 33}, 422, "invalid"),
        ("/v1/items", {"items": []}, 422, "invalid"),
        ("/v1/releases", {"release_id": "f" * 64}, 409, "release_refused"),
        ("/v1/releases/rollback", {}, 409, "nothing_to_roll_back"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_with_a_stable_code(shop, path, body, status, code):
    answer = shop.client.post(path, json=body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (status, code), problem
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["status"] == status
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert "Traceback" not in answer.text


def test_embed_answers_sound_rows_and_says_what_is_wrong_with_the_others(shop, towers):
    inputs = [{"text": "mug"}, {"picture_base64": in_base64(b"GIF89a?")}, {"picture_base64": in_base64(photo(5))}, {}]
    rows = shop.client.post("/v1/embed", json={"inputs": inputs}).json()["results"]
    assert np.dot(rows[0]["vector"], towers.embed_titles(["mug"])[0]) > 0.9999
    assert rows[1]["problem"]["code"].startswith("picture_")
    vector, score = towers.embed_picture(photo(5))
    assert np.dot(rows[2]["vector"], vector) > 0.9999
    assert rows[2]["image_score"] == pytest.approx(score, abs=1e-4)
    assert rows[3]["problem"]["code"] == "invalid"


def test_a_score_comes_with_its_place_in_the_catalogue_and_with_what_moves_it(shop):
    scored = shop.client.post("/v1/score", json={"item_id": some_item(shop)["item_id"], "explain": True}).json()
    assert 0 <= scored["image_score"] <= 1
    assert 0 <= scored["percentile"] <= 1
    assert set(scored["explanation"]["stats"]) == {"brightness", "sharpness", "contrast", "text_share"}
    regions = scored["explanation"]["regions"]
    assert np.shape(regions["effect"]) == (regions["rows"], regions["columns"])


def test_an_upserted_listing_is_found_at_once_and_a_deleted_one_never_again(shop):
    stored = shop.client.put("/v1/items/new-1", json=listing(picture_base64=in_base64(photo(11)))).json()
    assert stored["status"] == "stored"
    found = shop.client.post("/v1/similar", json={"picture_base64": in_base64(photo(11)), "k": 1}).json()["items"]
    assert found[0]["item_id"] == "new-1"
    assert found[0]["cosine"] > 0.999
    assert shop.client.get(found[0]["picture"]).content == photo(11)
    assert shop.client.delete("/v1/items/new-1").status_code == 200
    again = shop.client.post("/v1/similar", json={"picture_base64": in_base64(photo(11)), "k": 100}).json()["items"]
    assert "new-1" not in {item["item_id"] for item in again}
    assert shop.client.get("/v1/items/new-1").status_code == 404
    assert shop.client.delete("/v1/items/new-1").json()["code"] == "item_unknown"


def test_a_new_price_needs_no_picture_and_an_older_version_changes_nothing(shop):
    shop.client.put("/v1/items/new-2", json=listing(picture_base64=in_base64(photo(12)), updated_at="2026-01-01T00:00:00Z"))
    without = listing(price=5, updated_at="2026-01-02T00:00:00Z")
    del without["picture_base64"]
    assert shop.client.put("/v1/items/new-2", json=without).json()["status"] == "stored"
    older = without | {"price": 9, "updated_at": "2026-01-01T12:00:00Z"}
    assert shop.client.put("/v1/items/new-2", json=older).json()["status"] == "older"
    item = shop.client.get("/v1/items/new-2").json()["item"]
    assert item["price"] == 5
    assert item["width"] == 64


def test_a_batch_of_listings_stores_the_sound_ones(shop):
    rows = [
        {"item_id": "batch-1", **listing(picture_base64=in_base64(photo(21)))},
        {"item_id": "batch-2", **listing(picture_base64=in_base64(b"no picture at all"))},
        {"item_id": "batch-3", **{k: v for k, v in listing().items() if k != "picture_base64"}},
    ]
    results = shop.client.post("/v1/items", json={"items": rows}).json()["results"]
    assert [row.get("status") or row["problem"]["code"] for row in results] == ["stored", "picture_wrong_format", "invalid"]
    assert shop.client.get("/v1/items/batch-1").status_code == 200
    assert shop.client.get("/v1/items/batch-2").status_code == 404


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"price": 0}, "price_zero"),
        ({"title": "   "}, "title_missing"),
        ({"currency": "USD"}, "currency_unknown"),
        ({"created_at": "1999-01-01T00:00:00Z"}, "time_before_shop"),
        ({"created_at": "2199-01-01T00:00:00Z"}, "time_in_future"),
        ({"updated_at": "2199-01-01T00:00:00Z"}, "time_in_future"),
    ],
)
def test_a_listing_that_ingest_would_turn_away_is_turned_away_at_once(shop, changes, reason):
    refused = shop.client.put("/v1/items/faulty", json=listing(**changes))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")
    assert reason in refused.json()["detail"]
    assert shop.client.get("/v1/items/faulty").status_code == 404


def test_an_uploaded_picture_makes_a_listing_too(shop):
    fields = {"title": "bowl", "category": "kitchen", "price": "12", "currency": "JPY"}
    stored = shop.client.put("/v1/items/form-1/picture", files={"picture": ("a.jpg", photo(31))}, data=fields)
    assert stored.json()["status"] == "stored", stored.text
    assert shop.client.get("/v1/items/form-1").json()["item"]["category"] == ["kitchen"]


def test_events_are_taken_once(shop):
    event = {"event_id": "e-1", "type": "click", "request_id": "r-1", "item_id": "i-1"}
    first = shop.client.post("/v1/events", json={"events": [event]}).json()
    again = shop.client.post("/v1/events", json={"events": [event]}).json()
    assert (first["accepted"], first["repeated"]) == (1, 0)
    assert (again["accepted"], again["repeated"]) == (0, 1)


def test_metrics_count_requests_by_route_and_refusals_by_code(shop):
    before = metric(shop.client, "vitrine_requests_total", route="/v1/similar", status="404")
    shop.client.get("/v1/similar", params={"item_id": "nobody"})
    assert metric(shop.client, "vitrine_requests_total", route="/v1/similar", status="404") == before + 1
    assert metric(shop.client, "vitrine_problems_total", code="item_unknown") >= 1
    assert metric(shop.client, "vitrine_ready") == 1


def test_the_description_of_the_api_opens_without_any_other_site(shop):
    page = shop.client.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text
    for name in ("swagger-ui-bundle.js", "swagger-ui.css", "start.js", "favicon.png"):
        assert shop.client.get(f"/docs/{name}").status_code == 200
    assert shop.client.get("/docs/../gateway.py").status_code == 404
    paths = shop.client.get("/openapi.json").json()["paths"]
    assert {"/v1/similar", "/v1/score", "/v1/embed", "/v1/events", "/v1/items", "/health/ready"} <= set(paths)


def test_the_gateway_loads_no_library_that_only_training_or_monitoring_needs():
    import subprocess

    heavy = ("torch", "transformers", "prefect", "dvc", "great_expectations", "evidently", "sklearn", "matplotlib")
    code = f"import components.serve.app, flows.serve, sys, json; print(json.dumps([n for n in {heavy} if n in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
