"""Which URLs of pictures are allowed: read once, strictly, so that no other reader of the URL can see another host in it."""

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin, urlsplit

from components.serve.pictures.config import UrlsConfig
from components.serve.pictures.hosts import host_name, is_allowed
from components.serve.problems import Refused

MAX_URL_CHARS = 2048
PORTS = {"https": 443, "http": 80}
FORBIDDEN = re.compile(r"[\x00-\x20\x7f\\]")
KEPT_IN_PATH = "/%:@!$&'()*+,;=-._~?"


@dataclass(frozen=True)
class Target:
    """Where a request goes: an ASCII name (or a listed address), a port, and the path with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def host_header(self) -> str:
        """The host as the request names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """The target as a URL."""
        return f"{self.scheme}://{self.host_header}{self.path}"


def target_of(url: str, cfg: UrlsConfig) -> Target:
    """The URL's target. Raises Refused picture_url_refused where it breaks a rule of `serve.urls`, without saying what is allowed."""
    if len(url) > MAX_URL_CHARS or FORBIDDEN.search(url):
        raise _refused(f"a URL has at most {MAX_URL_CHARS} characters and no spaces or backslashes")
    try:
        parts = urlsplit(url)
        port, host = parts.port, host_name(parts.hostname or "")
    except ValueError:
        raise _refused("it is no URL, or names no host") from None
    if parts.scheme not in PORTS or (parts.scheme == "http" and not cfg.allow_http):
        raise _refused("only https is fetched from" if not cfg.allow_http else "only https and http are fetched from")
    if "@" in parts.netloc:
        raise _refused("it names a user")
    port = PORTS[parts.scheme] if port is None else port
    if port != PORTS[parts.scheme] and port not in cfg.ports:
        raise _refused("its port is not allowed")
    if not is_allowed(host, cfg.hosts):
        raise _refused("its host is not allowed")
    path = quote(parts.path or "/", safe=KEPT_IN_PATH) + (f"?{quote(parts.query, safe=KEPT_IN_PATH)}" if parts.query else "")
    return Target(parts.scheme, host, port, path)


def redirected(target: Target, location: str, cfg: UrlsConfig) -> Target:
    """Where a redirect leads, held to the same rules and to one more: never from https to http. Raises Refused picture_url_refused."""
    if len(location) > MAX_URL_CHARS or FORBIDDEN.search(location):
        raise _refused("a redirect leads to no URL")
    try:
        joined = urljoin(target.url, location)
    except ValueError:
        raise _refused("a redirect leads to no URL") from None
    there = target_of(joined, cfg)
    if target.scheme == "https" and there.scheme != "https":
        raise _refused("a redirect leads from https to http")
    return there


def _refused(why: str) -> Refused:
    return Refused("picture_url_refused", f"the picture's URL is not fetched: {why}")
