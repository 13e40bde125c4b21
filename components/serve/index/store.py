"""Opens the index that params.yaml asks for."""

from pathlib import Path

from components.errors import BadParams
from components.neighbours import IndexConfig
from components.serve.index.config import IndexServeConfig
from components.serve.index.embedded.store import EmbeddedStore
from components.serve.index.generation import IndexStore


async def open_index(cfg: IndexServeConfig, state: Path, index_cfg: IndexConfig) -> IndexStore:
    """The store, with its lock or its connections held. `state` is the gateway's folder, `index_cfg` the section `index:`.

    Raises BadParams, StageBusy where another process has the embedded index, BadState where it is damaged, and Refused index_failed where
    PostgreSQL cannot be reached.
    """
    if cfg.backend == "postgres":
        from components.serve.index.postgres.store import PostgresStore  # here: the embedded index needs no database client

        return await PostgresStore.open(cfg.postgres)
    if cfg.replicas > 1:
        raise BadParams(
            f"params.yaml: serve.index.replicas = {cfg.replicas}, but the embedded index has one writer and serves one replica: "
            "set serve.index.backend to postgres"
        )
    return await EmbeddedStore.open(state, cfg.embedded, index_cfg)
