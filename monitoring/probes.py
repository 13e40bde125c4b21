"""The probes of a day as rows of a table: what was asked whose answer is known, and what came back."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.schema import UTC_TIME
from monitoring.extras import Extras

GOLDEN, ANCHOR, COPY, UPSERT, NEIGHBOURS = "golden", "anchor", "copy", "upsert", "neighbours"

# Lies at probes/dt=YYYY-MM-DD/*.parquet, beside the predictions. `value` and `expected` by `kind`: golden: cosine, and 1; anchor: Image
# Score, and its target; copy and upsert: 1 where the item was found, else 0, and 1; neighbours: how many came, and as many, with `found`
# the items in order. A release that refuses a golden photo or an anchor has no number there. `release_id` is whose answer it is, null
# where that is not known.
PROBES = pa.schema(
    [
        pa.field("ts", UTC_TIME, nullable=False),
        pa.field("kind", pa.string(), nullable=False),
        pa.field("name", pa.string(), nullable=False),
        pa.field("value", pa.float32(), nullable=False),
        pa.field("expected", pa.float32(), nullable=False),
        pa.field("found", pa.list_(pa.string())),
        pa.field("release_id", pa.string()),
    ]
)


def probes_of(extras: Extras, at: dt.datetime) -> pa.Table:
    """What the extras say of the release and its index, asked at that time. Clicks and missing fields are in other tables."""
    ones = {COPY: (extras.num_self_retrieved, extras.num_augmented), UPSERT: (extras.num_findable, extras.num_upserts)}
    rows: list[tuple[str, str, float, float, list[str] | None]] = []
    rows += [(GOLDEN, f"{number:06d}", cosine, 1.0, None) for number, cosine in enumerate(extras.golden_cosine.tolist())]
    both = zip(extras.anchor_scores.tolist(), extras.anchor_targets.tolist(), strict=True)
    rows += [(ANCHOR, f"{number:06d}", score, target, None) for number, (score, target) in enumerate(both)]
    for kind, (num_found, num_asked) in ones.items():
        rows += [(kind, f"{number:06d}", float(number < num_found), 1.0, None) for number in range(num_asked)]
    rows += [(NEIGHBOURS, probe, len(found), len(found), list(found)) for probe, found in extras.probe_neighbours.items()]
    columns = list(zip(*rows, strict=True)) or [()] * 5
    arrays = [pa.array(column, field.type) for column, field in zip(columns, list(PROBES)[1:-1], strict=True)]
    return pa.table([pa.array([at] * len(rows), UTC_TIME), *arrays, pa.nulls(len(rows), pa.string())], schema=PROBES)


def extras_of(probes: pa.Table, release_id: str | None = None) -> Extras:
    """What rows of PROBES say. Where a probe was asked for its neighbours several times, the last answer counts; else all count.

    Where a release is given, what others answered is left out."""
    if release_id is not None:
        probes = probes.filter(pc.fill_null(pc.equal(probes["release_id"], release_id), True))
    by_kind = {kind: probes.filter(pc.equal(probes["kind"], kind)) for kind in (GOLDEN, ANCHOR, COPY, UPSERT, NEIGHBOURS)}
    values = {kind: rows["value"].to_numpy().astype(np.float32) for kind, rows in by_kind.items()}
    near = by_kind[NEIGHBOURS].sort_by("ts")
    return Extras(
        anchor_scores=values[ANCHOR],
        anchor_targets=by_kind[ANCHOR]["expected"].to_numpy().astype(np.float32),
        golden_cosine=values[GOLDEN],
        probe_neighbours={row["name"]: tuple(row["found"] or ()) for row in near.select(["name", "found"]).to_pylist()},
        num_augmented=len(values[COPY]),
        num_self_retrieved=int(values[COPY].sum()),
        num_upserts=len(values[UPSERT]),
        num_findable=int(values[UPSERT].sum()),
    )
