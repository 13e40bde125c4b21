"""`python -m tests.bench_overhead`: what the flow costs over plain `dvc repro`, in seconds a stage, here and on work pools.

The small market of the tests, three times in one run: (a) `dvc repro`, (b) `vitrine retrain`, (c) `vitrine retrain --work-pools` with a
process worker on each of the pools cpu and gpu, a Prefect server, rclone's S3 and a bare repository. Each side has a workspace, a DVC cache
and a remote of its own, empty at first, and the three must end with the same dvc.lock. Before the first, an untimed process imports the
libraries that stages use, so that none of them pays for a cold disk.

A stage's seconds: (a) from DVC's line that it runs to the next stage's; (b) from the line that the stage before it is done to its own; (c)
from when its run is made to when the retraining takes its entry: a worker's waiting, the clone and the transfers are in it. Stages of (c)
may run two at a time. What is over (a) is counted around each stage's own work, as the log of stages has it: that is the same work on all
sides, and only its noise would count. Where others share the cores the processor time says more. Prints Markdown for docs/benchmarks.md.
"""

import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from components import stage_log
from tests.conftest import PROJECT, edit_params, make_workspace
from tests.flows.pool_house import House, bare_origin, opened
from tests.s3_server import S3Server, serving

LIMITS_S = {"local": 5.0, "pools": 30.0}
RUNS = re.compile(r"Running stage '(\w+)'")
DONE = re.compile(r"\[\d+/\d+\] (\w+): ran in ")
BEGUN = "Beginning flow run"
LIBRARIES = "torch, transformers, onnxruntime, pyarrow.parquet, great_expectations, sklearn, prefect, dvc.repo, dvc_s3"
DVC = (sys.executable, "-m", "dvc")


@dataclass(frozen=True)
class Line:
    """A line of output and when it came (Unix time)."""

    at: float
    text: str


@dataclass(frozen=True)
class Side:
    """One way to run the line: seconds by stage, and of each stage's own work; of all, until the first stage, and of processors."""

    stages: Mapping[str, float]
    own: Mapping[str, float]
    whole_s: float
    start_s: float
    cpu_s: float

    def around_s(self, name: str) -> float:
        """Seconds of the stage that are not its own work."""
        return self.stages[name] - self.own[name]


@dataclass(frozen=True)
class Watched:
    """A command that ended well in a workspace: when it began and ended, what it said when, and the processor time of all it waited for."""

    folder: Path
    began: float
    ended: float
    lines: Sequence[Line]
    cpu_s: float

    def side(self, stages: Mapping[str, float], first: float, more_cpu_s: float = 0.0) -> Side:
        """As a side whose first stage began at `first` (Unix time)."""
        own = {row["stage"]: float(row["seconds"]) for row in stage_log.rows(self.folder / stage_log.STAGE_LOG)}
        return Side(stages, own, self.ended - self.began, first - self.began, self.cpu_s + more_cpu_s)


def watched(folder: Path, environment: Mapping[str, str], *command: str) -> Watched:
    """Runs the command. What it said is shown where it fails."""
    began, cpu_s, lines = time.time(), children_cpu_s(), list[Line]()
    with subprocess.Popen(
        command, cwd=folder, env={**environment, "PYTHONUNBUFFERED": "1"}, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as process:
        assert process.stdout is not None
        lines.extend(Line(time.time(), text) for text in process.stdout)
    assert process.returncode == 0, "".join(line.text for line in lines[-60:])
    return Watched(folder, began, time.time(), lines, children_cpu_s() - cpu_s)


def children_cpu_s() -> float:
    """Processor time of every process that this one and its children have waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def moments(pattern: re.Pattern[str], lines: Sequence[Line]) -> dict[str, float]:
    """When each stage's line came first, in that order."""
    found: dict[str, float] = {}
    for line in lines:
        if match := pattern.search(line.text):
            found.setdefault(match[1], line.at)
    return found


def plain(folder: Path, house: House) -> Side:
    """(a)"""
    seen = watched(folder, house.environment, *DVC, "repro")
    begins = moments(RUNS, seen.lines)
    ends = [*list(begins.values())[1:], seen.ended]
    return seen.side({name: end - begin for (name, begin), end in zip(begins.items(), ends, strict=True)}, min(begins.values()))


def local(folder: Path, house: House) -> Side:
    """(b), with a Prefect server of its own that starts and ends with it."""
    alone = {key: value for key, value in house.environment.items() if not key.startswith("PREFECT_")}
    seen = watched(folder, alone, "vitrine", "retrain")
    first, ends = begun(seen), moments(DONE, seen.lines)
    return seen.side({name: end - begin for (begin, end), name in zip(pairwise([first, *ends.values()]), ends, strict=True)}, first)


def on_pools(folder: Path, house: House) -> Side:
    """(c), with a worker on each pool that waits already."""
    origin = bare_origin(house, folder, folder.parent / "origin.git")
    house.must(PROJECT, "prefect", "--no-prompt", "deploy", "--name", "cpu", "--name", "gpu")
    before_s = children_cpu_s()
    for pool in ("cpu", "gpu"):
        house.start_worker(pool, origin)
    seen = watched(folder, house.environment, "vitrine", "retrain", "--work-pools")
    house.end_workers()
    with house.client() as client:
        runs = [one for one in client.read_flow_runs() if "stage_name" in one.parameters]
    made = {one.parameters["stage_name"]: one.created.timestamp() for one in runs if one.created}
    stages = {name: end - made[name] for name, end in moments(DONE, seen.lines).items()}
    return seen.side(stages, begun(seen), children_cpu_s() - before_s - seen.cpu_s)


def begun(seen: Watched) -> float:
    """When the flow began."""
    return next(line.at for line in seen.lines if BEGUN in line.text)


def workspace(folder: Path, house: House, s3: S3Server, **changes: object) -> Path:
    """The small market with a remote of its own."""
    made = make_workspace(folder / "shop")
    edit_params(made, dict(changes))
    house.must(made, *DVC, "remote", "add", "-q", "--default", "store", f"{s3.url}/{folder.name}/remote")
    house.git(made, "commit", "-q", "-am", "a remote")
    return made


def report(sides: Mapping[str, Side], pushes_s: Mapping[str, float], loads: tuple[float, float]) -> str:
    """The tables, and what is above its limit."""
    names, three = list(sides["plain"].stages), list(sides.values())
    over = {side: [sides[side].around_s(name) - sides["plain"].around_s(name) for name in names] for side in LIMITS_S}
    text = ["| stage | (a) dvc repro | (b) retrain | (c) --work-pools | itself (a) | (b) | (c) | over, (b) | over, (c) |"]
    text += ["|" + "---|" * 9]
    text += [row(name, [*stage_s(three, name), *(seconds[at] for seconds in over.values())]) for at, name in enumerate(names)]
    text += [
        row(
            "median",
            [statistics.median(column) for column in (*zip(*(stage_s(three, name) for name in names), strict=True), *over.values())],
        )
    ]
    text += [row("before the first stage", [side.start_s for side in three])]
    text += [row("everything, by stage", [side.whole_s / len(names) for side in three])]
    text += [row("processor time, by stage", [side.cpu_s / len(names) for side in three])]
    text += ["", f"{len(names)} stages, seconds; {os.cpu_count()} cores, load {loads[0]:.1f} at the begin and {loads[1]:.1f} at the end."]
    text += [
        "`dvc push` of all at the end, which (c) does stage by stage: " + ", ".join(f"{side} {s:.1f} s" for side, s in pushes_s.items())
    ]
    text += [verdict(side, seconds) for side, seconds in over.items()]
    return "\n".join(text)


def stage_s(sides: Sequence[Side], name: str) -> list[float]:
    """The stage's seconds on each side, then those of its own work."""
    return [side.stages[name] for side in sides] + [side.own[name] for side in sides]


def row(name: str, seconds: Sequence[float]) -> str:
    """A row of the table."""
    return f"| {name} | {' | '.join(f'{one:.1f}' for one in seconds)} |" + " |" * (8 - len(seconds))


def verdict(name: str, over: Sequence[float]) -> str:
    """Whether the median and the largest difference are within the limit."""
    limit_s, median, most = LIMITS_S[name], statistics.median(over), max(over)
    words = "reached" if most <= limit_s else "reached by the median alone" if median <= limit_s else "not reached"
    return f"limit, {name}: {limit_s:g} s a stage; median {median:.1f} s, most {most:.1f} s: {words}"


def main() -> None:
    """Prints the tables."""
    with tempfile.TemporaryDirectory() as name, serving(Path(name) / "s3") as s3:
        base = Path(name)
        (base / "house").mkdir()
        with opened(base / "house", s3.environment) as house:
            made = {side: workspace(base / side, house, s3) for side in ("plain", "local")}
            made["pools"] = workspace(base / "pools", house, s3, cache={"url": f"{s3.url}/pools/cache"})
            house.must(base, sys.executable, "-c", f"import {LIBRARIES}")
            load, sides = os.getloadavg()[0], dict[str, Side]()
            for side, run in (("plain", plain), ("local", local), ("pools", on_pools)):
                sides[side] = run(made[side], house)
                print(f"{side}: {sides[side].whole_s:.0f} s", file=sys.stderr, flush=True)
            locks = {(folder / "dvc.lock").read_bytes() for folder in made.values()}
            assert len(locks) == 1, "the three dvc.lock differ"
            pushes_s = {side: timed(house, made[side], *DVC, "push", "-q") for side in ("plain", "local")}
            print(report(sides, pushes_s, (load, os.getloadavg()[0])))


def timed(house: House, folder: Path, *command: str) -> float:
    """Seconds that the command took."""
    began = time.monotonic()
    house.must(folder, *command)
    return time.monotonic() - began


if __name__ == "__main__":
    main()
