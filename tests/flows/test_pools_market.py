"""The whole line on work pools, as a team runs it: the clock starts it, new listings come, a machine dies in the middle of a training.

What comes of it is compared with a local run of the same commit, each with an empty remote of its own.
"""

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml
from prefect.client.schemas.schedules import CronSchedule

from tests.browser.visitor import chromium
from tests.conftest import edit_params, make_workspace, run
from tests.contract.test_dag import STAGES
from tests.flows.pool_house import await_that, bare_origin
from tests.flows.pool_shop import POOLS
from tests.flows.test_pools import logs_of, retrains, stage_runs
from tests.release.rehearsed import varied

pytestmark = [pytest.mark.proof, pytest.mark.timeout(3600)]
LIMIT_S = 2400.0
GO_LIVE = """
from pathlib import Path
from flows.channel import Office
office = Office.open()
print(office.person().start(office.person().publish(Path("{bundle}")), "the first release", office.cfg).stable)
"""

NEXT_SNAPSHOT = """
from prefect import flow
from flows import retrain, snapshot
flow(retrain.bring_profile)()
snapshot.take()
"""


@pytest.fixture(scope="module")
def shop(deployed, s3, finished, tmp_path_factory):
    """A workspace over three days of events, committed at an origin that asks for work pools; what another market made is stable now."""
    base = tmp_path_factory.mktemp("market")
    folder = make_workspace(base / "shop", {"finetune": {"train": {"epochs": 12}}})
    run(folder, "vitrine", "simulate", str(base / "events"), "--from", "2026-01-01", "--days", "3")
    run(folder, "vitrine", "source", "events", str(base / "events"))
    edit_params(folder, {"release": {"registry": str(base / "registry")}})
    stable = deployed.must(folder, "python", "-c", GO_LIVE.format(bundle=varied(finished / "bundle", base / "good"))).split()[-1]
    edit_params(folder, {"cache": {"url": f"{s3.url}/market/cache"}, "pools": POOLS | {"beat_s": 1.0, "lost_after_s": 60.0}})
    deployed.must(folder, "dvc", "remote", "add", "-q", "--default", "store", f"{s3.url}/market/pools")
    deployed.git(folder, "add", "-A")
    deployed.git(folder, "commit", "-q", "-m", "on work pools from now on")
    return folder, bare_origin(deployed, folder, base / "origin.git"), stable


def objects_in(folder: Path) -> set[str]:
    """The names of what a DVC remote holds: digests."""
    return {"".join(path.relative_to(folder).parts[-2:]) for path in (folder / "files" / "md5").rglob("*") if path.is_file()}


def test_new_listings_and_a_firing_cron_lead_to_a_candidate_beside_stable_though_a_machine_dies(deployed, s3, shop, tmp_path):
    house, (folder, origin, stable) = deployed, shop
    run(folder, "vitrine", "simulate", str(folder.parent / "events"), "--days", "2")
    first_gpu = house.start_worker("gpu", origin)
    house.start_worker("cpu", origin)
    with house.client() as client:
        deployment = client.read_deployment_by_name("retrain/retrain").id
        (schedule,) = client.create_deployment_schedules(deployment, [(CronSchedule(cron="* * * * *"), True)])
        (begun,) = await_that(lambda: [one for one in retrains(client) if one.auto_scheduled and one.state.type.value == "RUNNING"], str)
        client.delete_deployment_schedule(deployment, schedule.id)
        for one in retrains(client):
            if one.auto_scheduled and one.state.type.value == "SCHEDULED":
                client.delete_flow_run(one.id)

        checkpoints = s3.folder / "market" / "cache" / "finetune"
        await_that(lambda: list(checkpoints.glob("*.checkpoint*")), lambda: logs_of(client, begun), LIMIT_S)
        first_gpu.kill()
        house.start_worker("gpu", origin)
        await_that(lambda: client.read_flow_run(begun.id).state.is_final(), lambda: logs_of(client, begun), LIMIT_S)
        ended = client.read_flow_run(begun.id)
        assert ended.state.type.value == "COMPLETED", (ended.state, logs_of(client, begun))
        assert ended.state.message.startswith(f"{len(STAGES)} stages: {len(STAGES)} ran; ")
        below = stage_runs(client, begun)
        assert set(below) == {*STAGES, "finetune (try 2)"}
        assert below["finetune"][0].state.type.value == "CRASHED"
        assert "going on at step" in logs_of(client, below["finetune (try 2)"][0])
        assert "finetune: no sign of life for 60 s" in logs_of(client, begun)
        (shown,) = [one for one in client.read_artifacts() if one.flow_run_id == begun.id and one.key == "retrain-metrics"]
        assert "| embed | ran | " in shown.data
        if pictures := os.environ.get("VITRINE_SCREENSHOTS"):
            shoot(house.page, str(begun.id), Path(pictures))
    house.end_workers()

    messages = house.git(origin, "log", "--format=%an: %s", "main").splitlines()
    assert len(messages) == 4, messages
    assert messages[0].startswith(f"vitrine-bot: {len(STAGES)} stages: ")
    assert messages[1].startswith("vitrine-bot: Take a snapshot of ")
    clone = tmp_path / "clone"
    house.git(tmp_path, "clone", "-q", str(origin), str(clone))
    taken = json.loads((clone / "data" / "snapshot.json").read_text())
    assert taken["stable_release"] == stable
    assert len({name.split("/")[1] for name in taken["source"]["files"]}) == 5, "five days of events are in it"
    house.must(clone, "dvc", "pull", "bundle", "reports/evaluate.json")
    report = json.loads((clone / "reports" / "evaluate.json").read_text())
    assert report["stable"]["release"] == stable
    assert any("model minus stable" in reason for reason in report["reasons"])
    assert json.loads((clone / "bundle" / "manifest.json").read_text())["metrics"]["stable_release"] == stable

    assert json.loads((clone / "data" / "history.json").read_text()) == []
    house.must(clone, "python", "-c", NEXT_SNAPSHOT)
    assert len(json.loads((clone / "data" / "history.json").read_text())) == 1, "the next run's gates know what this one's data were like"

    by_pools = (clone / "dvc.lock").read_bytes()
    local = make_local(house, origin, tmp_path / "local", s3, stable, folder.parent)
    run_there(house, local, "dvc", "repro")
    assert (local / "dvc.lock").read_bytes() == by_pools
    run_there(house, local, "dvc", "push")
    assert objects_in(s3.folder / "market" / "pools") == objects_in(s3.folder / "market" / "local")
    assert set(yaml.safe_load(by_pools)["stages"]) == set(STAGES)


def make_local(house, origin, folder, s3, stable, base):
    """A clone at the commit that the retraining worked from, with a remote and a work cache of its own."""
    house.git(folder.parent, "clone", "-q", str(origin), str(folder))
    house.git(folder, "checkout", "-q", "main~1")
    assert not (folder / "dvc.lock").exists()
    edit_params(folder, {"cache": {"url": ".vitrine/cache"}})
    house.must(folder, "dvc", "remote", "modify", "store", "url", f"{s3.url}/market/local")
    shutil.copytree(base / "good", folder / "releases" / stable)
    return folder


def run_there(house, folder, *command):
    house.must(folder, *command, limit_s=1200)


def shoot(origin: str, run_id: str, folder: Path) -> None:
    """Pictures of Prefect's page of a retraining, and of its artifact."""
    with chromium() as browser:
        page = browser.new_context(viewport={"width": 1280, "height": 900}).new_page()
        for tab in ("Logs", "Subflow Runs"):
            page.goto(f"{origin}/runs/flow-run/{run_id}")
            page.get_by_text(tab, exact=True).first.click()
            page.wait_for_timeout(5000)
            page.screenshot(path=folder / f"prefect-{tab.lower().replace(' ', '-')}.png")
        page.goto(f"{origin}/artifacts/key/retrain-metrics")
        page.wait_for_timeout(5000)
        page.screenshot(path=folder / "prefect-metrics.png", full_page=True)
