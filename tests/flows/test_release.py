"""`vitrine release`: real Prefect, a real registry and real counts, before users who follow the record."""

import datetime as dt
import re
import shutil
import subprocess
import sys
import time

import pytest
from prefect.states import AwaitingRetry

from components.release.changes import AWAITS_APPROVAL, Desk
from components.release.channel import Step
from components.release.people import Person
from tests.flows.released_shop import Released
from tests.flows.test_retrain import flow_run, task_runs
from tests.release.webhook import webhook

LIMIT_S = 90.0


@pytest.fixture
def place(tmp_path, lone_environment, server):
    return Released(tmp_path, lone_environment | {"PREFECT_API_URL": server})


@pytest.fixture
def lone_place(tmp_path, lone_environment):
    """No Prefect server is configured, and none is needed."""
    return Released(tmp_path, lone_environment)


def artifacts(client, run):
    from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterFlowRunId

    return client.read_artifacts(artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[run.id])))


def await_that(holds, what, process=None):
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, what()
        assert process is None or process.poll() is None, what()
        time.sleep(0.05)


def first_stable(place):
    """The id of a first release, without a flow."""
    person = Person(Desk(place.shop.registry), actor="someone")
    old = person.publish(place.bundle("old"), place.folder)
    person.start(old, "first", place.shop.cfg)
    return old


def save_block(place, url):
    """The slug of a Prefect block that posts to `url`."""
    code = (
        "import sys; from prefect.blocks.notifications import CustomWebhookNotificationBlock as Block;"
        "Block(name='x', url=sys.argv[1], method='POST', json_data={'text': '{{subject}}: {{body}}'}).save('release', overwrite=True)"
    )
    subprocess.run([sys.executable, "-c", code, url], check=True, env=place.environment)
    return "custom-webhook/release"


def test_the_first_release_is_stable_and_the_next_climbs_and_is_told_of(tmp_path, lone_environment, server, client):
    with webhook() as (url, got), webhook() as (block_url, by_block):
        place = Released(tmp_path, lone_environment | {"PREFECT_API_URL": server}, {"notify": {"block": "custom-webhook/release"}})
        assert save_block(place, block_url) == "custom-webhook/release"
        status, output = place.run("start", str(place.bundle("old")))
        assert status == 0, output
        old = place.record().stable
        assert f"release {old[:12]} promoted: the first release: there is none to compare it with" in output
        with place.browsed():
            status, output = place.run("start", str(place.bundle("new")), VITRINE_WEBHOOK_URL=url)
    assert status == 0, output
    record = place.record()
    assert (record.previous, record.candidate) == ((old,), None)
    assert output.rstrip().endswith("promoted: every platform gives it to all users, and the soak is passed")
    assert "climb web 20 % PASS: passed in the shadow of web" in output
    assert "web stays at " in output
    run = flow_run(client)
    assert (run.state.type.value, [task_run.name for task_run in task_runs(client, run)]) == (
        "COMPLETED",
        ["publish", "shadow", "climb"],
    )
    changing = [entry for entry in place.log(record.stable) if entry.kind in ("climb", "promote")]
    shown = artifacts(client, run)
    assert {artifact.key for artifact in shown} == {"release-verdict"}
    assert len(shown) >= len(changing)
    assert any("| tap_rate | PASS |" in artifact.data for artifact in shown)
    assert [(one["event"], one["release_id"]) for one in got] == [("propose", record.stable)] + [(e.kind, record.stable) for e in changing]
    assert [one["text"] for one in by_block[1:]] == [one["text"] for one in got]
    assert by_block[0]["text"].startswith(f"release {old[:12]}: promote")


def test_a_bad_release_is_rolled_back_and_the_run_says_why(place, client):
    old = first_stable(place)
    place.shop.error_rate = lambda release_id, platform: 0.0 if release_id == old else 0.6
    with place.browsed():
        status, output = place.run("start", str(place.bundle("bad")))
    assert status == 0, output
    assert (place.record().stable, place.record().candidate) == (old, None)
    run = flow_run(client)
    assert run.state.type.value == "COMPLETED"
    assert "rolled back: shown worse in " in run.state.message
    assert "error_share" in run.state.message
    assert any("| error_share | FAIL |" in artifact.data for artifact in artifacts(client, run))


def test_what_its_own_evaluation_refused_is_not_published(place, client):
    status, output = place.run("start", str(place.bundle("refused", promote=False, reasons=["ndcg_at_5 is below the histogram's"])))
    assert status == 1
    assert "BadBundle" in output
    assert "ndcg_at_5 is below the histogram's" in output
    assert "Traceback" not in output
    assert flow_run(client).state.type.value == "FAILED"
    assert place.record().stable is None


def test_a_killed_flow_goes_on_where_it_was_without_being_told_what(place):
    first_stable(place)
    with place.browsed():
        flow = place.start(str(place.bundle("new")))
        await_that(lambda: has_users(place), place.output, flow)
        flow.kill()
        flow.wait()
        before = place.record()
        status, output = place.run("start")
    assert status == 0, output
    assert before.candidate is not None
    assert place.record().stable == before.candidate.release_id
    assert [entry.kind for entry in place.log(place.record().stable)].count("propose") == 1


EXECUTE = """
import sys
from uuid import UUID
from prefect.client.orchestration import get_client
from prefect.flow_engine import run_flow
from flows.release import release
with get_client(sync_client=True) as client:
    run = client.read_flow_run(UUID(sys.argv[1]))
print(run_flow(release, flow_run=run, parameters=run.parameters, return_type="state"))
"""


@pytest.mark.proof
def test_a_flow_that_prefect_executes_again_goes_on_with_its_own_release_where_its_clone_holds_a_newer_bundle(place, client):
    from flows.release import release

    first_stable(place)
    bundle = place.bundle("bundle")
    run = client.create_flow_run(release, parameters={"bundle": "bundle"})
    command = [sys.executable, "-c", EXECUTE, str(run.id)]
    with place.browsed():
        flow = subprocess.Popen(command, cwd=place.folder, env=place.environment)
        await_that(lambda: has_users(place), place.record, flow)
        flow.kill()
        flow.wait()
        begun = place.record().candidate.release_id
        shutil.rmtree(bundle)
        place.bundle("newer").rename(bundle)
        client.set_flow_run_state(run.id, AwaitingRetry(), force=True)
        subprocess.run(command, cwd=place.folder, env=place.environment, timeout=LIMIT_S, check=True)
    assert client.read_flow_run(run.id).state.message.startswith(f"release {begun[:12]} promoted")
    assert place.record().stable == begun
    assert len(place.shop.registry.releases()) == 2
    assert next(entry.actor for entry in place.log(begun) if entry.kind == "propose").endswith(f"flow run {run.id}")


def has_users(place):
    candidate = place.record().candidate
    return candidate is not None and any(lane.weight_percent for lane in candidate.lanes.values())


@pytest.fixture
def waiting(place, client):
    """A flow that waits for an approval, in its pause."""
    (place.folder / "params.yaml").write_text((place.folder / "params.yaml").read_text().replace("approval: false", "approval: true"))
    first_stable(place)
    with place.browsed():
        flow = place.start(str(place.bundle("new")))
        await_that(lambda: flow_run(client).state.type.value == "PAUSED", place.output, flow)
        assert place.record().candidate.paused == AWAITS_APPROVAL
        assert {lane.step for lane in place.record().candidate.lanes.values()} == {Step.SHADOW}
        yield flow
        if flow.poll() is None:
            flow.kill()
        flow.wait()


def test_an_approval_in_prefect_lets_the_release_out_of_its_shadow(place, client, waiting):
    run = flow_run(client)
    refused = client.resume_flow_run(run.id, run_input={"approve": True, "reason": ""})
    assert refused.status.value == "REJECT", "it asks for a reason"
    client.resume_flow_run(run.id, run_input={"approve": True, "reason": "the shelves look right"})
    assert waiting.wait(LIMIT_S) == 0, place.output()
    assert "promoted" in flow_run(client).state.message
    (resumed,) = [entry for entry in place.log(place.record().stable) if entry.kind == "resume"]
    assert (resumed.reason, resumed.actor) == ("the shelves look right", f"somebody at Prefect, flow run {run.name}")


def test_a_refusal_in_prefect_takes_the_release_away(place, client, waiting):
    client.resume_flow_run(flow_run(client).id, run_input={"approve": False, "reason": "not before the holidays"})
    assert waiting.wait(LIMIT_S) == 0, place.output()
    assert flow_run(client).state.message.endswith("rolled back: not before the holidays")
    assert place.record().candidate is None


def test_an_approval_at_the_terminal_ends_the_pause_in_prefect_too(place, client, waiting):
    new = place.record().candidate.release_id
    status, output = place.run("resume", "--reason", "seen, and fine")
    assert status == 0, output
    assert waiting.wait(LIMIT_S) == 0, place.output()
    assert place.record().stable == new
    assert [entry.reason for entry in place.log(new) if entry.kind == "resume"] == ["seen, and fine"]


def bare(place, *arguments):
    """`vitrine release ARGUMENTS` where Prefect and DVC cannot be imported and no Git is to be found."""
    gone = "import sys; sys.modules.update(dict.fromkeys(['prefect', 'dvc', 'git'])); from flows.cli import main; main()"
    environment = place.environment | {"PATH": "/nowhere", "VITRINE_ACTOR": "ada"}
    command = [sys.executable, "-c", gone, "release", *arguments]
    done = subprocess.run(command, cwd=place.folder, env=environment, text=True, capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout + done.stderr


def test_people_need_neither_prefect_nor_git(lone_place):
    place = lone_place
    old = first_stable(place)
    status, output = bare(place, "publish", str(place.bundle("new")))
    assert status == 0, output
    (new,) = re.findall("^[0-9a-f]{64}$", output, re.MULTILINE)
    Person(Desk(place.shop.registry), actor="someone").start(new, "x", place.shop.cfg)
    assert bare(place, "pause", "--reason", "stock-taking")[0] == 0
    status, output = bare(place, "status")
    assert status == 0, output
    assert f"stable: {old} (revision 3)" in output
    assert f"under test: {new}" in output
    assert "paused: stock-taking" in output
    assert "web     shadow 0 % since " in output
    assert bare(place, "resume", "--reason", "counted")[0] == 0
    status, output = bare(place, "promote", "--reason", "known to be good")
    assert status == 0, output
    assert f"stable: {new} (revision 5)" in output
    status, output = bare(place, "rollback", "--reason", "known to be bad")
    assert status == 0, output
    assert place.record().stable == old
    kinds = [(entry.kind, entry.actor) for entry in place.log(new)]
    assert kinds == [("publish", "ada"), ("propose", "someone"), *((kind, "ada") for kind in ("pause", "resume", "promote", "rollback"))]
    status, output = bare(place, "status")
    assert f"last: {new[:12]} rolled back: known to be bad" in output


@pytest.mark.parametrize("verb", ["pause", "resume", "rollback", "promote"])
def test_a_verb_without_a_reason_changes_nothing(lone_place, verb):
    first_stable(lone_place)
    before = lone_place.record()
    status, output = lone_place.run(verb)
    assert status == 2
    assert "--reason" in output
    status, output = lone_place.run(verb, "--reason", " ")
    assert status == 1
    assert "Traceback" not in output
    assert lone_place.record() == before


def test_an_id_that_was_never_published_is_not_started(place):
    first_stable(place)
    before = place.record()
    status, output = place.run("start", "d" * 64)
    assert status == 1
    assert "BadBundle: release dddddddddddd is not in the registry" in output
    assert place.record() == before


def test_status_of_a_web_up_app_down_release_says_that_it_cannot_become_stable(lone_place):
    place = lone_place
    old = first_stable(place)
    place.shop.tap_rate = lambda release_id, platform: 0.5 if release_id == old else 0.6 if platform == "web" else 0.1
    place.shop.at = dt.datetime.now(dt.UTC)
    Person(Desk(place.shop.registry), actor="someone", now=place.shop.now).start("c" * 64, "x", place.shop.cfg)
    assert place.shop.climb().ended.startswith("held: ")
    status, output = place.run("status")
    assert status == 0, output
    assert "web     held 100 %" in output
    assert "cannot become stable" in output
    assert "ios     returned 0 %" in output
