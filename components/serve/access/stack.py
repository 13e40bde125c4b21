"""The layers around the gateway's routes, in the order in which a request meets them."""

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from starlette.types import ASGIApp

from components.serve.access import origins
from components.serve.access.config import AccessConfig
from components.serve.access.envelope import Answered, Envelope
from components.serve.access.gate import Gate, Public
from components.serve.access.in_flight import InFlight
from components.serve.access.key_file import Keys
from components.serve.access.limits import Bounds, Limits
from components.serve.access.origins import Hosts, Proxies
from components.serve.access.rates import Rate, Rates
from components.serve.queries import Queries

log = logging.getLogger("vitrine")


def check_exposure(host: str, cfg: AccessConfig, state: Path) -> None:
    """Raises BadParams where a gateway on that address would serve anyone on the network, or where its keys cannot be read."""
    origins.check_exposure(host, Keys(cfg.key_file(state)).ring is not None)


def wrap(
    app: ASGIApp,
    cfg: AccessConfig,
    queries: Queries,
    state: Path,
    *,
    keys: Keys | None = None,
    in_flight: InFlight | None = None,
    script_hashes: Sequence[str] = (),
    answered: Callable[[Answered], None] | None = None,
) -> Envelope:
    """The app behind all that is checked of a request, from the cheapest check to the dearest:

    1. Envelope: request id, security headers, problems for what nobody caught, account of the request (`answered`, access log);
    2. Gate: headers that came twice, host, origin, key, scope, rate, and then who calls: `request.state.caller`;
    3. Limits: the body's length, its arrival, places among the requests worked on, time for the answer, callers that go away;
    4. the app, whose own errors `answers.install` tells as problems.

    Health and metrics pass through 3 unhindered. Pass an InFlight to read its counts. Raises BadParams where the keys cannot be read.
    """
    bounds = Bounds(
        max_body_bytes=queries.max_body_mib * 2**20,
        body_timeout_s=queries.body_timeout_s,
        timeout_s=queries.timeout_s,
        disconnect_check_s=cfg.disconnect_check_s,
        max_url_bytes=cfg.connections.max_url_bytes,
    )
    limits = Limits(app, bounds, in_flight or InFlight(cfg.in_flight))
    gate = Gate(
        limits,
        keys or Keys(cfg.key_file(state)),
        public=Public(cfg.public),
        hosts=Hosts(cfg.hosts),
        proxies=Proxies(cfg.trusted_proxies),
        rates=Rates(),
        open_rate=Rate(cfg.open_rate_per_s, cfg.open_burst) if cfg.open_rate_per_s else None,
    )
    tellers = [tell for tell in (answered, log_line if cfg.log else None) if tell]
    return Envelope(gate, script_hashes=script_hashes, answered=_all_of(tellers))


def _all_of(tellers: Sequence[Callable[[Answered], None]]) -> Callable[[Answered], None] | None:
    if len(tellers) < 2:
        return tellers[0] if tellers else None

    def tell_all(request: Answered) -> None:
        for tell in tellers:
            tell(request)

    return tell_all


def log_line(request: Answered) -> None:
    """Logs the request as one line of JSON: no query, no address, no user, and a key by its id alone."""
    row = asdict(request)
    row["ms"] = round(1000 * row.pop("seconds"), 2)
    log.info("access %s", json.dumps(row))
