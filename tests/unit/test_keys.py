"""API keys: made once, kept as a hash, refused for every reason that there is."""

import datetime as dt
import hmac
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.contract import read_params
from components.errors import BadParams
from components.serve.access.caller import charge
from components.serve.access.keys import KeyRow, KeyRows, digest_of, new_key, read_rows, ring_of, verify
from components.serve.access.scopes import needed
from components.serve.problems import Refused
from tests.conftest import PROJECT

NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)
NOW_S = NOW.timestamp()


def make(**changes) -> tuple[str, KeyRow]:
    told = {"scopes": ["read"], "rate": 5.0, "burst": 10, "note": "search team", "now": NOW, "expires_at": None} | changes
    return new_key(**told)


def ring_with(*rows: KeyRow):
    return ring_of(KeyRows(keys=list(rows)))


def refusal_of(ring, key: str, now_s: float = NOW_S, **edge) -> Refused:
    with pytest.raises(Refused) as caught:
        verify(ring, key, now_s, **edge)
    return caught.value


def test_a_key_has_an_id_and_a_secret_of_256_bits():
    key, row = make()
    shape = re.fullmatch(r"vk_([0-9A-Za-z]{10})_([0-9A-Za-z]{43})", key)
    assert shape
    assert shape[1] == row.id
    assert 62**43 > 2**256


def test_the_row_holds_the_hash_and_not_the_key():
    key, row = make()
    text = KeyRows(keys=[row]).model_dump_json()
    assert key not in text
    assert key.split("_")[2] not in text
    assert digest_of(key).hex() in text


def test_no_two_keys_are_equal():
    assert len({make()[0] for _ in range(200)}) == 200


def test_a_key_opens_what_its_row_says():
    key, row = make(scopes=["read", "write"])
    found = verify(ring_with(row), key, NOW_S)
    assert (found.id, found.scopes, found.rate.per_s, found.rate.burst) == (row.id, {"read", "write"}, 5.0, 10)


@given(st.text(max_size=300))
def test_no_other_text_opens_anything(text):
    key, row = make()
    for tried in (text, f"vk_{row.id}_{text}", f"{key}{text or 'x'}", f"{text or 'x'}{key}", key[:-1]):
        assert refusal_of(ring_with(row), tried).code == "key_unknown"


def test_a_hash_that_was_stolen_is_no_key():
    _, row = make()
    stolen = row.hash.removeprefix("sha256:")
    assert refusal_of(ring_with(row), f"vk_{row.id}_{stolen}").code == "key_unknown"


@pytest.mark.parametrize("tried", ["vk_nobodyhere_secret", "vk__", "", "vk", "nonsense", "vk_" + "x" * 10_000])
def test_an_unknown_id_is_hashed_and_compared_like_a_known_one(tried):
    compared = []

    def compare(given: bytes, known: bytes) -> bool:
        compared.append((len(given), len(known)))
        return hmac.compare_digest(given, known)

    _, row = make()
    refusal_of(ring_with(row), tried, compare=compare)
    refusal_of(ring_with(row), f"vk_{row.id}_wrong", compare=compare)
    assert compared == [(32, 32), (32, 32)]


def test_an_unknown_id_is_refused_even_where_the_comparison_would_say_yes():
    assert refusal_of({}, "vk_nobodyhere_x", compare=lambda a, b: True).code == "key_unknown"


def test_a_revoked_key_is_refused_and_says_so():
    key, row = make()
    assert "revoked" in refusal_of(ring_with(row.model_copy(update={"revoked": True})), key).detail


def test_a_key_expires_at_its_moment():
    key, row = make(expires_at=NOW + dt.timedelta(days=1))
    ring = ring_with(row)
    assert verify(ring, key, NOW_S + 86_399).id == row.id
    assert "expired" in refusal_of(ring, key, NOW_S + 86_400).detail


def test_only_the_holder_of_the_secret_learns_that_a_key_was_revoked():
    _, row = make()
    assert "revoked" not in refusal_of(ring_with(row.model_copy(update={"revoked": True})), f"vk_{row.id}_guess").detail


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": []},
        {"scopes": ["read", "read"]},
        {"scopes": ["everything"]},
        {"rate": 0.0},
        {"rate": float("nan")},
        {"burst": 0},
        {"note": "x" * 201},
        {"expires_at": NOW - dt.timedelta(days=1)},
    ],
)
def test_a_key_that_breaks_a_rule_is_not_made(changes):
    with pytest.raises(BadParams):
        make(**changes)


def row_as_json(**changes) -> dict:
    return json.loads(make()[1].model_dump_json()) | changes


@pytest.mark.parametrize(
    "changes",
    [
        {"id": "short"},
        {"id": "with_under_score"},
        {"hash": "sha256:12"},
        {"hash": "hunter2secret"},
        {"scopes": "read"},
        {"rate": "5"},
        {"extra": 1},
    ],
)
def test_a_broken_file_is_refused_without_quoting_it(changes):
    text = json.dumps({"version": 1, "keys": [row_as_json(**changes)]}).encode()
    with pytest.raises(BadParams, match=r"keys\.json") as caught:
        read_rows(text, "keys.json")
    assert "hunter2secret" not in str(caught.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"keys": 1}', b"\xff\xfe", b'{"version": 2, "keys": []}', b"[" * 100_000])
def test_nonsense_is_no_file_of_keys(text):
    with pytest.raises(BadParams):
        read_rows(text, "keys.json")


def test_an_id_stands_once_in_a_file():
    row = row_as_json()
    with pytest.raises(BadParams, match="twice"):
        read_rows(json.dumps({"keys": [row, row]}).encode(), "keys.json")


def test_what_is_written_can_be_read_again():
    rows = KeyRows(keys=[make()[1], make(expires_at=NOW + dt.timedelta(days=9))[1]])
    assert read_rows(rows.model_dump_json().encode(), "keys.json") == rows


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", "/v1/similar", "read"),
        ("POST", "/v1/similar", "read"),
        ("POST", "/v1/similar/upload", "read"),
        ("POST", "/v1/score", "read"),
        ("POST", "/v1/embed", "read"),
        ("GET", "/v1/items/m-1", "read"),
        ("HEAD", "/v1/items/m-1", "read"),
        ("POST", "/v1/items", "write"),
        ("PUT", "/v1/items/m-1/picture", "write"),
        ("DELETE", "/v1/items/m-1", "write"),
        ("POST", "/v1/events", "write"),
        ("GET", "/v1/releases", "read"),
        ("POST", "/v1/releases/rollback", "admin"),
        ("POST", "/v1/quarantine/ab/release", "admin"),
        ("POST", "/v1/itemsandmore", "admin"),
        ("POST", "/v1/anything/new", "admin"),
    ],
)
def test_what_changes_something_unknown_needs_an_administrator(method, path, scope):
    assert needed(method, path) == scope


def test_a_key_as_params_make_it_can_pay_for_the_largest_batch():
    serve = read_params(PROJECT / "params.yaml")["serve"]
    largest = max(serve["queries"]["max_batch"], serve["queries"]["max_events"])
    assert min(serve["access"]["new_key"]["burst"], serve["access"]["open_burst"]) >= largest


def test_a_route_asked_without_the_layers_around_it_charges_nobody():
    charge({"type": "http"}, 5)
    charge({"type": "http", "state": {}}, 5)
