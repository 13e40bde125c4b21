"""Trees of git objects: what a commit on top of another's would hold, and what stages are made from in it. No file is touched."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.contract import PARAMS
from flows.dag import DVC_YAML, entries_of
from flows.git import Entry, Git
from flows.lock_entries import Source, mapping_in, md5_of, md5_of_folder

GONE = "0"
FILE = "100644"
FILES = (FILE, "100755")


@dataclass(frozen=True)
class Merged:
    """The tree that has the changes of both commits, the parents of a commit on it, and the files that both changed, each otherwise."""

    tree: str
    parents: tuple[str, ...]
    clashes: tuple[str, ...] = ()


def merged_tree(git: Git, tip: str, base: str, less: str) -> Merged:
    """`tip` with what `base` has and it has not. Files are taken whole; `less`, which is written later, is left as in `tip`."""
    if git.is_ancestor(base, tip):
        return Merged(tip, (tip,))
    if git.is_ancestor(tip, base):
        return Merged(base, (base,))
    start = git.ask("merge-base", tip, base)  # fails where they have no history in common
    theirs, ours = _changed(git, start, tip), _changed(git, start, base)
    ours.pop(less, None)
    clashes = tuple(sorted(path for path in ours.keys() & theirs.keys() if ours[path] != theirs[path]))
    return Merged(edited(git, tip, ours), (tip, base), clashes)


def _changed(git: Git, old: str, new: str) -> dict[str, Entry]:
    fields = git.ask("diff-tree", "-r", "-z", "--no-renames", old, new).split("\0")
    rows = zip(fields[0::2], fields[1::2], strict=False)
    return {path: _entry(about) for about, path in rows}


def _entry(about: str) -> Entry:
    _, mode, _, oid, status = about.lstrip(":").split()
    return Entry(GONE if status == "D" else mode, oid)


def edited(git: Git, tree: str, files: Mapping[str, Entry]) -> str:
    """The id of the tree with these files in place of its own, made in an index of its own."""
    rows = "".join(f"{entry.mode} {entry.oid}\t{path}\0" for path, entry in files.items())
    with tempfile.TemporaryDirectory(prefix="vitrine-index-") as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git.ask("read-tree", tree, env=env)
        git.ask("update-index", "-z", "--index-info", data=rows.encode(errors="surrogateescape"), env=env)
        return git.ask("write-tree", env=env)


def source_of(git: Git, tree: str, prefix: str = "") -> Source:
    """What the stages of the workspace at `prefix` (its path in the repository, with a slash, or empty) are made from in a commit or tree.

    Raises BadContract where dvc.yaml there cannot be followed.
    """
    files = {path.removeprefix(prefix): entry for path, entry in git.files(tree).items() if path.startswith(prefix)}
    text = _text(git, files, str(DVC_YAML))
    stages = entries_of(text.decode(), mapping_in(_text(git, files, str(PARAMS)), str(PARAMS))) if text else {}
    below = {dep: _below(files, dep) for stage in stages.values() for dep in stage.get("deps") or () if isinstance(dep, str)}
    plain = {dep: found for dep, found in below.items() if found and all(entry.mode in FILES for entry in found.values())}
    data = git.blobs(entry.oid for found in plain.values() for entry in found.values())
    ignored = _text(git, files, ".dvcignore").decode(errors="replace")
    params: dict[str, Mapping[str, Any]] = {}

    def read(file: str) -> Mapping[str, Any]:
        if file not in params:
            params[file] = mapping_in(_text(git, files, file), file)
        return params[file]

    def md5(path: str) -> str | None:
        if (found := plain.get(path)) is None:
            return None  # not of git, or a link, of which git knows only where it leads
        if path in found:
            return md5_of(data[found[path].oid])
        return md5_of_folder(path, {name: data[entry.oid] for name, entry in found.items()}, ignored)

    return Source(stages, read, md5)


def _below(files: Mapping[str, Entry], path: str) -> dict[str, Entry]:
    return {path: files[path]} if path in files else {name: entry for name, entry in files.items() if name.startswith(f"{path}/")}


def _text(git: Git, files: Mapping[str, Entry], path: str) -> bytes:
    return git.blobs([files[path].oid])[files[path].oid] if path in files else b""
