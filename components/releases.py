"""Bundles kept by their digest, so that a retrain finds the one that is live: the stable release, as data/snapshot.json names it.

A digest is the sha256 of the bundle's manifest, which holds the digest of every other file. The folder is no path of the line:
nothing in it is made here, and the snapshot alone says which bundle counts.
"""

import json
import logging
import os
import shutil
import tempfile
from pathlib import Path

from components.errors import BadBundle, BadData
from components.fingerprint import file_digest
from components.manifest import MANIFEST, verified_manifest

RELEASES = Path("releases")

log = logging.getLogger("vitrine")


def keep(bundle: Path, releases: Path = RELEASES) -> str:
    """The bundle's digest, after a whole copy of it lies in releases/<digest>. Raises BadBundle where a file of it is missing or altered.

    A copy that is there already stays; one that was altered is replaced.
    """
    manifest = verified_manifest(bundle)
    digest = file_digest(bundle / MANIFEST)
    if not manifest.get("promote"):
        log.warning("%s was not promoted by its own evaluation; it is kept as a release all the same", bundle)
    if not _is_sound(releases / digest):
        _replace(bundle, releases / digest)
    return digest


def _is_sound(folder: Path) -> bool:
    try:
        verified_manifest(folder)
    except BadBundle:
        return False
    return file_digest(folder / MANIFEST) == folder.name


def _replace(bundle: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        shutil.copytree(bundle, partial / target.name)
        verified_manifest(partial / target.name)
        shutil.rmtree(target, ignore_errors=True)
        os.rename(partial / target.name, target)
    except OSError as error:
        raise BadBundle(f"{bundle} could not be copied to {target}: {error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def stable_release(snapshot: Path) -> str | None:
    """The digest that the snapshot names as the stable release; None where there is none yet. Raises BadData where it is no snapshot."""
    try:
        digest: str | None = json.loads(snapshot.read_text(encoding="utf-8")).get("stable_release")
    except (ValueError, AttributeError) as error:
        raise BadData(f"{snapshot} is not a snapshot ({error}): run `vitrine snapshot`, which takes one") from None
    return digest


def find(digest: str | None, releases: Path = RELEASES) -> Path | None:
    """The folder of the bundle with that digest, every file checked; None for no digest.

    Raises BadBundle where it is not there or was altered.
    """
    if digest is None:
        return None
    folder, again = releases / digest, f"Copy that bundle to {releases}/{digest}, or name one with `vitrine snapshot --stable FOLDER`"
    if not (folder / MANIFEST).is_file():
        raise BadBundle(f"the stable release {digest[:12]} of the snapshot is not in {releases}/. {again}")
    if (found := file_digest(folder / MANIFEST)) != digest:
        raise BadBundle(f"{folder} holds the bundle {found[:12]}, not the one it is named after: it was altered. {again}")
    try:
        verified_manifest(folder)
    except BadBundle as error:
        raise BadBundle(f"the stable release {digest[:12]} of the snapshot cannot be used: {error}. {again}") from None
    return folder
