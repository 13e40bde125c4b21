"""What the monitoring would be told of a simulated day beside its rows: clicks, and answers to questions whose answers are known.

Q quiet cards, B probes, M altered copies, F cards near one, R rows, P pages, K slots.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from components.calibrator import Calibrator
from components.ingest.shoppers import attraction, examination
from monitoring.extras import Extras
from monitoring.rehearsal.config import QuietConfig
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.quiet import Drawn
from monitoring.rehearsal.rows import missing_share, scores_of
from monitoring.rehearsal.year import Year

NUM_NEIGHBOURS = 10
FAR_ENOUGH = 80
LAG_SHARE = 0.005  # of upserts, that even a sound index does not yet find when it is asked
ALIKE_SHARE = 0.03  # of upserts, that are found in an old index all the same, since the photo hardly changed
UPSERT_QUARTER = 4  # one in four of the altered copies is of an item that was written that day
ROUNDING = 1e-7
_ANSWERS, _PAGES = 7, 8


@dataclass(frozen=True)
class Pages:
    """The day's pages. `row_PK`: which of the day's rows stands in each slot; `shown_PK` leaves out a row whose photo the page has already;
    `clicked_PK`."""

    row_PK: np.ndarray
    shown_PK: np.ndarray
    clicked_PK: np.ndarray


def pages_of(pool: Pool, drawn: Drawn, seed: int, number: int, cfg: QuietConfig) -> Pages:
    """Pages of the items of the day's rows, and what shoppers click there, by the market's own click model.

    Relevance is luck; what counts is how good the photo truly is, not what the release says of it."""
    rng = np.random.default_rng([seed, _PAGES, number])
    listed, size = np.flatnonzero(drawn.listed), (cfg.pages_a_day, cfg.slots)
    row_PK = listed[rng.integers(len(listed), size=size)] if len(listed) else np.zeros((0, cfg.slots), np.int64)
    shown_PK = _first_of_its_kind(drawn.card[row_PK])
    appeal_PK = pool.number_of("appeal")[drawn.card[row_PK]]
    seen_PK = shown_PK & (rng.random(row_PK.shape) < examination(np.arange(cfg.slots), pool.click))
    wanted_PK = rng.random(row_PK.shape) < attraction(rng.beta(2, 2, row_PK.shape), appeal_PK, pool.click)
    return Pages(row_PK, shown_PK, seen_PK & wanted_PK)


def _first_of_its_kind(card_PK: np.ndarray) -> np.ndarray:
    """(P, K) where a card stands for the first time in its row."""
    order_PK = np.argsort(card_PK, axis=1, kind="stable")
    sorted_PK = np.take_along_axis(card_PK, order_PK, axis=1)
    fresh_PK = np.ones(card_PK.shape, bool)
    fresh_PK[:, 1:] = sorted_PK[:, 1:] != sorted_PK[:, :-1]
    first_PK = np.empty_like(fresh_PK)
    np.put_along_axis(first_PK, order_PK, fresh_PK, axis=1)
    return first_PK


@dataclass(frozen=True)
class Asking:
    """The questions of one simulated shop."""

    pool: Pool
    year: Year
    cfg: QuietConfig

    def extras(
        self, drawn: Drawn, rows: pa.Table, pages: Pages, number: int, calibrator: Calibrator | None, stale_since: int | None
    ) -> Extras:
        """What the day's answers are; with `stale_since`, the index is the one of the day before."""
        rng = np.random.default_rng([self.year.seed, _ANSWERS, number])
        known = self.pool.known
        scores_PK = scores_of(self.pool, drawn.card[pages.row_PK], calibrator)
        stale = stale_since is not None and number >= stale_since
        indexed_Q = self.year.on_sale(stale_since - 1 if stale and stale_since is not None else number)
        num_found, num_asked = self._self_retrieval(indexed_Q, number, stale, rng)
        return Extras(
            clicked_scores=scores_PK[pages.clicked_PK],
            skipped_scores=scores_PK[pages.shown_PK & ~pages.clicked_PK],
            anchor_scores=known.anchor_scores if calibrator is None else calibrator(known.anchor_scores),
            anchor_targets=known.anchor_targets,
            golden_cosine=known.golden_cosine - np.abs(rng.normal(0, ROUNDING, len(known.golden_cosine))).astype(np.float32),
            probe_neighbours=self._neighbours(indexed_Q),
            num_augmented=num_asked,
            num_self_retrieved=num_found,
            num_upserts=self.cfg.upserts_a_day,
            num_findable=int(rng.binomial(self.cfg.upserts_a_day, ALIKE_SHARE if stale else 1 - LAG_SHARE)),
            missing_share=missing_share(rows),
        )

    def _self_retrieval(self, indexed_Q: np.ndarray, number: int, stale: bool, rng: np.random.Generator) -> tuple[int, int]:
        """How many altered copies of items on sale find their own item among the first ten, of how many that were asked about."""
        copied = self.pool.known.copied
        on_sale = np.flatnonzero(self.year.on_sale(number)[copied])
        asked = on_sale[rng.integers(len(on_sale), size=self.cfg.num_asked)] if len(on_sale) else on_sale
        near_MF = self._near_copies[asked]
        before_MF = np.cumsum(near_MF == copied[asked][:, None], axis=1) == 0
        ahead = (indexed_Q[near_MF] & before_MF).sum(axis=1)
        found = indexed_Q[copied[asked]] & ~before_MF[:, -1] & (ahead < NUM_NEIGHBOURS)
        written_today = np.arange(len(asked)) % UPSERT_QUARTER == 0
        return int((found & ~(written_today & stale)).sum()), len(asked)

    def _neighbours(self, indexed_Q: np.ndarray) -> dict[str, tuple[str, ...]]:
        """The nearest items of each probe, which is on sale all year, itself left out."""
        ids, found = self._item_ids, {}
        for probe, near in zip(self._probes.tolist(), self._near_probes, strict=True):
            there = near[indexed_Q[near] & (near != probe)][:NUM_NEIGHBOURS]
            found[ids[probe]] = tuple([ids[row] for row in there.tolist()])
        return found

    @cached_property
    def _item_ids(self) -> list[str]:
        return list(self.pool.cards["item_id"][: self.pool.num_quiet].to_pylist())

    @cached_property
    def _probes(self) -> np.ndarray:
        """(B,) quiet cards that are on sale from the first day on."""
        always = np.flatnonzero(self.year.listed <= 0)
        return always[:: max(1, len(always) // self.cfg.num_probes)][: self.cfg.num_probes]

    @cached_property
    def _near_probes(self) -> np.ndarray:
        return self._nearest(self.pool.vectors[self._probes])

    @cached_property
    def _near_copies(self) -> np.ndarray:
        return self._nearest(self.pool.known.copies)

    def _nearest(self, vectors: np.ndarray) -> np.ndarray:
        """(rows, F) the nearest quiet cards of the whole year, nearest first: enough that ten of them are on sale."""
        cosine = vectors @ self.pool.vectors[: self.pool.num_quiet].T
        return np.argsort(-cosine, axis=1, kind="stable")[:, :FAR_ENOUGH]
