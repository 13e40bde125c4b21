"""Pictures by URL. Off by default: whoever may name a URL may otherwise have the gateway ask the inner network (SSRF).

Every hop, redirects included, is held to the allow-list; its name is resolved once, and the connection goes to an address that was
checked, so an answer of the name server that changes in between changes nothing (DNS rebinding). httpcore is used bare: it reads no proxy,
cookie or netrc, and follows no redirect by itself.
"""

import asyncio
import functools
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, IPv6Address
from typing import Any

import httpcore

from components.images import MAX_PICTURE_BYTES
from components.serve.pictures.addresses import is_public
from components.serve.pictures.config import UrlsConfig
from components.serve.pictures.hosts import address_in
from components.serve.pictures.urls import Target, redirected, target_of
from components.serve.problems import Refused

REDIRECTS = (301, 302, 303, 307, 308)
STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF8")
TRICKLE_AFTER_S = 1.0
HEADERS = (("Accept", "image/*"), ("Accept-Encoding", "identity"), ("User-Agent", "vitrine"), ("Connection", "close"))

log = logging.getLogger("vitrine")

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
Sound = Callable[[IPv4Address | IPv6Address], bool]


class SystemNames:
    """The system's own resolver, on threads of its own: a name server that does not answer must not take those that others need."""

    def __init__(self, num_threads: int) -> None:
        self._threads = ThreadPoolExecutor(num_threads, "names")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """The name's addresses. Raises OSError."""
        # the dot keeps resolv.conf's search list out of it: img.shop.example must not become img.shop.example.svc.cluster.local
        name = host if address_in(host) else f"{host}."
        asked = functools.partial(socket.getaddrinfo, name, port, type=socket.SOCK_STREAM)
        found = await asyncio.get_running_loop().run_in_executor(self._threads, asked)
        return [str(address[0]) for *_, address in found]


class Pinned(httpcore.AsyncNetworkBackend):
    """Connections to one address, whatever name they are asked for; TLS still checks the name."""

    def __init__(self, address: str) -> None:
        self._address, self._backend = address, httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """A connection to the pinned address."""
        return await self._backend.connect_tcp(self._address, port, timeout, local_address, socket_options)


class Fetcher:
    """Fetches pictures as `serve.urls` allows. `resolve`, `sound` and `tls` are edges."""

    def __init__(
        self,
        cfg: UrlsConfig,
        *,
        max_bytes: int = MAX_PICTURE_BYTES,
        resolve: Resolve | None = None,
        sound: Sound = is_public,
        tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
    ) -> None:
        self._cfg, self._max_bytes, self._sound = cfg, min(max_bytes, MAX_PICTURE_BYTES), sound
        self._resolve = resolve or SystemNames(cfg.max_at_once)
        self._tls = tls() if cfg.enabled else None
        self._num_running = 0

    async def fetch(self, url: str) -> bytes:
        """The bytes of a JPEG, PNG, WebP or GIF, to judge by their start.

        Raises Refused picture_url_off, picture_url_refused, picture_url_failed, picture_too_many_bytes, overloaded. No detail says what,
        if anything, answered.
        """
        if not self._cfg.enabled:
            raise Refused("picture_url_off", "send the picture itself: as picture_base64, or as a file")
        if self._num_running >= self._cfg.max_at_once:
            raise Refused("overloaded", f"{self._num_running} pictures are being fetched", retry_after_s=1.0)
        self._num_running += 1
        try:
            async with asyncio.timeout(self._cfg.timeout_s):
                return await self._follow(target_of(url, self._cfg))
        except Refused:
            raise
        except TimeoutError:
            raise _failed() from None
        except Exception as error:  # httpcore, h11, anyio, ssl and socket each have their own
            log.info("pictures: a URL could not be fetched: %s", type(error).__name__)
            raise _failed() from None
        finally:
            self._num_running -= 1

    async def _follow(self, target: Target) -> bytes:
        for _ in range(self._cfg.max_redirects + 1):
            async with self._asked(target) as answer:
                if answer.status not in REDIRECTS:
                    return await self._body(answer)
                location = _header(answer, b"location")
            target = redirected(target, location, self._cfg)
        raise _failed(f"it was redirected more than {self._cfg.max_redirects} times")

    @asynccontextmanager
    async def _asked(self, target: Target) -> AsyncIterator[httpcore.Response]:
        address = await self._address_of(target)
        wait_s = self._cfg.idle_timeout_s
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), wait_s)
        url = httpcore.URL(scheme=target.scheme, host=target.host, port=target.port, target=target.path)
        headers = [("Host", target.host_header), *HEADERS]
        async with (
            httpcore.AsyncConnectionPool(ssl_context=self._tls, network_backend=Pinned(address)) as connections,
            connections.stream("GET", url, headers=headers, extensions={"timeout": timeouts}) as answer,
        ):
            yield answer

    async def _address_of(self, target: Target) -> str:
        """One sound address of the target's host. A name that has none is not told from one that does not exist."""
        try:
            found = await self._resolve(target.host, target.port)
        except (OSError, UnicodeError):
            found = []
        for text in found:
            address = address_in(text)
            if address is not None and self._sound(address):
                return text
        raise Refused("picture_url_refused", "the picture's URL is not fetched: its host has no address that pictures are fetched from")

    async def _body(self, answer: httpcore.Response) -> bytes:
        if answer.status != 200:
            raise _failed()
        if _header(answer, b"content-encoding").lower() not in ("", "identity"):
            raise _failed("it came compressed, though it was asked for as it is")
        length = _header(answer, b"content-length")
        if length.isdecimal() and int(length) > self._max_bytes:
            raise self._too_large()
        data, began = bytearray(), time.monotonic()
        async for piece in answer.aiter_stream():
            data += piece
            if len(data) > self._max_bytes:
                raise self._too_large()
            spent_s = time.monotonic() - began
            if spent_s > TRICKLE_AFTER_S and len(data) < spent_s * self._cfg.min_kib_per_s * 1024:
                raise _failed()
        if not data.startswith(STARTS) and not (data.startswith(b"RIFF") and data[8:12] == b"WEBP"):
            raise _failed("what came is no JPEG, PNG, WebP or GIF")
        return bytes(data)

    def _too_large(self) -> Refused:
        return Refused("picture_too_many_bytes", f"the URL leads to more than {self._max_bytes} bytes")


def _header(answer: httpcore.Response, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in answer.headers if key.lower() == name), "")


def _failed(why: str = "it did not come, or not in time") -> Refused:
    return Refused("picture_url_failed", f"the picture could not be fetched: {why}")
