"""Whether a release's decision log says what its files say: every count is made again, every verdict reached again, and compared."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from components.errors import BadParams
from components.objects import ObjectStore
from components.release.again import Again, Judge, Told
from components.release.decisions import Decision, DecisionLog, releases_with_log
from components.release.files import chained
from components.release.judge import judge

MIN_PREFIX = 4


@dataclass(frozen=True)
class Explained:
    """A release's log, entry by entry, and what is wrong with it as a whole. It is sound where nothing is wrong anywhere."""

    release_id: str
    told: Sequence[Told]
    problems: Sequence[str]

    @property
    def is_sound(self) -> bool:
        """Whether every verdict was reached again from the files, and the log is whole."""
        return not self.problems and not any(one.problems for one in self.told)

    @property
    def num_derived(self) -> int:
        """How many verdicts were reached again."""
        return sum(one.is_derived for one in self.told)


def resolved(store: ObjectStore, given: str) -> str:
    """The release with a decision log whose digest begins so. Raises BadParams where there is none, or several."""
    if len(given) == hashlib.sha256().digest_size * 2:
        return given
    known = releases_with_log(store)
    found = [release_id for release_id in known if len(given) >= MIN_PREFIX and release_id.startswith(given)]
    if len(found) == 1:
        return found[0]
    names = ", ".join(release_id[:12] for release_id in found or known) or "none"
    said = "names several releases" if found else f"names no release that has a decision log (give {MIN_PREFIX} digits or more)"
    raise BadParams(f"{given!r} {said}: {names}")


def explained(log: DecisionLog, store: ObjectStore, *, judge: Judge = judge) -> Explained:
    """The log against the files of `store` that it names. Raises BadParams where there is no log, StoreFailed."""
    entries = log.read()
    if not entries and not log.unreadable:
        raise BadParams(f"release {log.release_id[:12]} has no decision log: it was never published here, or its log was removed")
    problems = list(_chain(log, entries))
    again = Again(entries, store, judge)
    return Explained(log.release_id, [again.told(place) for place in range(len(entries))], problems)


def _chain(log: DecisionLog, entries: Sequence[Decision]) -> Iterator[str]:
    """What is wrong with the entries as a chain."""
    yield from (f"entry {seq} cannot be read: {why}" for seq, why in sorted(log.unreadable.items()))
    there = {entry.seq for entry in entries} | log.unreadable.keys()
    yield from (f"entry {seq} is missing" for seq in range(1, log.last_seq + 1) if seq not in there)
    digest, count = "", 0
    for entry in entries:
        if entry.release_id != log.release_id:
            yield f"entry {entry.seq} is of another release, {entry.release_id[:12]}"
        if log.digest(entry.seq - 1) != entry.previous:
            yield f"entry {entry.seq - 1} is not the one that entry {entry.seq} was written after"
        digest, count = chained(digest, entry.inputs), count + len(entry.inputs)
        if (digest, count) != (entry.inputs_digest, entry.num_inputs):
            yield f"entry {entry.seq} goes by other files than the log names up to it"
        digest, count = entry.inputs_digest, entry.num_inputs
