"""The load generator: what it counts, and that it charges a server that stalls for everybody who would have come meanwhile."""

import asyncio
import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.load import LOST, Ask, Load, Tally, constant, poisson, run
from tests.wire_bytes import request, upload

ASKS = itertools.repeat(Ask(request("GET", "/"), "page"))


class Toy:
    """A server that answers each request with what `reply(number)` gives: seconds to wait, then bytes, or None to hang up."""

    def __init__(self, reply):
        self.reply, self.count, self.heads = reply, 0, []

    async def __aenter__(self):
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def __aexit__(self, *_):
        self.server.close()

    async def serve(self, reader, writer):
        while head := await reader.readuntil(b"\r\n\r\n"):
            self.heads.append(head)
            wait_s, answer = self.reply(self.count)
            self.count += 1
            await asyncio.sleep(wait_s)
            if answer is None:
                break
            writer.write(answer)
        writer.close()


def ok(body=b"{}", status="200 OK", *headers):
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *headers, "", ""]).encode() + body


def loaded(reply, drive, num_connections=4, judge=None):
    async def main():
        async with Toy(reply) as port, Load("127.0.0.1", port, num_connections, judge) as load:
            return await drive(load)

    return run(main())


def test_a_closed_loop_keeps_every_connection_busy_and_no_more():
    tally = loaded(lambda n: (0.02, ok()), lambda load: load.closed_loop(ASKS, 0.5), num_connections=5)
    assert tally.statuses() == {200: pytest.approx(5 * 0.5 / 0.02, rel=0.3)}
    assert 19 < tally.quantile_ms(0.5) < 40


def test_all_of_a_list_are_asked_once_though_connections_break():
    seen = []
    asks = [Ask(request("GET", f"/{number}"), str(number)) for number in range(50)]
    tally = loaded(
        lambda n: (0.001, None if n % 7 == 3 else ok()), lambda load: load.all_of(asks), judge=lambda ask, answer: seen.append(ask.kind)
    )
    assert sorted(seen, key=int) == [str(number) for number in range(50)]
    assert tally.statuses() == {200: 43, LOST: 7}
    assert tally.unanswered == 0


def test_an_open_loop_charges_a_stall_to_everybody_who_was_due_meanwhile():
    stalled = [False]

    def reply(number):
        stalled[0] = number == 20
        return (0.4 if stalled[0] else 0.0), ok()

    open_tally = loaded(reply, lambda load: load.open_loop(ASKS, constant(100, 1.0)), num_connections=1)
    closed_tally = loaded(reply, lambda load: load.closed_loop(ASKS, 0.6), num_connections=1)
    assert sum(open_tally.statuses().values()) == 100
    assert 300 < open_tally.quantile_ms(0.98) < 500
    assert open_tally.quantile_ms(0.7) > 50  # forty requests were due in those 0.4 s
    assert open_tally.most_waiting > 20
    assert closed_tally.quantile_ms(0.98) < 50  # what coordinated omission would have said


def test_an_open_loop_sends_when_a_request_is_due_and_not_when_the_last_is_answered():
    tally = loaded(lambda n: (0.3, ok()), lambda load: load.open_loop(ASKS, constant(50, 0.4)), num_connections=30)
    assert tally.seconds == pytest.approx(0.7, abs=0.15)
    assert tally.quantile_ms(0.99) < 350


def test_answers_are_counted_by_kind_and_status_and_a_lost_connection_is_opened_again():
    replies = [ok(), ok(b"no", "429 Too Many Requests"), ok(b"bad", "400 Bad Request", "connection: close"), None]
    kinds = (Ask(request("GET", "/"), kind) for kind in itertools.cycle("ab"))
    seen = []
    tally = loaded(
        lambda n: (0.0, replies[n % 4]),
        lambda load: load.open_loop(kinds, constant(100, 0.4)),
        num_connections=1,
        judge=lambda ask, answer: seen.append((ask.kind, answer.status, answer.body)),
    )
    assert tally.statuses() == {200: 10, 429: 10, 400: 10, LOST: 10}
    assert tally.statuses("a") == {200: 10, 400: 10}
    assert seen[:4] == [("a", 200, b"{}"), ("b", 429, b"no"), ("a", 400, b"bad"), ("b", LOST, b"")]
    assert tally.per_s == pytest.approx(10 / tally.seconds)


def test_an_answer_in_pieces_is_read_whole():
    body = bytes(range(256)) * 4000
    seen = []
    loaded(lambda n: (0.0, ok(body)), lambda load: load.closed_loop(ASKS, 0.1), judge=lambda ask, answer: seen.append(answer.body))
    assert seen
    assert all(one == body for one in seen)


def test_a_request_that_is_never_answered_is_told():
    tally = loaded(lambda n: (60.0, ok()), lambda load: load.open_loop(ASKS, constant(100, 0.03), patience_s=0.2))
    assert tally.unanswered == 3


@given(st.lists(st.floats(0, 10), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_quantile_is_the_least_latency_that_the_share_did_not_exceed(latencies, share):
    tally = Tally()
    for latency in latencies:
        tally.add("", 200, latency)
    tally.add("", 500, 1e9)
    found = tally.quantile_ms(share) / 1000
    assert np.mean(np.array(latencies) <= found + 1e-9) >= share - 1e-9
    assert np.mean(np.array(latencies) < found - 1e-9) < share


def test_poisson_times_come_at_the_rate_and_without_memory():
    times = np.array(list(poisson(200, 60, seed=3)))
    gaps = np.diff(times)
    assert len(times) == pytest.approx(12_000, rel=0.05)
    assert gaps.std() == pytest.approx(gaps.mean(), rel=0.05)
    assert list(poisson(200, 1, seed=3)) == list(poisson(200, 1, seed=3))


def test_an_upload_is_a_form_that_the_servers_parser_reads():
    from starlette.requests import Request

    data = upload("POST", "/v1/similar/upload", b"\xff\xd8 picture \r\n--", {"k": "5"})
    head, _, body = data.partition(b"\r\n\r\n")
    headers = [(name.lower(), value) for name, _, value in (line.partition(b": ") for line in head.split(b"\r\n")[1:])]

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def read():
        return await Request({"type": "http", "method": "POST", "headers": headers}, receive).form()

    form = asyncio.run(read())
    assert form["k"] == "5"
    assert form["picture"].file.read() == b"\xff\xd8 picture \r\n--"
    assert dict(headers)[b"content-length"] == str(len(body)).encode()
