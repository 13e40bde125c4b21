"""The retrain flow over a toy shop: real Prefect, real DVC."""

import json
import signal


def flow_run(client, nth_last=0):
    from prefect.client.schemas.sorting import FlowRunSort

    return client.read_flow_runs(sort=FlowRunSort.EXPECTED_START_TIME_DESC)[nth_last]


def task_runs(client, run):
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId

    runs = client.read_task_runs(flow_run_filter=FlowRunFilter(id=FlowRunFilterId(any_=[run.id])))
    return sorted(runs, key=lambda task_run: task_run.start_time)


def artifact(client, run):
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    (found,) = client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])))
    return found


def test_a_run_is_named_ordered_reported_and_leaves_dvc_nothing_to_do(shop, client, unkilled_digests):
    status, output = shop.retrain()
    assert status == 0, output
    run = flow_run(client)
    assert (run.state.type.value, run.state.message) == ("COMPLETED", "3 stages: 3 ran; not promoted: ndcg_at_5 is below the histogram's")
    assert [task_run.name for task_run in task_runs(client, run)] == ["pairs", "label", "evaluate"]
    assert "[2/3] label: ran in " in output
    assert "label | label starts" in output  # the stage's own lines, live
    first = artifact(client, run)
    assert (first.key, first.type) == ("retrain-metrics", "markdown")
    assert "| category ndcg_at_5 |" in first.data
    assert "| label | ran | " in first.data
    assert "| machine-seconds, cpu | " in first.data
    assert "| labelling | 0 USD, no call |" in first.data
    assert "stored anew (DVC), at most" in output
    assert shop.digests() == unkilled_digests
    assert "up to date" in shop.dvc("repro")[1]

    (shop.folder / "seed.txt").write_text("2")
    status, output = shop.dvc("repro")
    assert status == 0, output
    status, output = shop.retrain()
    assert status == 0, output
    second = artifact(client, flow_run(client))
    assert [second.data.count(f"| {stage} | unchanged | ") for stage in ("pairs", "label", "evaluate")] == [1, 1, 1]
    assert "| stored anew (DVC), at most | 0 B |" in second.data
    now, before = (json.loads(path.read_text()) for path in sorted((shop.folder / "runs/retrain").glob("2*.json"), reverse=True))
    ndcg = [run["metrics"]["category ndcg_at_5"]["value"] for run in (now, before)]
    assert ndcg[0] != ndcg[1]
    assert f"| {ndcg[0]:.4g} | {ndcg[0] - 0.1:.4g} to {ndcg[0] + 0.1:.4g} | {ndcg[1]:.4g} | {ndcg[0] - ndcg[1]:+.4g} |" in second.data


def test_a_stage_is_retried_as_often_as_its_meta_says(shop, client):
    shop.knob("label.fails").write_text("1")  # label has one retry, the others none
    shop.knob("evaluate.fails").write_text("1")
    status, output = shop.retrain()
    assert status == 1
    assert "evaluate failed after" in output
    assert "evaluate has a bad day" in output
    assert "Traceback" not in output
    run = flow_run(client)
    assert run.state.type.value == "FAILED"
    assert "evaluate has a bad day" in run.state.message
    assert [(task_run.name, task_run.state.type.value, task_run.run_count) for task_run in task_runs(client, run)] == [
        ("pairs", "COMPLETED", 1),
        ("label", "COMPLETED", 2),
        ("evaluate", "FAILED", 1),
    ]


def test_ctrl_c_ends_every_process_and_a_second_flow_is_refused_until_then(shop, client):
    shop.knob("label.hold").touch()
    flow = shop.start_retrain()
    shop.await_output("label waits")
    status, output = shop.retrain()
    assert status == 1
    assert f"StageBusy: retrain is already running in this workspace (pid {flow.pid})" in output
    assert len(shop.processes()) >= 4  # flow, guard, dvc, stage

    flow.send_signal(signal.SIGINT)
    assert flow.wait(timeout=30) == 130
    shop.await_empty(limit_s=0)
    assert flow_run(client).state.type.value == "CRASHED"


def test_a_killed_run_leaves_no_process_and_goes_on_at_the_first_unfinished_stage(lone_shop, unkilled_digests):
    lone_shop.knob("label.hold").touch()
    flow = lone_shop.start_retrain()
    lone_shop.await_output("label waits")
    assert_on_loopback(lone_shop.processes())
    flow.kill()
    flow.wait()
    lone_shop.await_empty()

    lone_shop.knob("label.hold").unlink()
    status, output = lone_shop.retrain()
    assert status == 0, output
    assert "[1/3] pairs: unchanged" in output
    assert "[2/3] label: ran" in output
    assert lone_shop.digests() == unkilled_digests
    assert lone_shop.processes() == []


def assert_on_loopback(processes):
    connections = [connection for process in processes for connection in process.net_connections()]
    addresses = {address.ip for connection in connections for address in (connection.laddr, connection.raddr) if address}
    assert addresses == {"127.0.0.1"}
