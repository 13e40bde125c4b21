"""Brings a release from the registry into a folder, which gets its name once names, kinds, sizes and digests have been checked."""

import logging
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from components.errors import BadBundle, DiskFull, StoreFailed, TooLarge
from components.fingerprint import file_digest
from components.manifest import MANIFEST
from components.objects import ABANDONED_S, PARTIAL, ObjectStore, told
from components.release import contents, published
from components.release.contents import Held
from components.release.published import Published
from components.releases import find

log = logging.getLogger("vitrine")


def fetch(store: ObjectStore, release_id: str, folder: Path) -> Path:
    """The folder of the release. Raises BadBundle, StoreFailed or DiskFull; then nothing lies under its name."""
    target = folder / contents.release_id_of(release_id)
    if _is_sound(release_id, folder):
        return target
    log.info("fetch: release %s", release_id[:12])
    there = published.found(store, release_id)
    with told(target), _partial(folder) as partial:
        files = _listed(store, there, partial)
        _check_room(folder, there)
        for name, file in files.items():
            _take(store, release_id, name, file, partial / name)
            contents.check_file(partial / name, name)
        _place(partial, release_id, folder)
    log.info("fetch: release %s has %d files, %d bytes, all of them checked", release_id[:12], len(there.files), there.num_bytes)
    return target


def _is_sound(release_id: str, folder: Path) -> bool:
    try:
        return find(release_id, folder) is not None
    except BadBundle:
        return False


def _listed(store: ObjectStore, there: Published, partial: Path) -> dict[str, Held]:
    """The manifest's files, after the manifest was taken in and the release's record says the same of them."""
    where = published.file_key(there.release_id, MANIFEST)
    manifest = there.files.get(MANIFEST)
    if manifest is None or manifest.sha256 != there.release_id or manifest.bytes > contents.MAX_MANIFEST_BYTES:
        raise BadBundle(f"{published.record_key(there.release_id)} names no {MANIFEST} of this release")
    _take(store, there.release_id, MANIFEST, manifest, partial / MANIFEST)
    files = contents.files_of((partial / MANIFEST).read_bytes(), where)
    if {**files, MANIFEST: manifest} != there.files:
        raise BadBundle(f"{where} and {published.record_key(there.release_id)} name other files: the record was altered")
    return files


def _take(store: ObjectStore, release_id: str, name: str, file: Held, target: Path) -> None:
    key = published.file_key(release_id, name)
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        found = store.download(key, target, file.bytes)
    except TooLarge as error:
        raise BadBundle(f"release {release_id[:12]}: {error}, which is its size in the manifest: it was altered") from None
    if not found:
        raise BadBundle(f"release {release_id[:12]}: {key} is missing in the registry")
    if (digest := file_digest(target)) != file.sha256:
        raise BadBundle(f"release {release_id[:12]}: {key} was altered: sha256 {digest[:12]}, the manifest says {file.sha256[:12]}")


def _check_room(folder: Path, there: Published) -> None:
    if (free := shutil.disk_usage(folder).free) < there.num_bytes:
        raise DiskFull(f"{folder}: release {there.release_id[:12]} has {there.num_bytes / 1e6:,.1f} MB, {free / 1e6:,.1f} MB are free")


@contextmanager
def _partial(folder: Path) -> Iterator[Path]:
    """A new folder beside the releases, gone when the block ends; those of fetches that were killed a day ago go too."""
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{PARTIAL}*"):
        if old.is_dir() and old.stat().st_mtime < time.time() - ABANDONED_S:
            shutil.rmtree(old, ignore_errors=True)
    outer = Path(tempfile.mkdtemp(dir=folder, prefix=PARTIAL))
    try:
        partial = outer / "release"
        partial.mkdir()
        yield partial
    finally:
        shutil.rmtree(outer, ignore_errors=True)


def _place(partial: Path, release_id: str, folder: Path) -> None:
    """Gives the folder its name. What stood there and was altered goes; what another process put there meanwhile stays."""
    try:
        if not _is_sound(release_id, folder):
            shutil.rmtree(folder / release_id, ignore_errors=True)
            os.rename(partial, folder / release_id)
    except OSError as error:
        if not _is_sound(release_id, folder):
            raise StoreFailed(f"{folder / release_id} could not be put in place: {error}") from None
