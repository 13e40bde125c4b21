"""Brings a bundle into the registry: its files first, its own record last, so that whoever sees it sees all of it."""

import datetime as dt
import hashlib
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from components.errors import BadBundle, Conflict
from components.fingerprint import file_digest
from components.manifest import MANIFEST, verified_manifest
from components.objects import ObjectStore
from components.release import contents, published
from components.release.contents import Held
from components.release.provenance import Provenance
from components.release.published import Attached, Published

Bill = Callable[[str, Mapping[str, Held], dt.datetime], bytes]
PROVENANCE, SBOM = "provenance.json", "sbom.cdx.json"

log = logging.getLogger("vitrine")


def publish(store: ObjectStore, bundle: Path, provenance: Provenance, bill: Bill) -> str:
    """The release's id. Raises BadBundle as Registry.publish tells."""
    release_id, files = _checked(bundle)
    log.info("publish: release %s, %d files", release_id[:12], len(files))
    store.check_swaps()  # before a bundle is sent to where its record could not be written
    if (there := published.find(store, release_id)) is None:
        sent = [name for name, file in files.items() if _sent(store, bundle, release_id, name, file)]
        there = _shown(store, release_id, files, _documents(store, release_id, files, provenance, bill))
        log.info("publish: release %s is in the registry, %d files sent, %d were there", release_id[:12], len(sent), len(files) - len(sent))
    else:
        store.touch(published.record_key(release_id))  # nobody prunes what was published again a moment ago
    _check_whole(store, there)
    return release_id


def _checked(bundle: Path) -> tuple[str, dict[str, Held]]:
    try:
        text = (bundle / MANIFEST).read_bytes()
    except OSError as error:
        raise BadBundle(f"{bundle} is no bundle: {error}. Make one with `dvc repro` or `make demo`") from None
    files = contents.files_of(text, f"{bundle}/{MANIFEST}")
    manifest = verified_manifest(bundle)
    if manifest.get("promote") is not True:
        raise BadBundle(f"{bundle} did not pass its own evaluation (promote: {manifest.get('promote')}): {_why(manifest)}")
    for name in files:
        contents.check_file(bundle / name, name)
    release_id = hashlib.sha256(text).hexdigest()
    return release_id, {**files, MANIFEST: Held(sha256=release_id, bytes=len(text))}


def _why(manifest: Mapping[str, Any]) -> str:
    reasons = [str(reason) for reason in manifest.get("reasons", ())]
    return "; ".join([r for r in reasons if not r.startswith(("passed", "not decided"))] or reasons) or "its manifest gives no reason"


def _sent(store: ObjectStore, bundle: Path, release_id: str, name: str, file: Held) -> bool:
    """Whether the file had to be sent: an interrupted publish goes on where it was."""
    key = published.file_key(release_id, name)
    if store.sha256(key) == file.sha256:
        return False
    store.upload(key, bundle / name, file.sha256)
    if file_digest(bundle / name) != file.sha256:
        store.delete(key)
        raise BadBundle(f"{bundle / name} was changed while it was sent: publish the bundle when nothing writes to it")
    return True


def _documents(
    store: ObjectStore, release_id: str, files: Mapping[str, Held], provenance: Provenance, bill: Bill
) -> tuple[Attached, Attached]:
    """Provenance and bill under a name that holds their own digest: an attempt that is tried again may have others."""
    texts = {PROVENANCE: provenance.encode(), SBOM: bill(release_id, files, provenance.gathered_at)}
    digest = hashlib.sha256(b"".join(texts.values())).hexdigest()
    first, second = (_attached(store, f"{published.about_key(release_id)}/{digest[:12]}/{name}", data) for name, data in texts.items())
    return first, second


def _attached(store: ObjectStore, key: str, data: bytes) -> Attached:
    store.put(key, data)
    return Attached(key=key, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data))


def _shown(store: ObjectStore, release_id: str, files: Mapping[str, Held], documents: tuple[Attached, Attached]) -> Published:
    """The record, which makes the release visible; the other's, where another published the same bundle meanwhile."""
    provenance, sbom = documents
    mine = Published(release_id=release_id, published_at=published.now(), files=dict(files), provenance=provenance, sbom=sbom)
    try:
        store.swap(published.record_key(release_id), published.encode(mine), None)
    except Conflict:
        return published.found(store, release_id)
    return mine


def _check_whole(store: ObjectStore, there: Published) -> None:
    """Raises BadBundle where a file of the published release is missing, or is not what was sent."""
    for attached in (there.provenance, there.sbom):
        published.document(store, attached)
    wanted = {published.file_key(there.release_id, name): file.sha256 for name, file in there.files.items()}
    for key, sha256 in wanted.items():
        if (found := store.sha256(key)) != sha256:
            what = "is missing" if found is None else "was altered"
            raise BadBundle(
                f"release {there.release_id[:12]} is in the registry, but {key} {what}: delete "
                f"{published.record_key(there.release_id)} there, which withdraws it, then publish the bundle again"
            )
