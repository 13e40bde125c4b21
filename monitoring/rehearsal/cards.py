"""The cards of a pool that only faults show: photos altered, photos that a generator made, kinds never seen, one thing many times.

Each is embedded by the bundle's towers. N pictures, D values a vector.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.images import decode, normalise
from components.ingest.admit import language_of
from components.ingest.drawing.kinds import Kind
from components.ingest.sellers import new_defects
from components.ingest.titles import ENGLISH, JAPANESE, wording
from components.photos import squares
from components.picture_stats import stats_of
from components.towers import Towers
from monitoring.rehearsal import photos
from monitoring.rehearsal.kinds import NEW_KINDS, photo_of
from monitoring.rehearsal.pool import AI, FLOOD, NEW

GOOD_SHARE, MADE_SHARE = 1 / 3, 1 / 2  # of a kind's photos: those that a generator starts from, and of what it makes, those that are used
AI_APPEAL = 0.35  # shoppers see through them; the score does not
NEW_APPEAL = 0.5
FRESH_CARE, JAPANESE_SHARE = 0.6, 0.6  # of those who sell the new kinds

Row = dict[str, Any]


@dataclass(frozen=True)
class Source:
    """What a pool is made of. `rows` are the quiet cards in order of their kind, `data` their pictures by image_id."""

    rows: list[Row]
    data: Mapping[str, bytes]
    towers: Towers
    batch_size: int
    rng: np.random.Generator

    def embedded(self, pictures: Sequence[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """(N, D) float32 unit vectors and (N,) Image Scores, as served."""
        found = [self.towers.embed_pixels(normalise(squares(batch, self.towers.serving.image_px))) for batch in self._batches(pictures)]
        dim = self.towers.serving.dim
        vectors = [vectors for vectors, _ in found] or [np.zeros((0, dim), np.float32)]
        return np.concatenate(vectors), np.concatenate([scores for _, scores in found] or [np.zeros(0, np.float32)])

    def _batches(self, pictures: Sequence[bytes]) -> Iterator[Sequence[bytes]]:
        return (pictures[start : start + self.batch_size] for start in range(0, len(pictures), self.batch_size))


def _as_taken(source: Source, rows: Sequence[Row], pictures: Sequence[bytes], kept: dict[str, bytes]) -> list[Row]:
    """The rows with these pictures: their ids, sizes, stats, vectors and scores. The pictures are added to `kept`."""
    vectors, scores = source.embedded(pictures)
    found = []
    for row, data, vector, score in zip(rows, pictures, vectors, scores, strict=True):
        picture, image_id = decode(data), hashlib.sha256(data).hexdigest()
        kept[image_id] = data
        seen = {"image_id": image_id, "width": picture.width, "height": picture.height} | stats_of(picture)
        found.append(row | seen | {"vector": vector.astype(np.float16).astype(np.float32), "image_score": float(score)})
    return found


def altered(source: Source, part: str, alter: Callable[[bytes], bytes], kept: dict[str, bytes]) -> list[Row]:
    """A card of each quiet one, with its photo altered."""
    rows = [row | {"part": part, "made_of": number} for number, row in enumerate(source.rows)]
    return _as_taken(source, rows, [alter(source.data[row["image_id"]]) for row in source.rows], kept)


def ai_made(source: Source, kept: dict[str, bytes]) -> list[Row]:
    """A card of each quiet one that shows a picture made by a generator: of the same kind, and one that scores high, as those do."""
    of_kind = defaultdict(list)
    for row in source.rows:
        of_kind[tuple(row["category"])].append(row)
    found = []
    for kind, rows in of_kind.items():
        best = sorted(rows, key=lambda row: (-row["image_score"], row["item_id"]))[: max(1, round(GOOD_SHARE * len(rows)))]
        made = _as_taken(source, best, [photos.ai_made(source.data[row["image_id"]]) for row in best], kept)
        made = sorted(made, key=lambda row: -row["image_score"])[: max(1, round(MADE_SHARE * len(made)))]
        taken = source.rng.integers(len(made), size=len(rows))
        found += [_shown_as(row, made[place]) for row, place in zip(of_kind[kind], taken, strict=True)]
    number_of = {row["item_id"]: number for number, row in enumerate(source.rows)}
    return [row | {"part": AI, "made_of": number_of[row["item_id"]], "appeal": AI_APPEAL} for row in found]


def _shown_as(row: Row, picture: Row) -> Row:
    """The listing with another's picture."""
    names = ("image_id", "width", "height", "brightness", "sharpness", "text_share", "vector", "image_score")
    return row | {name: picture[name] for name in names}


def new_kinds(source: Source, num_new: int, side_px: int, kept: dict[str, bytes]) -> list[Row]:
    """Listings of kinds that the market does not have, by sellers that it has; filed under a root that it has."""
    found = []
    for name, kind in NEW_KINDS.items():
        made = [_new(source, name, kind, number, side_px) for number in range(num_new)]
        found += _as_taken(source, [row for row, _ in made], [data for _, data in made], kept)
    return found


def _new(source: Source, name: str, kind: Kind, number: int, side_px: int) -> tuple[Row, bytes]:
    """Listing `number` of the new kind, and its picture."""
    rng, roots = source.rng, _roots(source.rows)
    data, look = photo_of(kind, new_defects(FRESH_CARE, rng), side_px, rng)
    words = wording(kind, look, JAPANESE if rng.random() < JAPANESE_SHARE else ENGLISH, rng)
    row = source.rows[int(rng.integers(len(source.rows)))] | {
        "part": f"{NEW} {name}",
        "made_of": -1,
        "item_id": _item_id(NEW, name, number),
        "title": words.title,
        "title_language": language_of(words.title),
        "description": words.description,
        "category": [kind.category[0] if kind.category[0] in roots else roots[0], *kind.category[1:]],
        "price": kind.price,
        "appeal": NEW_APPEAL,
    }
    return row, data


def _roots(rows: Sequence[Row]) -> list[str]:
    """Root categories, the largest first."""
    names, counts = np.unique([row["category"][0] for row in rows], return_counts=True)
    return [str(name) for name in names[np.argsort(-counts, kind="stable")]]


def floods(source: Source, num_floods: int, size: int, kept: dict[str, bytes]) -> list[Row]:
    """One thing listed `size` times by one seller whom nobody knew, `num_floods` times over."""
    found = []
    for number in range(num_floods):
        base = source.rows[int(source.rng.integers(len(source.rows)))]
        pictures = [photos.listed_again(source.data[base["image_id"]], source.rng) for _ in range(size)]
        seller = f"s-{_item_id(FLOOD, number, 'seller')}"
        rows = [
            base | {"part": f"{FLOOD} {number}", "seller_id": seller, "item_id": _item_id(FLOOD, number, place)} for place in range(size)
        ]
        found += _as_taken(source, rows, pictures, kept)
    return found


def _item_id(*what: object) -> str:
    """An id that does not say what it stands for."""
    return "m-" + hashlib.sha256("/".join(map(str, what)).encode()).hexdigest()[:10]
