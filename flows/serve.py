"""The edge of `vitrine serve`: the workspace's bundle, by digest, or what the channel record names, behind one uvicorn process."""

import logging
from pathlib import Path

import uvicorn

from components import releases
from components.contract import bind, path_of, read_params
from components.ingest.config import IngestConfig
from components.neighbours import IndexConfig
from components.release.config import ReleaseConfig
from components.release.registry import Registry
from components.serve.access.connection import server_settings
from components.serve.access.stack import check_exposure
from components.serve.app import Start, layered, make_app
from components.serve.canary import remembered
from components.serve.config import ServeConfig
from components.serve.seed import Seed

log = logging.getLogger("vitrine")

DRAIN_S = 30


def serve(host: str, port: int, bundle: Path | None) -> None:
    """Serves until it is told to end; requests that are being answered then are answered. Raises VitrineError where it cannot serve."""
    params = read_params()
    cfg = bind(ServeConfig, "serve", params)
    check_exposure(host, cfg.access, Path(cfg.state))
    seed = Seed(path_of("listings", params), path_of("images", params))
    failed: list[Exception] = []

    def ended(error: Exception) -> None:
        failed.append(error)
        server.should_exit = True

    rules, registry = bind(IngestConfig, "ingest", params).upsert_rules, bind(ReleaseConfig, "release", params).registry
    kept = _at_hand(bundle, path_of("bundle", params), registry, Path(cfg.state))
    start = Start(kept, seed, bind(IndexConfig, "index", params), rules, registry=registry)
    app = make_app(cfg, start, ended=ended)
    config = uvicorn.Config(
        layered(app, cfg),
        host=host,
        port=port,
        log_level="warning",
        timeout_graceful_shutdown=DRAIN_S,
        **server_settings(cfg.access.connections),
    )
    server = uvicorn.Server(config)
    log.info("serve: http://%s:%d/", host, port)
    server.run()
    if failed:
        raise failed[0]


def _at_hand(bundle: Path | None, made: Path, registry: str, state: Path) -> str | None:
    """The digest of the bundle, of which a copy is kept; None where there is none and the channel record says what answers."""
    if bundle is None and not made.exists() and ((state / remembered.FILE).exists() or Registry.open(registry).channel()[1]):
        return None
    return releases.keep(bundle or made)
