"""Where the gateway keeps its index, and what a new generation must show before it answers."""

from typing import Literal

from pydantic import Field

from components.contract import Config


class EmbeddedConfig(Config):
    """Limits of the index in this process. Changes lie beside the searched base until there are `compact_after` of them."""

    compact_after: int = Field(ge=1)
    max_changes: int = Field(ge=1)
    max_waiting_rows: int = Field(ge=1)
    max_waiting_reads: int = Field(ge=1)
    keep_tombstones_days: float = Field(gt=0)


class PostgresConfig(Config):
    """How PostgreSQL is used. `ef_search` is the breadth of the search in the HNSW graph; more finds more and costs more."""

    pool_size: int = Field(ge=1)
    max_waiting: int = Field(ge=1)
    connect_timeout_s: float = Field(gt=0)
    statement_timeout_s: float = Field(gt=0)
    alias_ttl_s: float = Field(ge=0, le=1)
    m: int = Field(ge=2, le=100)
    ef_construction: int = Field(ge=4, le=1000)
    ef_search: int = Field(ge=1, le=1000)
    build_memory_mib: int = Field(ge=64)
    keep_tombstones_days: float = Field(gt=0)


class GateConfig(Config):
    """What a candidate must show. Shares, recall and overlap lie in [0, 1]; `max_latency_ratio` is of medians."""

    num_queries: int = Field(ge=1)
    max_missing_share: float = Field(ge=0, le=1)
    min_recall_at_10: float = Field(ge=0, le=1)
    min_overlap_at_10: float = Field(ge=0, le=1)
    max_latency_ratio: float = Field(gt=0)
    max_p95_ms: float = Field(gt=0)


class IndexServeConfig(Config):
    """Which backend keeps the index, for how many replicas, and how many generations that answered before stay for going
    back. `exact_texts` compares a text with every item."""

    backend: Literal["embedded", "postgres"]
    replicas: int = Field(ge=1)
    keep_generations: int = Field(ge=1)
    exact_texts: bool
    embedded: EmbeddedConfig
    postgres: PostgresConfig
    gate: GateConfig
