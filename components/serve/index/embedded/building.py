"""From the journal to memory at a start, and from memory to a new base and its snapshot while the gateway answers."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.neighbours import IndexConfig
from components.serve.index.embedded import base as bases
from components.serve.index.embedded import snapshot as snapshots
from components.serve.index.embedded.base import Base
from components.serve.index.embedded.codec import from_bytes, vector_from_bytes
from components.serve.index.embedded.columns import Columns
from components.serve.index.embedded.journal import Journal
from components.serve.index.embedded.memory import Memory, View, there
from components.serve.index.embedded.snapshot import Snapshot
from components.serve.items import Item, Placed

log = logging.getLogger("vitrine")


def load(folder: Path, journal: Journal, cfg: IndexConfig) -> Memory:
    """What the journal holds: the newest sound snapshot, and every change after it. Raises BadState where the journal is damaged."""
    snapshot = snapshots.read(folder, cfg.num_probes)
    columns = _columns_of(snapshot, journal) if snapshot else Columns()
    if snapshot and columns is None:
        log.warning("index: the snapshot in %s is of another journal, and is built again", folder)
        snapshots.remove_all(folder)
        snapshot, columns = None, Columns()
    assert columns is not None
    base = snapshot.base if snapshot else Base.over(bases.empty(journal.about.dim), cfg.num_probes, 0, 0)
    memory = Memory(base, columns, journal.about.dim)
    for row, vector in journal.changed_after(snapshot.seq if snapshot else 0):
        item, score = from_bytes(row)
        memory.put(Placed(item, vector_from_bytes(vector), score))
    return memory


def _columns_of(snapshot: Snapshot, journal: Journal) -> Columns | None:
    """Columns over the snapshot's slots; None where it does not hold what the journal says that it must."""
    slot_of = {item_id: slot for slot, item_id in enumerate(snapshot.item_ids)}
    kept: list[tuple[Item, float] | None] = [None] * len(slot_of)
    if snapshot.seq > journal.seq or snapshot.base.index.d != journal.about.dim or len(slot_of) != snapshot.base.count:
        return None
    for item_id, seq, row in journal.rows():
        if seq <= snapshot.seq:
            if item_id not in slot_of:
                return None
            kept[slot_of[item_id]] = from_bytes(row)
    return columns_over(kept)


def columns_over(kept: Sequence[tuple[Item, float] | None]) -> Columns:
    """Columns with each item and score in its place; None stands for a dead slot."""
    columns = Columns()
    for one in kept:
        if one is None:
            columns.append_dead()
        else:
            columns.append(*one)
    return columns


@dataclass(frozen=True)
class Rebuilt:
    """A base over what was alive in a view, its columns and item_ids, and the view's slot of each of its slots."""

    base: Base
    columns: Columns
    item_ids: list[str]
    slots: np.ndarray


def rebuilt(view: View, cfg: IndexConfig) -> Rebuilt:
    """What a compaction puts in the place of the view."""
    slots = np.flatnonzero(view.alive)
    num_new = int((slots >= view.base.count).sum())
    base = bases.build(view.changes.dim, len(slots), lambda places: view.vectors(slots[places]), cfg, view.base, num_new)
    kept = [(view.item(slot), float(view.columns.scores[slot])) for slot in slots.tolist()]
    return Rebuilt(base, columns_over(kept), [item.item_id for item, _ in kept], slots)


def carried_over(before: Memory, view: View, built: Rebuilt) -> Memory:
    """The memory over what a compaction built from a view, with all that was written since."""
    memory = Memory(built.base, built.columns, before.changes.dim)
    for old in np.flatnonzero(~before.columns.alive[built.slots]).tolist():
        memory.remove(built.item_ids[old])
    count = len(view.alive)
    for slot in (np.flatnonzero(before.columns.alive[count : before.columns.count]) + count).tolist():
        item, score = there(before.columns.items[slot]), float(before.columns.scores[slot])
        memory.put(Placed(item, before.changes.vector(slot - before.base.count), score))
    return memory
