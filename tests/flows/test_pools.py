"""A toy shop on work pools: one real Prefect server, process workers on the pools cpu and gpu, a real S3 server, a bare origin."""

import json
import logging
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
from prefect.client.schemas.filters import LogFilter, LogFilterFlowRunId, TaskRunFilter, TaskRunFilterFlowRunId
from prefect.states import Cancelling, Scheduled

from tests.flows.pool_house import await_that
from tests.flows.pool_shop import STAGES, make_pool_shop

pytestmark = pytest.mark.timeout(1800)
SECRET = "planted-7f3a"


@pytest.fixture
def shop(deployed, s3, tmp_path):
    """A shop of its own, with nobody on the pools yet."""
    house = deployed
    shop = make_pool_shop(house, tmp_path, f"{s3.url}/{tmp_path.name}")
    house.environment |= {"TOY_KNOBS": str(shop.knobs), "SHOP_SECRET": SECRET}
    yield shop
    house.end_workers()


def staff(shop, *pools):
    return [shop.house.start_worker(pool, shop.origin) for pool in pools or ("cpu", "gpu")]


def retrains(client):
    """Runs of the retraining, the newest first."""
    runs = [run for run in client.read_flow_runs() if run.parent_task_run_id is None and "stage_name" not in run.parameters]
    return sorted(runs, key=lambda run: run.created, reverse=True)


def stage_runs(client, retrain):
    """The stage runs below a retraining, by name."""
    tasks = client.read_task_runs(task_run_filter=TaskRunFilter(flow_run_id=TaskRunFilterFlowRunId(any_=[retrain.id])), limit=200)
    by_task = {task.id: task for task in tasks}
    runs = [run for run in client.read_flow_runs() if run.parent_task_run_id in by_task]
    return {run.name: (run, by_task[run.parent_task_run_id]) for run in runs}


def read_logs(client, run):
    return client.read_logs(LogFilter(flow_run_id=LogFilterFlowRunId(any_=[run.id])), limit=200)


def logs_of(client, run):
    return "\n".join(one.message for one in read_logs(client, run))


def await_runs(shop, stage, num):
    await_that(lambda: shop.num_runs(stage) >= num, lambda: f"{stage} ran {shop.num_runs(stage)} times; {shop.output()}")


@pytest.mark.proof
def test_a_killed_retraining_is_done_again_from_what_it_pushed_and_a_change_runs_what_it_concerns(shop, s3):
    house, parent = shop.house, shop.folder.parent
    staff(shop)
    shop.knob("label.hold").touch()
    first = shop.start_retrain()
    await_runs(shop, "label", 1)
    first.kill()
    first.wait()
    assert list(shop.lock()) == ["pairs", "photos"], "what was done by then stands in dvc.lock"
    shop.knob("label.hold").unlink()

    house.git(parent, "clone", "-q", str(shop.origin), str(parent / "clone"))
    clone = replace(shop, folder=parent / "clone")
    status, output = clone.retrain()
    assert status == 0, output
    assert "pairs: restored in" in output
    assert "photos: restored in" in output
    assert "label: ran in" in output or "label: restored in" in output, "the killed retraining's own run of it may have been quicker"
    assert "[4/4] evaluate: ran in" in output
    assert {stage: shop.num_runs(stage) for stage in ("pairs", "photos", "evaluate")} == {"pairs": 1, "photos": 1, "evaluate": 1}
    with house.client() as client:
        again, killed = retrains(client)[:2]
        assert killed.state.type.value == "RUNNING", "Prefect cannot tell"
        check_at_prefect(client, again)
        check_no_secret(client, [SECRET, s3.environment["AWS_SECRET_ACCESS_KEY"]])
    assert house.git(shop.origin, "show", "main:dvc.lock") == (clone.folder / "dvc.lock").read_text().strip()
    assert house.git(shop.origin, "show", "--name-only", "--format=%s", "main").split("\n")[-1] == "dvc.lock"
    assert not [path for path in (s3.folder / parent.name / "cache" / "handed").glob("*") if str(again.id) in path.name]
    await_that(lambda: not list(house.temporary().glob("*prefect/clone-*")), lambda: list(house.temporary().glob("*prefect/clone-*")))

    before = clone.lock()
    house.git(clone.folder, "pull", "-q")
    clone.change("2")
    status, output = clone.retrain()
    assert status == 0, output
    assert "4 stages: 3 ran, 1 unchanged" in output, "a clone has an entry of each stage and no input, which DVC alone calls unchanged"
    now = clone.lock()
    assert [stage for stage in STAGES if now[stage] == before[stage]] == ["photos"]
    assert "category ndcg_at_5" in output
    assert "new" not in output.partition("category ndcg_at_5")[2].partition("\n")[0], "the metrics stand beside the last run's"


def check_at_prefect(client, run):
    """What the page shows of a retraining: its stages as a graph of runs on their pools, their logs, progress, tables."""
    assert run.state.message.endswith("; not promoted: ndcg_at_5 is below the histogram's")
    below = stage_runs(client, run)
    assert {name: one.work_pool_name for name, (one, _) in below.items()} == {name: pool for name, (pool, _) in STAGES.items()}
    assert {one.state.type.value for one, _ in below.values()} == {"COMPLETED"}
    for name, (one, task) in below.items():
        upstream = {below[dep.removeprefix("data/")][1].id for dep in STAGES[name][1] if dep.startswith("data/")}
        assert {source.id for source in task.task_inputs.get("after", [])} == upstream
        assert one.job_variables["gpu"] == int(STAGES[name][0] == "gpu")
        assert one.job_variables["timeout_s"] > 1800
    assert "evaluate starts" in logs_of(client, below["evaluate"][0])
    artifacts = {one.key: one for one in client.read_artifacts() if one.flow_run_id == run.id and one.key}
    assert "| evaluate | ran | " in artifacts["retrain-metrics"].data
    assert " | 7 | 5 |" in artifacts["retrain-metrics"].data, "what the work cache spared has come back with the entries"
    assert artifacts["retrain-progress"].data == 100
    assert [one.name for one in client.read_variables() if str(run.id) in one.name] == []


def check_no_secret(client, secrets):
    told = json.dumps([run.model_dump(mode="json") for run in client.read_flow_runs()])
    told += "".join(logs_of(client, run) for run in client.read_flow_runs())
    told += "".join(str(one.data) for one in client.read_artifacts())
    assert [secret for secret in secrets if secret in told] == []


@pytest.mark.proof
def test_a_machine_that_stood_still_comes_back_too_late_and_is_refused(shop):
    """Also a stage that fails once. The label of the machine that stood still is another than the one that was made elsewhere."""
    house, (_, still) = shop.house, staff(shop)
    for knob in ("label.hold", "evaluate.hold"):
        shop.knob(knob).touch()
    shop.knob("label.differs").touch()
    shop.knob("pairs.fails").write_text("1")
    flow = shop.start_retrain()
    await_runs(shop, "label", 1)
    assert shop.num_runs("pairs") == 2
    still.send(signal.SIGSTOP)
    await_that(lambda: "label: no sign of life for 30 s" in shop.output(), shop.output)
    shop.knob("label.hold").unlink()
    staff(shop, "gpu")
    await_that(lambda: "[3/4] label: ran" in shop.output(), shop.output)
    accepted = shop.lock()["label"]
    still.send(signal.SIGCONT)

    def refused():
        with house.client() as client:
            lost = stage_runs(client, retrains(client)[0])["label"][0]
            return lost if lost.state.name == "Refused" else None

    lost = await_that(refused, lambda: (still.log.read_text()[-3000:], shop.output()))
    assert "label: flow run" in lost.state.message
    assert "is another and is refused: a late twin" in lost.state.message
    with house.client() as client:
        warning = (logging.WARNING, lost.state.message.removeprefix("Refused: "))
        await_that(lambda: warning in [(one.level, one.message) for one in read_logs(client, lost)], lambda: logs_of(client, lost))
        twice = stage_runs(client, retrains(client)[0])["photos"][0]
        client.set_flow_run_state(twice.id, Scheduled(), force=True)  # as after an eviction
        await_that(
            lambda: "has handed it back already" in (client.read_flow_run(twice.id).state.message or ""), lambda: logs_of(client, twice)
        )
    assert shop.num_runs("photos") == 1
    shop.knob("evaluate.hold").unlink()
    assert flow.wait(240) == 0, shop.output()
    assert shop.num_runs("label") == 2
    assert shop.lock()["label"] == accepted
    evaluated = {dep["path"]: dep["md5"] for dep in shop.lock()["evaluate"]["deps"]}
    assert evaluated["data/label"] == next(out["md5"] for out in accepted["outs"] if out["path"] == "data/label")
    assert len(house.git(shop.origin, "log", "--format=%h", "main").split()) == 2, "one commit, on top of the shop's"
    status, output = house.run(shop.folder, "dvc", "pull")
    assert status == 0, output
    assert "up to date" in house.must(shop.folder, "dvc", "status")


@pytest.mark.proof
def test_a_retraining_whose_machine_is_drained_is_executed_again_and_takes_over_its_stages(shop):
    """As a Kubernetes job ends: SIGTERM to `prefect flow-run execute`, which has Prefect execute the run again."""
    staff(shop, "gpu")
    shop.knob("label.hold").touch()
    with shop.house.client() as client:
        run = client.create_flow_run_from_deployment(client.read_deployment_by_name("retrain/retrain").id)
        there = {"VITRINE_REPOSITORY": str(shop.origin), "PREFECT_FLOW_RUN_EXECUTE_SIGTERM_BEHAVIOR": "reschedule"}
        command = [sys.executable, "-m", "prefect", "flow-run", "execute", str(run.id)]
        with open(shop.folder.parent / "output.txt", "wb") as output:
            job = subprocess.Popen(command, cwd=shop.folder.parent, env=shop.house.environment | there, stdout=output, stderr=output)
        await_that(lambda: client.read_flow_run(run.id).state.type.value == "RUNNING", shop.output)
        staff(shop, "cpu")
        await_runs(shop, "label", 1)
        job.terminate()
        assert job.wait(120) == 0, shop.output()
        await_that(lambda: client.read_flow_run(run.id).run_count == 2, lambda: client.read_flow_run(run.id))
        shop.knob("label.hold").unlink()
        await_that(lambda: client.read_flow_run(run.id).state.is_final(), lambda: logs_of(client, run))
        assert client.read_flow_run(run.id).state.type.value == "COMPLETED", logs_of(client, run)
        assert set(stage_runs(client, run)) == set(STAGES), "no stage had a second run"
    assert {stage: shop.num_runs(stage) for stage in STAGES} == dict.fromkeys(STAGES, 1)


UNTOLD = """
import sys
from contextlib import contextmanager
import flows.retrain
from components.errors import StoreFailed
from flows.pools import retraining

@contextmanager
def forgotten(last):
    yield
    raise StoreFailed("the bucket is away")

def refused(*args, **kwargs):
    raise RuntimeError("the server is away")

retraining.remembered = forgotten
flows.retrain.create_markdown_artifact = refused
sys.exit(flows.retrain.at_terminal(work_pools=True))
"""


@pytest.mark.proof
def test_a_retraining_that_nobody_can_be_told_of_is_committed_all_the_same(shop):
    staff(shop)
    status, output = shop.house.run(shop.folder, sys.executable, "-c", UNTOLD)
    assert status == 0, output
    assert "the artifact of the run could not be written: the server is away" in output
    assert "metrics to compare with: the bucket is away" in output
    assert shop.house.git(shop.origin, "show", "--name-only", "--format=%an", "main").split() == ["vitrine-bot", "dvc.lock"]


def test_retrainings_come_one_at_a_time_and_a_cancelled_one_takes_its_stages_with_it(shop):
    staff(shop)
    shop.knob("pairs.hold").touch()
    with shop.house.client() as client:
        deployment = client.read_deployment_by_name("retrain/retrain").id
        first = client.create_flow_run_from_deployment(deployment)
        await_runs_of(shop, "pairs")
        second = client.create_flow_run_from_deployment(deployment)
        await_that(lambda: client.read_flow_run(second.id).state.name == "AwaitingConcurrencySlot", lambda: client.read_flow_run(second.id))
        assert shop.house.git(shop.origin, "show", "--name-only", "--format=%an", "main").startswith("vitrine-bot")
        client.delete_flow_run(second.id)
        client.set_flow_run_state(first.id, Cancelling())
        await_that(lambda: client.read_flow_run(first.id).state.is_final(), lambda: client.read_flow_run(first.id).state)
        below = stage_runs(client, first)
        await_that(lambda: all(client.read_flow_run(run.id).state.is_final() for run, _ in below.values()), lambda: below)
        states = {name: client.read_flow_run(run.id).state.type.value for name, (run, _) in below.items()}
    assert states["pairs"] == "CANCELLED"
    assert "label" not in states
    left = [one for worker in shop.house.workers for one in worker.family() if "toy.py" in one.cmdline()]
    assert left == []


def await_runs_of(shop, stage):
    await_that(lambda: shop.num_runs(stage), lambda: [worker.log.read_text()[-2000:] for worker in shop.house.workers])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda shop: (shop.folder / "seed.txt").write_text("9"), "BadWorkspace: seed.txt changed since the last commit"),
        (lambda shop: shop.house.git(shop.folder, "commit", "-q", "--allow-empty", "-m", "mine"), "is not at origin: stage runs clone it"),
        (lambda shop: shop.house.must(shop.folder, "dvc", "remote", "default", "--unset"), "no DVC remote is the default"),
    ],
)
def test_what_stage_runs_could_not_work_from_is_refused_before_one_starts(shop, change, said):
    change(shop)
    status, output = shop.retrain()
    assert status == 1
    assert said in output
    assert "Traceback" not in output
    assert all(shop.num_runs(stage) == 0 for stage in STAGES)


def test_without_a_deployment_or_a_server_the_command_says_what_to_do(shop):
    drawn = (shop.folder / "dvc.yaml").read_text()
    (shop.folder / "dvc.yaml").write_text(drawn.replace("pool: gpu", "pool: tpu"))
    status, output = shop.retrain()
    assert status == 1
    assert "Prefect has no deployment stage/tpu: `prefect work-pool create tpu`" in output
    lone = {key: value for key, value in shop.house.environment.items() if key != "PREFECT_API_URL"}
    shop.house.environment, kept = lone, shop.house.environment
    try:
        status, output = shop.retrain()
    finally:
        shop.house.environment = kept
    assert status == 1
    assert "BadWorkspace: no Prefect server is configured" in output
