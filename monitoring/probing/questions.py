"""The questions of one probing, in the order in which they are asked: what to send, and what an answer says. Nothing here asks."""

import base64
import datetime as dt
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from monitoring.probes import ANCHOR, COPY, GOLDEN, NEIGHBOURS, UPSERT
from monitoring.probing.asker import refusal_of
from monitoring.probing.config import ProbingConfig
from monitoring.probing.known import Anchor, GoldenPhoto, Known, probe_items
from monitoring.probing.sample import hash_of, lowest
from monitoring.probing.written import Version
from monitoring.rehearsal.photos import listed_again

NUM_NEIGHBOURS = 10
NAN = float("nan")
EMBED, SCORE, SIMILAR = "/v1/embed", "/v1/score", "/v1/similar"

Body = dict[str, Any]
Photo = Callable[[str], bytes]
"""The bytes of a photo by its image_id. Raises BadPicture."""


@dataclass(frozen=True)
class Said:
    """What a row of probes holds of an answer."""

    value: float
    expected: float
    found: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Question:
    """One row of probes to be. `body` is made when it is asked, so that one photo at a time is in memory, and raises BadPicture where that
    is no photo; `said` raises Refusal. `image_id` is the photo that the item `name` is to be found by. `at_worst` is what the row holds
    where the picture is refused, of those that the release itself was made with."""

    kind: str
    name: str
    path: str
    body: Callable[[], Body]
    said: Callable[[Mapping[str, Any]], Said]
    image_id: str | None = None
    at_worst: Said | None = None


@dataclass(frozen=True)
class Moment:
    """When is asked, to the hour, and by which seed: what the sample of items depends on."""

    at: dt.datetime
    seed: int

    def salt(self, kind: str) -> str:
        """Another sample for each hour and each kind of question."""
        return f"{self.seed} {self.at:%Y-%m-%dT%H} {kind}"


def questions(known: Known, lately: Mapping[str, Version], photo: Photo, cfg: ProbingConfig, moment: Moment) -> Iterator[Question]:
    """All of them. `lately` are the items written in the last hours, as they stand now."""
    yield from map(golden, known.golden)
    yield from map(anchor, known.anchors)
    there = {item_id: one.image_id for item_id, one in lately.items() if not one.is_deleted}
    for item_id in lowest(there, cfg.num_upserts, moment.salt(UPSERT)):
        yield own_photo(item_id, there[item_id], photo)
    for item_id, image_id in copied(known, lately, cfg, moment).items():
        yield copy(item_id, image_id, photo, moment)
    for item_id in probe_items(known, cfg.num_probes):
        yield neighbours(item_id)


def copied(known: Known, lately: Mapping[str, Version], cfg: ProbingConfig, moment: Moment) -> dict[str, str]:
    """The items to be found by an altered copy, with their photos: a share of those written lately, and of those that the release was
    made with. Where fewer were written, no others take their place: the rest is comparable from day to day."""
    num_lately = round(cfg.num_copies * cfg.lately_share)
    there = {item_id: one.image_id for item_id, one in lately.items() if not one.is_deleted}
    chosen = {item_id: there[item_id] for item_id in lowest(there, num_lately, moment.salt(COPY))}
    old = lowest((name for name in known.item_ids() if name not in lately), cfg.num_copies - num_lately, moment.salt(COPY))
    images = known.image_of(old)
    return chosen | {item_id: images[item_id] for item_id in old}


def golden(one: GoldenPhoto) -> Question:
    """The cosine of the photo's vector with the vector that it must get; no number where there is no such vector."""

    def said(answer: Mapping[str, Any]) -> Said:
        row = answer["results"][0]
        if "problem" in row:
            raise refusal_of(int(row["problem"]["status"]), row["problem"])
        return Said(cosine(one.vector_D, row["vector"]), 1.0)

    return Question(GOLDEN, one.image_id, EMBED, lambda: {"inputs": [_picture(one.data)]}, said, at_worst=Said(NAN, 1.0))


def anchor(one: Anchor) -> Question:
    """The photo's Image Score against the one that it is to keep."""

    def said(answer: Mapping[str, Any]) -> Said:
        return Said(float(answer["image_score"]), one.target)

    return Question(ANCHOR, one.image_id, SCORE, lambda: _picture(one.data), said, at_worst=Said(NAN, one.target))


def own_photo(item_id: str, image_id: str, photo: Photo) -> Question:
    """Whether an item is found by its own photo."""
    return Question(UPSERT, item_id, SIMILAR, lambda: _query(photo(image_id)), lambda answer: is_found(item_id, image_id, answer), image_id)


def copy(item_id: str, image_id: str, photo: Photo, moment: Moment) -> Question:
    """Whether an item is found by a copy of its photo with other edges and other light."""

    def body() -> Body:
        seed = int.from_bytes(hash_of(moment.salt("altered"), item_id), "big")
        return _query(listed_again(photo(image_id), np.random.default_rng(seed)))

    return Question(COPY, item_id, SIMILAR, body, lambda answer: is_found(item_id, image_id, answer), image_id)


def neighbours(item_id: str) -> Question:
    """The nearest other items of an item."""

    def said(answer: Mapping[str, Any]) -> Said:
        found = ids_of(answer)
        return Said(len(found), len(found), found)

    return Question(NEIGHBOURS, item_id, SIMILAR, lambda: {"item_id": item_id, "k": NUM_NEIGHBOURS}, said)


def is_found(item_id: str, image_id: str, answer: Mapping[str, Any]) -> Said:
    """1 where the item is among those of the answer, or all of these show its very photo, so that luck decides which come first; else 0."""
    all_alike = len(answer["items"]) == NUM_NEIGHBOURS and all(item["image_id"] == image_id for item in answer["items"])
    return Said(float(all_alike or item_id in ids_of(answer)), 1.0)


def ids_of(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """The items of an answer of /v1/similar, nearest first."""
    return tuple(str(item["item_id"]) for item in answer["items"])


def cosine(wanted_D: np.ndarray, vector: object) -> float:
    """-1 to 1; NaN where the vector is no such vector."""
    try:
        found_D = np.asarray(vector, np.float64)
    except (TypeError, ValueError):
        return NAN
    if found_D.shape != wanted_D.shape or not np.isfinite(found_D).all() or not found_D.any():
        return NAN
    unit_D = found_D / np.abs(found_D).max()  # no square of it is too large
    return float(np.clip(unit_D @ wanted_D / np.linalg.norm(unit_D) / np.linalg.norm(wanted_D), -1, 1))


def _query(data: bytes) -> Body:
    return {**_picture(data), "k": NUM_NEIGHBOURS}


def _picture(data: bytes) -> Body:
    return {"picture_base64": base64.b64encode(data).decode()}
