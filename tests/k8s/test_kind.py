"""The README's way to a cluster on one machine: what its commands commit and push is what runs of that cluster clone."""

import re
import shutil
import subprocess

import pytest
import yaml

from flows.pools import transfer
from flows.pools.clone import clone
from tests.conftest import PROJECT, environment, make_workspace

KIND = "k8s/overlays/kind"
SOMEBODY = {f"GIT_{role}_{what}": "a@shop.example" for role in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def commands():
    """The block of step 2."""
    return re.search(r"```\n( +dvc remote add.*?)```", (PROJECT / "k8s/README.md").read_text(), re.DOTALL)[1]


@pytest.fixture
def shop(tmp_path):
    """A checkout of a shop's own repository."""
    folder = make_workspace(tmp_path / "shop")
    shutil.copytree(PROJECT / KIND, folder / KIND, ignore=shutil.ignore_patterns("secrets"))
    for command in (["clone", "--quiet", "--bare", ".", "../origin"], ["remote", "add", "origin", str(tmp_path / "origin")]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_runs_on_kind_clone_the_branch_with_its_params_and_meet_in_its_bucket(shop, tmp_path, monkeypatch):
    env = environment() | SOMEBODY | {"PYTHONPATH": str(PROJECT), "VITRINE_REPOSITORY": str(tmp_path / "origin")}
    for command in (commands(), f"{KIND}/secrets.sh"):
        done = subprocess.run(["sh", "-euc", command], cwd=shop, env=env, text=True, capture_output=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    given = dict(line.split("=", 1) for line in (shop / KIND / "secrets/git.env").read_text().splitlines())
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)
    monkeypatch.chdir(clone()["directory"])
    store, wanted = (
        yaml.safe_load((tmp_path / "shop/params.yaml").read_text()),
        yaml.safe_load((PROJECT / KIND / "params.yaml").read_text()),
    )
    assert store["cache"]["url"] == wanted["cache"]["url"]
    with open("params.yaml") as file:
        assert yaml.safe_load(file) == store, "what the gateway is rendered with is what runs go by"
    assert transfer.remote() == "store"
    url = subprocess.run(["dvc", "config", "remote.store.url"], env=environment(), text=True, capture_output=True, check=True).stdout
    assert url.startswith(wanted["cache"]["url"].removesuffix("cache")), "the bucket that the overlay makes"
