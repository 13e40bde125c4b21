"""Where a request comes from, and to whom it was addressed: guards against other sites in the caller's browser, and against open doors."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address, ip_network

from components.errors import BadParams
from components.serve.problems import Refused

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
OWN_SITE = (b"same-origin", b"none")  # none: typed into the address bar
DEFAULT_PORTS = (b":80", b":443")


def is_loopback(host: str) -> bool:
    """True for localhost and names below it, 127.0.0.0/8 and ::1."""
    name = host.strip("[]").rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


def check_exposure(host: str, has_keys: bool) -> None:
    """Raises BadParams where the gateway would serve anyone who can reach it: without keys it listens on loopback alone."""
    if not has_keys and not is_loopback(host):
        raise BadParams(
            f"listening on {host or 'every address'} without API keys would serve anyone on the network. Make a key with "
            "`vitrine key create --scope read`, or give the keys in VITRINE_API_KEYS, or listen on 127.0.0.1."
        )


def name_of(host: bytes) -> str:
    """The name or address in a Host header, without its port."""
    text = host.decode("latin-1").lower()
    return text[: text.index("]") + 1] if text.startswith("[") and "]" in text else text.partition(":")[0]


class Hosts:
    """The names that a gateway answers to.

    Without this, a web site whose name is made to point at 127.0.0.1 reads an open gateway through its visitors' browsers (DNS rebinding).
    """

    def __init__(self, names: Sequence[str], max_known: int = 256) -> None:
        self._names = frozenset(name.lower().strip("[]") for name in names)
        self._known: dict[bytes, bool] = {}  # Host headers seen, since there are few and each request brings one
        self._max_known = max_known

    def check(self, host: bytes | None, loopback_only: bool) -> None:
        """Raises Refused origin_refused for a name that is not the gateway's; with keys and no names set, any name will do."""
        if not loopback_only and not self._names:
            return
        if host is None or not self._is_own(host):
            raise Refused("origin_refused", "this gateway does not go by the name in the Host header; see serve.access.hosts")

    def _is_own(self, host: bytes) -> bool:
        known = self._known.get(host)
        if known is None:
            name = name_of(host)
            known = is_loopback(name) or name.strip("[]") in self._names
            if len(self._known) < self._max_known:
                self._known[host] = known
        return known


def check_origin(method: str, headers: Mapping[bytes, bytes]) -> None:
    """Raises Refused origin_refused where a browser says that a page of another site sends a request that may change something."""
    if method in SAFE_METHODS:
        return
    site, origin = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if site is not None and site not in OWN_SITE:
        raise Refused("origin_refused", "a page of another site may not send this")
    if origin is not None and _without_port(origin.partition(b"://")[2]) != _without_port(headers.get(b"host", b"")):
        raise Refused("origin_refused", "a page of another site may not send this")


def _without_port(host: bytes) -> bytes:
    """The host in lower case; the port is left off where it is the scheme's own, as browsers do."""
    host = host.lower()
    return next((host.removesuffix(port) for port in DEFAULT_PORTS if host.endswith(port)), host)


class Proxies:
    """The proxies whose X-Forwarded-For is believed."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(text, strict=False) for text in networks]

    def client_of(self, peer: str, forwarded_for: bytes | None) -> str:
        """The caller's address: the last one in X-Forwarded-For that is no trusted proxy's, or the peer itself where that is none.

        What stands further left was written by the caller, and may be anything.
        """
        client = peer
        for hop in reversed((forwarded_for or b"").decode("latin-1").split(",")):
            if not self._trusts(client) or not hop.strip():
                break
            client = hop.strip()
        return client[:64]

    def _trusts(self, address: str) -> bool:
        try:
            return any(ip_address(address) in network for network in self._networks)
        except ValueError:
            return False
