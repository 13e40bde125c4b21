"""A container of a rendered pod, started as the kubelet and a runtime would: its own read-only root with nothing but a system and the
image's environment, what the Dockerfile says of variables and users, its volumes where it mounts them, its user, no capability, and no way
to gain one. The network is this machine's.

Linux, and root, which may make mounts. Where that is not so the test is skipped.
"""

import os
import shlex
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.k8s.images import account, variables
from tests.k8s.workloads import Document, Workload, named

SYSTEM = ("usr", "bin", "sbin", "lib", "lib64", "etc")
WAIT_S = 0.1
STARTS_S = 180.0

MOUNTS = """
set -eu
mount --make-rprivate /
mount -t tmpfs tmpfs {root}
for name in {system}; do
  if [ -L "/$name" ]; then ln -s "$(readlink "/$name")" {root}/"$name"
  elif [ -d "/$name" ]; then mkdir {root}/"$name" && mount --bind "/$name" {root}/"$name" && mount -o remount,ro,bind {root}/"$name"; fi
done
mkdir {root}/proc {root}/dev {root}/sys
mount --rbind /proc {root}/proc
mount --rbind /dev {root}/dev
mount --rbind /sys {root}/sys
mount --bind {passwd} {root}/etc/passwd
{volumes}
mount -o remount,ro {root}
cd {root}
exec chroot {root} setpriv --reuid {user} --regid {group} --clear-groups --no-new-privs --inh-caps=-all --bounding-set=-all \\
  env -i {environment} sh -c 'cd {cwd} && exec "$@"' sh {command}
"""


@dataclass
class Pod:
    """One pod of a workload. `image` is the environment of its containers; `values` are what references and secrets lead to, and win."""

    documents: list[Document]
    kind: str
    name: str
    folder: Path
    image: Path
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def workload(self) -> Workload:
        """The document."""
        return Workload(named(self.documents, self.kind, self.name))

    def container(self, name: str) -> dict[str, Any]:
        """The container."""
        return next(one for one in self.workload.containers if one["name"] == name)

    def volume(self, name: str) -> Path:
        """The folder that is the volume: made once, with what a ConfigMap holds, and the pod's own."""
        folder, volume = self.folder / name, self.workload.volume(name)
        if not folder.exists():
            folder.mkdir(parents=True)
            if "configMap" in volume:
                for key, text in named(self.documents, "ConfigMap", volume["configMap"]["name"])["data"].items():
                    (folder / key).write_text(text, encoding="utf-8")
            self.give(folder)
        return folder

    def give(self, folder: Path) -> None:
        """What lies in the folder is the pod's."""
        context = self.workload.spec["securityContext"]
        for path in (folder, *folder.rglob("*")):
            os.chown(path, context["runAsUser"], context["runAsGroup"], follow_symlinks=False)

    @contextmanager
    def running(self, name: str, **changed: str) -> Iterator["subprocess.Popen[bytes]"]:
        """The container's process; killed at the end where it still runs. `changed` replaces words of its command."""
        check_allowed(self.image)
        root = self.folder / f"root-{name}"
        root.mkdir(parents=True, exist_ok=True)
        script = self._script(self.container(name), root, changed)
        with open(self.folder / f"{name}.log", "ab") as log:
            process = subprocess.Popen(["unshare", "--mount", "sh", "-c", script], stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def log(self, name: str) -> str:
        """What the container said."""
        return (self.folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def _script(self, container: Mapping[str, Any], root: Path, changed: Mapping[str, str]) -> str:
        context = self.workload.spec["securityContext"]
        words = [changed.get(word, word) for word in [*container.get("command", []), *container.get("args", [])]]
        mounts = sorted(container["volumeMounts"], key=lambda mount: len(mount["mountPath"]))
        passwd = self.folder / "passwd"
        passwd.write_text(Path("/etc/passwd").read_text(encoding="utf-8") + account(_image(container)), encoding="utf-8")
        return MOUNTS.format(
            root=root,
            passwd=passwd,
            system=" ".join(SYSTEM),
            volumes="\n".join([*(self._mount(mount, root) for mount in mounts), _bound(self.image, root, self.image, is_read_only=True)]),
            user=context["runAsUser"],
            group=context["runAsGroup"],
            environment=" ".join(shlex.quote(f"{name}={value}") for name, value in self._environment(container).items()),
            cwd=container.get("workingDir", "/"),
            command=" ".join(map(shlex.quote, words)),
        )

    def _mount(self, mount: Mapping[str, Any], root: Path) -> str:
        source = self.volume(mount["name"])
        if below := mount.get("subPath"):
            source = source / below
            if "configMap" not in self.workload.volume(mount["name"]):
                source.mkdir(exist_ok=True)
                self.give(source)
        return _bound(source, root, Path(mount["mountPath"]), is_read_only=mount.get("readOnly", False))

    def _environment(self, container: Mapping[str, Any]) -> dict[str, str]:
        """What the Dockerfile of the container's image sets, and the container's own."""
        own = {one["name"]: one.get("value", "") for one in container.get("env", [])}
        return variables(_image(container), self.image) | own | dict(self.values)


def _image(container: Mapping[str, Any]) -> str:
    return str(container["image"]).rpartition("/")[2].partition(":")[0]


def _bound(source: Path, root: Path, target: Path, *, is_read_only: bool) -> str:
    inside = f"{root}{target}"
    made = f"mkdir -p $(dirname {inside}); touch {inside}" if source.is_file() else f"mkdir -p {inside}"
    lines = [made, f"mount --bind {source} {inside}"]
    return "\n".join([*lines, f"mount -o remount,ro,bind {inside}"] if is_read_only else lines)


def check_allowed(image: Path) -> None:
    """Skips the test where mounts cannot be made, or where nobody but root can reach the image's Python."""
    unshare = shutil.which("unshare")
    tried = unshare and subprocess.run([unshare, "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, check=False)
    if os.geteuid() != 0 or not tried or tried.returncode:
        pytest.skip("mounts of a container's own cannot be made here: that takes root")
    if not Path(os.path.realpath(image / "bin/python")).is_relative_to("/usr"):
        pytest.skip("the image's Python is not the system's, and another user may not reach it: install python3.11-venv")


def asked(port: int, probe: Mapping[str, Any]) -> int:
    """The status that a probe gets; 0 where nobody answers."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{probe['httpGet']['path']}", timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


def await_probe(port: int, probe: Mapping[str, Any], pod: Pod, name: str, process: "subprocess.Popen[bytes]") -> None:
    """Returns once the probe passes. Raises AssertionError where the container ends, or takes too long."""
    end_s = time.monotonic() + STARTS_S
    while asked(port, probe) != 200:
        assert process.poll() is None, pod.log(name)[-3000:]
        assert time.monotonic() < end_s, pod.log(name)[-3000:]
        time.sleep(WAIT_S)
