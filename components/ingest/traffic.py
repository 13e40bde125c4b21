"""The log of a shop: impressions and clicks out of many files into shards, one shard in memory at a time."""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components import schema
from components.ingest import clicks as clicked
from components.ingest import pages
from components.ingest.account import Account
from components.ingest.admit import text_of
from components.ingest.clicks import SLOT
from components.ingest.spill import TableSpill
from components.ingest.window import Window, placed
from components.progress import track
from components.shards import shard_name, write_table

EXTRA = [pa.field("_day", pa.date32()), pa.field("_text_fault", pa.string())]
IDS = ("item_id", "source_item_id")

Files = Iterable[tuple[dt.date, pa.Table]]


def spilled_schema(table: str) -> pa.Schema:
    """The table's columns, the day its file was written, and what is wrong with its text."""
    return pa.schema([*schema.EVENTS[table], *EXTRA])


@dataclass
class Traffic:
    """Rows of the window and the sample, by request. `older` are the slots of pages before the window, `shown` the items that kept
    rows name."""

    window: Window
    scratch: Path
    num_shards: int
    impressions: Account = field(default_factory=Account)
    clicks: Account = field(default_factory=Account)
    shown: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._pages = TableSpill(self.scratch, spilled_schema("impressions"), self.num_shards)
        self._clicks = TableSpill(self.scratch, spilled_schema("clicks"), self.num_shards)
        self._older = TableSpill(self.scratch, pa.schema([spilled_schema("impressions").field(name) for name in SLOT]), self.num_shards)

    def take(self, impressions: Files, clicks: Files) -> None:
        """Reads every file once."""
        for day, table in impressions:
            self._take(_cleaned(table, day), self.impressions, self._pages, self._older)
        for day, table in clicks:
            self._take(_cleaned(table, day), self.clicks, self._clicks, None)

    def _take(self, table: pa.Table, account: Account, spill: TableSpill, older: TableSpill | None) -> None:
        home = placed(table["request_id"], self.num_shards, self.window.share)
        past = _past(table["ts"], self.window) & home.sampled_N if older else np.zeros(table.num_rows, bool)
        kept = home.sampled_N & ~past
        account.rows_in += table.num_rows
        account.not_sampled += int((~home.sampled_N).sum())
        account.past_retention += int(past.sum())
        spill.add(table.filter(pa.array(kept)), home.shard_N[kept])
        if older:
            older.add(table.select(SLOT).filter(pa.array(past)), home.shard_N[past])
            self._note_shown(table.filter(pa.array(kept)))

    def _note_shown(self, table: pa.Table) -> None:
        due = table.filter(pc.less_equal(table["ts"], pa.scalar(self.window.as_of, schema.UTC_TIME)))
        for name in IDS:
            self.shown.update(value for value in pc.unique(due[name]).to_pylist() if value)

    def write(self, items: pages.Items, max_price: float, impressions: Path, quarantine: Path) -> None:
        """Writes impressions, with what was clicked, and the quarantine of both tables."""
        with (
            pq.ParquetWriter(quarantine / "impressions.parquet", schema.QUARANTINE, compression="zstd") as bad_pages,
            pq.ParquetWriter(quarantine / "clicks.parquet", schema.QUARANTINE, compression="zstd") as bad_clicks,
        ):
            for index in track(range(self.num_shards), self.num_shards, "shards of impressions"):
                shown, done = self._judged(index, items, max_price)
                bad_pages.write_table(_quarantined(shown, "impressions"))
                bad_clicks.write_table(_quarantined(done, "clicks"))
                kept = shown.filter(pl.col("reason").is_null(), ~pl.col("left_out"))
                write_table(impressions / shard_name(index), _table(clicked.credited(kept, clicked.effective(done))), schema.IMPRESSIONS)

    def _judged(self, index: int, items: pages.Items, max_price: float) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The shard's impressions and clicks until as_of, judged and counted."""
        seen, late = _until(pages.distinct(_frame(self._pages.shard(index))), self.window, self.impressions)
        shown = pages.judged(seen, items, self.window, max_price)
        _count_pages(shown, self.impressions)
        done, _ = _until(clicked.distinct(_frame(self._clicks.shard(index))), self.window, self.clicks)
        done = clicked.judged(done, clicked.fates(shown, late, _frame(self._older.shard(index))), self.window)
        _count_clicks(done, self.clicks)
        return shown, done


def _past(times: pa.ChunkedArray, window: Window) -> np.ndarray:
    """Rows of before the window, but none that are of before the shop: those are at fault. (N,)"""
    early = pc.less(times, pa.scalar(window.start, schema.UTC_TIME))
    sound = pc.greater_equal(times, pa.scalar(window.opened, schema.UTC_TIME))
    return np.asarray(pc.fill_null(pc.and_(early, sound), False))


def _cleaned(table: pa.Table, day: dt.date) -> pa.Table:
    """The table with EXTRA: text that is not UTF-8 is escaped and named, and item ids are as listings have them."""
    fault = pa.nulls(table.num_rows, pa.string())
    for place, column in enumerate(table.schema):
        if pa.types.is_string(column.type):
            texts, fault = _utf8(table[column.name], column.name, fault)
            table = table.set_column(place, column, _as_listed(texts) if column.name in IDS else texts)
    days = pa.array([day], pa.date32()).take(pa.array(np.zeros(table.num_rows, np.int64)))
    return table.append_column(EXTRA[0], days).append_column(EXTRA[1], fault)


def _utf8(texts: pa.ChunkedArray, name: str, fault: pa.Array) -> tuple[pa.ChunkedArray, pa.Array]:
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        raw = texts.cast(pa.binary()).to_pylist()
        fixed = [None if one is None else one.decode("utf-8", "backslashreplace") for one in raw]
        bad = [one is not None and text is not None and one != text.encode() for one, text in zip(raw, fixed, strict=True)]
        fault = pc.if_else(pa.array(bad), pa.scalar(f"{name} holds bytes that are not UTF-8"), fault)
        return pa.chunked_array([pa.array(fixed, pa.string())]), fault
    return texts, fault


def _as_listed(ids: pa.ChunkedArray) -> pa.ChunkedArray:
    coded = ids.combine_chunks().dictionary_encode()
    plain = [text_of(one) or "" for one in coded.dictionary.to_pylist()]
    return pa.chunked_array([pa.array(plain, pa.string()).take(coded.indices)])


def _frame(table: pa.Table) -> pl.DataFrame:
    frame = pl.from_arrow(table)
    assert isinstance(frame, pl.DataFrame)
    return frame


def _until(rows: pl.DataFrame, window: Window, account: Account) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows until as_of and the later ones, which are counted as held back; further copies of either are counted as repeated."""
    account.repeated += int((rows["_copies"] - 1).sum())
    late = rows.filter(pages.is_late(window))
    account.held_back += len(late)
    return rows.filter(~pages.is_late(window)), late


def _count_pages(shown: pl.DataFrame, account: Account) -> None:
    left_out, quarantined = int(shown["left_out"].sum()), len(shown) - shown["reason"].null_count()
    account.left_out += left_out
    account.quarantined += quarantined
    account.rows_out += len(shown) - left_out - quarantined


def _count_clicks(done: pl.DataFrame, account: Account) -> None:
    sound = done.filter(pl.col("reason").is_null())
    effective = len(clicked.effective(done))
    fates = dict(sound["fate"].value_counts().iter_rows())
    account.quarantined += len(done) - len(sound)
    account.rows_out += effective
    account.repeated += fates.get(clicked.KEPT, 0) - effective
    account.held_back += fates.get(clicked.HELD_BACK, 0)
    account.past_retention += fates.get(clicked.PAST_RETENTION, 0)
    account.left_out += fates.get(clicked.LEFT_OUT, 0) + fates.get(clicked.QUARANTINED, 0)


def _quarantined(rows: pl.DataFrame, table: str) -> pa.Table:
    """The rows at fault as schema.QUARANTINE, in an order that their content gives."""
    told = pl.struct(schema.EVENTS[table].names).struct.json_encode()
    bad = rows.filter(pl.col("reason").is_not_null())
    kept = bad.select(pl.col("request_id").fill_null("").alias("key"), "reason", "detail", row=told, data=pl.lit(None, pl.Binary))
    return kept.sort("key", "reason", "row").to_arrow().cast(schema.QUARANTINE)


def _table(kept: pl.DataFrame) -> pa.Table:
    """Rows of schema.IMPRESSIONS in order of time, page and position."""
    ordered = kept.with_columns(pl.col("simulated").fill_null(False)).sort("ts", "request_id", "position")
    return ordered.select(schema.IMPRESSIONS.names).to_arrow().cast(schema.IMPRESSIONS)
