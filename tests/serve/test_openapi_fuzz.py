"""Requests that schemathesis makes from the API's own description, to a live gateway: every answer must be one that it describes.

VITRINE_FUZZ_EXAMPLES sets how many random requests each address is asked with, beside those at the limits of its schema.
"""

import base64
import os
import zlib

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks

from tests.mutations import mutated, seeds
from tests.picture_files import REFUSED
from tests.serve.gateway import running

EXAMPLES = int(os.environ.get("VITRINE_FUZZ_EXAMPLES", "20"))
PICTURES = [*seeds().values(), *(data for files in REFUSED.values() for data in files.values())]
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]

api = schemathesis.pytest.from_fixture("description")


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
    return {"item_id": [item["item_id"] for item in items], "release_id": releases, "release": releases, "image_id": images}


@pytest.fixture(scope="module")
def description(shop, known):
    schema = schemathesis.openapi.from_url(f"{shop.url}/openapi.json")
    schema.hook("map_query")(lambda context, query: meant(query, known))
    schema.hook("map_path_parameters")(lambda context, parameters: meant(parameters, known))
    schema.hook("map_body")(lambda context, body: meant(body, known))
    return schema


def meant(value, known, name=None):
    """What schemathesis made, with pictures and ids of this gateway in the place of some of its strings; the same for the same value."""
    if isinstance(value, dict):
        return {key: meant(one, known, key) for key, one in value.items()}
    if isinstance(value, list):
        return [meant(one, known, name) for one in value]
    draw = zlib.crc32(repr(value).encode("utf-8", "backslashreplace"))
    if name in known and isinstance(value, str) and draw % 3:
        return known[name][draw % len(known[name])]
    if name == "picture_base64" and isinstance(value, str) and draw % 4:
        return base64.b64encode(picture(draw)).decode()
    return picture(draw) if name == "picture" and isinstance(value, bytes | str) and draw % 4 else value


def picture(draw):
    """A file of those that are there, or a mutated one."""
    return PICTURES[draw % len(PICTURES)] if draw % 2 else mutated(draw % 10_000, 1, PICTURES)


@api.parametrize()
@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
def test_every_answer_is_one_that_the_description_tells(case):
    response = case.call()
    case.validate_response(response, checks=CHECKS)
    if response.status_code >= 400:
        problem = response.json()
        assert response.headers["content-type"] == ["application/problem+json"]
        assert problem["status"] == response.status_code
        assert problem["request_id"] == response.headers["x-request-id"][0]
        assert "Traceback" not in problem["detail"]


def test_the_gateway_is_as_ready_after_it_as_before(shop):
    assert shop.client.get("/health/ready").status_code == 200
    assert shop.client.post("/v1/similar", json={"text": "mug"}).json()["items"]
