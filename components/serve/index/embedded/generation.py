"""A generation in this process: durable in its journal, searched in memory, compacted in a thread of its own while both go on."""

import datetime as dt
import heapq
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from components.errors import BadState
from components.serve.index import checks
from components.serve.index.drawing import drawn
from components.serve.index.embedded.codec import from_bytes, microseconds, to_bytes, vector_from_bytes, vector_to_bytes
from components.serve.index.embedded.compaction import Compaction, Compactions
from components.serve.index.embedded.held import Held
from components.serve.index.embedded.journal import Change, read_page
from components.serve.index.embedded.readers import Readers
from components.serve.index.generation import About
from components.serve.items import Filters, Hit, Placed
from components.serve.problems import Refused

QUANTILES_TTL_S = 30.0
COMPACTION_S = 5.0  # about; what a refused writer is told to wait
PERCENTILES = np.arange(101)

log = logging.getLogger("vitrine")

T = TypeVar("T")


@dataclass
class Quantiles:
    """The last percentiles of the Image Scores, and when they were computed."""

    values: np.ndarray = field(default_factory=lambda: np.empty(0, np.float32))
    at_s: float = float("-inf")


class EmbeddedGeneration:
    """See components.serve.index.generation.Generation; every method is called in the event loop."""

    def __init__(self, held: Held, readers: Readers, compactions: Compactions) -> None:
        self.held, self.readers, self.compaction = held, readers, Compaction(compactions, held)
        self._quantiles = Quantiles()

    @property
    def about(self) -> About:
        """Its identity."""
        return self.held.journal.about

    async def search(self, vector_D: np.ndarray, k: int, filters: Filters, *, fingerprint: str, exact: bool = False) -> list[Hit]:
        """The nearest items; in this thread where that takes well under a millisecond."""
        checks.same_space(fingerprint, self.about)
        query_D = checks.query(vector_D, k, filters, self.about)
        if not self.held.memory.is_dear(k, filters, exact):
            return self.held.memory.view(kept=False).search(query_D, k, filters, exact)
        view = self.held.memory.view(kept=True)
        return await self.readers.run(lambda: view.search(query_D, k, filters, exact))

    async def get(self, item_id: str) -> Placed | None:
        """The item, from memory."""
        return self.held.memory.get(checks.text(item_id, "item_id"))

    async def put(self, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """How many of the rows were taken, once they are durable."""
        return await self._write(rows, fingerprint, wins_ties=True)

    async def fill(self, rows: Sequence[Placed], *, fingerprint: str) -> int:
        """As put(), but what stands there stays unless it is older."""
        return await self._write(rows, fingerprint, wins_ties=False)

    async def _write(self, rows: Sequence[Placed], fingerprint: str, *, wins_ties: bool) -> int:
        checks.same_space(fingerprint, self.about)
        checked = checks.rows(rows, self.about)
        if self.about.complete and self.held.memory.num_changes + len(checked) > self.held.cfg.max_changes:
            raise Refused("overloaded", f"{self.held.memory.num_changes} changes wait to be compacted already", retry_after_s=COMPACTION_S)
        changes = [_change(row, wins_ties) for row in checked]

        def applied(seqs: list[int]) -> int:
            for row, seq in zip(checked, seqs, strict=True):
                if seq:
                    self.held.memory.put(row)
            self._applied(seqs)
            return sum(seq > 0 for seq in seqs)

        taken: int = await self.held.commits.write(changes, applied) if changes else 0
        return taken

    async def delete(self, item_id: str, at: dt.datetime) -> bool:
        """True where the item was there; remembered either way."""
        change = Change(checks.text(item_id, "item_id"), microseconds(checks.utc(at, "the time of a deletion")))

        def applied(seqs: list[int]) -> bool:
            was_there = seqs[0] > 0 and self.held.memory.remove(item_id)
            self._applied(seqs)
            return was_there

        gone: bool = await self.held.commits.write([change], applied)
        return gone

    def _applied(self, seqs: list[int]) -> None:
        self.held.seq = max(self.held.seq, *seqs)
        self.compaction.if_due()

    async def count(self) -> int:
        """How many items can be found."""
        return len(self.held.memory.columns.slot_of)

    async def sample(self, n: int, seed: int) -> list[Placed]:
        """The n items whose ids hash lowest with the seed."""
        ids = self.held.memory.columns.slot_of
        chosen = await self.readers.run(lambda: heapq.nsmallest(n, list(ids), key=lambda item_id: drawn(item_id, seed)))
        return [row for item_id in chosen if (row := self.held.memory.get(item_id)) is not None]

    async def page(self, after: str | None, limit: int) -> list[Placed]:
        """The next items, from the journal, which keeps them in order."""

        def read() -> list[Placed]:
            found = read_page(self.held.journal.path, after, limit, "row, vector")
            return [Placed(item, vector_from_bytes(vector), score) for row, vector in found for item, score in [from_bytes(row)]]

        return await self._read(read, after)

    async def item_ids(self, after: str | None, limit: int) -> list[str]:
        """The next ids, from the journal."""
        return await self._read(lambda: [str(found[0]) for found in read_page(self.held.journal.path, after, limit, "item_id")], after)

    async def _read(self, read: Callable[[], T], after: str | None) -> T:
        if after is not None:
            checks.text(after, "item_id")
        if self.held.closed:
            raise Refused("release_unknown", f"generation {self.about.name} was dropped or closed")
        try:
            return await self.readers.run(read)
        except BadState as error:
            log.error("index: %s", error)
            raise Refused("index_failed", f"generation {self.about.name} could not be read from its journal") from None

    async def score_quantiles(self) -> np.ndarray:
        """(101,) as of half a minute ago at most."""
        if time.monotonic() - self._quantiles.at_s > QUANTILES_TTL_S:
            view = self.held.memory.view(kept=True)
            scores = view.columns.scores[: len(view.alive)]
            self._quantiles = Quantiles(await self.readers.run(lambda: _percentiles(scores[view.alive])), time.monotonic())
        return self._quantiles.values

    async def complete(self) -> None:
        """Has everything in the base, on disk too, and the generation complete."""
        await self.compaction.run()
        await self.held.commits.run(self.held.journal.complete)

    async def close(self) -> None:
        """Lets go of the journal after what waits was written."""
        if not self.held.closed:
            self.held.closed = True
            await self.compaction.ended()
            await self.held.commits.close()


def _change(row: Placed, wins_ties: bool) -> Change:
    return Change(row.item.item_id, microseconds(row.item.updated_at), to_bytes(row), vector_to_bytes(row.vector), wins_ties)


def _percentiles(scores: np.ndarray) -> np.ndarray:
    return np.percentile(scores, PERCENTILES) if len(scores) else np.empty(0, np.float64)
