"""One workspace taken through all stages while what runs them is killed again and again."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.chaos.outs import Finding, Reference, compare, digests, forget, recorded
from tests.chaos.plan import Kill
from tests.chaos.processes import MARK, POLL_S, Process, await_gone, kill, marked

COMMANDS = {
    "flow": (str(Path(sys.executable).with_name("vitrine")), "retrain"),
    "dvc": (sys.executable, "-m", "dvc", "repro"),
}
GONE_S = 5.0
STAGE_S = 180.0  # for a driver to reach a stage, and for a stage to end
TRIES = 8


@dataclass(frozen=True)
class Times:
    """Seconds that DVC has for a stage, from its first line to its last; that the stage itself has; and until it starts."""

    dvc_s: float
    stage_s: float
    before_s: float

    def of(self, kill: Kill) -> float:
        """How long the moment of the kill is drawn from, counted from where `begun` sees it begin."""
        if kill.target == "stage":
            return self.stage_s
        return self.dvc_s if kill.driver == "flow" else self.dvc_s - self.before_s


@dataclass(frozen=True)
class Struck:
    """A kill that hit: after how many seconds, who outlived it, what the outs were, and how long until the stage was begun again."""

    kill: Kill
    after_s: float
    gone_s: float
    orphans: tuple[str, ...]
    finding: Finding
    resumed_s: float | None = None


@dataclass
class Series:
    """The state of the series: the driver at work, if one is, and what was found so far.

    `pace` is how much faster than unkilled a stage turned out to be: finished work is not done again, and machines are busy at times.
    """

    workspace: Path
    reference: Reference
    times: Mapping[str, Times]
    environment: Mapping[str, str]
    say: Callable[[str], None]
    struck: list[Struck] = field(default_factory=list)
    pace: dict[str, float] = field(default_factory=dict)
    misses: int = 0
    driver: subprocess.Popen[bytes] | None = None
    driven_by: str = ""
    set_off_s: float = 0.0
    mark: str = field(default_factory=lambda: uuid.uuid4().hex)

    def run(self, kills: Sequence[Kill]) -> None:
        """Strikes as planned, then lets a flow run to its end. Raises AssertionError where a kill cannot be placed or the end is no end."""
        for number, planned in enumerate(kills, 1):
            hit = self._strike(planned)
            self.struck.append(hit)
            bad = [*(f"orphan {one}" for one in hit.orphans), *(f"half-written {one}" for one in hit.finding.half_written)]
            self.say(
                f"[{number}/{len(kills)}] {planned.stage}: {planned.target} below {planned.driver} killed after {hit.after_s:.2f} s, "
                f"all gone after {hit.gone_s:.2f} s{': ' + ', '.join(bad) if bad else ''}"
            )
        self._finish()

    def _strike(self, planned: Kill) -> Struck:
        for _ in range(TRIES):
            if recorded(self.workspace, planned.stage):  # done before all its kills were
                self._stop()
                forget(self.workspace, planned.stage)
            self._drive(planned.driver)
            if begun_s := self._await_begun(planned):
                moment_s = planned.share * self.times[planned.stage].of(planned) * self.pace.get(planned.stage, 1.0)
                time.sleep(moment_s)
                if (victim := self._victim(planned)) and kill(victim):
                    return self._aftermath(planned, moment_s, resumed_s=begun_s - self.set_off_s)
                self.pace[planned.stage] = 0.75 * self.pace.get(planned.stage, 1.0)
            elif self.driven_by == "dvc":  # a kill left DVC's own files so that DVC cannot read them: a flow mends that, see the runbook
                planned = replace(planned, driver="flow" if planned.driver == "dvc" else planned.driver)
            self.misses += 1
        raise AssertionError(f"{planned}: not hit in {TRIES} tries:\n{self._last_lines()}")

    def _drive(self, by: str) -> None:
        """Has a driver of that kind at work; one of the other kind is ended first."""
        if self.driver and self.driver.poll() is None and self.driven_by == by:
            return
        self._stop()
        with open(self.workspace / "output.txt", "ab") as output:
            self.driver = subprocess.Popen(
                COMMANDS[by], cwd=self.workspace, env={**self.environment, MARK: self.mark}, stdout=output, stderr=output
            )
        self.driven_by, self.set_off_s = by, time.monotonic()

    def _stop(self) -> None:
        if self.driver:
            with suppress(ProcessLookupError):
                self.driver.kill()
            self.driver.wait()
            left = await_gone(self.mark, GONE_S)
            assert not left, f"still there: {left}"

    def _await_begun(self, planned: Kill) -> float | None:
        """When the process whose time the moment is drawn from was first seen; None where the driver ended without it."""
        kind = "dvc" if planned.driver == "flow" and planned.target != "stage" else "stage"
        deadline = time.monotonic() + STAGE_S
        while time.monotonic() < deadline:
            if any(process.kind == kind and process.stage == planned.stage for process in marked(self.mark)):
                return time.monotonic()
            if self.driver is None or self.driver.poll() is not None:
                return None
            time.sleep(POLL_S)
        raise AssertionError(f"{planned}: {kind} did not begin within {STAGE_S:.0f} s:\n{self._last_lines()}")

    def _victim(self, planned: Kill) -> Process | None:
        """The process to kill; None where the stage is over, as another's is at work or its DVC is gone."""
        there = {(process.kind, process.stage): process for process in marked(self.mark)}
        if any(kind == "stage" and stage != planned.stage for kind, stage in there):
            return None
        if planned.target == "flow":
            return there.get(("flow", None)) if ("dvc", planned.stage) in there else None
        return there.get((planned.target, planned.stage)) or (there.get(("dvc", None)) if planned.target == "dvc" else None)

    def _aftermath(self, planned: Kill, moment_s: float, resumed_s: float) -> Struck:
        """What the kill left. A flow that outlives it is held still meanwhile, so that nobody writes while outs are compared."""
        killed_s = time.monotonic()
        flow = next((one for one in marked(self.mark) if one.kind == "flow"), None) if planned.target != "flow" else None
        if flow:
            kill(flow, signal.SIGSTOP)
        left = await_gone(self.mark, GONE_S, but=flow)
        gone_s = time.monotonic() - killed_s
        finding = compare(self.workspace, self.reference)
        if flow:
            kill(flow, signal.SIGCONT)
        again = self.struck[-1].kill.stage == planned.stage if self.struck else False
        self.set_off_s = time.monotonic()
        return Struck(planned, moment_s, gone_s, tuple(one.command for one in left), finding, resumed_s if again else None)

    def _finish(self) -> None:
        self._drive("flow")
        assert self.driver is not None
        if self.driver.wait(timeout=20 * STAGE_S):  # the last kill ended it
            self._drive("flow")
            assert self.driver.wait(timeout=20 * STAGE_S) == 0, self._last_lines()
        assert not await_gone(self.mark, GONE_S)
        assert digests(self.workspace) == self.reference.digests
        assert compare(self.workspace, self.reference) == Finding((), ())

    def num_mended(self) -> int:
        """How often a flow found dvc.lock cut short by a kill."""
        return (self.workspace / "output.txt").read_text(errors="replace").count("dvc.lock was cut short")

    def _last_lines(self) -> str:
        return "\n".join((self.workspace / "output.txt").read_text(errors="replace").splitlines()[-15:])


def observed(workspace: Path, environment: Mapping[str, str], say: Callable[[str], None]) -> dict[str, Times]:
    """How long each stage took DVC and itself in a flow that nobody killed. Raises AssertionError where it failed."""
    mark = uuid.uuid4().hex
    first: dict[tuple[str, str], float] = {}
    last: dict[tuple[str, str], float] = {}
    with open(workspace / "output.txt", "wb") as output:
        flow = subprocess.Popen(COMMANDS["flow"], cwd=workspace, env={**environment, MARK: mark}, stdout=output, stderr=output)
    while flow.poll() is None:
        now = time.monotonic()
        for process in marked(mark):
            if process.stage and (process.kind, process.stage) not in first:
                say(f"unkilled: {process.kind} {process.stage}")
            if process.stage:
                first.setdefault((process.kind, process.stage), now)
                last[process.kind, process.stage] = now
        time.sleep(POLL_S)
    assert flow.returncode == 0, (workspace / "output.txt").read_text(errors="replace")
    return {
        stage: Times(
            dvc_s=last["dvc", stage] - first["dvc", stage],
            stage_s=last["stage", stage] - first["stage", stage],
            before_s=first["stage", stage] - first["dvc", stage],
        )
        for kind, stage in first
        if kind == "stage"
    }


def environment_for(base: Path, prefect_api_url: str) -> dict[str, str]:
    """A user's environment whose Prefect server is the one given, with settings of DVC and Prefect below `base`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "DVC_", "OPENAI_", "GIT_"))}
    return kept | {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]]),
        "PREFECT_HOME": str(base / "prefect"),
        "PREFECT_API_URL": prefect_api_url,
        "DVC_GLOBAL_CONFIG_DIR": str(base / "dvc"),
        "DVC_SITE_CACHE_DIR": str(base / "dvc-site"),
        "DVC_NO_ANALYTICS": "true",
    }
