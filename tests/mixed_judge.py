"""Judges every answer of a mixed load: what it may be, whose it must be, and what was promised with it."""

import json
import re
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from components.neighbours import NeighbourIndex
from tests.load import LOST, Answer, Ask
from tests.mixed_asks import Mix, Note

HEADERS = {
    name: re.compile(rb"\r\n" + name.encode() + rb": *([^\r]*)", re.IGNORECASE)
    for name in ("x-release-id", "x-fingerprint", "content-type", "retry-after")
}
MAX_FAULTS = 50
COSINES_EVERY = 5  # answers whose cosines are computed again
COSINE_ERROR = 2e-3  # of vectors that an index may keep in half precision


@dataclass(frozen=True)
class Release:
    """A release as the judge knows it without the gateway: its fingerprint, and the vectors of its bundle's own index by item."""

    release_id: str
    fingerprint: str
    vectors: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, release_id: str, bundle: Path) -> "Release":
        """That of a bundle."""
        index = NeighbourIndex.open(bundle / "index")
        return cls(release_id, index.fingerprint, {item: index.vector_of(row) for row, item in enumerate(index.item_ids)})


@dataclass
class Switch:
    """When, of time.perf_counter(), the second release was asked to answer, and when it was said that it does."""

    asked_s: float = float("inf")
    done_s: float = float("inf")


@dataclass
class Judge:
    """What was found. `stored` has the price and picture of each listing as it was last acknowledged, `unsure` those of upserts that were
    never answered; `acknowledged` has the item and price of every upsert, and `events` the ids of events."""

    releases: Mapping[str, Release]
    first: str
    mix: Mix
    switch: Switch = field(default_factory=Switch)
    killed_s: float = float("inf")
    codes: Counter[tuple[str, int, str]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    stored: dict[str, tuple[float, str]] = field(default_factory=dict)
    unsure: dict[str, list[tuple[float, str | None]]] = field(default_factory=dict)
    acknowledged: set[tuple[str, float]] = field(default_factory=set)
    events: set[str] = field(default_factory=set)
    num_cosines: int = 0
    num_faults: int = 0

    def fault(self, what: str, ask: Ask) -> None:
        """Takes note of a fault."""
        self.num_faults += 1
        if len(self.faults) < MAX_FAULTS:
            self.faults.append(f"{ask.kind}: {what} ({ask.data[:60]!r})")

    def __call__(self, ask: Ask, answer: Answer) -> None:
        """Judges one answer."""
        note: Note = ask.note
        if answer.status == LOST:
            self._lost(ask, note)
            return
        if note.item_id:
            self.mix.busy.discard(note.item_id)
        if answer.status >= 400:
            self._refused(ask, answer)
            return
        self.codes[ask.kind, answer.status, ""] += 1
        try:
            body = json.loads(answer.body)
        except ValueError:
            self.fault("the answer is no JSON", ask)
            return
        if ask.kind == "events":
            self._events(ask, note, body)
        elif ask.kind != "poison":
            self._whose(ask, note, answer, body)
        if ask.kind == "upsert":
            self._stored(ask, note, body)

    def _lost(self, ask: Ask, note: Note) -> None:
        self.codes[ask.kind, LOST, "killed"] += 1
        if note.item_id and note.price is not None:
            self.unsure.setdefault(note.item_id, []).append((note.price, note.image_id))
        if time.perf_counter() < self.killed_s:
            self.fault("the connection was lost", ask)

    def _refused(self, ask: Ask, answer: Answer) -> None:
        try:
            problem = json.loads(answer.body)
        except ValueError:
            problem = {}
        code = str(problem.get("code"))
        self.codes[ask.kind, answer.status, code] += 1
        if answer.status >= 500:
            self.fault(f"{answer.status} {code}: {str(problem.get('detail'))[:200]}", ask)
        elif _header(answer, "content-type") != "application/problem+json" or "code" not in problem or "detail" not in problem:
            self.fault(f"{answer.status} without a reason", ask)
        elif answer.status == 429 and not _header(answer, "retry-after"):
            self.fault("429 without Retry-After", ask)
        elif answer.status != 429 and ask.kind != "poison":
            self.fault(f"{answer.status} {code}: {str(problem.get('detail'))[:200]}", ask)

    def _whose(self, ask: Ask, note: Note, answer: Answer, body: Mapping[str, Any]) -> None:
        said = (body.get("release_id"), body.get("fingerprint"))
        if said != (_header(answer, "x-release-id"), _header(answer, "x-fingerprint")):
            self.fault(f"body and headers name two releases: {said}", ask)
        release = self.releases.get(str(said[0]))
        if release is None or release.fingerprint != said[1]:
            self.fault(f"no release of ours: {said}", ask)
            return
        if note.release and note.release != release.release_id:
            self.fault(f"release {note.release[:12]} was asked, {release.release_id[:12]} answered", ask)
        elif not note.release and release.release_id not in self._may_answer(answer):
            self.fault(f"release {release.release_id[:12]} answered out of its time", ask)
        if body.get("query", {}).get("kind") == "item" and sum(self.codes.values()) % COSINES_EVERY == 0:
            self._cosines(ask, release, body)

    def _may_answer(self, answer: Answer) -> set[str]:
        second = set(self.releases) - {self.first}
        if answer.answered_s < self.switch.asked_s:
            return {self.first}
        return second if answer.sent_s > self.switch.done_s else {self.first, *second}

    def _cosines(self, ask: Ask, release: Release, body: Mapping[str, Any]) -> None:
        """The neighbours' cosines are those of this release's own vectors, and of no other's."""
        query = release.vectors.get(body["query"]["item_id"])
        found = [(row["cosine"], release.vectors[row["item_id"]]) for row in body["items"] if row["item_id"] in release.vectors]
        if query is None or not found:
            return
        cosines, vectors = zip(*found, strict=True)
        self.num_cosines += len(found)
        if (error := float(np.abs(np.stack(vectors) @ query - np.array(cosines)).max())) > COSINE_ERROR:
            self.fault(f"a cosine is {error:.4f} off that of the release's own vectors", ask)

    def _stored(self, ask: Ask, note: Note, body: Mapping[str, Any]) -> None:
        assert note.item_id is not None
        assert note.price is not None
        if body.get("status") != "stored":
            self.fault(f"an upsert ended as {body.get('status')}", ask)
            return
        if note.image_id and body["image_id"] != note.image_id:
            self.fault("another picture was stored", ask)
        if note.item_id not in self.stored:
            self.mix.known.append(note.item_id)
        self.stored[note.item_id] = (note.price, body["image_id"])
        self.acknowledged.add((note.item_id, note.price))

    def _events(self, ask: Ask, note: Note, body: Mapping[str, Any]) -> None:
        if body["refused"] or body["repeated"] or body["accepted"] != len(note.event_ids):
            self.fault(f"events ended as {str(body)[:200]}", ask)
        else:
            self.events.update(note.event_ids)


def _header(answer: Answer, name: str) -> str:
    found = HEADERS[name].search(answer.head)
    return found[1].decode("latin-1") if found else ""
