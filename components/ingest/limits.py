"""How much may be turned away before the run stops, and what it says then."""

import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.errors import BadData


@dataclass(frozen=True)
class Limits:
    """Shares in [0, 1] of the rows that had to be used or turned away: of all reasons together, called `knob` in params, and of each.
    Where one must be left, none is too few whatever the shares."""

    knob: str
    total: float
    of_reason: Mapping[str, float]
    one_must_be_left: bool = False

    def over(self, counts: Mapping[str, int], judged: int) -> tuple[str | None, float, str] | None:
        """The first limit passed: which reason (None for all together), the share allowed, and the knob that allows it."""
        turned = sum(counts.values())
        if turned > self.total * judged or (self.one_must_be_left and 0 < judged == turned):
            return None, self.total, self.knob
        for reason, share in sorted(self.of_reason.items()):
            if counts.get(reason, 0) > share * judged:
                return reason, share, f"ingest.max_share_of_reason.{reason}"
        return None


@dataclass(frozen=True)
class Turned:
    """Rows of quarantine, of tables of one kind: columns key, reason and detail, in their order."""

    rows: pa.Table

    @property
    def counts(self) -> dict[str, int]:
        """Rows by reason, sorted by name."""
        found = pc.value_counts(self.rows["reason"]).to_pylist()
        return dict(sorted((one["values"], one["counts"]) for one in found))

    def parted(self, reason: str) -> tuple["Turned", "Turned"]:
        """The rows of all other reasons, and those of this one."""
        is_one = pc.equal(self.rows["reason"], reason)
        return Turned(self.rows.filter(pc.invert(is_one))), Turned(self.rows.filter(is_one))

    def first(self, reason: str | None) -> str:
        """The first row, or the first with that reason, for people."""
        rows = self.rows if reason is None else self.rows.filter(pc.equal(self.rows["reason"], reason))
        key, why, detail = (str(rows[name][0].as_py()) for name in ("key", "reason", "detail"))
        return f"{key[:100]} ({why}: {detail[:200]})"


def turned_away(quarantine: Path, *tables: str) -> Turned:
    """What these tables of quarantine hold."""
    return Turned(pa.concat_tables([pq.read_table(quarantine / f"{name}.parquet", columns=["key", "reason", "detail"]) for name in tables]))


def stop_on(noun: str, judged: int, turned: Turned, limits: Limits, quarantine: Path, kept: Path) -> None:
    """Raises BadData, with a copy of quarantine in `kept`, where more of the `judged` rows were turned away than the limits allow."""
    counts = turned.counts
    over = limits.over(counts, judged)
    if over is None:
        return
    shutil.rmtree(kept, ignore_errors=True)
    shutil.copytree(quarantine, kept)
    reason, share, knob = over
    num = counts[reason] if reason else sum(counts.values())
    told = f" as {reason} (limit {100 * share:g} %)" if reason else f" (limit {100 * share:g} %): {_commonest(counts)}"
    raise BadData(
        f"{num:,} of {judged:,} {noun} were quarantined{told}. First: {turned.first(reason)}. They are in {kept}; "
        f"see docs/quarantine.md before raising {knob}."
    )


def _commonest(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count:,}" for reason, count in Counter(counts).most_common(5))
