"""The one writer of dvc.lock: what a run made of it becomes one commit of a bot, on top of what origin has by then, or nothing is lost.

Commits are made with git's plumbing, so that nothing else of the working tree can slip in, whatever is changed or staged there.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from components.contract import STATE, bind, read_params
from components.errors import BadWorkspace, Conflict, GitFailed
from components.process import alone
from flows.bot import WriterConfig, identity
from flows.git import Entry, Git
from flows.lock_entries import entries_in, joined, outdated, written
from flows.merged_tree import FILE, edited, merged_tree, source_of
from flows.remote import Checkout, Place, Refused, RemoteBranch
from flows.workspace import DVC_LOCK

log = logging.getLogger("vitrine")

KEPT = "vitrine/retrain-"

Where = Literal["pushed", "there", "local", "unchanged"]


@dataclass(frozen=True)
class Committed:
    """The commit that holds the lock, and how it came there: pushed; there before, by somebody else; here alone; or as it was.

    `note` is a line for people.
    """

    commit: str
    where: Where
    branch: str | None
    note: str


class _Clash(Exception):
    """Ours does not fit on what is there by now."""


def commit_lock(
    message: str,
    base: str,
    run_id: str,
    *,
    folder: Path = Path(),
    cfg: WriterConfig | None = None,
    wait_s: float = 0.0,
    say: Callable[[str], None] = log.info,
) -> Committed:
    """Where dvc.lock of the workspace `folder`, which the run `run_id` made from the commit `base`, is committed now.

    One writer at a time: another is waited for up to `wait_s` seconds (StageBusy). Where origin moved on in what no entry depends on,
    the commit goes on top. Without a remote, or without a branch, it is made here alone. Raises Conflict where a rival committed other
    results or origin changed what ours were made from, GitFailed where the remote does not take it or does not answer in time; ours is
    then on a branch of its own, which the error names. Raises BadWorkspace for a lock that was not made from `base`. Killed at any
    moment, it can be called again.
    """
    cfg = cfg or bind(WriterConfig, "writer", read_params(folder / "params.yaml"))
    with alone("writer", folder / STATE / "locks", wait_s, say):
        return _Writer.of(message, base, run_id, folder, cfg, say).commit()


@dataclass(frozen=True)
class _Writer:
    """What is to be committed: the lock `data` with its `entries`, where those of the commit `base` were `before`."""

    git: Git
    cfg: WriterConfig
    say: Callable[[str], None]
    message: str
    run_id: str
    base: str
    path: str
    data: bytes
    entries: Mapping[str, Any]
    before: Mapping[str, Any]
    idle: frozenset[str]
    branch: str | None

    @classmethod
    def of(cls, message: str, base: str, run_id: str, folder: Path, cfg: WriterConfig, say: Callable[[str], None]) -> "_Writer":
        git = Git(folder, identity(cfg))
        prefix = git.run("rev-parse", "--show-prefix")
        if prefix.status:
            raise BadWorkspace(f"dvc.lock cannot be committed in {folder.resolve()}: {prefix.said}")
        if (commit := git.commit_of(base)) is None:
            raise BadWorkspace(f"this repository has no commit {base}, which dvc.lock was made from: `git fetch`")
        data, path = _whole(folder / DVC_LOCK), f"{prefix.text}{DVC_LOCK}"
        entries = entries_in(data, str(DVC_LOCK))
        before = entries_in(git.blob(commit, path), f"{DVC_LOCK} of {commit[:12]}")
        late = outdated(entries, source_of(git, commit, prefix.text))
        if own := {name: other for name, other in late.items() if entries[name] != before.get(name)}:
            raise BadWorkspace(f"dvc.lock was not made from {commit[:12]}: {_listed(own)}. Commit what was changed, and run again")
        head = git.run("symbolic-ref", "--quiet", "--short", "HEAD").text or None
        branch = cfg.branch or head
        return cls(git, cfg, say, message, _plain(run_id), commit, path, data, entries, before, frozenset(late), branch)

    def commit(self) -> Committed:
        """As commit_lock()."""
        if self.entries == self.before:
            return Committed(self.base, "unchanged", self.branch, "dvc.lock is as it was: nothing to commit" + self._settled(self.base))
        place = self._place()
        try:
            return self._brought_to(place)
        except _Clash as clash:
            raise Conflict(f"{clash}. {self._kept(push=True)}") from None
        except GitFailed as error:
            raise GitFailed(f"{error}. {self._kept(push=isinstance(error, Refused))}") from None

    def _place(self) -> Place:
        remotes = self.git.ask("remote").split()
        if self.branch is None or self.cfg.remote not in remotes:
            return Checkout(self.git)
        return RemoteBranch(self.git, self.cfg.remote, self.branch, self.cfg.timeout_s)

    def _brought_to(self, place: Place) -> Committed:
        for number in range(self.cfg.max_tries):
            if number:
                self.say(f"another was quicker at {self._name(place)}; trying again ({number} of {self.cfg.max_tries - 1})")
                time.sleep(self.cfg.retry_wait_s * 2 ** (number - 1))
            tip = place.tip()
            made = self._on(tip or self.base)
            if made == tip:
                return self._told(made, "there", place)
            if place.take(made, tip):
                return self._told(made, "local" if isinstance(place, Checkout) else "pushed", place)
        raise _Clash(f"{self._name(place)} was moved by others {self.cfg.max_tries} times meanwhile (writer.max_tries)")

    def _on(self, tip: str) -> str:
        """The commit that has our entries on top of `tip`: `tip` itself where they are there. Raises _Clash where they do not fit."""
        if isinstance(self._place(), Checkout) and not self.git.is_ancestor(self.base, tip):
            raise _Clash(f"the checkout has left {self.base[:12]}, which dvc.lock was made from: {tip[:12]} is checked out")
        merged = merged_tree(self.git, tip, self.base, self.path)
        if merged.clashes:
            raise _Clash(f"{', '.join(merged.clashes[:5])}: changed both in {self.base[:12]} and in {tip[:12]}; merge them, then run again")
        theirs = entries_in(self.git.blob(tip, self.path), f"{DVC_LOCK} of {tip[:12]}")
        entries, rivals = joined(self.before, self.entries, theirs)
        if rivals:
            raise _Clash(f"{self._who(tip)} committed other results for {', '.join(rivals)}")
        if entries == theirs and merged.parents == (tip,):
            return tip
        late = outdated(entries, source_of(self.git, merged.tree, self.path.removesuffix(str(DVC_LOCK))))
        if moved := {name: other for name, other in late.items() if name not in self.idle}:
            raise _Clash(
                f"since {self.base[:12]} what results were made from has changed ({tip[:12]}): {_listed(moved)}. Run again from there"
            )
        lock = Entry(FILE, self._stored(self.data if entries == self.entries else written(entries)))
        parents = [word for parent in merged.parents for word in ("-p", parent)]
        return self._committed(edited(self.git, merged.tree, {self.path: lock}), *parents)

    def _stored(self, data: bytes) -> str:
        return self.git.ask("hash-object", "-w", "--stdin", data=data)

    def _committed(self, tree: str, *parents: str) -> str:
        return self.git.ask("commit-tree", tree, *parents, data=self.message.encode())

    def _who(self, tip: str) -> str:
        found = self.git.ask("log", "-1", "--format=%h of %an, %as (%s)", tip, "--", self.path)
        return f"{self._name(self._place())}: {found}"

    def _name(self, place: Place) -> str:
        return f"{self.cfg.remote}/{self.branch}" if isinstance(place, RemoteBranch) else self.branch or "HEAD"

    @property
    def _aside(self) -> str:
        return f"{KEPT}{self.run_id}-{hashlib.sha256(self.data).hexdigest()[:8]}"

    def _kept(self, *, push: bool) -> str:
        """Where ours lies now: on a branch named by run and content, here and, where it can be, at the remote."""
        name = self._aside
        tree = edited(self.git, self.base, {self.path: Entry(FILE, self._stored(self.data))})
        commit = self._committed(tree, "-p", self.base)
        self.git.ask("update-ref", f"refs/heads/{name}", commit)
        place, where = self._place(), "here"
        if push and isinstance(place, RemoteBranch):
            aside = RemoteBranch(self.git, place.remote, name, place.limit_s)
            try:
                where = f"here and at {place.remote}" if aside.take(commit, aside.tip()) else where
            except GitFailed as error:
                where = f"here alone, since {error}"
        return f"Ours is kept: dvc.lock as it lies here, and branch {name} ({where})"

    def _told(self, commit: str, where: Where, place: Place) -> Committed:
        short, name = commit[:12], self._name(place)
        notes = {
            "pushed": f"dvc.lock is committed as {short} at {name}",
            "there": f"{name} has these results already, in {short}",
            "local": f"dvc.lock is committed as {short}, here alone: {self._why_alone()}",
        }
        if where == "local" and self.branch is None:
            self.git.ask("update-ref", f"refs/heads/{self._aside}", commit)  # else nothing would name it once HEAD moves on
        elif self.git.commit_of(f"refs/heads/{self._aside}"):
            self.git.ask("update-ref", "-d", f"refs/heads/{self._aside}")  # of an earlier try
        return Committed(commit, where, self.branch, notes[where] + self._settled(commit))

    def _why_alone(self) -> str:
        if self.branch is None:
            return "no branch is checked out (or set writer.branch)"
        return f"there is no remote {self.cfg.remote!r} (writer.remote)"

    def _settled(self, commit: str) -> str:
        """What is left to do here, after the checkout follows as far as only dvc.lock is concerned."""
        if self.git.run("symbolic-ref", "--quiet", "--short", "HEAD").text not in ("", self.branch):
            return ""
        oid, head = self.git.ask("rev-parse", f"{commit}:{self.path}"), self.git.ask("rev-parse", "HEAD")
        if self._stored(self.data) != oid or not self.git.is_ancestor(head, commit):
            return "; `git checkout dvc.lock && git pull` brings what others did here"
        try:
            self.git.ask("update-index", "--add", "--cacheinfo", f"{FILE},{oid},{self.path}")
            others = self.git.ask("diff-tree", "-r", "-z", "--name-only", head, commit).strip("\0").split("\0")
            if others == [self.path]:
                self.git.ask("update-ref", "-m", "vitrine: commit dvc.lock", "HEAD", commit, head)
                head = commit
        except GitFailed as error:
            return f"; the checkout stays at {head[:12]}: {error}"
        return "" if head == commit else "; `git pull` brings what else came meanwhile"


def _whole(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadWorkspace(f"{path} not found: there is no run to commit, `vitrine retrain` makes one") from None


def _plain(run_id: str) -> str:
    return re.sub(r"[^A-Za-z0-9]+", "-", run_id).strip("-") or "run"


def _listed(others: Mapping[str, str]) -> str:
    first = [f"{name} ({other})" for name, other in list(others.items())[:3]]
    more = [f"and {len(others) - 3} more stages"] if len(others) > 3 else []
    return ", ".join([*first, *more])
