"""The retraining's own checkout: at which commit it stands, and that stage runs can clone just that."""

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from components.errors import BadWorkspace, Conflict, GitFailed
from flows.git import Git

ORIGIN = "origin"
LIMIT_S = 900.0  # for what asks origin
PUSHES = 5
WAIT_S = 1.0
DERIVED = ("dvc.lock",)  # a run that was killed may have left it ahead of the commit; what it says is handed over


def clone(url: str, branch: str, commit: str, folder: Path) -> None:
    """Clones into the empty folder, all of the history since a bot's commit goes on top of it. Without a branch the repository's own is
    taken, without a commit the branch's newest. Raises GitFailed."""
    Git(folder).ask("clone", "--quiet", *(["--branch", branch] if branch else []), "--", url, ".", limit_s=LIMIT_S)
    if commit:
        Git(folder).ask("checkout", "--quiet", "--detach", commit)


def head() -> str:
    """The commit that is checked out; empty where none is."""
    return Git().commit_of("HEAD") or ""


def pushed_commit() -> str:
    """The commit that is checked out, which every clone of origin has.

    Raises BadWorkspace where files were changed since, or where it was not pushed: stage runs would work on something else than what
    lies here.
    """
    commit = head()
    if not commit:
        raise BadWorkspace("nothing is committed here, and stage runs clone commits: commit and push first")
    if changed := [name for name in Git().ask("diff", "--name-only", "--relative", "HEAD").splitlines() if name not in DERIVED]:
        raise BadWorkspace(f"{', '.join(changed[:5])} changed since the last commit: stage runs clone commits, so commit and push first")
    Git().ask("fetch", "--quiet", ORIGIN, limit_s=LIMIT_S)
    if not Git().ask("branch", "--remotes", "--contains", commit):
        raise BadWorkspace(f"commit {commit[:12]} is not at {ORIGIN}: stage runs clone it from there, so `git push` first")
    return commit


def push_branch() -> None:
    """Brings the branch that is checked out to origin; commits that came there meanwhile go below ours.

    Raises BadWorkspace where no branch is checked out, Conflict where ours does not fit on top of theirs, GitFailed.
    """
    branch = Git().ask("rev-parse", "--abbrev-ref", "HEAD")
    if branch == "HEAD":
        raise BadWorkspace("no branch is checked out, so a snapshot's commit could not be pushed: `git switch BRANCH`")
    for number in range(PUSHES):
        try:
            Git().ask("push", "--quiet", ORIGIN, f"HEAD:refs/heads/{branch}", limit_s=LIMIT_S)
            return
        except GitFailed:
            if number == PUSHES - 1:
                raise
        time.sleep(WAIT_S * number)
        _rebase(branch)


def _rebase(branch: str) -> None:
    Git().ask("fetch", "--quiet", ORIGIN, branch, limit_s=LIMIT_S)
    try:
        Git().ask("rebase", "--quiet", "FETCH_HEAD", limit_s=LIMIT_S)
    except GitFailed as error:
        Git().run("rebase", "--abort")
        raise Conflict(f"{ORIGIN}/{branch} has changed what this snapshot's commit changes too: {error}") from None


@contextmanager
def as_bot(identity: Mapping[str, str]) -> Iterator[None]:
    """Commits in the block are in the bot's name, GIT_AUTHOR_NAME and so on, unless git's settings or the environment say in whose."""
    added = {} if Git().run("config", "user.email").status == 0 else {k: v for k, v in identity.items() if k not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for key in added:
            del os.environ[key]
