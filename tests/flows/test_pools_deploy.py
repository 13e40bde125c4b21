"""The real prefect.yaml: it agrees with dvc.yaml, params.yaml and the flows, and a real server takes it, without anybody's secrets."""

import datetime as dt
import inspect
import json
import uuid

import pytest
import yaml
from prefect.events import emit_event
from prefect.flows import load_flow_from_entrypoint
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.contract import read_params
from flows.dag import read_dag
from flows.pools.clone import clone
from flows.pools.runs import deployment_of
from monitoring.action import EVENT
from tests.conftest import PROJECT
from tests.flows.pool_house import await_that

FILE = yaml.safe_load((PROJECT / "prefect.yaml").read_text())
BY_NAME = {deployment["name"]: deployment for deployment in FILE["deployments"]}
MONITOR = read_params(PROJECT / "params.yaml")["monitor"]
NAMES = {"retrain/retrain", "stage/cpu", "stage/gpu", "release/release", "monitor/monitor", "probe/probe"}


def flow_of(deployment):
    return load_flow_from_entrypoint(deployment["entrypoint"])


def test_the_deployments_are_those_that_others_start_by_name():
    assert {f"{flow_of(one).name}/{one['name']}" for one in FILE["deployments"]} == NAMES


def test_each_pool_that_a_stages_meta_names_has_its_stage_deployment_on_it():
    pools = {stage.pool for stage in read_dag(PROJECT / "dvc.yaml")}
    assert pools == {"cpu", "gpu"}
    for pool in pools:
        assert deployment_of(pool) == f"stage/{pool}"
        assert BY_NAME[pool]["work_pool"] == {"name": pool}


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_parameters_are_those_of_the_flow(name):
    given = set(BY_NAME[name].get("parameters", {})) | {key for one in BY_NAME[name].get("triggers", []) for key in one["parameters"]}
    assert given <= set(inspect.signature(flow_of(BY_NAME[name]).fn).parameters)


def test_clocks_and_the_drifts_event_are_as_params_and_code_have_them():
    assert [one["cron"] for one in BY_NAME["monitor"]["schedules"]] == [MONITOR["check"]["cron"]]
    assert [one["cron"] for one in BY_NAME["probe"]["schedules"]] == ["0 */4 * * *"]
    assert len(BY_NAME["retrain"]["schedules"]) == 1
    (trigger,) = BY_NAME["retrain"]["triggers"]
    assert (trigger["name"], trigger["expect"]) == (MONITOR["action"]["automation"], [EVENT])
    assert BY_NAME["retrain"]["parameters"] == {"work_pools": True, "snapshot": True}
    assert BY_NAME["retrain"]["concurrency_limit"] == {"limit": 1, "collision_strategy": "ENQUEUE"}


def test_the_only_pull_step_is_ours_and_is_given_nothing():
    assert FILE["pull"] == [{f"{clone.__module__}.{clone.__name__}": {}}]
    assert not [one["name"] for one in FILE["deployments"] if "pull" in one]


@pytest.mark.timeout(600)
def test_a_server_takes_it_twice_and_keeps_nothing_of_the_environment(deployed):
    with deployed.client() as client:
        before = {one.id: [schedule.active for schedule in one.schedules] for one in client.read_deployments()}
        planted = {"VITRINE_REPOSITORY": "https://bot:planted-7f3a@git.example/shop.git", "AWS_SECRET_ACCESS_KEY": "planted-7f3a"}
        deployed.environment, kept = deployed.environment | planted, deployed.environment
        try:
            deployed.must(PROJECT, "prefect", "--no-prompt", "deploy", "--name", "retrain", "--name", "cpu")
        finally:
            deployed.environment = kept
        there = client.read_deployments()
        assert {one.id for one in there} == set(before)
        assert "planted" not in json.dumps([one.model_dump(mode="json") for one in there])
        assert len(client.read_automations_by_name(MONITOR["action"]["automation"])) == 1
        retrain = client.read_deployment_by_name("retrain/retrain")
        assert retrain.global_concurrency_limit.limit == 1
        assert [schedule.schedule.cron for schedule in retrain.schedules] == [BY_NAME["retrain"]["schedules"][0]["cron"]]
        for schedule in retrain.schedules:
            client.update_deployment_schedule(retrain.id, schedule.id, active=False)


def test_a_clock_that_runs_makes_runs_at_its_hours(deployed):
    with deployed.client() as client:
        probe = client.read_deployment_by_name("probe/probe")
        (clock,) = probe.schedules

        def made():
            return [run for run in client.read_flow_runs() if run.deployment_id == probe.id and run.auto_scheduled]

        client.update_deployment_schedule(probe.id, clock.id, active=True)
        try:
            runs = await_that(made, lambda: "no run was scheduled")
            assert {(run.expected_start_time.hour % 4, run.expected_start_time.minute) for run in runs} == {(0, 0)}
        finally:
            client.update_deployment_schedule(probe.id, clock.id, active=False)
            for run in made():
                client.delete_flow_run(run.id)


def test_the_event_of_a_drift_starts_the_same_deployment_with_its_evidence(deployed):
    event = uuid.uuid4()
    with temporary_settings({PREFECT_API_URL: deployed.api}), deployed.client() as client:
        retrain = client.read_deployment_by_name("retrain/retrain")
        payload = {"event_id": str(event), "reason": "brightness 0.52 -> 0.44", "segments": [{"segment": "app_version=3.1.0"}]}
        resource = {"prefect.resource.id": "vitrine.release.abc"}
        emit_event(EVENT, resource, payload=payload, id=event, occurred=dt.datetime.now(dt.UTC))

        def opened():
            return [run for run in client.read_flow_runs() if (run.parameters.get("evidence") or {}).get("event_id") == str(event)]

        (run,) = await_that(opened, lambda: [run.parameters for run in client.read_flow_runs()])
        assert run.deployment_id == retrain.id
        assert run.parameters == {"work_pools": True, "snapshot": True, "evidence": payload}
        client.delete_flow_run(run.id)
