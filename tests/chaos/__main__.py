"""`python -m tests.chaos [--kills N] [--seed S] [--workspace DIR]`: the line on the small market, killed at random moments.

Prints a line a kill and a summary in Markdown. Exits with 1 where a process outlived a kill, an out was half written, or the end differs.
"""

import argparse
import shutil
import sys
import tempfile
import time
from pathlib import Path

from flows.dag import read_dag
from flows.server import SETTINGS, serving
from tests.chaos.outs import Reference
from tests.chaos.plan import least_kills, plan
from tests.chaos.series import Series, environment_for, observed
from tests.chaos.summary import markdown, went_well
from tests.conftest import PROJECT, make_workspace


def main() -> int:
    """0 where all went well."""
    stages = [stage.name for stage in read_dag(PROJECT / "dvc.yaml")]
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description="Kill the line at random moments and compare how it ends.")
    parser.add_argument("--kills", type=int, default=least_kills(stages), help="default: five a stage and twenty a target")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workspace", type=Path, help="an empty folder to work in, which is kept; else a temporary one")
    given = parser.parse_args()
    base = given.workspace.resolve() if given.workspace else Path(tempfile.mkdtemp(prefix="chaos-"))
    try:
        return chaos(base, stages, given.kills, given.seed)
    finally:
        if not given.workspace:
            shutil.rmtree(base, ignore_errors=True)


def chaos(base: Path, stages: list[str], num_kills: int, seed: int) -> int:
    """0 where all went well, in folders below `base`."""
    started = time.monotonic()
    with serving(environment_for(base, "") | SETTINGS) as url:
        environment = environment_for(base, url) | SETTINGS
        unkilled, killed = (make_workspace(_new(base / name)) for name in ("unkilled", "killed"))
        times = observed(unkilled, environment, _say)
        series = Series(killed, Reference.of(unkilled), times, environment, _say)
        failure = ""
        try:
            series.run(plan(stages, num_kills, seed))
        except AssertionError as error:
            failure = str(error) or "an assertion failed"
    print(markdown(series, stages, seed, time.monotonic() - started, failure))
    return 0 if went_well(series, failure) else 1


def _new(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _say(line: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
