"""The edge of `vitrine serve`: a copy of the workspace's bundle, by digest, behind one uvicorn process."""

import logging
from pathlib import Path

import uvicorn

from components import releases
from components.contract import bind, path_of, read_params
from components.ingest.config import IngestConfig
from components.neighbours import IndexConfig
from components.serve.access.connection import server_settings
from components.serve.access.stack import check_exposure
from components.serve.app import Start, layered, make_app
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

    kept = releases.keep(bundle or path_of("bundle", params))
    start = Start(kept, seed, bind(IndexConfig, "index", params), bind(IngestConfig, "ingest", params).upsert_rules)
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
