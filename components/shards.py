"""Tables as parquet shards placed by a hash of their key, and the work cache that lets a stage work only on what changed."""

import hashlib
import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from components.errors import BadData
from components.objects import FolderStore

log = logging.getLogger("vitrine")

MAX_SEGMENTS = 16


def shard_of(key: str, num_shards: int) -> int:
    """The shard of `key`, in [0, num_shards): sha256(key) mod num_shards, so a row's place depends on nothing but its key."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest(), "big") % num_shards


def shard_name(index: int) -> str:
    """File name of a shard."""
    return f"shard-{index:05d}.parquet"


def write_table(path: Path, table: pa.Table, schema: pa.Schema) -> None:
    """Writes one parquet file whose bytes depend on the table alone. Raises BadData where the table does not fit the schema."""
    try:
        table = table.select(schema.names).cast(schema)
        table.validate(full=False)
    except (KeyError, pa.ArrowInvalid, ValueError) as error:
        raise BadData(f"{path.name}: the table does not fit its schema: {error}") from None
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, compression="zstd", write_statistics=True)


def write_shards(folder: Path, table: pa.Table, schema: pa.Schema, num_shards: int, *, key: str = "item_id") -> None:
    """Writes `num_shards` files below `folder`, empty ones included; rows keep their order within a shard."""
    rows: list[list[int]] = [[] for _ in range(num_shards)]
    for row, value in enumerate(table.column(key).to_pylist()):
        rows[shard_of(value, num_shards)].append(row)
    for index, members in enumerate(rows):
        write_table(folder / shard_name(index), table.take(pa.array(members, pa.int64())), schema)


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a table, in order. Raises BadData where the folder holds none."""
    paths = sorted(folder.glob("shard-*.parquet"))
    if not paths:
        raise BadData(f"{folder} holds no shards (shard-*.parquet)")
    return paths


def read_shards(folder: Path, columns: list[str] | None = None) -> pa.Table:
    """The whole table, shards in order."""
    return pa.concat_tables([pq.read_table(path, columns=columns) for path in shard_paths(folder)])


@dataclass
class Pack:
    """Finished work by content key, for one shard or one small stage.

    Kept as immutable segments named by the sha256 of their bytes, so that a kill loses at most what was not flushed and a damaged
    segment is recognised, dropped and its work done again.
    """

    store: FolderStore
    prefix: str
    entries: dict[str, bytes] = field(default_factory=dict)
    fresh: dict[str, bytes] = field(default_factory=dict)
    reused: int = 0
    recomputed: int = 0

    def __post_init__(self) -> None:
        keys = list(self.store.keys(self.prefix))
        for key in keys:
            self._load(key)
        if len(keys) > MAX_SEGMENTS:
            self._compact(keys)

    def _load(self, key: str) -> None:
        data = self.store.get(key)
        if data is None:
            return
        if hashlib.sha256(data).hexdigest() != Path(key).stem:
            log.warning("work cache: %s is damaged; dropped, its rows are worked on again", key)
            self.store.delete(key)
            return
        table = pq.read_table(pa.BufferReader(data))
        self.entries.update(zip(table["key"].to_pylist(), table["value"].to_pylist(), strict=True))

    def _compact(self, keys: Iterable[str]) -> None:
        whole = self._write(self.entries)
        for key in keys:
            if key != whole:
                self.store.delete(key)

    def _write(self, entries: dict[str, bytes]) -> str:
        names = sorted(entries)
        table = pa.table({"key": pa.array(names, pa.string()), "value": pa.array([entries[n] for n in names], pa.binary())})
        sink = pa.BufferOutputStream()
        pq.write_table(table, sink, compression="zstd")
        data = sink.getvalue().to_pybytes()
        key = f"{self.prefix}/{hashlib.sha256(data).hexdigest()}.parquet"
        self.store.put(key, data)
        return key

    def get(self, key: str) -> bytes | None:
        """The value kept under the content key, or None; either way it is counted."""
        value = self.entries.get(key)
        if value is None:
            self.recomputed += 1
        else:
            self.reused += 1
        return value

    def put(self, key: str, value: bytes) -> None:
        """Keeps a value from the next flush on."""
        self.entries[key] = value
        self.fresh[key] = value

    def flush(self) -> None:
        """Makes everything put so far survive a kill."""
        if self.fresh:
            self._write(self.fresh)
            self.fresh = {}


@dataclass
class WorkCache:
    """Finished work that outlives a stage's outs. `identity` holds what else a value depends on: code, params, model."""

    store: FolderStore
    stage: str
    identity: tuple[str, ...]
    packs: list[Pack] = field(default_factory=list)

    @property
    def prefix(self) -> str:
        """Folder of this stage and identity."""
        return f"{self.stage}/{hashlib.sha256(chr(0).join(self.identity).encode()).hexdigest()[:32]}"

    def pack(self, name: str) -> Pack:
        """The pack called `name`, usually a shard's stem."""
        pack = Pack(self.store, f"{self.prefix}/{name}")
        self.packs.append(pack)
        return pack

    def log_use(self) -> None:
        """Says how much work was reused and how much was done; outs never hold these counts."""
        reused, recomputed = sum(p.reused for p in self.packs), sum(p.recomputed for p in self.packs)
        log.info("%s: %d reused from the work cache, %d worked on", self.stage, reused, recomputed)


def default_store() -> FolderStore:
    """The workspace's own work cache."""
    return FolderStore(Path(".vitrine") / "cache")


def batched_shards(folder: Path) -> Iterator[tuple[str, pa.Table]]:
    """Each shard's stem and table, one in memory at a time."""
    for path in shard_paths(folder):
        yield path.stem, pq.read_table(path)
