"""Git's plumbing: objects and refs are made beside the working tree, which nothing here reads or changes. Answers hold no credentials."""

import os
import re
import signal
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from components.errors import BadWorkspace, GitFailed

LOCAL_S = 60.0  # for a command that asks nobody else
CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
QUIET = {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "SSH_ASKPASS_REQUIRE": "never"}


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit status, its output, and what it said, without credentials."""

    status: int
    output: bytes
    said: str

    @property
    def text(self) -> str:
        return self.output.decode(errors="surrogateescape").strip()


@dataclass(frozen=True)
class Entry:
    """A file of a tree: git's mode (such as 100644; 0: not there) and the id of its bytes."""

    mode: str
    oid: str


def without_credentials(text: str) -> str:
    """The text, with user and password cut from every address in it."""
    return CREDENTIALS.sub("", text)


@dataclass(frozen=True)
class Git:
    """Commands in the repository that holds `folder`. Raises GitFailed where one fails, or has not ended after its seconds."""

    folder: Path = Path()
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)

    def run(self, *arguments: str, data: bytes = b"", limit_s: float = LOCAL_S, env: Mapping[str, str] | None = None) -> Done:
        """The command, ended, whatever its exit status. At the limit it is ended with everything that it started, such as ssh."""
        try:
            process = subprocess.Popen(
                ["git", *arguments],
                cwd=self.folder,
                env={**os.environ, **QUIET, **self.environment, **(env or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,  # no terminal to ask for a password at, and one group to end
            )
        except FileNotFoundError:
            raise BadWorkspace("git is not installed") from None
        try:
            output, said = process.communicate(data, timeout=limit_s)
        except subprocess.TimeoutExpired:
            raise GitFailed(f"git {arguments[0]} had no answer after {limit_s:g} s") from None
        finally:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
        return Done(process.returncode, output, without_credentials(said.decode(errors="replace").strip()))

    def ask(self, *arguments: str, data: bytes = b"", limit_s: float = LOCAL_S, env: Mapping[str, str] | None = None) -> str:
        """The command's output, without the white space around it."""
        done = self.run(*arguments, data=data, limit_s=limit_s, env=env)
        if done.status:
            raise GitFailed(f"git {arguments[0]} failed: {done.said or done.text or f'exit status {done.status}'}")
        return done.text

    def commit_of(self, name: str) -> str | None:
        """The full id of the commit that `name` names; None where there is none."""
        done = self.run("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        return done.text if done.status == 0 else None

    def blob(self, commit: str, path: str) -> bytes | None:
        """The file's bytes in a commit or tree, `path` from the top of the repository; None where it has none."""
        done = self.run("cat-file", "blob", f"{commit}:{path}")
        return done.output if done.status == 0 else None

    def blobs(self, oids: Iterable[str]) -> dict[str, bytes]:
        """The bytes of each id, all in one command."""
        wanted = sorted(set(oids))
        output = self.run("cat-file", "--batch", data="".join(f"{oid}\n" for oid in wanted).encode()).output
        found, at = {}, 0
        for oid in wanted:
            head, _, _ = output[at:].partition(b"\n") if at < len(output) else (b"", b"", b"")
            if not head.startswith(oid.encode()) or b" blob " not in head:
                raise GitFailed(f"git cat-file: {oid} cannot be read: is this clone whole?")
            start = at + len(head) + 1
            at = start + int(head.rpartition(b" ")[2]) + 1
            found[oid] = output[start : at - 1]
        return found

    def files(self, tree: str) -> dict[str, Entry]:
        """Every file of a commit or tree, by its path from the top of the repository."""
        rows = self.run("ls-tree", "-r", "-z", "--full-tree", tree).output.decode(errors="surrogateescape").split("\0")
        split = (row.partition("\t") for row in rows if row)
        return {path: Entry(about.split()[0], about.split()[2]) for about, _, path in split}

    def is_ancestor(self, old: str, new: str) -> bool:
        """Whether `new` has all that `old` has."""
        return self.run("merge-base", "--is-ancestor", old, new).status == 0
