"""What a busy, partly hostile day sends to the gateway: similar items, scores, upserts, events and poison, in stated shares."""

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from components.shards import shard_paths
from tests.load import Ask
from tests.mutations import mutated, seeds
from tests.picture_files import REFUSED, chunk, encoded, segment, with_chunks, with_segments
from tests.wire_bytes import request, upload

SHARES = {"item": 0.60, "text": 0.15, "picture": 0.15, "score": 0.05, "upsert": 0.04, "poison": 0.01}
EVENTS_BESIDE = 0.05  # requests with events, beside every one of the above
WORDS = ("red mug", "blue bag", "赤いマグ", "shirt", "green shoe", "青い靴", "lamp", "striped bowl")
NUM_PHOTOS = 400
MAX_UPSERTED = 2000
NEW_SHARE, PICTURE_SHARE, EXPLAINED_SHARE, NAMED_SHARE = 0.5, 0.75, 0.1, 0.05
NUM_EVENTS = 4
COMMENT = 0xFE
HUGE_EVERY = 50  # poisons
BAD_BODIES = (
    b"{",
    b'{"text": NaN}',
    b'{"text": "\\ud800"}',
    b'{"text": "a", "text": "b"}',
    b'{"text": 7}',
    b'{"text": "a", "k": 1e400}',
    b'{"text": "a", "surprise": []}',
    b"[" * 100_000,
    b'{"text": "\xff"}',
    b'{"picture_base64": "%%%"}',
    b'{"item_id": "' + b"a" * 5000 + b'"}',
    b"null",
)
TOO_LARGE = b"POST /v1/similar HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99999999999\r\n\r\n"


@dataclass(frozen=True, slots=True)
class Note:
    """What the judge must know of a request: the release that it names, and what it would change."""

    release: str | None = None
    item_id: str | None = None
    price: float | None = None
    image_id: str | None = None
    event_ids: tuple[str, ...] = ()


def catalogue_photos(images: Path) -> list[bytes]:
    """JPEGs of the catalogue."""
    table = pq.read_table(shard_paths(images)[0], columns=["data"])
    return [data for data in table["data"].to_pylist() if data.startswith(b"\xff\xd8")][:NUM_PHOTOS]


def served_items(listings: Path) -> list[str]:
    """The items of a catalogue that a gateway holds."""
    tables = [pq.read_table(path, columns=["item_id"], filters=[("status", "!=", "deleted")]) for path in shard_paths(listings)]
    return sorted(item_id for table in tables for item_id in table["item_id"].to_pylist())


def huge() -> bytes:
    """A sound PNG of 64 megapixels in a few kilobytes: within the limit, and dear to decode."""
    return encoded(Image.new("RGB", (8000, 8000), (30, 90, 160)), "PNG")


@dataclass
class Mix:
    """An endless series of requests, the same for the same seed but for what answers decide: `known` are listings that were stored,
    `busy` those whose upsert is not answered yet, `named` releases that may be asked for."""

    item_ids: Sequence[str]
    photos: Sequence[bytes]
    seed: int
    named: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    busy: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.rng, self.number, self.num_poisons = np.random.default_rng(self.seed), 0, 0
        self.sound, self.huge = list(seeds().values()), huge()
        self.refused = [data for files in REFUSED.values() for data in files.values()]
        total = 1 + EVENTS_BESIDE
        self.kinds = [*SHARES, "events"]
        self.shares = np.array([*SHARES.values(), EVENTS_BESIDE]) / total
        self.makers: Mapping[str, Callable[[], Ask]] = {
            "item": self.item, "text": self.text, "picture": self.picture, "score": self.score,
            "upsert": self.upsert, "poison": self.poison, "events": self.events,
        }  # fmt: skip

    def __iter__(self) -> Iterator[Ask]:
        while True:
            for kind in self.rng.choice(len(self.kinds), 500, p=self.shares).tolist():
                self.number += 1
                yield self.makers[self.kinds[kind]]()

    def one_of(self, some: Sequence[Any]) -> Any:
        """One at random."""
        return some[int(self.rng.integers(len(some)))]

    def photo(self) -> bytes:
        """A photo that no request has sent before."""
        return with_segments(self.one_of(self.photos), segment(COMMENT, f"{self.seed} {self.number}".encode()))

    def release(self) -> str | None:
        """One by name, now and then."""
        return self.one_of(self.named) if self.named and self.rng.random() < NAMED_SHARE else None

    def item(self) -> Ask:
        """Similar items of an item, some with filters."""
        release, query = self.release(), f"item_id={self.one_of(self.item_ids)}&k=10"
        query += f"&release={release}" if release else ""
        query += "&status=on_sale&max_price=3000" if self.rng.random() < 0.2 else ""
        return Ask(request("GET", f"/v1/similar?{query}"), "item", Note(release))

    def text(self) -> Ask:
        """Similar items of words."""
        release = self.release()
        return Ask(_posted("/v1/similar", {"text": self.one_of(WORDS), "k": 10, "release": release}), "text", Note(release))

    def picture(self) -> Ask:
        """Similar items of a new picture, as a form or in JSON."""
        data = self.photo()
        if self.rng.random() < 0.5:
            return Ask(upload("POST", "/v1/similar/upload", data, {"k": "10"}), "picture", Note())
        return Ask(_posted("/v1/similar", {"picture_base64": _base64(data), "k": 10}), "picture", Note())

    def score(self) -> Ask:
        """The Image Score of an item or of a new picture, some explained."""
        asked: dict[str, Any] = {"explain": bool(self.rng.random() < EXPLAINED_SHARE)}
        asked |= {"item_id": self.one_of(self.item_ids)} if self.rng.random() < 0.5 else {"picture_base64": _base64(self.photo())}
        return Ask(_posted("/v1/score", asked), "score", Note())

    def upsert(self) -> Ask:
        """A new listing, a new picture for one, or a new price; never two at a time for one listing, so that the last is known."""
        new = not self.known or (len(self.known) < MAX_UPSERTED and self.rng.random() < NEW_SHARE)
        item_id = f"u-{self.number}" if new else self.one_of(self.known)
        if item_id in self.busy:
            return self.item()
        self.busy.add(item_id)
        data = self.photo() if new or self.rng.random() < PICTURE_SHARE else None
        fields = {"title": "red mug", "category": ["kitchen", "mugs"], "price": self.number, "currency": "JPY"}
        fields |= {"picture_base64": _base64(data)} if data else {}
        note = Note(item_id=item_id, price=float(self.number), image_id=hashlib.sha256(data).hexdigest() if data else None)
        return Ask(_posted(f"/v1/items/{item_id}", fields, "PUT"), "upsert", note)

    def events(self) -> Ask:
        """A page that was shown, and clicks on it."""
        page, shown = f"r-{self.seed}-{self.number}", [self.one_of(self.item_ids) for _ in range(3)]
        ids = [f"e-{self.seed}-{self.number}-{n}" for n in range(NUM_EVENTS)]
        items = [{"item_id": f"{item}-{n}", "position": n, "price": 5.0} for n, item in enumerate(shown)]
        exposure = {"event_id": ids[0], "type": "exposure", "request_id": page, "surface": "search", "platform": "web", "items": items}
        exposure |= {"user_id": "u", "query": "mug", "release_id": "r"}
        kinds = ("click", "like", "purchase")
        acts = [{"event_id": one, "type": self.one_of(kinds), "request_id": page, "item_id": shown[0]} for one in ids[1:]]
        return Ask(_posted("/v1/events", {"events": [exposure, *acts]}), "events", Note(event_ids=tuple(ids)))

    def poison(self) -> Ask:
        """Mutated pictures, files that are no pictures, bombs, wrong JSON, a body that is announced as larger than it may be."""
        self.num_poisons += 1
        if self.num_poisons % HUGE_EVERY == 0:
            data = with_png_text(self.huge, self.number)
            return Ask(upload("POST", "/v1/similar/upload", data), "poison", Note())
        way = self.rng.random()
        if way < 0.5:
            return Ask(upload("POST", "/v1/similar/upload", mutated(self.number, self.seed, self.sound)), "poison", Note())
        if way < 0.7:
            return Ask(upload("POST", "/v1/score/upload", self.one_of(self.refused)), "poison", Note())
        if way < 0.75:
            return Ask(TOO_LARGE, "poison", Note())
        return Ask(request("POST", "/v1/similar", self.one_of(BAD_BODIES)), "poison", Note())


def with_png_text(png: bytes, number: int) -> bytes:
    """The PNG with a text of its own."""
    return with_chunks(png, chunk(b"tEXt", b"copy\0" + str(number).encode()))


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _posted(path: str, body: Mapping[str, Any], method: str = "POST") -> bytes:
    return request(method, path, json.dumps({name: value for name, value in body.items() if value is not None}).encode())
