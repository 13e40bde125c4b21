"""`make bench`, in a workspace after `make demo`: where time and memory went, what a run without work costs, and the figures.

Prints Markdown, so that docs/benchmarks.md can take it over as it is.
"""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any


def read(path: str) -> Any:
    """A JSON file of the workspace; says what to run where it is missing."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        sys.exit(f"{path} is missing: run `make demo` first")


def stages() -> None:
    """Seconds and peak memory by stage: the last run of each that did something."""
    last = {row["stage"]: row for row in map(json.loads, Path("runs/stages.jsonl").read_text().splitlines())}
    print("| stage | seconds | peak memory (MiB) |\n|---|---|---|")
    for row in last.values():
        print(f"| {row['stage']} | {row['seconds']:.1f} | {row['peak_memory_mib']} |")
    print(f"| all | {sum(r['seconds'] for r in last.values()):.0f} | {max(r['peak_memory_mib'] for r in last.values())} |")


def no_op(times: int = 3) -> None:
    """Seconds of a `dvc repro` that has nothing to do."""
    seconds = []
    for _ in range(times):
        started = time.monotonic()
        shown = subprocess.run([sys.executable, "-m", "dvc", "repro"], check=True, capture_output=True, text=True).stdout
        seconds.append(time.monotonic() - started)
        if "Running stage" in shown:
            sys.exit("dvc repro had something to do: run `make demo` to its end first")
    print(f"\n`dvc repro` without work: {', '.join(f'{s:.1f}' for s in seconds)} s")


def interval(cell: dict[str, float]) -> str:
    """A value with its interval."""
    return f"{cell['value']:.3f} [{cell['low']:.3f}, {cell['high']:.3f}]"


def encoder(report: dict[str, Any]) -> None:
    """Category nDCG@5 of every row, for all held-out items and by source."""
    sources = [name for name in report["encoder"] if name == "all" or "/" in name or name == "simulate"]
    for name in sources:
        found = report["encoder"][name].get("category", {})
        counts = report["encoder_counts"][name].get("category", {})
        print(f"\n{name}: category nDCG@5, {counts.get('num_queries')} queries of {counts.get('num_clusters')} owners\n")
        print("| row | value |\n|---|---|")
        for row, metrics in found.items():
            print(f"| {row} | {interval(metrics['ndcg_at_5'])} |")
    for stem, slices in report["share_of"].items():
        for name in sources:
            if share := slices.get(name, {}).get("category"):
                print(f"\nShare of {stem} reached on {name}: {share['share']:.2f} ({share['model']:.3f} of {share['external']:.3f})")


def image_score(report: dict[str, Any]) -> None:
    """Ordered pair accuracy of the score and its rivals against each reference."""
    for against, rows in report["image_score"].get("all", {}).items():
        print(f"\nImage Score, OPA against {against}\n\n| row | value | pairs |\n|---|---|---|")
        for row, cell in rows.items():
            print(f"| {row} | {interval(cell)} | {cell['num_pairs']} |")


def main() -> None:
    """Everything, in the order of docs/benchmarks.md."""
    report = read("reports/evaluate.json")
    stages()
    no_op()
    encoder(report)
    image_score(report)


if __name__ == "__main__":
    main()
