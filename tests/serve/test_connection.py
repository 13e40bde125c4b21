"""What no client sends by accident: slow, lying, endless and double-tongued requests, on bare sockets."""

import json
import re
import time
from collections.abc import Iterator

import httpx
import pytest

from tests.serve.live_server import read_all
from tests.serve.small_shop import Shop, access, queries, serving_shop
from tests.serve.test_access import eventually

POST = b"POST /v1/items HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
BODY = b'{"title": "a"}'
CHUNKED = b"Transfer-Encoding: chunked\r\n"
GET = b"GET /v1/items/%s HTTP/1.1\r\nHost: localhost\r\n\r\n"
LAST = b"GET /v1/items/last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SLOW = {"header_timeout_s": 0.6, "max_url_bytes": 4096, "max_headers": 40, "max_header_bytes": 8192, "max_pipelined": 4}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    """An open gateway with little patience."""
    cfg = access(connections=SLOW | {"max_connections": 60})
    with serving_shop(tmp_path_factory.mktemp("raw"), cfg, queries(body_timeout_s=0.8, max_body_mib=1)) as shop:
        yield shop


@pytest.fixture(autouse=True)
def answers_afterwards(shop: Shop) -> Iterator[None]:
    """Whatever was sent, the next caller is answered, and nothing is left behind."""
    yield
    assert httpx.get(shop.live.url + "/v1/items/next", timeout=5).status_code == 200
    assert eventually(lambda: shop.in_flight.total == 0 and shop.in_flight.buffered_bytes == 0)


def problem_in(raw: bytes) -> str:
    """The code of the one problem in these bytes, whose connection is closed."""
    head, _, body = raw.partition(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    assert b"content-type: application/problem+json" in lines, raw[:300]
    assert b"connection: close" in lines
    assert b"x-content-type-options: nosniff" in lines
    told = json.loads(body)
    assert f"x-request-id: {told['request_id']}".encode() in lines
    return str(told["code"])


def statuses(raw: bytes) -> list[int]:
    """The status of each answer, in order."""
    return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d{3}) [^\r]+\r\n", raw)]


# --- time ---


def test_a_body_that_trickles_is_given_up(shop):
    with shop.live.connect() as line:
        line.sendall(POST + b"Content-Length: 14\r\n\r\n")
        started = time.monotonic()
        try:
            for byte in BODY:
                line.sendall(bytes([byte]))
                time.sleep(0.15)
        except OSError:
            pass  # it was closed
        assert problem_in(read_all(line)) == "body_too_slow"
        assert time.monotonic() - started < 4


def test_a_body_that_never_comes_is_given_up(shop):
    started = time.monotonic()
    assert problem_in(shop.live.tell(POST + b"Content-Length: 100\r\n\r\n")) == "body_too_slow"
    assert problem_in(shop.live.tell(POST + CHUNKED + b"\r\n5\r\nab")) == "body_too_slow"
    assert time.monotonic() - started < 5


def test_slow_bodies_take_no_places_from_others(shop):
    lines = [shop.live.connect() for _ in range(30)]
    for line in lines:
        line.sendall(POST + b"Content-Length: 1000\r\n\r\n{")
    assert shop.in_flight.total == 0
    assert httpx.get(shop.live.url + "/v1/items/now").status_code == 200
    for line in lines:
        line.close()


def test_headers_that_trickle_are_given_up(shop):
    with shop.live.connect() as line:
        line.sendall(b"GET /v1/items/a HTTP/1.1\r\nHost: localhost\r\n")
        started = time.monotonic()
        try:
            while time.monotonic() - started < 5:
                line.sendall(b"X-A: b\r\n")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - started < 4
    assert problem_in(shop.live.tell(b"GET / HT")) == "body_too_slow"


def test_headers_that_trickle_on_a_used_connection_are_given_up(shop):
    with shop.live.connect() as line:
        line.sendall(GET % b"a")
        assert statuses(line.recv(65536)) == [200]
        line.sendall(b"GET /v1/it")
        assert problem_in(read_all(line)) == "body_too_slow"


def test_a_connection_on_which_nothing_is_said_is_closed(shop):
    started = time.monotonic()
    assert shop.live.tell(b"") == b""
    assert time.monotonic() - started < 4


def test_the_rest_of_a_body_that_nobody_wants_is_not_awaited_for_ever(shop):
    """The answer is out before the small body is; then the body trickles."""
    with shop.live.connect() as line:
        line.sendall(POST.replace(b"localhost", b"evil.example") + b"Content-Length: 1000\r\n\r\n")
        assert statuses(line.recv(65536)) == [403]
        started = time.monotonic()
        try:
            while time.monotonic() - started < 5:
                line.sendall(b"x")
                time.sleep(0.1)
        except OSError:
            pass
        assert time.monotonic() - started < 4


# --- size ---


def test_a_body_is_refused_by_its_announced_length_before_it_comes(shop):
    started = time.monotonic()
    for length in (b"1048577", b"99999999999999999999999", b"18446744073709551615"):
        raw = shop.live.tell(POST + b"Content-Length: " + length + b"\r\nExpect: 100-continue\r\n\r\n")
        assert problem_in(raw) in ("body_too_large", "bad_request")
        assert b"100 Continue" not in raw
    assert time.monotonic() - started < 2


def test_who_waits_for_leave_to_send_gets_it_where_the_body_is_fine(shop):
    with shop.live.connect() as line:
        line.sendall(POST + b"Content-Length: 14\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 100 Continue")
        line.sendall(BODY)
        assert statuses(read_all(line)) == [200]


def test_a_caller_who_sends_too_much_still_reads_why(shop):
    """Closed on unread bytes, the connection would be reset, and the answer lost."""
    for head in (POST + b"Content-Length: 3000000\r\n\r\n", POST + CHUNKED + b"\r\n2DC6C0\r\n"):
        with shop.live.connect() as line:
            line.sendall(head + b"x" * 3_000_000)
            assert problem_in(read_all(line)) == "body_too_large"


def test_chunks_without_end_are_cut_off(shop):
    with shop.live.connect() as line:
        line.sendall(POST + CHUNKED + b"\r\n")
        started = time.monotonic()
        try:
            while time.monotonic() - started < 6:
                line.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
        except OSError:
            pass
        assert time.monotonic() - started < 5
        raw = read_all(line)
        assert raw == b"" or problem_in(raw) == "body_too_large"  # the reset may have come first


def test_a_million_chunks_of_one_byte_are_read_in_step(shop):
    """Chunks cost more than their bytes; the body's time is their bound."""
    with shop.live.connect() as line:
        line.sendall(POST + CHUNKED + b"\r\n" + b"1\r\n \r\n" * 100_000 + b"e\r\n" + BODY + b"\r\n0\r\n\r\n" + LAST)
        assert statuses(read_all(line)) in ([200, 200], [408])


@pytest.mark.parametrize("size", [b"FFFFFFFFFFFFFFFFF", b"-1", b"0x10", b"zz", b"ffffffffffffffff"])
def test_a_chunk_of_absurd_size_is_refused(shop, size):
    assert problem_in(shop.live.tell(POST + CHUNKED + b"\r\n" + size + b"\r\nabc\r\n0\r\n\r\n")) in ("bad_request", "body_too_slow")


def test_headers_without_end_are_cut_off(shop):
    for flood in (b"X-A: b\r\n" * 60, b"X-A: " + b"b" * 9000 + b"\r\n", b"X-" + b"a" * 9000 + b": b\r\n"):
        raw = shop.live.tell(b"GET / HTTP/1.1\r\nHost: localhost\r\n" + flood + b"\r\n")
        assert problem_in(raw) == "headers_too_large"
        assert statuses(raw) == [431]


@pytest.mark.parametrize("start", [b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ", b"GET / HTTP/1.1\r\nX-", b"GET /"])
def test_a_head_without_end_is_cut_off_while_it_comes(shop, start):
    with shop.live.connect() as line:
        line.sendall(start)
        time.sleep(0.1)
        began = time.monotonic()
        try:
            while time.monotonic() - began < 3:
                line.sendall(b"b" * 65536)
        except OSError:
            pass
        assert time.monotonic() - began < SLOW["header_timeout_s"] / 2  # by its size, not by its time


def test_an_address_without_end_is_a_414(shop):
    raw = shop.live.tell(b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert problem_in(raw) == "url_too_long"
    assert statuses(raw) == [414]
    assert httpx.get(shop.live.url + "/v1/items/" + "a" * 3000).status_code == 200


def test_trailers_are_not_taken_for_headers(shop):
    trailer = b"0\r\nX-Platform: fridge\r\nHost: evil.example\r\n\r\n"
    raw = shop.live.tell(POST + CHUNKED + b"\r\ne\r\n" + BODY + b"\r\n" + trailer + LAST)
    assert statuses(raw) == [200, 200]
    flood = b"0\r\n" + b"X-A: b\r\n" * 100 + b"\r\n"
    assert 200 not in statuses(shop.live.tell(POST + CHUNKED + b"\r\ne\r\n" + BODY + b"\r\n" + flood))


def test_connections_beyond_the_bound_are_told_so(shop):
    lines = [shop.live.connect() for _ in range(60)]
    assert eventually(lambda: len(shop.live.server.server_state.connections) >= 60)
    try:
        with shop.live.connect() as line:
            raw = read_all(line)
        assert problem_in(raw) == "overloaded"
        assert b"retry-after: 1" in raw.lower()
    finally:
        for line in lines:
            line.close()
    assert eventually(lambda: len(shop.live.server.server_state.connections) < 10)


# --- smuggling: one message that two servers would end in two places ---

SMUGGLED = b"GET /v1/items/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
TWO_TONGUES = {
    "length and chunks": b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "chunks and length": b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two lengths": b"Content-Length: 14\r\nContent-Length: 2\r\n\r\n" + BODY + SMUGGLED,
    "the same length twice": b"Content-Length: 14\r\nContent-Length: 14\r\n\r\n" + BODY + SMUGGLED,
    "a list of lengths": b"Content-Length: 14, 14\r\n\r\n" + BODY + SMUGGLED,
    "a signed length": b"Content-Length: +14\r\n\r\n" + BODY + SMUGGLED,
    "a negative length": b"Content-Length: -1\r\n\r\n" + BODY + SMUGGLED,
    "a length in hex": b"Content-Length: 0x0e\r\n\r\n" + BODY + SMUGGLED,
    "chunks, then not": b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "other chunks": b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a space before the colon": b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a folded header": b"Transfer-Encoding:\r\n chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "a NUL in a header": b"X-A: a\x00b\r\nContent-Length: 0\r\n\r\n" + SMUGGLED,
    "a bare line feed": b"X-A: a\nContent-Length: 4\r\n\r\n0\r\n\r\n" + SMUGGLED,
    "two hosts": b"Host: evil.example\r\nContent-Length: 14\r\n\r\n" + BODY,
    "chunk extensions with line feeds": CHUNKED + b"\r\n0;a=b\n\r\n\r\n" + SMUGGLED,
}


@pytest.mark.parametrize("rest", TWO_TONGUES.values(), ids=TWO_TONGUES)
def test_a_message_that_could_end_in_two_places_is_refused_and_nothing_after_it_read(shop, rest):
    raw = shop.live.tell(POST + rest, timeout_s=2)
    assert b"smuggled" not in raw
    assert [status for status in statuses(raw) if status not in (400, 408)] == []
    assert statuses(raw)


def test_a_body_shorter_than_announced_is_not_taken_for_whole(shop):
    with shop.live.connect() as line:
        line.sendall(POST + b"Content-Length: 20\r\n\r\n" + BODY)
        line.shutdown(1)
        assert 200 not in statuses(read_all(line))


def test_bytes_beyond_the_announced_body_are_the_next_request(shop):
    raw = shop.live.tell(POST + b"Content-Length: 14\r\n\r\n" + BODY + LAST)
    assert statuses(raw) == [200, 200]


# --- nonsense ---


@pytest.mark.parametrize(
    "sent",
    [
        b"\x00" * 100 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"BREW /pot HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET http:// HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"CONNECT evil.example:443 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_what_is_no_http_request_is_a_problem_too(shop, sent):
    raw = shop.live.tell(sent, timeout_s=3)
    assert all(400 <= status < 500 for status in statuses(raw))
    assert problem_in(raw) in ("bad_request", "body_too_slow", "method_not_allowed")


@pytest.mark.parametrize(
    "sent",
    [
        b"GET http://evil.example/v1/items/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /v1/items/%ff%00%2e%2e HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET /v1/items/a HTTP/1.0\r\nHost: localhost\r\n\r\n",
        b"GET /v1/items/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA\r\n\r\n",
        b"GET /v1/items/a HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n\r\n",
        b"TRACE /v1/items/a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    ],
)
def test_what_is_odd_but_sound_is_answered(shop, sent):
    raw = shop.live.tell(sent, timeout_s=1)
    assert len(statuses(raw)) == 1
    assert statuses(raw)[0] < 500
    assert b"101 Switching" not in raw


def test_a_request_without_a_host_is_refused(shop):
    assert statuses(shop.live.tell(b"GET /v1/items/a HTTP/1.1\r\nConnection: close\r\n\r\n")) == [403]


# --- pipelines ---


def test_requests_sent_ahead_are_answered_in_order(shop):
    raw = shop.live.tell(GET % b"one" + GET % b"two" + POST + b"Content-Length: 14\r\n\r\n" + BODY + LAST)
    assert statuses(raw) == [200] * 4
    places = [raw.index(word) for word in (b'"one"', b'"two"', b'"title"', b'"last"')]
    assert places == sorted(places)


def test_too_many_requests_sent_ahead_end_the_connection(shop):
    slow = b"GET /v1/score?seconds=0.3 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw = shop.live.tell(slow + GET % b"a" * 5000, timeout_s=3)
    assert len(statuses(raw)) <= SLOW["max_pipelined"] + 1
    assert all(status in (200, 429) for status in statuses(raw))


def test_what_follows_a_refused_body_is_not_read_as_a_request(shop):
    raw = shop.live.tell(POST + b"Content-Length: 3000000\r\n\r\n" + SMUGGLED * 3, timeout_s=3)
    assert statuses(raw) == [413]


def test_an_unfinished_answer_is_never_followed_by_another_ones(shop):
    """Rubbish behind a request that is being worked on: its answer is whole, or there is none."""
    raw = shop.live.tell(b"GET /v1/score?seconds=0.3 HTTP/1.1\r\nHost: localhost\r\n\r\n" + b"\x00rubbish\r\n\r\n", timeout_s=3)
    assert raw == b"" or statuses(raw) == [200]
