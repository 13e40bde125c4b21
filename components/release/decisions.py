"""The decision log of a release: what was decided, by whom, on which counts, by which thresholds. One JSON line an object, never changed.

decisions/<release>/<seq>.json is written by compare-and-swap as the next number alone, so of two controllers one writes an entry and the
other reads it. Each entry holds the digest of the one before: whoever alters or removes one is told of by what comes after it.
"""

import dataclasses
import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from components.errors import BadData, Conflict
from components.objects import ObjectStore
from components.release.decision import MAX_REASON_CHARS, Decision, actor, decode, encode, unveiled, unveiled_in
from components.release.files import Input, chained

__all__ = ["Decision", "DecisionLog", "actor"]

FOLDER = "decisions"
KEY = re.compile(r"decisions/([^/]+)/(\d{6,})\.json")
MAX_INPUTS = 2_000  # files of one entry, about 200 bytes each; more go before it, in entries of kind inputs
MORE = "more files of the entry after"
READERS = 8

log = logging.getLogger("vitrine")


def key_of(release_id: str, seq: int) -> str:
    """Where an entry lies."""
    return f"{FOLDER}/{release_id}/{seq:06d}.json"


class DecisionLog:
    """The log of one release in the registry's store. Every method raises StoreFailed. An entry that cannot be read stops nobody: it is
    told of, and `unreadable` says why by its number."""

    def __init__(self, store: ObjectStore, release_id: str) -> None:
        self.store, self.release_id = store, release_id
        self.entries: list[Decision] = []
        self.unreadable: dict[int, str] = {}
        self.named: dict[str, Input] = {}
        self._digests: dict[int, str] = {}
        self._was_read = False

    def read(self) -> Sequence[Decision]:
        """Every entry as of now, in order."""
        keys = {int(found[2]): one.key for one in self.store.stored(f"{FOLDER}/{self.release_id}") if (found := KEY.fullmatch(one.key))}
        for seq, data in self._fetched({seq: keys[seq] for seq in sorted(keys.keys() - self._digests.keys())}):
            self._take(seq, data)
        self._was_read = True
        return self.entries

    def _fetched(self, keys: Mapping[int, str]) -> Iterator[tuple[int, bytes]]:
        with ThreadPoolExecutor(READERS) as pool:
            for seq, found in zip(keys, pool.map(self.store.read, keys.values()), strict=True):
                if found is not None:
                    yield seq, found.data

    def _take(self, seq: int, data: bytes) -> None:
        self._digests[seq] = hashlib.sha256(data).hexdigest()
        try:
            entry = decode(data)
        except BadData as error:
            self.unreadable[seq] = str(error)
            log.warning("entry %d of the decision log of %s cannot be read: %s", seq, self.release_id[:12], error)
            return
        self.entries.append(entry)
        self.named.update({one.key: one for one in entry.inputs})

    def digest(self, seq: int) -> str:
        """The sha256 of an entry's bytes; empty where there is no such entry."""
        return self._digests.get(seq, "")

    @property
    def last_seq(self) -> int:
        """The number of the last entry that was read, 0 where there is none."""
        return max(self._digests, default=0)

    def news(self, inputs: Iterable[Input]) -> tuple[Input, ...]:
        """Those that no entry names yet, as they are now."""
        return tuple(one for one in inputs if self.named.get(one.key) != one)

    def append(self, decision: Decision) -> Decision:
        """The decision as the next entry, after entries for the files that it has no room for. Raises Conflict where another process wrote
        that entry first, which is read by then."""
        if not self._was_read:
            self.read()
        inputs = decision.inputs
        while len(inputs) > MAX_INPUTS:
            part = Decision(
                release_id=self.release_id, at=decision.at, actor=decision.actor, kind="inputs", reason=MORE, inputs=inputs[:MAX_INPUTS]
            )
            self._write(part)
            inputs = inputs[MAX_INPUTS:]
        return self._write(dataclasses.replace(decision, inputs=inputs))

    def _write(self, decision: Decision) -> Decision:
        entry = self._numbered(decision)
        data = encode(entry)
        try:
            self.store.swap(key_of(self.release_id, entry.seq), data, None)
        except Conflict:
            self.read()
            if self.digest(entry.seq) != hashlib.sha256(data).hexdigest():  # else it was us: a call before whose answer was lost
                found = f"entry {entry.seq} of the decision log of {self.release_id[:12]} was written by another process"
                raise Conflict(f"{found}: read the log and the channel record again, then decide") from None
        else:
            self._take(entry.seq, data)
        return entry

    def _numbered(self, decision: Decision) -> Decision:
        last = self.entries[-1] if self.entries else None
        return dataclasses.replace(
            decision,
            release_id=self.release_id,
            reason=unveiled(decision.reason)[:MAX_REASON_CHARS],
            thresholds=unveiled_in(decision.thresholds),
            seq=self.last_seq + 1,
            previous=self.digest(self.last_seq),
            num_inputs=(last.num_inputs if last else 0) + len(decision.inputs),
            inputs_digest=chained(last.inputs_digest if last else "", decision.inputs),
        )


def releases_with_log(store: ObjectStore) -> list[str]:
    """Every release that has a decision log, sorted."""
    return sorted({found[1] for one in store.stored(FOLDER) if (found := KEY.fullmatch(one.key))})
