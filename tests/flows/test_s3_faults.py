"""S3 that fails one call in five, that answers after two seconds, or that is gone: the run ends right, only later, or says so and goes on.

A proxy stands before rclone's server; what it does to a call, tests/faulty_proxy.py says. Here the work cache and the DVC remote of a local
run are behind it, and a line of two short stages on a work pool, where everything goes through S3: inputs, entries, signs of life, outs.
"""

import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from components.contract import read_params
from components.objects import PATIENT
from flows.dag import read_dag
from tests import faulty_proxy
from tests.conftest import PROJECT, edit_params, run
from tests.faulty_proxy import Fate
from tests.flows.conftest import DVC, VITRINE
from tests.flows.pool_house import await_that
from tests.flows.pool_shop import make_pool_shop
from tests.release.test_registry_s3 import every_fifth

pytestmark = [pytest.mark.proof, pytest.mark.timeout(1800)]
LIMIT_S = 900.0
LONGEST_WAIT_S = 20.0  # of botocore's standard retries, between two tries
FAULTS = (Fate.REFUSED, Fate.LOST, Fate.CUT)


@pytest.fixture
def proxy(s3):
    """A proxy before the bucket, which passes everything on until a test says otherwise; a call with the fate HUNG finds nobody there."""
    with faulty_proxy.before(int(s3.environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2]), passed_on) as proxy:
        proxy.stopped.set()  # so that a connection is cut at once where it would hang
        yield proxy


def passed_on(method, path):
    return Fate.PASSED


def gone(method, path):
    return Fate.HUNG


def slow(proxy, delay_s=2.0):
    """Every answer of the proxy comes that late."""
    proxy.stopped.clear()
    proxy.delay_s = delay_s


@dataclass(frozen=True)
class Workspace:
    """A copy of the finished small market in which nothing is known any more of the stages that dvc.yaml has left."""

    folder: Path
    environment: dict[str, str]
    expected: dict[str, object]

    def start(self, *command):
        """The command, begun; its output goes to a file."""
        with open(self.folder.parent / "output.txt", "wb") as output:
            return subprocess.Popen(command, cwd=self.folder, env=self.environment, stdout=output, stderr=output)

    def must(self, *command):
        """The output of a command that has to end well."""
        status = self.start(*command).wait(LIMIT_S)
        assert status == 0, self.output()
        return self.output()

    def transfer(self, *command):
        """The command of DVC's own, tried as often as a stage run on a pool tries it: a transfer that breaks off fails that try, loudly."""
        for _ in range(read_params(self.folder / "params.yaml")["pools"]["transfer_tries"]):
            if self.start(*DVC, *command).wait(LIMIT_S) == 0:
                return
            assert "ERROR: " in self.output()
        raise AssertionError(self.output())

    def output(self):
        return (self.folder.parent / "output.txt").read_text()

    def lock(self):
        return yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]


@pytest.fixture
def workspace_of(finished, lone_environment, server, proxy, s3, tmp_path):
    """Makes the workspace; its work cache and its remote, both empty, are in the bucket behind the proxy."""

    def make(*stages):
        folder = tmp_path / "shop"
        shutil.copytree(finished, folder, symlinks=True, ignore=shutil.ignore_patterns(".vitrine", "tmp", "runs"))
        drawn = yaml.safe_load((folder / "dvc.yaml").read_text())["stages"]
        kept = {
            name: drawn[name] | {"meta": drawn[name]["meta"] | {"retries": 0}} for name in stages
        }  # the first error is the one looked at
        (folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": kept}, sort_keys=False))
        known = yaml.safe_load((folder / "dvc.lock").read_text())["stages"]
        (folder / "dvc.lock").unlink()
        edit_params(folder, {"cache": {"url": f"{s3.url}/{tmp_path.name}/cache"}})
        run(folder, *DVC, "remote", "add", "-q", "--default", "store", f"{s3.url}/{tmp_path.name}/remote")
        environment = lone_environment | {"PREFECT_API_URL": server} | s3.environment | at(proxy)
        return Workspace(folder, environment, {name: known[name] for name in stages})

    return make


def at(proxy):
    """What the environment must say for calls to go through the proxy."""
    return {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}"}


def test_a_local_run_its_push_and_a_pull_elsewhere_end_right_though_one_call_in_five_fails(workspace_of, proxy, tmp_path):
    """Refused before it is done, done though the answer says it is not, or answered with half an answer."""
    shop = workspace_of("ingest", "label")
    proxy.choose = every_fifth(1, *FAULTS)
    shop.must(VITRINE, "retrain")
    assert shop.lock() == shop.expected
    shop.transfer("push")
    for lost in (".dvc/cache", "data/listings"):
        shutil.rmtree(shop.folder / lost)
    shop.transfer("pull", "--force")
    assert "up to date" in shop.must(*DVC, "status")
    assert sum(proxy.num(fate) for fate in FAULTS) > 10
    assert all(proxy.num(fate) for fate in FAULTS)


def test_a_local_run_and_its_push_end_right_though_every_answer_takes_two_seconds(workspace_of, proxy):
    shop = workspace_of("ingest")
    slow(proxy)
    shop.must(VITRINE, "retrain")
    assert shop.lock() == shop.expected
    shop.must(*DVC, "push", "data/listings")  # a transfer is some calls, one after the other
    assert len(proxy.seen) > 10
    assert proxy.num(Fate.PASSED) == len(proxy.seen)


def test_a_training_whose_bucket_goes_says_so_in_time_and_goes_on_from_its_checkpoint(workspace_of, proxy):
    shop = workspace_of("finetune")

    def gone_after_two_checkpoints(method, path):
        kept = [one for one in proxy.seen if one[0] == "PUT" and ".checkpoint" in one[1] and one[2] is Fate.PASSED]
        return Fate.HUNG if len(kept) >= 2 else Fate.PASSED

    proxy.choose = gone_after_two_checkpoints
    begun = time.monotonic()
    assert shop.start(VITRINE, "retrain").wait(LIMIT_S) == 1
    assert time.monotonic() - begun < given_up_after_s(), "the bucket is given up after so many calls, and nothing else waits"
    assert "StoreFailed: s3://shop/" in shop.output()
    assert "Check the bucket's name, and AWS_ENDPOINT_URL_S3 and the credentials" in shop.output()
    assert not (shop.folder / "dvc.lock").exists()

    proxy.choose = passed_on
    assert "going on at step 4" in shop.must(VITRINE, "retrain")
    assert shop.lock() == shop.expected


def given_up_after_s():
    """Seconds within which a call to a bucket that does not answer ends with an error."""
    return PATIENT.attempts * (PATIENT.connect_s + PATIENT.read_s) + (PATIENT.attempts - 1) * LONGEST_WAIT_S


def test_a_bucket_that_never_answers_is_given_up_before_any_stage_is_out_of_time():
    assert given_up_after_s() < min(stage.timeout_s for stage in read_dag(PROJECT / "dvc.yaml"))


def test_a_push_to_a_bucket_that_is_gone_fails_and_the_next_one_brings_what_is_missing(workspace_of, proxy, s3, tmp_path):
    shop = workspace_of("ingest")
    shop.must(VITRINE, "retrain")
    stored = s3.folder / tmp_path.name / "remote"

    def gone_after_three_objects(method, path):
        sent = [one for one in proxy.seen if one[0] == "PUT" and "/remote/" in one[1] and one[2] is Fate.PASSED]
        return Fate.HUNG if len(sent) >= 3 else Fate.PASSED

    proxy.choose = gone_after_three_objects
    assert shop.start(*DVC, "push").wait(LIMIT_S) != 0
    assert "ERROR" in shop.output()
    first = {path.name: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()}
    assert len(first) == 3
    proxy.choose = passed_on
    shop.must(*DVC, "push")
    now = {path.name: path.stat().st_mtime_ns for path in stored.rglob("*") if path.is_file()}
    assert len(now) > len(first)
    assert {name: now[name] for name in first} == first, "what was there is not sent again"
    assert "everything is up to date" in shop.must(*DVC, "push").lower()


@pytest.fixture
def pool_shop(deployed, s3, proxy, tmp_path):
    """Two stages on the pool cpu, one after the other, whose every call to S3 goes through the proxy; nobody works on the pool yet."""
    shop = make_pool_shop(deployed, tmp_path, f"{s3.url}/{tmp_path.name}", {"transfer_tries": 3, "transfer_s": 240})
    drawn = yaml.safe_load((shop.folder / "dvc.yaml").read_text())["stages"]
    label = drawn["label"] | {"cmd": "python toy.py label data/pairs", "deps": ["data/pairs", "toy.py"]}
    stages = {name: one | {"meta": one["meta"] | {"pool": "cpu"}} for name, one in (("pairs", drawn["pairs"]), ("label", label))}
    (shop.folder / "dvc.yaml").write_text(yaml.safe_dump({"stages": stages}, sort_keys=False))
    deployed.git(shop.folder, "commit", "-q", "-am", "two stages")
    deployed.git(shop.folder, "push", "-q")
    kept = dict(deployed.environment)
    deployed.environment |= {"TOY_KNOBS": str(shop.knobs)} | at(proxy)
    yield shop
    deployed.end_workers()
    deployed.environment = kept


@pytest.fixture
def expected(pool_shop, tmp_path):
    """What plain `dvc repro` in a clone makes of them."""
    pool_shop.house.git(tmp_path, "clone", "-q", str(pool_shop.origin), "plain")
    (tmp_path / "plain" / "data").mkdir(exist_ok=True)
    pool_shop.house.must(tmp_path / "plain", *DVC, "repro")
    for counted in pool_shop.knobs.glob("*.ran"):
        counted.unlink()
    return yaml.safe_load((tmp_path / "plain" / "dvc.lock").read_text())["stages"]


def test_stage_runs_on_a_pool_end_right_though_one_call_in_five_fails(pool_shop, expected, proxy):
    proxy.choose = every_fifth(2, *FAULTS)
    pool_shop.house.start_worker("cpu", pool_shop.origin)
    status, output = pool_shop.retrain()
    assert status == 0, output
    assert pool_shop.lock() == expected
    assert {name: pool_shop.num_runs(name) for name in expected} == {"pairs": 1, "label": 1}
    assert sum(proxy.num(fate) for fate in FAULTS) > 10
    proxy.choose = passed_on
    pool_shop.house.must(pool_shop.folder, *DVC, "pull")
    assert "up to date" in pool_shop.house.must(pool_shop.folder, *DVC, "status")


def test_stage_runs_end_right_though_answers_take_two_seconds_and_say_so_in_time_where_the_bucket_goes(pool_shop, expected, proxy):
    """The first stage has a bucket that is slow, the second one that goes; started again, the line loses nothing."""
    slow(proxy)
    pool_shop.knob("label.hold").touch()
    pool_shop.house.start_worker("cpu", pool_shop.origin)
    flow = pool_shop.start_retrain()
    await_that(lambda: "[1/2] pairs: ran in" in pool_shop.output() or flow.poll() is not None, pool_shop.output, LIMIT_S)
    slow(proxy, 0.0)  # the second stage would show the same
    await_that(lambda: pool_shop.num_runs("label") or flow.poll() is not None, pool_shop.output, LIMIT_S)
    assert flow.poll() is None, pool_shop.output()

    proxy.stopped.set()
    proxy.choose = gone
    assert flow.wait(LIMIT_S) == 1
    assert "waiting, 30 s at most: s3://shop/" in pool_shop.output(), "pools.away_s"
    assert "StoreFailed: s3://shop/" in pool_shop.output()
    assert pool_shop.lock() == {"pairs": expected["pairs"]}, "what was done by then stands in dvc.lock"

    proxy.choose = passed_on
    pool_shop.knob("label.hold").unlink()
    status, output = pool_shop.retrain()
    assert status == 0, output
    assert pool_shop.lock() == expected
    assert pool_shop.num_runs("pairs") == 1, "it is not done again"
