"""What `serve.access` in params.yaml says: who may call the gateway, how much, and in what shape."""

from ipaddress import ip_network
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from components.contract import Config

Count = Annotated[int, Field(ge=1)]
Seconds = Annotated[float, Field(gt=0)]
PerSecond = Annotated[float, Field(gt=0, le=1e6)]


def _network(text: str) -> str:
    ip_network(text, strict=False)
    return text


class NewKeyConfig(Config):
    """The rate of a key that was made without one: requests a second on average, and at most how many at once."""

    rate_per_s: PerSecond
    burst: Count


class ConnectionConfig(Config):
    """What a connection may take before there is a request that could be answered."""

    max_connections: Count
    max_url_bytes: Count
    max_header_bytes: Count
    max_headers: Count
    max_pipelined: Count
    header_timeout_s: Seconds
    keep_alive_s: Count


class InFlightConfig(Config):
    """How many requests are worked on at once, in total and below `/v1/NAME`; `max_buffered_mib` bounds their bodies together."""

    total: Count
    of: dict[str, Count]
    max_buffered_mib: Count


class AccessConfig(Config):
    """`keys` is None for keys.json in the state folder. `public` needs no key: addresses, or all below one that ends in `*`."""

    keys: str | None
    hosts: list[str]
    trusted_proxies: list[Annotated[str, AfterValidator(_network)]]
    public: list[str]
    new_key: NewKeyConfig
    open_rate_per_s: PerSecond | None
    open_burst: Count
    in_flight: InFlightConfig
    connections: ConnectionConfig
    disconnect_check_s: Seconds
    log: bool

    def key_file(self, state: Path) -> Path:
        """Where the keys lie."""
        return Path(self.keys) if self.keys else state / "keys.json"
