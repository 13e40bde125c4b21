"""Who may call, how much, and in what shape: asked of a real server on loopback."""

import io
import json
import logging
import re
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from components.errors import BadParams
from components.serve.access.key_file import revoke
from components.serve.access.stack import check_exposure
from components.serve.problems import KINDS
from tests.serve.small_shop import Shop, access, key_for, queries, serving_shop

JSON = {"content-type": "application/json"}
GUARDS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An open gateway with the bounds of params.yaml."""
    with serving_shop(tmp_path_factory.mktemp("open")) as shop:
        yield shop


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=shop.live.url) as client:
        yield client


def is_problem(answer: httpx.Response, code: str) -> bool:
    """True where the answer is that problem, whole: RFC 9457, our members, our headers."""
    body = answer.json()
    assert answer.headers["content-type"] == "application/problem+json"
    assert body["status"] == answer.status_code == KINDS[code].status, body
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(body)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert all(answer.headers[name] == value for name, value in GUARDS.items())
    return body["code"] == code


def eventually(true, limit_s: float = 5.0) -> bool:
    """True as soon as `true` says so; False where it did not in time."""
    deadline = time.monotonic() + limit_s
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(true())


# --- identity ---


def test_each_answer_has_an_id_of_its_own(client):
    ids = {client.get("/v1/items").headers["x-request-id"] for _ in range(5)}
    assert len(ids) == 5
    assert all(re.fullmatch("[0-9a-f]{32}", request_id) for request_id in ids)


def test_the_callers_own_id_is_kept(client):
    answer = client.get("/v1/items", headers={"x-request-id": "shop.web-42_a"})
    assert answer.headers["x-request-id"] == answer.json()["request_id"] == "shop.web-42_a"


@pytest.mark.parametrize("given", ["", "x" * 65, "a b", "a\tb", "<script>", "a,b"])
def test_an_id_that_is_no_plain_word_is_replaced(client, given):
    assert re.fullmatch("[0-9a-f]{32}", client.get("/v1/items", headers={"x-request-id": given}).headers["x-request-id"])


@pytest.mark.parametrize("path", ["/v1/items", "/v1/nothing", "/health/live", "/v1/fails/hard"])
def test_every_answer_is_guarded_and_none_opens_the_api_to_other_sites(client, path):
    headers = client.get(path, headers={"origin": "http://evil.example"}).headers
    assert all(headers[name] == value for name, value in GUARDS.items())
    policy = headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe-inline" not in policy
    assert not [name for name in headers if name.startswith("access-control-")]
    assert "server" not in headers


def test_a_route_may_say_itself_how_it_is_cached(client):
    assert client.get("/").headers.get_list("cache-control") == ["no-cache"]


def test_the_route_sees_who_calls(client):
    told = {"x-platform": "android", "x-app-version": "9.1", "x-user-id": "u-1"}
    body = client.get("/v1/items", headers=told).json()
    assert (body["key_id"], body["platform"], body["app_version"], body["user_id"]) == (None, "android", "9.1", "u-1")
    assert is_problem(client.get("/v1/items", headers={"x-platform": "fridge"}), "invalid")


# --- problems ---

BAD_JSON = {
    "nan": b'{"title": "a", "price": NaN}',
    "infinity": b'{"title": "a", "price": -Infinity}',
    "too large a number": b'{"title": "a", "price": 1e999}',
    "digits without end": b'{"title": "a", "price": ' + b"9" * 10_000 + b"}",
    "a hundred thousand levels": b"[" * 100_000,
    "as many objects": b'{"title":' * 100_000,
    "no utf-8": b'{"title": "\xff"}',
    "half a surrogate": b'{"title": "\\ud800"}',
    "a raw NUL": b'{"title": "a\x00b"}',
    "a member twice": b'{"title": "a", "title": "b"}',
    "no json": b"title=a",
    "cut short": b'{"title": "a',
    "utf-16": '{"title": "a"}'.encode("utf-16"),
}
BROKEN_RULES = {
    "empty": b"",
    "null": b"null",
    "a list": b"[]",
    "no title": b"{}",
    "unknown member": b'{"title": "a", "admin": true}',
    "too long": b'{"title": "' + b"x" * 21 + b'"}',
    "wrong type": b'{"title": {"$gt": ""}}',
}


@pytest.mark.parametrize("body", BAD_JSON.values(), ids=BAD_JSON)
def test_what_is_no_sound_json_is_a_400(client, body):
    assert is_problem(client.post("/v1/items", content=body, headers=JSON), "bad_request")


@pytest.mark.parametrize("body", BROKEN_RULES.values(), ids=BROKEN_RULES)
def test_what_breaks_a_rule_is_a_422_that_names_the_place(client, body):
    answer = client.post("/v1/items", content=body, headers=JSON)
    assert is_problem(answer, "invalid")
    assert answer.json()["errors"][0]["where"].startswith("body")


def test_a_refusal_never_echoes_what_was_sent(client):
    secret = "hunter2-" + "x" * 1000
    for body in ({"title": secret}, {"title": "a", "price": secret}, {"title": [secret]}):
        text = client.post("/v1/items", json=body).text
        assert "hunter2" not in text
        assert len(text) < 1000


def test_a_refusal_stays_short_however_much_is_wrong(client):
    answer = client.post("/v1/items", json={"x" * 500 + str(n): n for n in range(500)})
    assert is_problem(answer, "invalid")
    assert len(answer.json()["errors"]) == 8
    assert "and 493 more" in answer.json()["detail"]
    assert len(answer.content) < 4000


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "application/x-www-form-urlencoded", "", "json"]
)
def test_a_body_of_another_kind_is_a_415(client, kind):
    assert is_problem(client.post("/v1/items", content=b'{"title": "a"}', headers={"content-type": kind}), "media_type")


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "APPLICATION/JSON", "application/vnd.shop+json"])
def test_json_goes_by_several_names(client, kind):
    assert client.post("/v1/items", content=b'{"title": "a"}', headers={"content-type": kind}).status_code == 200


def test_a_post_without_a_body_or_a_kind_is_answered(client):
    assert is_problem(client.post("/v1/items"), "invalid")
    assert is_problem(client.post("/v1/similar/upload"), "invalid")


def test_a_form_is_taken_where_a_form_is_asked_for_and_nowhere_else(client):
    picture = {"picture": ("a.jpg", io.BytesIO(b"x" * 2_000_000), "image/jpeg")}
    assert client.post("/v1/similar/upload", files=picture, data={"k": "3"}).json() == {"bytes": 2_000_000, "k": 3}
    assert is_problem(client.post("/v1/similar/upload", json={"k": 3}), "media_type")
    assert is_problem(client.post("/v1/similar/upload", data={"k": "3"}), "invalid")


def test_a_form_of_many_parts_is_refused(client):
    files = [("picture", (f"{n}.jpg", b"x", "image/jpeg")) for n in range(50)]
    assert is_problem(client.post("/v1/similar/upload", files=files), "bad_request")
    files = {"picture": ("a.jpg", b"x", "image/jpeg")}
    assert is_problem(client.post("/v1/similar/upload", files=files, data={f"f{n}": "x" for n in range(500)}), "bad_request")
    broken = client.post("/v1/similar/upload", content=b"--x\r\nno end", headers={"content-type": "multipart/form-data; boundary=x"})
    assert 400 <= broken.status_code < 500


def test_a_compressed_body_is_refused_before_it_can_grow(client):
    assert is_problem(client.post("/v1/items", content=b"\x1f\x8b", headers=JSON | {"content-encoding": "gzip"}), "media_type")


def test_a_get_takes_no_body(client):
    assert is_problem(client.request("GET", "/v1/items", content=b"{}", headers=JSON), "bad_request")


def test_an_unknown_address_is_a_404(client):
    for path in ("/v1/nothing", "/v1", "/%00", "/../etc/passwd", "/v1/items/../../x", "/v1/items/a/b", "//evil.example/x"):
        assert is_problem(client.get(path), "not_found")


def test_another_method_is_a_405_that_lists_those_of_all_routes_of_the_address(client):
    for method in ("PATCH", "PUT", "DELETE"):
        answer = client.request(method, "/v1/items")
        assert is_problem(answer, "method_not_allowed")
        assert answer.headers["allow"] == "GET, HEAD, OPTIONS, POST"


def test_options_lists_the_methods_and_invites_no_other_site(client):
    answer = client.options("/v1/items", headers={"origin": "http://evil.example", "access-control-request-method": "POST"})
    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, "GET, HEAD, OPTIONS, POST", b"")
    assert not [name for name in answer.headers if name.startswith("access-control-")]
    assert is_problem(client.options("/v1/nothing"), "not_found")


def test_head_is_get_without_its_body(client):
    got, headed = client.get("/v1/items/m-1"), client.head("/v1/items/m-1")
    assert headed.status_code == 200
    assert headed.content == b""
    assert headed.headers["content-length"] == got.headers["content-length"]
    assert client.head("/v1/nothing").status_code == 404
    assert client.get("/v1/items/m-2").json() == {"item_id": "m-2"}  # the connection is still in step


def test_our_own_refusals_and_bad_pictures_keep_their_codes(client):
    assert is_problem(client.get("/v1/fails/refused"), "item_unknown")
    answer = client.get("/v1/fails/picture")
    assert (answer.status_code, answer.json()["code"]) == (422, "picture_truncated")


def test_a_fault_of_ours_shows_nothing_and_is_logged_under_its_id(client, caplog):
    with caplog.at_level(logging.ERROR):
        answer = client.get("/v1/fails/hard")
    assert is_problem(answer, "internal")
    assert "secret-of-the-house" not in answer.text
    assert "Traceback" not in answer.text
    told = [record for record in caplog.records if answer.headers["x-request-id"] in record.getMessage()]
    assert len(told) == 1
    assert "RuntimeError" in told[0].getMessage()
    assert len(told[0].getMessage()) < 20_000
    assert not [record for record in caplog.records if record.name.startswith("uvicorn")]  # told once


# --- keys ---


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[Shop]:
    """A gateway with one key, which may read."""
    key_for(tmp_path, "read")
    with serving_shop(tmp_path) as shop:
        yield shop


def get(shop: Shop, key: str | None = None, path: str = "/v1/items", **headers: str) -> httpx.Response:
    """GET with a key as a bearer."""
    bearer = {"authorization": f"Bearer {key}"} if key else {}
    return httpx.get(shop.live.url + path, headers=bearer | headers)


def test_with_keys_nothing_is_told_without_one(keyed):
    for path in ("/v1/items", "/v1/nothing", "/v1/fails/hard"):
        answer = get(keyed, path=path)
        assert is_problem(answer, "key_missing")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    assert is_problem(get(keyed, "vk_abcdefghij_" + "x" * 43), "key_unknown")


def test_public_addresses_need_no_key(keyed):
    assert [get(keyed, path=path).status_code for path in ("/health/live", "/", "/openapi.json")] == [200, 200, 200]


def test_a_key_is_taken_in_either_header_and_told_to_the_route(tmp_path):
    key = key_for(tmp_path, "read")
    with serving_shop(tmp_path) as shop:
        assert get(shop, key).json()["key_id"] == key.split("_")[1]
        assert get(shop, **{"x-api-key": key}).status_code == 200
        twice = [("authorization", f"Bearer {key}"), ("authorization", "Bearer vk_other_x")]
        assert is_problem(httpx.get(shop.live.url + "/v1/items", headers=twice), "bad_request")


def test_no_scope_implies_another(tmp_path):
    keys = {scope: key_for(tmp_path, scope) for scope in ("read", "write", "admin")}
    asked = {"read": ("GET", "/v1/items"), "write": ("POST", "/v1/items"), "admin": ("POST", "/v1/releases/rollback")}
    with serving_shop(tmp_path) as shop, httpx.Client(base_url=shop.live.url) as client:
        for held, key in keys.items():
            for needed, (method, path) in asked.items():
                answer = client.request(method, path, headers={"x-api-key": key})
                assert (answer.status_code == 403) == (held != needed)
                if held != needed:
                    assert is_problem(answer, "scope_missing")
                    assert needed in answer.json()["detail"]


def test_a_key_counts_from_the_second_in_which_it_is_made_to_that_in_which_it_is_revoked(keyed):
    key = key_for(keyed.state, "read")
    assert eventually(lambda: get(keyed, key).status_code == 200, 3)
    revoke(keyed.state / "keys.json", key.split("_")[1])
    assert eventually(lambda: get(keyed, key).status_code == 401, 3)


def test_a_broken_file_locks_nobody_out(tmp_path):
    key = key_for(tmp_path, "read")
    with serving_shop(tmp_path) as shop:
        (tmp_path / "keys.json").write_text("{")
        time.sleep(1.2)
        assert [get(shop, key).status_code, get(shop).status_code] == [200, 401]


def test_with_keys_the_gateway_goes_by_any_name_unless_one_is_set(tmp_path):
    key = key_for(tmp_path, "read")
    with serving_shop(tmp_path) as shop:
        assert get(shop, key, host="shop.example").status_code == 200
    with serving_shop(tmp_path, access(hosts=["own.example"])) as shop:
        assert get(shop, key, host="own.example:443").status_code == 200
        assert is_problem(get(shop, key, host="shop.example"), "origin_refused")
        assert get(shop, path="/health/live", host="10.0.0.9").status_code == 200  # as a probe calls


def test_a_gateway_without_keys_stays_on_loopback(tmp_path):
    check_exposure("127.0.0.1", access(), tmp_path)
    with pytest.raises(BadParams, match="key create"):
        check_exposure("0.0.0.0", access(), tmp_path)
    key_for(tmp_path, "read")
    check_exposure("0.0.0.0", access(), tmp_path)


# --- open mode ---


def test_an_open_gateway_is_closed_to_other_names_and_other_sites(client):
    assert is_problem(client.get("/v1/items", headers={"host": "evil.example"}), "origin_refused")
    body = {"title": "a"}
    for headers in ({"origin": "http://evil.example"}, {"origin": "null"}, {"sec-fetch-site": "cross-site"}):
        assert is_problem(client.post("/v1/items", json=body, headers=headers), "origin_refused")
    own = {"origin": str(client.base_url).rstrip("/"), "sec-fetch-site": "same-origin"}
    assert client.post("/v1/items", json=body, headers=own).status_code == 200


def test_an_open_gateway_may_limit_each_address(tmp_path):
    with serving_shop(tmp_path, access(open_rate_per_s=0.01, open_burst=3)) as shop:
        assert [get(shop).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert get(shop, **{"x-forwarded-for": "1.2.3.4"}).status_code == 429  # nobody is believed
    with serving_shop(tmp_path, access(open_rate_per_s=0.01, open_burst=1, trusted_proxies=["127.0.0.0/8"])) as shop:
        assert [get(shop, **{"x-forwarded-for": f"9.9.9.9, 1.2.3.{n}"}).status_code for n in (4, 5, 4)] == [200, 200, 429]


# --- rates ---


def test_a_key_that_has_used_up_its_rate_is_told_when_to_come_back_and_that_is_enough(tmp_path):
    key = key_for(tmp_path, "read", rate=0.25, burst=3)
    with serving_shop(tmp_path) as shop:
        answers = [get(shop, key) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit"] == '"key";r=2;t=4'
        assert answers[0].headers["ratelimit-policy"] == '"key";q=3;w=12'
        assert is_problem(answers[3], "rate_limited")
        assert answers[3].headers["ratelimit"].startswith('"key";r=0;')
        wait_s = int(answers[3].headers["retry-after"])
        assert 1 <= wait_s <= 4
        time.sleep(wait_s)
        assert get(shop, key).status_code == 200
        assert get(shop, path="/health/live").status_code == 200


def test_a_batch_costs_its_rows(tmp_path):
    key = key_for(tmp_path, "read", rate=0.01, burst=10)
    with serving_shop(tmp_path) as shop, httpx.Client(base_url=shop.live.url, headers={"x-api-key": key}) as client:
        six = client.post("/v1/embed", json=["x"] * 6)
        assert (six.status_code, six.headers["ratelimit"]) == (200, '"key";r=4;t=600')
        assert is_problem(client.post("/v1/embed", json=["x"] * 6), "rate_limited")
        assert is_problem(client.post("/v1/embed", json=["x"] * 12), "invalid")  # more than could ever be


def test_one_keys_use_is_not_anothers(tmp_path):
    keys = [key_for(tmp_path, "read", rate=0.01, burst=1) for _ in range(2)]
    with serving_shop(tmp_path) as shop:
        assert [get(shop, keys[n]).status_code for n in (0, 1, 0, 1)] == [200, 200, 429, 429]


# --- limits ---


def test_more_than_may_be_worked_on_is_refused_at_once_while_health_answers(tmp_path):
    with serving_shop(tmp_path, access(in_flight={"total": 3, "of": {"score": 2}})) as shop, ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(get, shop, None, "/v1/score?seconds=1.5") for _ in range(2)]
        assert eventually(lambda: shop.seen.count("read begins") == 2)
        refused = get(shop, path="/v1/score?seconds=0")
        assert is_problem(refused, "overloaded")
        assert int(refused.headers["retry-after"]) >= 1
        assert get(shop).status_code == 200  # others have places left
        waiting.append(pool.submit(get, shop, None, "/v1/later?seconds=1.5"))
        assert eventually(lambda: shop.in_flight.total == 3)
        assert is_problem(get(shop), "overloaded")
        assert get(shop, path="/health/live").status_code == 200
        assert [answer.result().status_code for answer in waiting] == [200, 200, 200]
        assert eventually(lambda: shop.in_flight.total == 0)
        assert shop.in_flight.of["score"] == 0
        assert get(shop).status_code == 200


def test_an_answer_that_takes_too_long_is_cancelled(tmp_path):
    with serving_shop(tmp_path, asked=queries(timeout_s=0.4)) as shop:
        started = time.monotonic()
        assert is_problem(get(shop, path="/v1/score?seconds=30"), "too_slow")
        assert time.monotonic() - started < 3
        assert shop.seen == ["read begins", "read cancelled"]
        assert shop.in_flight.total == 0
        with pytest.raises(httpx.RemoteProtocolError):  # half of an answer is cut off, never ended as if it were whole
            get(shop, path="/v1/stream")
        assert get(shop).status_code == 200


def hang_up_on(shop: Shop, first_line: bytes) -> None:
    """Sends a request and leaves while it is worked on."""
    with shop.live.connect() as line:
        line.sendall(first_line + b" HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n")
        assert eventually(lambda: len(shop.seen) == 1)
        time.sleep(0.1)


def test_a_reader_who_leaves_stops_the_work(tmp_path):
    with serving_shop(tmp_path) as shop:
        hang_up_on(shop, b"GET /v1/score?seconds=20")
        assert eventually(lambda: shop.seen == ["read begins", "read cancelled"])
        assert eventually(lambda: shop.in_flight.total == 0)


def test_a_writer_who_leaves_does_not(tmp_path):
    with serving_shop(tmp_path) as shop:
        hang_up_on(shop, b"POST /v1/events?seconds=1")
        assert eventually(lambda: shop.seen == ["write begins", "write ends"])


def test_what_runs_after_the_answer_is_let_run(tmp_path):
    with serving_shop(tmp_path) as shop:
        assert get(shop, path="/v1/later?seconds=0.8").json() == "at once"
        assert eventually(lambda: shop.seen == ["later begins", "later ends"])


def test_bodies_together_hold_no_more_than_is_set_aside(tmp_path):
    with serving_shop(tmp_path, access(in_flight={"max_buffered_mib": 1})) as shop:
        head = b"POST /v1/items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 900000\r\n\r\n"
        with shop.live.connect() as line:
            line.sendall(head + b" " * 800_000)
            assert eventually(lambda: shop.in_flight.buffered_bytes >= 800_000)
            assert is_problem(httpx.post(shop.live.url + "/v1/items", content=b" " * 500_000, headers=JSON), "overloaded")
        assert eventually(lambda: shop.in_flight.buffered_bytes == 0)
        assert httpx.post(shop.live.url + "/v1/items", json={"title": "a"}).status_code == 200


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(tmp_path):
    with serving_shop(tmp_path, asked=queries(max_body_mib=1)) as shop, httpx.Client(base_url=shop.live.url, headers=JSON) as client:

        def body(size: int) -> bytes:
            return b'{"title": "a"}' + b" " * (size - 14)

        assert client.post("/v1/items", content=body(2**20)).status_code == 200
        assert is_problem(client.post("/v1/items", content=body(2**20 + 1)), "body_too_large")
        assert is_problem(client.post("/v1/items", content=iter([body(2**20), b" "])), "body_too_large")  # in chunks
        assert client.post("/v1/items", content=iter([body(1000), b" "])).status_code == 200


def test_many_callers_at_once_each_get_their_own_answer(client):
    def ask(n: int) -> bool:
        return client.get(f"/v1/items/m-{n}", headers={"x-request-id": f"r-{n}"}).json() == {"item_id": f"m-{n}"}

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(ask, range(400)))


# --- log ---


def test_the_access_log_is_off_unless_asked_for_and_tells_no_secrets(tmp_path, caplog):
    key = key_for(tmp_path, "read")
    told: list = []
    asked = "/v1/items/m-77?text=birthday+present"
    with caplog.at_level(logging.INFO, "vitrine"):
        with serving_shop(tmp_path) as shop:
            get(shop, key, asked, **{"x-user-id": "u-4815"})
        assert not [record for record in caplog.records if record.getMessage().startswith("access")]
        with serving_shop(tmp_path, access(log=True), answered=told.append) as shop:
            get(shop, key, asked, **{"x-user-id": "u-4815", "x-request-id": "r-1", "x-platform": "web"})
            get(shop, "vk_wrong_key")
            assert eventually(lambda: len(told) == 2)
    lines = [record.getMessage() for record in caplog.records if record.getMessage().startswith("access")]
    rows = [json.loads(line.removeprefix("access ")) for line in lines]
    assert {**rows[0], "ms": 0} == {
        "request_id": "r-1",
        "method": "GET",
        "route": "/v1/items/{item_id}",
        "status": 200,
        "code": None,
        "key_id": key.split("_")[1],
        "platform": "web",
        "ms": 0,
    }
    assert (rows[1]["status"], rows[1]["code"], rows[1]["key_id"]) == (401, "key_unknown", None)
    assert [(row.status, row.seconds > 0) for row in told] == [(200, True), (401, True)]
    assert not [word for word in ("u-4815", "birthday", "m-77", key.split("_")[2], "vk_wrong") if word in caplog.text]


def test_a_server_that_ends_lets_those_finish_who_are_being_answered(tmp_path):
    answers = []
    with serving_shop(tmp_path) as shop:
        caller = threading.Thread(target=lambda: answers.append(get(shop, None, "/v1/score?seconds=0.8")))
        caller.start()
        assert eventually(lambda: shop.seen == ["read begins"])
    caller.join()
    assert answers[0].status_code == 200
