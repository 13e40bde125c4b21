"""Requests that schemathesis makes from the API's own description, to a live gateway: every answer must be one that it describes.

VITRINE_FUZZ_EXAMPLES sets how many random requests each address is asked with, beside those at the limits of its schema.
"""

import base64
import os
import zlib
from collections import defaultdict
from typing import Any

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from components.serve.app import ROUTES
from tests.mutations import mutated
from tests.picture_files import CONVERTED, REFUSED
from tests.serve.gateway import running

EXAMPLES = int(os.environ.get("VITRINE_FUZZ_EXAMPLES", "20"))
LONG = "VITRINE_FUZZ_EXAMPLES" in os.environ  # then each run asks something else
SOUND = [data for data, _ in CONVERTED.values()]
REFUSED_FILES = [data for files in REFUSED.values() for data in files.values()]
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]


@pytest.fixture(scope="module")
def shop(finished, tmp_path_factory):
    with running(finished, tmp_path_factory.mktemp("fuzzed"), {"log": {"prediction_share": 1.0}}) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def known(shop):
    """Values that mean something here, by the name of the parameter that takes them."""
    items = shop.client.get("/v1/items", params={"limit": 20}).json()["items"]
    releases = [shop.gateway.router.active]
    images = [item["image_id"] for item in items]
    ids = {"item_id": [item["item_id"] for item in items], "release_id": releases, "release": releases, "image_id": images}
    times = {"created_at": ["2026-01-01T00:00:00Z"], "updated_at": ["2026-01-02T00:00:00Z"]}
    return ids | times | {"title": ["red mug", "青い靴"], "currency": ["JPY"], "price": [700, 1200.5]}


@pytest.fixture(scope="module")
def description(shop, known):
    schema = schemathesis.openapi.from_url(f"{shop.url}/openapi.json")
    schema.hook("map_query")(lambda context, query: meant(query, known))
    schema.hook("map_path_parameters")(lambda context, parameters: meant(parameters, known))
    schema.hook("map_body")(lambda context, body: meant(body, known))
    return schema


@pytest.fixture(scope="module")
def seen():
    """Statuses by method and path."""
    return defaultdict(set)


def meant(value, known, name=None):
    """What schemathesis made, with pictures and ids of this gateway in the place of some of its strings; the same for the same value."""
    if isinstance(value, dict):
        urls = drawn(value) % 4 == 0  # they are off, so that what has one is refused for it
        return {key: meant(one, known, key) for key, one in value.items() if key != "picture_url" or urls}
    if isinstance(value, list):
        return [meant(one, known, name) for one in value]
    draw = drawn(value)
    if name in known and isinstance(value, str | int | float) and draw % 4:
        return known[name][draw % len(known[name])]
    if name == "picture_base64" and isinstance(value, str) and draw % 4:
        return base64.b64encode(picture(draw)).decode()
    return picture(draw) if name == "picture" and isinstance(value, bytes | str) and draw % 4 else value


def drawn(value):
    """A number that the value decides."""
    return zlib.crc32(repr(value).encode("utf-8", "backslashreplace"))


def picture(draw):
    """A sound file, one that is refused, or a mutated one."""
    return (SOUND[draw % len(SOUND)], REFUSED_FILES[draw % len(REFUSED_FILES)], mutated(draw % 10_000, 1, SOUND))[draw // 7 % 3]


def described() -> list[Any]:
    """Mode, method and path of every address in the description; what takes nothing cannot be asked otherwise than described."""
    app = FastAPI()
    for module in ROUTES:
        app.include_router(module.router)
    found = [(method, path, told) for path, methods in app.openapi()["paths"].items() for method, told in methods.items()]
    as_told = [(GenerationMode.POSITIVE, method, path) for method, path, _ in found]
    return as_told + [
        (GenerationMode.NEGATIVE, method, path) for method, path, told in found if "parameters" in told or "requestBody" in told
    ]


@pytest.mark.parametrize(("mode", "method", "path"), described())
def test_every_answer_is_one_that_the_description_tells(description, seen, mode, method, path):
    examples = EXAMPLES // 5 if "release" in path else EXAMPLES  # each of which asks the golden questions

    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), database=None, derandomize=not LONG)
    @given(description[path][method].as_strategy(generation_mode=mode))
    def ask(case):
        response = case.call()
        seen[method, path].add(response.status_code)
        case.validate_response(response, checks=CHECKS)
        if response.status_code >= 400:
            problem = response.json()
            assert response.headers["content-type"] == ["application/problem+json"]
            assert problem["status"] == response.status_code
            assert problem["request_id"] == response.headers["x-request-id"][0]
            assert "Traceback" not in problem["detail"]

    ask()


def test_every_address_was_asked_something_that_it_answered(seen):
    """Otherwise the test before has seen refusals alone. Nothing was there to roll back to or to let out of quarantine, and there was
    no channel record."""
    unanswered = {address for address, statuses in seen.items() if 200 not in statuses}
    hopeless = {("post", "/v1/releases/rollback"), ("post", "/v1/quarantine/{image_id}/release"), ("delete", "/v1/releases/{release_id}")}
    hopeless |= {("post", f"/v1/channel/{change}") for change in ("rollback", "pause", "resume")}
    assert unanswered <= hopeless


def test_the_gateway_is_as_ready_after_it_as_before(shop):
    assert shop.client.get("/health/ready").status_code == 200
    assert shop.client.post("/v1/similar", json={"text": "mug"}).json()["items"]
