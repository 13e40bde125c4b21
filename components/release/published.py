"""A release's own record in the registry: written last, it is what makes the release visible."""

import datetime as dt
import hashlib
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from components.contract import Config
from components.errors import BadBundle, BadState
from components.objects import ObjectStore
from components.release.contents import RELEASE_ID, Held, release_id_of
from components.release.record import Digest, parsed

RELEASES = "releases"
ABOUT = "about"
MAX_RECORD_BYTES = 16 << 20


class Attached(Config):
    """A document beside the release: its key in the registry, digest and size."""

    key: str
    sha256: Digest
    bytes: int = Field(ge=0)


class Published(Config):
    """What the registry knows of a release: its files, the manifest among them, who made it (provenance) and from which software (sbom)."""

    format: Literal[1] = 1
    release_id: Digest
    published_at: AwareDatetime
    files: dict[str, Held]
    provenance: Attached
    sbom: Attached

    @model_validator(mode="after")
    def _documents_are_its_own(self) -> "Published":
        for attached in (self.provenance, self.sbom):
            if not attached.key.startswith(f"{about_key(self.release_id)}/"):
                raise ValueError(f"{attached.key} is no document of this release")
        return self

    @property
    def num_bytes(self) -> int:
        """Of all its files."""
        return sum(file.bytes for file in self.files.values())


def record_key(release_id: str) -> str:
    """Where the release's own record lies."""
    return f"{RELEASES}/{release_id}.json"


def file_key(release_id: str, name: str) -> str:
    """Where a file of the release lies."""
    return f"{RELEASES}/{release_id}/{name}"


def about_key(release_id: str) -> str:
    """The folder of the release's documents: not the bundle's, whose digest they must not change."""
    return f"{ABOUT}/{release_id}"


def encode(published: Published) -> bytes:
    """The record as JSON."""
    return published.model_dump_json(indent=2).encode() + b"\n"


def find(store: ObjectStore, release_id: str) -> Published | None:
    """The release's record; None where it is not published, or not wholly. Raises BadState where the record is damaged."""
    found = store.read(record_key(release_id_of(release_id)), MAX_RECORD_BYTES)
    if found is None:
        return None
    published = parsed(Published, found.data, record_key(release_id))
    if published.release_id != release_id:
        raise BadState(f"{record_key(release_id)} is the record of another release, {published.release_id[:12]}")
    return published


def found(store: ObjectStore, release_id: str) -> Published:
    """The release's record. Raises BadBundle where it is not published."""
    if (published := find(store, release_id)) is None:
        raise BadBundle(f"release {release_id[:12]} is not in the registry: publish its bundle, which goes on where it was interrupted")
    return published


def document(store: ObjectStore, attached: Attached) -> bytes:
    """The document's bytes. Raises BadBundle where it is missing or is not what was published."""
    there = store.read(attached.key, attached.bytes)
    if there is None or hashlib.sha256(there.data).hexdigest() != attached.sha256:
        raise BadBundle(f"{attached.key} {'is missing' if there is None else 'was altered'} in the registry")
    return there.data


def now() -> dt.datetime:
    """The time, in UTC."""
    return dt.datetime.now(dt.UTC)


def id_of_record(key: str) -> str | None:
    """The release whose own record lies under `key`; None for any other key."""
    folder, _, name = key.partition("/")
    found = RELEASE_ID.fullmatch(name.removesuffix(".json"))
    return found[0] if found and folder == RELEASES and name.endswith(".json") else None
