"""The gate: who calls, whether they may, and how often."""

import functools
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from starlette.types import ASGIApp, Receive, Scope, Send

from components.serve.access.caller import caller_of
from components.serve.access.exchange import Exchange, exchange_of
from components.serve.access.key_file import Keys, Ring
from components.serve.access.keys import ALL_SCOPES, Key, verify
from components.serve.access.origins import Hosts, Proxies, check_origin
from components.serve.access.rates import Rate, Rates, refusal
from components.serve.access.scopes import needed
from components.serve.pictures.recent import afresh
from components.serve.problems import Refused

ONCE = (b"host", b"authorization", b"x-api-key", b"content-length", b"transfer-encoding", b"content-type", b"origin", b"sec-fetch-site")
ONCE_OURS = (b"x-request-id", b"x-platform", b"x-app-version", b"x-user-id", b"x-probe")
NONE: frozenset[str] = frozenset()


class Public:
    """Addresses that need no key: given in full, or all below one that ends in `*`."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._exact = frozenset(address for address in addresses if not address.endswith("*"))
        self._below = tuple(address[:-1] for address in addresses if address.endswith("*"))

    def __contains__(self, path: str) -> bool:
        return path in self._exact or path.startswith(self._below)


class Gate:
    """Puts a Caller into `request.state.caller`, or raises Refused. `open_rate` limits each address in open mode, unless it is None."""

    def __init__(
        self,
        app: ASGIApp,
        keys: Keys,
        *,
        public: Public,
        hosts: Hosts,
        proxies: Proxies,
        rates: Rates,
        open_rate: Rate | None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._app, self._keys, self._public = app, keys, public
        self._hosts, self._proxies = hosts, proxies
        self._rates, self._open_rate, self._now = rates, open_rate, now

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serves one request."""
        if scope["type"] == "http":
            exchange = exchange_of(scope)
            check_once(scope["headers"], exchange.headers)
            ring, path = self._keys.current(), scope["path"]
            if not path.startswith("/health/"):  # a probe calls by address, whatever that is
                self._hosts.check(exchange.headers.get(b"host"), loopback_only=ring is None)
            key_id, scopes = self._open(scope, exchange) if ring is None else self._keyed(ring, scope, exchange)
            caller = caller_of(exchange.headers, exchange.request_id, key_id, scopes)
            scope["state"]["caller"] = caller
            if caller.is_probe:
                with afresh():
                    return await self._app(scope, receive, send)
        await self._app(scope, receive, send)

    def _open(self, scope: Scope, exchange: Exchange) -> tuple[None, frozenset[str]]:
        check_origin(scope["method"], exchange.headers)
        if self._open_rate is not None and scope["path"] not in self._public:
            peer = (scope.get("client") or ("",))[0]
            address = self._proxies.client_of(peer, exchange.headers.get(b"x-forwarded-for"))
            self._charge(scope, exchange, address, self._open_rate, "an address")
        return None, ALL_SCOPES

    def _keyed(self, ring: Ring, scope: Scope, exchange: Exchange) -> tuple[str | None, frozenset[str]]:
        method, path = scope["method"], scope["path"]
        if path in self._public:
            return None, NONE
        key = verify(ring, key_from(exchange.headers), self._now())
        check_scope(key, method, path)
        self._charge(scope, exchange, key.id, key.rate, "this key")
        return key.id, key.scopes

    def _charge(self, scope: Scope, exchange: Exchange, name: str, rate: Rate, whose: str) -> None:
        pay = functools.partial(self._pay, exchange, name, rate, whose)
        scope["state"]["pay"] = pay
        pay(1)

    def _pay(self, exchange: Exchange, name: str, rate: Rate, whose: str, cost: int) -> None:
        standing = self._rates.charge(name, rate, cost)
        exchange.rate_headers = standing.headers(rate)
        if standing.wait_ns:
            raise refusal(standing, rate, whose)


def check_once(headers: Sequence[tuple[bytes, bytes]], found: Mapping[bytes, bytes]) -> None:
    """Raises Refused bad_request where a header that decides something came twice: a proxy may have read the other one."""
    if len(headers) == len(found):
        return
    times = Counter(name for name, _ in headers)
    if twice := [name for name in (*ONCE, *ONCE_OURS) if times[name] > 1]:
        raise Refused("bad_request", f"the header {twice[0].decode()} came {times[twice[0]]} times")


def key_from(headers: Mapping[bytes, bytes]) -> str:
    """The key in `Authorization: Bearer`, or else in `X-API-Key`. Raises Refused key_missing."""
    scheme, _, value = headers.get(b"authorization", b"").partition(b" ")
    given = value.strip() if scheme.lower() == b"bearer" else headers.get(b"x-api-key")
    if not given:
        raise Refused("key_missing", "send `Authorization: Bearer vk_...` or `X-API-Key: vk_...`")
    return given.decode("ascii", "surrogateescape")


def check_scope(key: Key, method: str, path: str) -> None:
    """Raises Refused scope_missing where the key lacks the scope that the request needs."""
    scope = needed(method, path)
    if scope not in key.scopes:
        raise Refused("scope_missing", f"this needs the scope {scope}; the key has {', '.join(sorted(key.scopes))}")
