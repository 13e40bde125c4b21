"""Finished work by content, so that a stage works again only on what changed.

The cache is invisible: outs made with it empty, warm or half-full are byte-equal, and what it says was reused stands in
runs/stages.jsonl, never in an out. `cache:` in params.yaml says where it is and how large it may grow; like `paths:`, it is no
section of a stage, since moving it changes no result.
"""

import hashlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from components import parquet_bytes
from components.contract import CACHE, Config, bind, read_params
from components.errors import StoreFailed
from components.objects import ObjectStore, Stored, open_store

log = logging.getLogger("vitrine")

MAX_SEGMENTS = 16
PAID = "paid"
TOUCH_AFTER_S = 24 * 3600.0  # on S3 each touch is an upload
GIB = 2**30


class CacheConfig(Config):
    """`url` is a folder or s3://bucket/prefix. Above max_gib, what was used longest ago is removed; answers paid for never are."""

    url: str
    max_gib: float = Field(gt=0)


def cache_config() -> CacheConfig:
    """The workspace's `cache:`. Raises BadParams or BadWorkspace."""
    return bind(CacheConfig, CACHE, read_params())


def default_store() -> ObjectStore:
    """The workspace's own work cache."""
    return open_store(cache_config().url)


@dataclass
class Pack:
    """Finished work by content key, for one shard or one small stage.

    Kept as immutable segments named by the sha256 of their bytes, so that a kill loses at most what was not flushed and a damaged
    segment is recognised, dropped and its work done again. `keep_all` holds on to entries that nobody asked for lately.
    """

    store: ObjectStore
    prefix: str
    keep_all: bool = False
    on_close: Callable[["Pack"], None] = lambda pack: None
    entries: dict[str, bytes] = field(default_factory=dict)
    fresh: dict[str, bytes] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    segments: list[str] = field(default_factory=list)
    reused: int = 0
    recomputed: int = 0

    def __post_init__(self) -> None:
        for one in list(self.store.stored(self.prefix)):
            self._load(one)

    def __enter__(self) -> "Pack":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.flush() if error else self.close()

    def _load(self, one: Stored) -> None:
        key, data = one.key, self.store.get(one.key)
        if data is None:
            return
        if hashlib.sha256(data).hexdigest() != _stem(key):
            log.warning("work cache: %s is damaged; dropped, its rows are worked on again", key)
            self.store.delete(key)
            return
        if one.modified_s < time.time() - TOUCH_AFTER_S:
            self.store.touch(key)
        self.segments.append(key)
        table = parquet_bytes.table_of(data)
        self.entries.update(zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True))

    def get(self, key: str) -> bytes | None:
        """The value kept under the content key, or None; either way it is counted."""
        value = self.entries.get(key)
        self.asked.add(key)
        if value is None:
            self.recomputed += 1
        else:
            self.reused += 1
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keeps a value from the next flush on."""
        self.asked.add(key)
        self.entries[key] = value
        self.fresh[key] = value

    def flush(self) -> None:
        """Makes everything put so far survive a kill."""
        if self.fresh:
            self.segments.append(self._write(self.fresh))
            self.fresh = {}

    def close(self) -> None:
        """Flushes, and where there are many segments makes them one, without the entries that this run had no use for."""
        self.flush()
        if len(self.segments) > MAX_SEGMENTS:
            whole = self._write({k: v for k, v in self.entries.items() if self.keep_all or k in self.asked})
            for key in self.segments:
                if key != whole:
                    self.store.delete(key)
            self.segments = [whole]
        self.on_close(self)
        self.entries = {}

    def _write(self, entries: Mapping[str, bytes]) -> str:
        names = sorted(entries)
        table = pa.table({"key": pa.array(names, pa.string()), "value": pa.array([entries[n] for n in names], pa.binary())})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        key = f"{self.prefix}/{hashlib.sha256(data).hexdigest()}.parquet"
        self.store.put(key, data)
        return key


def _stem(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


@dataclass
class Use:
    """What one process made of the work cache: rows reused and worked on, and what their values depended on."""

    reused: int = 0
    recomputed: int = 0
    identity: dict[str, str] = field(default_factory=dict)


_used: dict[str, Use] = {}


@dataclass
class WorkCache:
    """Finished work of one stage that outlives its outs.

    `identity` names what else a value depends on (code, params, model); a run that finds another identity works on every row again.
    Work that was `paid` for is kept whatever the size of the cache.
    """

    store: ObjectStore
    name: str
    identity: Mapping[str, str]
    paid: bool = False
    open_packs: list[Pack] = field(default_factory=list)
    use: Use = field(default_factory=Use)

    @property
    def prefix(self) -> str:
        """Folder of this stage and identity."""
        parts = json.dumps(dict(self.identity), sort_keys=True)
        own = f"{self.name}/{hashlib.sha256(parts.encode()).hexdigest()[:32]}"
        return f"{PAID}/{own}" if self.paid else own

    def pack(self, name: str) -> Pack:
        """The pack called `name`, usually a shard's stem. Closed when its shard is done, it gives its memory back."""
        pack = Pack(self.store, f"{self.prefix}/{name}", keep_all=self.paid, on_close=self._closed)
        self.open_packs.append(pack)
        return pack

    def _closed(self, pack: Pack) -> None:
        self.open_packs = [one for one in self.open_packs if one is not pack]
        self.use.reused += pack.reused
        self.use.recomputed += pack.recomputed

    def close(self) -> None:
        """Closes the packs and says how much work was reused and how much was done; outs never hold these counts."""
        for pack in list(self.open_packs):
            pack.close()
        log.info("%s: %d reused from the work cache, %d worked on", self.name, self.use.reused, self.use.recomputed)
        _used[self.name] = Use(self.use.reused, self.use.recomputed, dict(self.identity))
        self.use = Use()


def begin() -> None:
    """From here on, settle() answers for what is used; called where a process starts a stage."""
    _used.clear()


def settle(stage: str, last: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What this process reused and worked on in the cache named after the stage, and which parts of its identity are other than the
    `last` run's; under `beside`, the counts of its other caches. None where it used none. Afterwards the cache is within its size.
    """
    used = dict(_used)
    _used.clear()
    if not used:
        return None
    _trim_the_workspaces_own()
    own = used.pop(stage, Use())
    before = (last or {}).get("identity", {})
    changed = sorted(key for key in before.keys() & own.identity.keys() if before[key] != own.identity[key])
    beside = {name: {"reused": use.reused, "recomputed": use.recomputed} for name, use in sorted(used.items())}
    return {"reused": own.reused, "recomputed": own.recomputed, "changed": changed, "identity": own.identity, "beside": beside}


def _trim_the_workspaces_own() -> None:
    config = cache_config()
    try:
        trim(open_store(config.url), round(config.max_gib * GIB))
    except StoreFailed as error:  # the stage's outs are in place: too large a cache is no reason to lose them
        log.warning("work cache: not brought within cache.max_gib: %s", error)


def trim(store: ObjectStore, max_bytes: int, name: str = "work cache") -> list[Stored]:
    """What was removed, longest unused first, so that the rest is at most `max_bytes`; paid work is never removed, but counts."""
    there = list(store.stored())
    removed = list(_too_much(there, sum(one.num_bytes for one in there) - max_bytes))
    for one in removed:
        store.delete(one.key)
    if removed:
        freed_mb = sum(one.num_bytes for one in removed) / 1e6
        log.info("%s: removed %d objects (%.1f MB) to stay within cache.max_gib", name, len(removed), freed_mb)
    return removed


def _too_much(there: Iterable[Stored], excess: int) -> Iterable[Stored]:
    for one in sorted(there, key=lambda one: (one.modified_s, one.key)):
        if excess <= 0:
            return
        if not one.key.startswith(f"{PAID}/"):
            excess -= one.num_bytes
            yield one
