"""Queries of addresses are read as FastAPI reads them, only sooner."""

from typing import Annotated
from urllib.parse import urlencode

import pytest
from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from components.serve.routes.address import asked_in, described
from components.serve.wire import SimilarQuery

app = FastAPI()


@app.get("/theirs")
async def theirs(asked: Annotated[SimilarQuery, Query()]) -> SimilarQuery:
    return asked


@app.get("/ours", openapi_extra=described(SimilarQuery))
async def ours(request: Request) -> SimilarQuery:
    return asked_in(request, SimilarQuery)


client = TestClient(app)
NAMES = [*SimilarQuery.model_fields, "surprise"]
VALUES = ["", "a", "10", "0", "-1", "1e3", "nan", "on_sale", "sold", "赤い", "a b&c=d", "a" * 200, "0" * 64, "\0"]


@given(st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(VALUES) | st.text(max_size=8)), max_size=5))
def test_whatever_is_asked_is_taken_and_refused_alike(pairs):
    query = urlencode(pairs, errors="replace")
    answers = [client.get(f"{path}?{query}") for path in ("/theirs", "/ours")]
    assert answers[0].status_code == answers[1].status_code, answers[1].text
    if answers[0].status_code == 200:
        assert answers[0].json() == answers[1].json()
    else:
        places = [[fault["loc"] for fault in answer.json()["detail"]] for answer in answers]
        assert places[0] == places[1]


def test_the_description_names_the_same_parameters():
    paths = app.openapi()["paths"]
    told = [{one["name"]: (one["in"], one["required"]) for one in paths[path]["get"]["parameters"]} for path in ("/theirs", "/ours")]
    assert told[0] == told[1]


def test_a_fault_says_which_parameter_it_is_in():
    request = Request({"type": "http", "query_string": b"k=ten"})
    with pytest.raises(RequestValidationError) as raised:
        asked_in(request, SimilarQuery)
    assert [fault["loc"] for fault in raised.value.errors()] == [("query", "k")]
