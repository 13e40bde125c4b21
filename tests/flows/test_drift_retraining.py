"""A drift opens a retraining: a real Prefect with its automation, `vitrine drift serve`, the toy shop's real DVC."""

import datetime as dt
import os
import signal
import subprocess
import sys
import time

import pytest
from ruamel.yaml import YAML

from components.contract import bind, read_params
from components.objects import FolderStore
from monitoring.action import follow
from monitoring.cases import CaseBook, Step
from monitoring.config import MonitorConfig
from tests.conftest import PROJECT
from tests.flows.conftest import VITRINE
from tests.monitoring.verdicts import drifting

LIMIT_S = 90.0
TELL = """
import os, signal, sys, time
from components.objects import open_store
from flows.drift_event import Prefect
from monitoring.cases import CaseBook
from monitoring.listener import tell_waiting

class Dying(Prefect):
    def emit(self, case):
        super().emit(case)
        if sys.argv[1] == "dies":
            while not self.has(case):
                time.sleep(0.2)
            os.kill(os.getpid(), signal.SIGKILL)

for line in tell_waiting(CaseBook(open_store("store")), Dying("retrain-on-drift"), 60.0):
    print(line)
"""


@pytest.fixture
def place(shop):
    """The toy shop with the project's params, and a case that a check has claimed."""
    params = read_params(PROJECT / "params.yaml")
    params["serve"]["store"] = "store"
    with open(shop.folder / "params.yaml", "w") as file:
        YAML().dump(params, file)
    cfg = bind(MonitorConfig, "monitor", params).action
    now = dt.datetime.now(dt.UTC)
    book_of(shop).change(lambda cases: follow(cases, drifting(), "reports/drift/2026-03-04.html", cfg, now).cases)
    return shop


def book_of(shop):
    return CaseBook(FolderStore(shop.folder / "store"))


def at_project(shop):
    return shop.environment | {"PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT), shop.environment.get("PYTHONPATH")]))}


def tell(shop, how="lives"):
    command = [sys.executable, "-c", TELL, how]
    done = subprocess.run(command, cwd=shop.folder, env=at_project(shop), text=True, capture_output=True, timeout=LIMIT_S, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def served(place):
    """`vitrine drift serve`, once its automation is there."""
    with open(place.folder / "served.txt", "wb") as output:
        process = subprocess.Popen([VITRINE, "drift", "serve"], cwd=place.folder, env=place.environment, stdout=output, stderr=output)
    said = place.folder / "served.txt"
    await_that(lambda: "retrain-on-drift/on-drift" in said.read_text(), said.read_text)
    yield place
    process.send_signal(signal.SIGTERM)
    process.wait(LIMIT_S)


def await_that(holds, what):
    deadline = time.monotonic() + LIMIT_S
    while not (found := holds()):
        assert time.monotonic() < deadline, what()
        time.sleep(0.2)
    return found


def runs_of(client, event_id):
    """The runs that were given the event."""
    return [run for run in client.read_flow_runs() if (run.parameters.get("evidence") or {}).get("event_id") == event_id]


def done_runs(client, event_id, num):
    def all_done():
        runs = runs_of(client, event_id)
        return runs if len(runs) >= num and all(run.state.is_final() for run in runs) else None

    return await_that(all_done, lambda: str([(run.name, run.state) for run in runs_of(client, event_id)]))


def test_a_drift_opens_one_run_with_the_evidence_and_a_killed_teller_no_second(served, client):
    (case,) = book_of(served).read()[0].cases
    status, output = tell(served, "dies")
    assert status == -signal.SIGKILL, output
    assert book_of(served).read()[0].cases[0].step in (Step.CLAIMED, Step.RUNNING), "it died before it could confirm"
    status, output = tell(served)
    assert status == 0, output

    (run,) = done_runs(client, case.event_id, num=1)
    assert run.state.type.value == "COMPLETED", run.state
    assert run.state.message.startswith("for darker_photos/app_version=3.1.0 on 2026-03-04: 3 stages: 3 ran")
    given = run.parameters["evidence"]
    assert given["page"] == "reports/drift/2026-03-04.html"
    assert given["segments"] == [{"segment": "app_version=3.1.0", "explained": 0.7}]
    assert (served.folder / "data" / "snapshot.json").exists(), "a retraining begins with what the data is now"
    shown = [one for one in client.read_artifacts() if one.key == "drift-evidence" and one.flow_run_id == run.id]
    assert "brightness 0.52 -> 0.44" in shown[0].data
    taken = book_of(served).read()[0].cases[0]
    assert (taken.step, taken.run_id) == (Step.RUNNING, str(run.id))

    emit_again(served)  # as a check would that did not find it: Prefect takes it once, and if not, the second run does nothing
    time.sleep(5)
    runs = done_runs(client, case.event_id, num=1)
    assert [one.state.message.startswith("nothing was done") for one in runs].count(False) == 1


def emit_again(shop):
    code = (
        "from components.objects import open_store; from flows.drift_event import Prefect; from monitoring.cases import CaseBook;"
        "Prefect('x').emit(CaseBook(open_store('store')).read()[0].cases[0])"  # which is sent before the interpreter ends
    )
    subprocess.run([sys.executable, "-c", code], cwd=shop.folder, env=at_project(shop), check=True, timeout=LIMIT_S)


def test_where_nothing_listens_the_case_waits_and_says_what_would(place, client):
    for automation in client.read_automations_by_name("retrain-on-drift"):
        client.delete_automation(automation.id)
    status, output = tell(place)
    assert status == 0, output
    assert "darker_photos: the retraining waits, Prefect has no automation 'retrain-on-drift': `vitrine drift serve` makes it" in output
    assert book_of(place).read()[0].cases[0].step is Step.CLAIMED


def test_a_prefect_that_is_away_is_told_and_the_case_waits(place):
    place.environment["PREFECT_API_URL"] = "http://127.0.0.1:9/api"
    status, output = tell(place)
    assert status != 0
    assert "StoreFailed: Prefect does not answer" in output
    assert book_of(place).read()[0].cases[0].step is Step.CLAIMED


def test_serving_needs_a_server_that_lasts(place):
    lone = {key: value for key, value in place.environment.items() if key != "PREFECT_API_URL"}
    done = subprocess.run([VITRINE, "drift", "serve"], cwd=place.folder, env=lone, text=True, capture_output=True, timeout=60, check=False)
    assert done.returncode == 1
    assert "BadWorkspace: no Prefect server is configured: start one with `prefect server start`" in done.stderr
