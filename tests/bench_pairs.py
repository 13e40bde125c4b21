"""`python -m tests.bench_pairs`: pairs from millions of impressions by the stage and by pandas, each in a process of its own.

Both read the same shards and write the same table; rows are compared. Prints Markdown for docs/benchmarks.md.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa

from components import schema
from components.contract import bind, read_params
from components.pairs.candidates import PairsConfig
from components.shards import read_shards, shard_paths, write_shards

NUM_SHARDS, NUM_SLOTS, NUM_ITEMS = 8, 12, 100_000
ROUNDS = 3


def write_impressions(folder: Path, num_rows: int, seed: int) -> None:
    """Pages of 12 slots, three in four of them searches, clicked less the lower they stand; every tenth item has no split."""
    rng = np.random.default_rng(seed)
    num_pages = num_rows // NUM_SLOTS
    page, slot = np.repeat(np.arange(num_pages), NUM_SLOTS), np.tile(np.arange(NUM_SLOTS, dtype=np.int32), num_pages)
    item = rng.integers(NUM_ITEMS, size=len(page))
    searched = np.repeat(rng.random(num_pages) < 0.75, NUM_SLOTS)
    clicked = rng.random(len(page)) < 0.12 / (1 + slot) ** 0.6
    ts = pa.array((1_700_000_000_000_000 + page * 1_000_000).astype("datetime64[us]")).cast(schema.UTC_TIME)
    of_pages = {
        "request_id": pa.array([f"r-{n:09d}" for n in range(num_pages)]).take(pa.array(page)),
        "ts": ts,
        "surface": pa.array(np.where(searched, "search", "similar")),
        "platform": pa.array(np.full(len(page), "web")),
        "user_id": pa.array([f"u-{n:05d}" for n in range(20_000)]).take(pa.array(page % 20_000)),
        "query": pa.array(np.where(searched, "coat", "")),
        "source_item_id": pa.nulls(len(page), pa.string()),
    }
    of_items = {
        "item_id": pa.array([f"i-{n:07d}" for n in range(NUM_ITEMS)]).take(pa.array(item)),
        "position": pa.array(slot),
        "price": pa.array(np.exp(rng.normal(8, 0.4, size=len(page)))),
        "clicked": pa.array(clicked),
        "purchased": pa.array(clicked & (rng.random(len(page)) < 0.1)),
        "release_id": pa.array(np.full(len(page), "legacy")),
        "simulated": pa.array(np.ones(len(page), bool)),
    }
    table = pa.table({**of_pages, **of_items}, schema=schema.IMPRESSIONS)
    write_shards(folder / "impressions", table, schema.IMPRESSIONS, NUM_SHARDS, key="request_id")
    sides = np.array(["train", "val", "test"])[rng.choice(3, size=NUM_ITEMS, p=[0.7, 0.1, 0.2])]
    known = [n for n in range(NUM_ITEMS) if n % 10]
    rows = [{"item_id": f"i-{n:07d}", "split": str(sides[n]), "group": f"g-{n}"} for n in known]
    write_shards(folder / "splits", pa.Table.from_pylist(rows, schema.SPLITS), schema.SPLITS, NUM_SHARDS)


def by_stage(folder: Path, out: Path, cfg: PairsConfig) -> None:
    """The stage itself."""
    from components.pairs.component import pairs

    pairs(folder / "impressions", folder / "splits", out, cfg=cfg)


def by_pandas(folder: Path, out: Path, cfg: PairsConfig) -> None:
    """The same rules in pandas, as one would write them: columns pruned, joins on keys, no loop over rows."""
    import pandas as pd

    def read(name: str, columns: list[str]) -> pd.DataFrame:
        return pd.concat([pd.read_parquet(path, columns=columns) for path in shard_paths(folder / name)], ignore_index=True)

    shown = read("impressions", ["request_id", "surface", "item_id", "position", "price", "clicked"])
    shown = shown[shown["surface"] == "search"].drop(columns="surface")
    shown = shown.merge(read("splits", ["item_id", "split"]), on="item_id", how="left").rename(columns={"item_id": "item"})
    renamed = {role: {name: f"{role}_{name}" for name in ("item", "position", "price", "split")} for role in ("clicked", "skipped")}
    clicks = shown[shown["clicked"]].drop(columns="clicked").rename(columns=renamed["clicked"])
    skips = shown[~shown["clicked"]].drop(columns="clicked").rename(columns=renamed["skipped"])
    last = clicks.groupby("request_id")["clicked_position"].max().rename("last_click")
    near = skips.merge(clicks, on="request_id").merge(last, on="request_id")
    near["position_gap"] = near["clicked_position"] - near["skipped_position"]
    near["distance"] = near["position_gap"].abs()
    near = near[(near["distance"] <= cfg.position_window) & (near["clicked_item"] != near["skipped_item"])]
    prices = near[["clicked_price", "skipped_price"]]
    near["price_ratio"] = prices.max(axis=1) / prices.min(axis=1)
    near["examined"] = cfg.continuation ** (near["skipped_position"] - near["last_click"]).clip(lower=0)
    near = near[(near["clicked_split"] == near["skipped_split"]) & (near["price_ratio"] <= cfg.max_price_ratio)]
    order = ["examined", "distance", "price_ratio", "clicked_position", "skipped_position", "clicked_item", "skipped_item"]
    near = near.sort_values(["request_id", *order], ascending=[True, False, *[True] * 6])
    if cfg.max_per_request:
        near = near[near.groupby("request_id").cumcount() < cfg.max_per_request]
    near["weight"] = near["examined"] / near.groupby("request_id")["examined"].transform("size")
    near["weight"] /= near["weight"].mean()
    near = near.rename(columns={"clicked_split": "split"})
    table = pa.Table.from_pandas(near[schema.PAIRS.names], schema.PAIRS, preserve_index=False)
    write_shards(out, table, schema.PAIRS, NUM_SHARDS, key="request_id")


SIDES = {"stage": by_stage, "pandas": by_pandas}


def measured(side: str, folder: Path) -> dict[str, float]:
    """CPU seconds and peak memory of a fresh process that makes the pairs one way."""
    command = [sys.executable, "-m", "tests.bench_pairs", "--side", side, "--folder", str(folder)]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def peak_mib() -> float:
    """This process's own peak: getrusage's would hold its parent's too, from before the program was loaded."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def rows_of(folder: Path) -> pa.Table:
    """The pairs in one order, weights to nine digits: sums in another order differ in the last bits."""
    table = read_shards(folder).sort_by([(name, "ascending") for name in ("request_id", "clicked_item", "skipped_item")])
    weight = pa.compute.round(table["weight"], 9)
    return table.set_column(table.schema.get_field_index("weight"), "weight", weight)


def compare(num_rows: int, seed: int) -> None:
    """The table of both sides, alternating, and whether their rows are the same."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        write_impressions(folder, num_rows, seed)
        runs = [(side, measured(side, folder)) for _ in range(ROUNDS) for side in SIDES]
        ours, theirs = (rows_of(folder / side) for side in SIDES)
        print(f"{num_rows:,} impressions, {ours.num_rows:,} pairs, rows identical: {ours.equals(theirs)}\n")
    print("| | CPU seconds | peak memory (MiB) |\n|---|---|---|")
    best = {side: {name: min(run[name] for s, run in runs if s == side) for name in ("cpu_s", "peak_mib")} for side in SIDES}
    for side, one in best.items():
        print(f"| {side} | {one['cpu_s']:.1f} | {one['peak_mib']:.0f} |")
    ratios = [best["stage"][name] / best["pandas"][name] for name in ("cpu_s", "peak_mib")]
    print(f"| stage / pandas | {ratios[0]:.2f} | {ratios[1]:.2f} |")


def main() -> None:
    """Compares, or, as a child, makes the pairs one way and says what it took."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side", choices=list(SIDES))
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    if not asked.side:
        return compare(asked.rows, asked.seed)
    SIDES[asked.side](asked.folder, asked.folder / asked.side, bind(PairsConfig, "pairs", read_params()))
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu_s": used.ru_utime + used.ru_stime, "peak_mib": peak_mib()}))


if __name__ == "__main__":
    main()
