"""`vitrine train-node`, as the pods of an Indexed Job run it: two workspaces on loopback that share a remote and nothing else."""

import json
import os
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from tests.conftest import edit_params, environment, run
from tests.ranks import free_port

LONG = {"finetune": {"train": {"epochs": 40, "patience_epochs": 40, "threads": 1, "rank_timeout_s": 120}}}
GIT = ("git", "-c", "user.name=test", "-c", "user.email=test@example.org")


@dataclass
class Node:
    """A pod: its workspace, and the process in it."""

    workspace: Path
    process: subprocess.Popen[bytes]

    def output(self) -> str:
        return (self.workspace / "output.txt").read_text()

    def ended(self, limit_s: float = 240) -> int:
        return self.process.wait(timeout=limit_s)


def start(workspace: Path, rank: int, port: int) -> Node:
    env = environment() | {"JOB_COMPLETION_INDEX": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with open(workspace / "output.txt", "wb") as output:
        return Node(workspace, subprocess.Popen(["vitrine", "train-node"], cwd=workspace, env=env, stdout=output, stderr=output))


@pytest.fixture
def pods(finished, tmp_path):
    """Two clones of a workspace in which `finetune` alone is left to do, its inputs in a common remote; and what they were cloned from."""
    origin, remote = Path(shutil.copytree(finished, tmp_path / "origin", symlinks=True)), tmp_path / "remote"
    edit_params(origin, LONG)
    run(origin, "dvc", "remote", "add", "--default", "shared", str(remote))
    run(origin, "dvc", "push", "-q", "data/validated_training.json", "data/listings", "data/images", "data/splits")
    (origin / ".gitignore").write_text((origin / ".gitignore").read_text() + "output.txt\n")
    run(origin, *GIT, "add", "-A")
    run(origin, *GIT, "commit", "-q", "-m", "ready to train")
    clones = [tmp_path / f"pod-{rank}" for rank in (0, 1)]
    for clone in clones:
        run(tmp_path, "git", "clone", "-q", str(origin), str(clone))
    return clones


def both(pods: list[Path]) -> list[Node]:
    port = free_port()
    return [start(pod, rank, port) for rank, pod in enumerate(pods)]


def awaited(found, nodes: list[Node], limit_s: float = 180) -> None:
    deadline = time.monotonic() + limit_s
    while not found():
        assert time.monotonic() < deadline, "\n\n".join(node.output() for node in nodes)
        time.sleep(0.05)


@pytest.mark.proof
@pytest.mark.timeout(900)
def test_a_training_on_two_nodes_that_loses_one_goes_on_and_ends_as_one_run_of_the_stage(pods):
    lead, follower = nodes = both(pods)
    try:
        awaited(lambda: list((pods[0] / ".vitrine" / "cache" / "finetune").glob("*.checkpoint")), nodes)
        os.kill(follower.process.pid, signal.SIGKILL)
        assert lead.ended() == 1
        assert "RankLost: rank 0: another of the 2 processes is gone" in lead.output()

        lead, follower = nodes = both(pods)
        assert [node.ended() for node in nodes] == [0, 0], lead.output() + follower.output()
        assert "finetune: going on at step" in lead.output()
        assert "finetune: ran and pushed" in lead.output()
        assert "rank 0 says finetune: ran and pushed" in follower.output()
        assert "epoch" not in follower.output()

        entry = yaml.safe_load((pods[0] / "dvc.lock").read_text())["stages"]["finetune"]
        assert entry["params"]["params.yaml"]["finetune"]["train"]["epochs"] == 40
        assert json.loads((pods[0] / "reports" / "finetune.json").read_text())["num_epochs"] == 40
        assert not list((pods[0] / ".vitrine" / "cache").rglob("*.checkpoint"))
        for written in ("models/encoder", "reports/finetune.json", "data/untrained_vectors.parquet", "runs", ".vitrine/cache"):
            assert not (pods[1] / written).exists(), written
        assert "finetune" not in run(pods[1], "git", "status", "--porcelain", "dvc.lock").stdout
    finally:
        for node in nodes:
            node.process.kill()
            node.process.wait()
    shutil.copy2(pods[0] / "dvc.lock", pods[1] / "dvc.lock")
    run(pods[1], "dvc", "pull", "-q", "models/encoder")
    assert (pods[1] / "models" / "encoder" / "model.safetensors").exists(), "pushed"


@pytest.mark.parametrize(
    ("env", "said"),
    [
        ({"WORLD_SIZE": "2", "RANK": "2"}, "BadEnvironment: RANK = '2': it must be a whole number from 0 to 1"),
        ({"WORLD_SIZE": "2", "RANK": "1", "MASTER_PORT": "29500"}, "BadEnvironment: MASTER_ADDR is not set"),
        ({}, "BadWorkspace: params.yaml not found"),
    ],
)
def test_what_a_node_lacks_is_told_at_once(tmp_path, env, said):
    done = subprocess.run(["vitrine", "train-node"], cwd=tmp_path, env=environment() | env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 1
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_the_stage_itself_runs_on_rank_0_alone(finished):
    env = environment() | {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
    done = subprocess.run(["vitrine", "run", "finetune"], cwd=finished, env=env, text=True, capture_output=True, timeout=120)
    assert done.returncode == 1
    assert "BadEnvironment: RANK = 1: only rank 0 runs the stage; start each process with `vitrine train-node`" in done.stderr
