"""Where a commit is to go: a branch of a remote, or the checkout alone. Both take it only on top of the tip that it was made for."""

import re
from dataclasses import dataclass
from typing import Protocol

from components.errors import GitFailed
from flows.git import Git

NO_SUCH_BRANCH = "couldn't find remote ref"
REFUSED = re.compile(r"^!\t.*\t\[(?:(remote) )?rejected\] \((.*)\)", re.MULTILINE)
RACED = re.compile(r"lock ref|failed to update ref|incorrect old value|reference already exists")
SAID_CHARS = 400


class Refused(GitFailed):
    """The remote answers, and does not take the commit."""


class Place(Protocol):
    """Somewhere that has a tip and takes a commit on top of it."""

    def tip(self) -> str | None:
        """The newest commit there, whose objects are here now; None where it is still empty."""

    def take(self, commit: str, tip: str | None) -> bool:
        """True where the commit is there now; False where another was quicker, so that `tip` is no longer the newest."""


@dataclass(frozen=True)
class RemoteBranch:
    """A branch of a remote. Raises GitFailed where it does not answer within `limit_s` seconds, or refuses."""

    git: Git
    remote: str
    branch: str
    limit_s: float

    def tip(self) -> str | None:
        """Fetched into a ref of our own: the person's refs and FETCH_HEAD stay as they are."""
        ref = f"refs/vitrine/{self.remote}/{self.branch}"
        quiet = ("--quiet", "--no-tags", "--no-write-fetch-head", "--no-recurse-submodules", "--refmap=")
        done = self.git.run("fetch", *quiet, self.remote, f"+refs/heads/{self.branch}:{ref}", limit_s=self.limit_s)
        if done.status and NO_SUCH_BRANCH in done.said:
            return None
        if done.status:
            raise GitFailed(f"{self.remote} cannot be read: {_short(done.said)}")
        return self.git.ask("rev-parse", ref)

    def take(self, commit: str, tip: str | None) -> bool:
        """Raises Refused with the remote's reason where it takes nothing from us, such as a hook's or a protected branch's."""
        lease = f"--force-with-lease=refs/heads/{self.branch}:{tip or ''}"  # never over a tip that we have not seen
        target = f"{commit}:refs/heads/{self.branch}"
        done = self.git.run("push", "--porcelain", "--no-recurse-submodules", lease, self.remote, target, limit_s=self.limit_s)
        if done.status == 0:
            return True
        refused = REFUSED.search(done.text)
        if refused is None:
            raise GitFailed(f"{self.remote} cannot be pushed to: {_short(done.said)}")
        if not refused[1] or RACED.search(refused[2] + done.said) or self.tip() != tip:
            return False
        raise Refused(f"{self.remote} refused the push to {self.branch} ({refused[2]}): {_short(done.said)}")


@dataclass(frozen=True)
class Checkout:
    """The commit that is checked out here, and its branch, where it is on one."""

    git: Git

    def tip(self) -> str | None:
        """HEAD."""
        return self.git.commit_of("HEAD")

    def take(self, commit: str, tip: str | None) -> bool:
        """Moves HEAD, where it still is at `tip`; no file changes."""
        return self.git.run("update-ref", "-m", "vitrine: commit dvc.lock", "HEAD", commit, tip or "").status == 0


def _short(said: str) -> str:
    return " ".join(said.split())[-SAID_CHARS:] or "it did not say why"
