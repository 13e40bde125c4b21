"""The registry: releases that never change, and the one record that says who gets which of them. A folder, or a bucket of S3.

channel.json                 the channel record, changed by compare-and-swap alone
releases/<id>/<file>         a release's files; its id is the digest of its manifest
releases/<id>.json           its own record, written last: without it the release is not there
about/<id>/<x>/…             its provenance.json and sbom.cdx.json, named by the record
decisions/<id>/<n>.json      the decision log (components/release/decisions.py)
"""

import dataclasses
import datetime as dt
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.errors import BadState, Conflict, TooLarge
from components.objects import Calls, ObjectStore, open_store
from components.release import fetch, prune, publish, published, record
from components.release.channel import EMPTY, Channel
from components.release.provenance import Provenance
from components.release.published import Attached, Published
from components.release.sbom import bill
from components.releases import RELEASES

CALLS = Calls(connect_s=3, read_s=5, attempts=5)  # a gateway asks every second, and a controller must not hang on a bucket that does
MAX_CHANNEL_BYTES = 1 << 20
MAX_SWAPS = 30
FIRST_WAIT_S, LONGEST_WAIT_S = 0.02, 1.0

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Registry:
    """Every method raises StoreFailed where the folder or the bucket cannot be reached, or refuses."""

    store: ObjectStore

    @classmethod
    def open(cls, url: str, calls: Calls = CALLS) -> "Registry":
        """The registry in a folder or at s3://bucket/prefix. Raises BadParams for any other address."""
        return cls(open_store(url, calls))

    def channel(self) -> tuple[Channel, str | None]:
        """The channel record and its version; the empty record and None before its first change. Raises BadState where it is damaged."""
        try:
            found = self.store.read(record.CHANNEL, MAX_CHANNEL_BYTES)
        except TooLarge as error:
            raise BadState(f"no channel record: {error}. Put back an earlier version of it") from None
        return (record.decode(found.data), found.version) if found else (EMPTY, None)

    def change(self, act: Callable[[Channel], Channel]) -> Channel:
        """The record after `act`, a change of channel.py, was applied to it as it stands; read and applied again where another was first.

        Its revision is the next one. Raises Conflict where `act` does, or where others were first every time. An `act` that returns what
        it was given changes nothing.
        """
        for number in range(MAX_SWAPS):
            before, version = self.channel()
            after = act(before)
            if after == before:
                return before
            after = dataclasses.replace(after, revision=before.revision + 1)  # whatever an act that makes several changes counted
            try:
                self.store.swap(record.CHANNEL, record.encode(after), version)
            except Conflict:
                time.sleep(random.uniform(0, min(LONGEST_WAIT_S, FIRST_WAIT_S * 2**number)))
                continue
            log.info("registry: channel record at revision %d", after.revision)
            return after
        raise Conflict(
            f"others changed the channel record each of {MAX_SWAPS} times: see who does with `vitrine release status`, then try again"
        )

    def publish(self, bundle: Path, provenance: Provenance, *, bill: publish.Bill = bill) -> str:
        """The release's id, after the bundle and its documents are in the registry. What is there already stays and is not sent again.

        Raises BadBundle where the bundle is altered, holds what no release may, has `promote: false`, or where the registry's copy of it
        was altered.
        """
        return publish.publish(self.store, bundle, provenance, bill)

    def fetch(self, release_id: str, folder: Path = RELEASES) -> Path:
        """The folder of the release, `folder`/<id>, every file checked. Raises BadBundle where it is not published or was altered."""
        return fetch.fetch(self.store, release_id, folder)

    def releases(self) -> list[Published]:
        """Every release that is wholly there, the newest first. Raises BadState where a record is damaged."""
        keys = [one.key for one in self.store.stored(published.RELEASES)]
        ids = [release_id for key in keys if (release_id := published.id_of_record(key))]
        found = [one for release_id in ids if (one := published.find(self.store, release_id))]
        return sorted(found, key=lambda one: one.published_at, reverse=True)

    def document(self, attached: Attached) -> bytes:
        """A release's provenance or bill of materials. Raises BadBundle where it is missing or was altered."""
        return published.document(self.store, attached)

    def prune(self, keep_days: float, now: dt.datetime | None = None) -> list[str]:
        """Ids of the releases that were removed: the channel record names them nowhere, and nothing of them was written, nor were they
        published again, for `keep_days`. Half-published ones count among them. Raises BadParams below one day.
        """
        return prune.prune(self.store, lambda: named(self.channel()[0]), keep_days, now or published.now())


def named(channel: Channel) -> set[str]:
    """Every release that the record names: stable, under test, or one to go back to."""
    candidate = {channel.candidate.release_id} if channel.candidate else set()
    return {*channel.previous, *candidate, *({channel.stable} if channel.stable else ())}
