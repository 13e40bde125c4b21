"""Pictures by URL, against real servers on loopback: only listed hosts, only sound addresses, only so many bytes and seconds."""

import asyncio
import gzip
import ssl
import time
from collections import deque
from ipaddress import ip_address

import pytest

from components.serve.pictures.addresses import is_public
from components.serve.pictures.fetch import Fetcher, SystemNames
from components.serve.problems import Refused
from tests.picture_files import encoded, scene
from tests.serve.picture_host import listening, moved, ok, saying, server_context
from tests.unit.test_urls import urls_config

PICTURE = encoded(scene())
NAME = "img.shop.example"
SOUND = "127.0.0.1"  # what the policy of these tests takes for the public internet; all other loopback addresses are the inner network


class Names:
    """A name server: the answers to each question, in turn; the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers, self.asked = deque(answers or [[SOUND]]), []

    async def __call__(self, host: str, port: int) -> list[str]:
        self.asked.append(host)
        answer = self._answers.popleft() if len(self._answers) > 1 else self._answers[0]
        if not answer:
            raise OSError("no such name")
        return answer


def fetcher(
    port: int, *, names: Names | None = None, max_bytes: int = 2**20, tls=ssl.create_default_context, sound=None, **changes
) -> Fetcher:
    cfg = urls_config(**{"hosts": [NAME, "*.cdn.example"], "allow_http": True, "ports": [port]} | changes)
    sound = sound or (lambda address: address == ip_address(SOUND))
    return Fetcher(cfg, max_bytes=max_bytes, resolve=names or Names(), sound=sound, tls=tls)


def refusal_of(say, path: str = "/a.jpg", **changes) -> Refused:
    async def run():
        async with listening(say) as host:
            with pytest.raises(Refused) as refused:
                await fetcher(host.port, **changes).fetch(f"http://{NAME}:{host.port}{path}")
        assert refused.value.kind.status in (422, 429)
        return refused.value

    return asyncio.run(run())


def fetched(say, path: str = "/a.jpg", **changes) -> tuple[bytes, list[str]]:
    async def run():
        async with listening(say) as host:
            return await fetcher(host.port, **changes).fetch(f"http://{NAME}:{host.port}{path}"), host.asked

    return asyncio.run(run())


def test_a_picture_of_a_listed_host_comes_and_nothing_of_ours_goes_out(monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    data, (head,) = fetched(saying(ok(PICTURE, "Set-Cookie: a=b")), "/a%20b.jpg?x=1")
    assert data == PICTURE
    lines = head.split("\r\n")
    assert lines[0] == "GET /a%20b.jpg?x=1 HTTP/1.1"
    port = lines[1].rpartition(":")[2]
    assert lines[1:-2] == [
        f"Host: {NAME}:{port}",
        "Accept: image/*",
        "Accept-Encoding: identity",
        "User-Agent: vitrine",
        "Connection: close",
    ]


def test_urls_are_off_unless_they_are_switched_on_and_then_nobody_is_asked():
    names = Names()

    async def run():
        with pytest.raises(Refused, match="picture_url_off"):
            await fetcher(443, names=names, enabled=False).fetch(f"https://{NAME}/a.jpg")

    asyncio.run(run())
    assert names.asked == []


@pytest.mark.parametrize(
    "answer", [["127.0.0.1"], ["10.0.0.1"], ["::1"], ["169.254.169.254"], ["::ffff:127.0.0.1"], ["fe80::1%eth0"], ["nonsense"]]
)
def test_a_listed_name_that_leads_to_an_inner_address_is_refused_by_the_real_policy_and_nothing_connects(answer):
    async def run():
        async with listening(saying(ok(PICTURE))) as host:
            with pytest.raises(Refused) as refused:
                await fetcher(host.port, names=Names([answer]), sound=is_public).fetch(f"http://{NAME}:{host.port}/")
            return refused.value, host.num_connections

    refused, num_connections = asyncio.run(run())
    assert (refused.code, num_connections) == ("picture_url_refused", 0)


def test_a_name_that_does_not_exist_is_refused_in_the_same_words_as_one_that_leads_inside():
    missing, inside = (refusal_of(saying(ok(PICTURE)), names=Names(answer)) for answer in ([], ["10.0.0.1"]))
    assert (missing.code, missing.detail) == (inside.code, inside.detail)


def test_the_name_is_resolved_once_and_the_address_that_was_checked_is_connected_to():
    names = Names([SOUND], ["127.0.0.2"])

    async def run():
        async with listening(saying(ok(PICTURE))) as host, listening(saying(ok(PICTURE)), address="127.0.0.2", port=host.port) as inner:
            data = await fetcher(host.port, names=names).fetch(f"http://{NAME}:{host.port}/")
            return data, host.num_connections, inner.num_connections

    assert asyncio.run(run()) == (PICTURE, 1, 0)
    assert names.asked == [NAME]


def test_of_several_addresses_a_sound_one_is_taken():
    data, _ = fetched(saying(ok(PICTURE)), names=Names(["10.0.0.1", "::1", SOUND, "127.0.0.2"]))
    assert data == PICTURE


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirects_are_followed_three_times_and_each_name_is_resolved_anew(status):
    async def say(writer, path):
        number = int(path[1:])
        writer.write(ok(PICTURE) if number == 3 else moved(f"/{number + 1}", status))

    names = Names()
    data, asked = fetched(say, "/0", names=names)
    assert (data, len(asked), len(names.asked)) == (PICTURE, 4, 4)
    assert not any("referer" in head.lower() or "cookie" in head.lower() for head in asked)
    assert refusal_of(say, "/-1").code == "picture_url_failed"


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "http://evil.example:{port}/", "http://[::1]:{port}/", "http://2130706434:{port}/", "//127.0.0.2:{port}/",
     "http://img.shop.example:22/", "file:///etc/passwd", "http://user@img.shop.example:{port}/", "gopher://img.shop.example/"],
)  # fmt: skip
def test_a_redirect_to_where_no_url_may_lead_is_refused_and_nothing_connects_there(location):
    async def run():
        async with listening(saying(ok(PICTURE)), address="127.0.0.2") as inner:
            async with listening(saying(moved(location.format(port=inner.port)))) as host:
                with pytest.raises(Refused) as refused:
                    await fetcher(host.port, ports=[host.port, inner.port]).fetch(f"http://{NAME}:{host.port}/")
            return refused.value, inner.num_connections

    refused, num_connections = asyncio.run(run())
    assert (refused.code, num_connections) == ("picture_url_refused", 0)


def test_a_redirect_to_the_same_name_is_refused_where_the_name_now_leads_inside():
    names = Names([SOUND], ["127.0.0.2"])
    assert refusal_of(saying(moved("/again")), names=names).code == "picture_url_refused"
    assert names.asked == [NAME, NAME]


def test_a_body_without_end_is_cut_off_at_the_limit():
    sent = []

    async def endless(writer, path):
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE)
        while True:
            writer.write(bytes(2**16))
            await writer.drain()
            sent.append(2**16)

    refused = refusal_of(endless, max_bytes=2**20)
    assert refused.code == "picture_too_many_bytes"
    assert sum(sent) < 16 * 2**20  # what stands in the sockets' buffers on top


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (ok(bytes(101)), "picture_too_many_bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n", "picture_too_many_bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n65\r\n" + bytes(0x65) + b"\r\n0\r\n\r\n", "picture_too_many_bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 90\r\n\r\n" + PICTURE[:50], "picture_url_failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nContent-Length: 10\r\n\r\n" + PICTURE[:50], "picture_url_failed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n" + PICTURE[:50], "picture_url_failed"),
    ],
)
def test_a_length_that_is_too_great_or_a_lie_ends_it(answer, code):
    assert refusal_of(saying(answer), max_bytes=100).code == code


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br", "zstd", "GZIP", "gzip, identity"])
def test_a_compressed_body_is_refused_and_never_expanded(encoding):
    bomb = gzip.compress(PICTURE + bytes(50_000_000))
    refused = refusal_of(saying(ok(bomb, f"Content-Encoding: {encoding}")))
    assert (refused.code, "compressed" in refused.detail) == ("picture_url_failed", True)


@pytest.mark.parametrize(
    "say",
    [
        saying(*[bytes([byte]) for byte in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000], pause_s=0.05),
        saying(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"", pause_s=60),
        saying(b"", b"", pause_s=60),
        saying(b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE, *[bytes(2000)] * 1000, pause_s=0.1),
    ],
    ids=["head by drops", "no body", "silence", "fast enough by the second, too long in all"],
)
def test_a_slow_host_is_left_in_time(say):
    began = time.monotonic()
    assert refusal_of(say).code == "picture_url_failed"
    assert time.monotonic() - began < 3  # timeout_s is 2


def test_a_body_that_comes_by_drops_is_left_long_before_the_time_for_all_of_it_is_over():
    began = time.monotonic()
    drops = saying(b"HTTP/1.1 200 OK\r\n\r\n" + PICTURE[:4], *[b"\0"] * 1000, pause_s=0.05)
    assert refusal_of(drops, timeout_s=60.0).code == "picture_url_failed"
    assert time.monotonic() - began < 10


def test_nothing_tells_what_answered_or_whether_anything_did():
    async def nobody():
        with pytest.raises(Refused) as refused:
            await fetcher(1).fetch(f"http://{NAME}:1/")
        return refused.value

    answers = [
        saying(b"SSH-2.0-OpenSSH_9.2p1 Debian\r\n"),
        saying(b"-ERR unknown command 'GET'\r\n"),
        saying(b"HTTP/1.1 401 Unauthorized\r\nServer: inner-admin/1.0\r\nContent-Length: 6\r\n\r\nsecret"),
        saying(b"HTTP/1.1 500 Oops\r\nContent-Length: 6\r\n\r\nsecret"),
        saying(b"HTTP/1.1 204 No Content\r\n\r\n"),
        saying(b""),
    ]
    refused = [asyncio.run(nobody()), *(refusal_of(say) for say in answers)]
    assert {(one.code, one.detail) for one in refused} == {
        ("picture_url_failed", "the picture could not be fetched: it did not come, or not in time")
    }


@pytest.mark.parametrize("body", [b"<html>admin</html>", b'{"token": "secret"}', b"", b"RIFF\0\0\0\0WAVE", b"BM" + bytes(60), b"%PDF-1.7"])
def test_what_is_no_picture_stays_here_whatever_its_type_says(body):
    refused = refusal_of(saying(ok(body, "Content-Type: image/jpeg")))
    assert refused.code == "picture_url_failed"
    assert "what came is no JPEG, PNG, WebP or GIF" in refused.detail


def test_only_so_many_are_fetched_at_once():
    async def run():
        async with listening(saying(b"", ok(PICTURE), pause_s=0.3)) as host:
            one = fetcher(host.port, max_at_once=2)
            url = f"http://{NAME}:{host.port}/"
            found = await asyncio.gather(*(one.fetch(url) for _ in range(3)), return_exceptions=True)
            assert found[:2] == [PICTURE, PICTURE]
            assert (found[2].code, found[2].kind.status, found[2].retry_after_s) == ("overloaded", 429, 1.0)
            assert await one.fetch(url) == PICTURE

    asyncio.run(run())


def over_tls(tmp_path, named: str, *, trusted: bool = True, days=(-1, 1)):
    """What comes of https://NAME from a server whose certificate is for `named`, and the name that the server was asked for."""
    context, certificate = server_context(tmp_path, named, days=days)
    trust = (lambda: ssl.create_default_context(cafile=certificate)) if trusted else ssl.create_default_context

    async def run():
        async with listening(saying(ok(PICTURE)), tls=context) as host:
            try:
                outcome = await fetcher(host.port, tls=trust).fetch(f"https://{NAME}:{host.port}/")
            except Refused as refused:
                outcome = (refused.code, refused.detail)
            return outcome, host.names

    return asyncio.run(run())


def test_over_tls_the_name_is_sent_and_the_certificate_checked_though_the_address_is_pinned(tmp_path):
    assert over_tls(tmp_path, NAME) == (PICTURE, [NAME])


@pytest.mark.parametrize(
    ("named", "trusted", "days"), [("other.example", True, (-1, 1)), (NAME, False, (-1, 1)), (NAME, True, (-9, -1)), (SOUND, True, (-1, 1))]
)
def test_a_certificate_of_another_name_of_nobody_or_of_last_week_is_refused(tmp_path, named, trusted, days):
    outcome, _ = over_tls(tmp_path, named, trusted=trusted, days=days)
    assert outcome == ("picture_url_failed", "the picture could not be fetched: it did not come, or not in time")


def test_the_systems_own_resolver_is_asked():
    names = SystemNames(1)
    assert asyncio.run(names("127.0.0.1", 443)) == ["127.0.0.1"]
    with pytest.raises(OSError, match=r"[Nn]ame"):
        asyncio.run(names("no-such-name.invalid", 443))
