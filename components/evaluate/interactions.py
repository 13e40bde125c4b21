"""Held-out pages of similar items, to be ranked again: what was clicked should come first.

P = pages, L = items on the longest page. Only items of the held-out gallery are ranked, so that no vector was trained on.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.metrics import all_metrics
from components.shards import shard_paths

BLOCK_PAGES = 1024
COLUMNS = ["request_id", "surface", "user_id", "source_item_id", "item_id", "clicked", "simulated"]


@dataclass(frozen=True)
class Pages:
    """Similar-item pages of held-out items. shown_PL holds gallery positions, -1 past a page's end, in order of item_id, so that
    the order in which the page stood tells nothing."""

    source_P: np.ndarray
    user: list[str]
    shown_PL: np.ndarray
    clicked_PL: np.ndarray
    simulated: bool
    num_simulated_left_out: int = 0

    def usable(self, present_N: np.ndarray) -> np.ndarray:
        """bool (P,): pages that still have a clicked and a skipped item, and their source, among the present items."""
        there_PL = self._there(present_N)
        clicked_P, skipped_P = (there_PL & self.clicked_PL).any(axis=1), (there_PL & ~self.clicked_PL).any(axis=1)
        return np.asarray(clicked_P & skipped_P & present_N[self.source_P])

    def metrics(self, vector_ND: np.ndarray, present_N: np.ndarray) -> np.ndarray:
        """float64 (P, 3), a column for each of METRICS, by cosine to the source item; NaN for pages that are not usable."""
        blocks = [slice(start, start + BLOCK_PAGES) for start in range(0, len(self.source_P), BLOCK_PAGES)]
        values = [self._metrics(block, vector_ND, present_N) for block in blocks]
        value_PM = np.concatenate([np.zeros((0, 3)), *values])
        value_PM[~self.usable(present_N)] = np.nan
        return value_PM

    def _metrics(self, block: slice, vector_ND: np.ndarray, present_N: np.ndarray) -> np.ndarray:
        shown_PL, there_PL = self.shown_PL[block], self._there(present_N)[block]
        similar_PL = np.einsum("pld,pd->pl", vector_ND[shown_PL], vector_ND[self.source_P[block]])
        order_PL = np.argsort(np.where(there_PL, -similar_PL, np.inf), axis=1, kind="stable")
        clicked_PL = self.clicked_PL[block] & there_PL
        return all_metrics(np.take_along_axis(clicked_PL, order_PL, axis=1), clicked_PL.sum(axis=1))

    def _there(self, present_N: np.ndarray) -> np.ndarray:
        return np.asarray((self.shown_PL >= 0) & present_N[self.shown_PL])


def read_pages(impressions: Path, position: Mapping[str, int]) -> Pages:
    """The similar-item pages whose source is held out, with the held-out items they showed, where one was clicked and one skipped.

    Where any such page had a person behind it, simulated ones are left out and counted.
    """
    rows = pl.concat([_rows(path, position) for path in shard_paths(impressions)])
    pages = _pages(rows)
    real = pages.filter(~pl.col("simulated"))
    chosen = real if len(real) else pages
    width = max(chosen["item_id"].list.len().to_list(), default=1)
    return Pages(
        source_P=np.array([position[item] for item in chosen["source_item_id"]], np.int64),
        user=chosen["user_id"].to_list(),
        shown_PL=_padded([[position[item] for item in page] for page in chosen["item_id"].to_list()], width, -1),
        clicked_PL=_padded(chosen["clicked"].to_list(), width, 0).astype(bool),
        simulated=bool(len(chosen) and not len(real)),
        num_simulated_left_out=len(pages) - len(chosen),
    )


def _rows(path: Path, position: Mapping[str, int]) -> pl.DataFrame:
    table = pq.read_table(path, columns=COLUMNS)
    items = pa.array(sorted(position), pa.string())
    mask = pc.and_(pc.equal(table["surface"], "similar"), pc.is_in(table["source_item_id"], items))
    frame = pl.DataFrame(table.filter(pc.and_(mask, pc.is_in(table["item_id"], items))))
    return frame.filter(pl.col("item_id") != pl.col("source_item_id"))


def _pages(rows: pl.DataFrame) -> pl.DataFrame:
    keys = ["request_id", "user_id", "source_item_id"]
    shown = rows.group_by([*keys, "item_id"]).agg(pl.col("clicked").any(), pl.col("simulated").any()).sort([*keys, "item_id"])
    pages = shown.group_by(keys, maintain_order=True).agg("item_id", "clicked", pl.col("simulated").any())
    return pages.filter(pl.col("clicked").list.any() & ~pl.col("clicked").list.all())


def _padded(rows: list[list[int]], width: int, fill: int) -> np.ndarray:
    """int64 (rows, width), each row filled up at its end."""
    return np.array([[*row, *[fill] * (width - len(row))] for row in rows], np.int64).reshape(len(rows), width)
