"""A shop's bare repository and its clones, with the dvc.lock that DVC would have written for them."""

import os
import re
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flows.bot import WriterConfig
from flows.lock_entries import entries_in, md5_of, md5_of_folder, written
from flows.writer import Committed, commit_lock

KEPT = re.compile(r"branch (vitrine/retrain-\S+)")

DVC_YAML = """
stages:
  pairs:
    cmd: make pairs
    deps: [seed.txt, code/pairs]
    params: [pairs]
    outs: [data/pairs]
    meta: {pool: cpu, gpu: 0, retries: 0, timeout_s: 60}
  label:
    cmd: make label
    deps: [data/pairs, code/label.py]
    params: [label.margin]
    outs: [data/labels]
    metrics: [reports/label.json]
    meta: {pool: cpu, gpu: 0, retries: 0, timeout_s: 60}
  market:
    cmd: make market
    deps: [seed.txt]
    outs: [data/market]
    meta: {pool: cpu, gpu: 0, retries: 0, timeout_s: 60}
"""
PARAMS = "pairs: {window: 4}\nlabel: {margin: 0.02, seed: 0}\nserve: {port: 1}\n"
FILES = {
    "dvc.yaml": DVC_YAML,
    "params.yaml": PARAMS,
    ".dvcignore": "__pycache__\n",
    ".gitignore": "/.vitrine/\n/data/\n",
    "seed.txt": "1\n",
    "code/pairs/a.py": "a = 1\n",
    "code/pairs/inner/b.py": "b = 1\n",
    "code/label.py": "c = 1\n",
    "README.md": "A shop.\n",
}
SETTINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_SYSTEM": os.devnull,
    **{f"GIT_{who}_NAME": "Ada" for who in ("AUTHOR", "COMMITTER")},
    **{f"GIT_{who}_EMAIL": "ada@shop.example" for who in ("AUTHOR", "COMMITTER")},
}


def git(folder: Path, *arguments: str, check: bool = True) -> str:
    """What git prints."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GIT_")} | SETTINGS
    done = subprocess.run(["git", *arguments], cwd=folder, env=env, text=True, capture_output=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout.strip()


def config(**changes: object) -> WriterConfig:
    knobs = {"remote": "origin", "branch": None, "name": "vitrine-bot", "email": "bot@shop.example"}
    return WriterConfig.model_validate({**knobs, "timeout_s": 20.0, "max_tries": 10, "retry_wait_s": 0.02, **changes})


@dataclass(frozen=True)
class Clone:
    """A clone of the shop, a person's or a machine's."""

    folder: Path

    def git(self, *arguments: str, check: bool = True) -> str:
        return git(self.folder, *arguments, check=check)

    def write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def commit(self, name: str, text: str, message: str = "change") -> str:
        """A commit of a person, of this file alone."""
        self.write(name, text)
        self.git("add", "--", name)
        self.git("commit", "-q", "-m", message, "--only", "--", name)
        return self.head()

    def head(self) -> str:
        return self.git("rev-parse", "HEAD")

    def status(self) -> str:
        return self.git("status", "--porcelain")

    def run_line(self, **outs: str) -> str:
        """As a run of these stages would: dvc.lock of the files that lie here, with outs of the given texts. The commit it was made from.

        `label` reads the given pairs, else those that dvc.lock has.
        """
        path = self.folder / "dvc.lock"
        stages = entries_in(path.read_bytes(), "dvc.lock") if path.exists() else {}
        for name, text in outs.items():
            stages[name] = self._entry(name, text, stages)
        path.write_bytes(written(stages))
        return self.head()

    def _entry(self, name: str, text: str, stages: dict[str, Any]) -> dict[str, Any]:
        cmd, seed = {"cmd": f"make {name}"}, self._file("seed.txt")
        if name == "market":
            return {**cmd, "deps": [seed], "outs": [_out("data/market", text)]}
        if name == "label":
            deps = [self._file("code/label.py"), *stages["pairs"]["outs"]]
            outs = [_out("data/labels", text), _out("reports/label.json", text)]
            return {**cmd, "deps": deps, "params": self._params("label.margin", 0.02), "outs": outs}
        files = {f"code/pairs/{inner}": (self.folder / "code/pairs" / inner).read_bytes() for inner in ("a.py", "inner/b.py")}
        folder = {"path": "code/pairs", "hash": "md5", "md5": md5_of_folder("code/pairs", files, ""), "size": 12, "nfiles": 2}
        return {**cmd, "deps": [folder, seed], "params": self._params("pairs", {"window": 4}), "outs": [_out("data/pairs", text)]}

    def _params(self, knob: str, value: object) -> dict[str, Any]:
        return {"params.yaml": {knob: value}}

    def _file(self, name: str) -> dict[str, Any]:
        data = (self.folder / name).read_bytes()
        return {"path": name, "hash": "md5", "md5": md5_of(data), "size": len(data)}


def _out(path: str, text: str) -> dict[str, Any]:
    return {"path": path, "hash": "md5", "md5": md5_of(text.encode()), "size": len(text)}


@dataclass(frozen=True)
class Origin:
    """The bare repository."""

    folder: Path

    def git(self, *arguments: str, check: bool = True) -> str:
        return git(self.folder, *arguments, check=check)

    def clone(self, folder: Path, *options: str) -> Clone:
        git(self.folder, "clone", "-q", *options, self.folder.as_uri(), str(folder))
        return Clone(folder.resolve())

    def tip(self, branch: str = "main") -> str:
        return self.git("rev-parse", branch)

    def lock(self, branch: str = "main") -> str:
        return self.git("show", f"{branch}:dvc.lock")

    def changed_by(self, commit: str) -> list[str]:
        return self.git("diff-tree", "-r", "--no-commit-id", "--name-only", f"{commit}^", commit).splitlines()


def make_origin(folder: Path) -> Origin:
    """A bare repository whose branch main holds FILES."""
    seed = Clone(folder / "seed")
    for name, text in FILES.items():
        seed.write(name, text)
    git(folder, "init", "-q", "-b", "main", "seed")
    seed.git("add", "-A")
    seed.git("commit", "-q", "-m", "a shop")
    git(folder, "clone", "-q", "--bare", "seed", "origin.git")
    return Origin(folder / "origin.git")


def hook(folder: Path, name: str, script: str) -> None:
    """Puts a hook into a repository (its .git folder, or a bare one)."""
    path = folder / "hooks" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def commit(clone: Clone, base: str, run_id: str = "run-1", **changes: Any) -> Committed:
    """The clone's dvc.lock, committed as made from `base`; `said` collects what is told on the way."""
    said = changes.pop("said", [])
    return commit_lock(f"Retrain {run_id}", base, run_id, folder=clone.folder, cfg=config(**changes), say=said.append)


def kept_in(error: pytest.ExceptionInfo[Exception]) -> str:
    """The branch that an error names, where ours was kept."""
    found = KEPT.search(str(error.value))
    assert found, error.value
    return found[1]
