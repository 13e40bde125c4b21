"""The pool: photos with what a release makes of them, embedded once, of which every simulated day is drawn.

N cards, the Q quiet ones first and in order of their kind; D values a vector; A anchors; G golden photos; M altered copies.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.ingest.market import ClickModel
from components.schema import LISTINGS, STATS

CARDS_FILE, PICTURES_FILE, ANSWERS_FILE, ABOUT_FILE = "cards.parquet", "pictures.parquet", "answers.npz", "about.json"
QUIET, DARKER, RESIZED, AI, NEW, FLOOD = "quiet", "darker", "resized", "ai", "new", "flood"

# One photo of one listing. `part` says what it is for; `made_of` is the quiet card that it replaces, -1 for one that stands for itself.
CARDS = pa.schema(
    [
        ("part", pa.string()),
        ("made_of", pa.int32()),
        *((name, LISTINGS.field(name).type) for name in ("item_id", "image_id", "seller_id", "title", "title_language", "description")),
        *((name, LISTINGS.field(name).type) for name in ("category", "price", "currency", "app_version")),
        ("image_score", pa.float32()),
        *((name, STATS.field(name).type) for name in ("brightness", "sharpness", "text_share")),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("appeal", pa.float32()),
    ]
)
PICTURES = pa.schema([("image_id", pa.string()), ("data", pa.binary())])


@dataclass(frozen=True)
class Known:
    """Questions whose answers are known: anchors' scores now and their targets (A,), 0 to 1; cosines of golden photos with their golden
    answers (G,); vectors (M, D) of altered copies, and the quiet cards that they are copies of (M,)."""

    anchor_scores: np.ndarray
    anchor_targets: np.ndarray
    golden_cosine: np.ndarray
    copies: np.ndarray
    copied: np.ndarray


@dataclass(frozen=True)
class Pool:
    """Cards (N rows of CARDS) with their vectors, float32 (N, D) of unit length. `quality_edges` are the three inner quartiles of the
    Image Score in the release's own reference."""

    cards: pa.Table
    vectors: np.ndarray
    known: Known
    fingerprint: str
    release_id: str
    quality_edges: tuple[float, float, float]
    click: ClickModel
    pictures_at: Path | None = None

    @cached_property
    def num_quiet(self) -> int:
        """Q."""
        return int((self._part == QUIET).sum())

    @cached_property
    def kind(self) -> np.ndarray:
        """(Q,) number of the leaf category, ascending: cards of one kind stand together."""
        path = np.array([" > ".join(names) for names in self.cards["category"][: self.num_quiet].to_pylist()])
        return np.concatenate([[0], np.cumsum(path[1:] != path[:-1])])

    @cached_property
    def roots(self) -> pa.Array:
        """(N,) name of each card's root category."""
        return pc.list_element(self.cards["category"].combine_chunks(), 0)

    @cached_property
    def root(self) -> np.ndarray:
        """(N,) the same as an array of text."""
        return np.array(self.roots.to_pylist())

    @cached_property
    def seller(self) -> np.ndarray:
        """(N,) number of each card's seller."""
        return np.unique(np.array(self.cards["seller_id"].to_pylist(), str), return_inverse=True)[1]

    @cached_property
    def language(self) -> np.ndarray:
        """(N,) language of each card's title."""
        return np.array(self.cards["title_language"].to_pylist())

    def number_of(self, name: str) -> np.ndarray:
        """(N,) a column of numbers."""
        return self._numbers[name]

    def instead(self, part: str) -> np.ndarray:
        """(Q,) the card of that part that stands in for each quiet card. Raises KeyError where one has none."""
        rows = np.flatnonzero(self._part == part)
        found = np.full(self.num_quiet, -1)
        found[self.number_of("made_of")[rows]] = rows
        if (found < 0).any():
            raise KeyError(f"the pool has no {part} card for {int((found < 0).sum())} of {self.num_quiet} quiet ones")
        return found

    def named(self, part: str) -> dict[str, np.ndarray]:
        """Cards of the parts called `part NAME`, by NAME."""
        names = sorted({str(found) for found in self._part if found.startswith(f"{part} ")})
        return {name.removeprefix(f"{part} "): np.flatnonzero(self._part == name) for name in names}

    def pictures(self, image_ids: Iterable[str]) -> dict[str, bytes]:
        """Encoded pictures by image_id; nothing where the pool keeps none."""
        if self.pictures_at is None:
            return {}
        wanted = pa.array(sorted(set(image_ids)), pa.string())
        table = pq.read_table(self.pictures_at, filters=pc.field("image_id").isin(wanted))
        return dict(zip(table["image_id"].to_pylist(), table["data"].to_pylist(), strict=True))

    @cached_property
    def _numbers(self) -> dict[str, np.ndarray]:
        return {field.name: self.cards[field.name].to_numpy() for field in CARDS if pa.types.is_primitive(field.type)}

    @cached_property
    def _part(self) -> np.ndarray:
        return np.array(self.cards["part"].to_pylist())


def save(pool: Pool, pictures: Mapping[str, bytes], folder: Path) -> Pool:
    """The pool as it is read back from the folder, where it now lies."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = pa.array(pool.vectors.astype(np.float16).ravel())
    vectors = pa.FixedSizeListArray.from_arrays(flat, pool.vectors.shape[1])
    pq.write_table(pool.cards.append_column("vector", vectors), folder / CARDS_FILE, compression="zstd")
    rows = sorted(pictures.items())
    table = pa.table([pa.array([row[0] for row in rows], pa.string()), pa.array([row[1] for row in rows], pa.binary())], schema=PICTURES)
    pq.write_table(table, folder / PICTURES_FILE, row_group_size=500)
    np.savez(folder / ANSWERS_FILE, **vars(pool.known))
    about = {name: getattr(pool, name) for name in ("fingerprint", "release_id", "quality_edges")} | {"click": pool.click.model_dump()}
    (folder / ABOUT_FILE).write_text(json.dumps(about), encoding="utf-8")  # last: a folder without it is not whole
    return load(folder)


def load(folder: Path) -> Pool:
    """The pool that lies in the folder. Raises OSError where none does."""
    about = json.loads((folder / ABOUT_FILE).read_text(encoding="utf-8"))
    table = pq.read_table(folder / CARDS_FILE)
    vectors = np.stack(table["vector"].to_numpy()).astype(np.float32)
    with np.load(folder / ANSWERS_FILE, allow_pickle=False) as answers:
        known = Known(**{name: answers[name] for name in answers.files})
    first, middle, last = about["quality_edges"]
    return Pool(
        cards=table.drop_columns(["vector"]).cast(CARDS),
        vectors=vectors,
        known=known,
        fingerprint=about["fingerprint"],
        release_id=about["release_id"],
        quality_edges=(first, middle, last),
        click=ClickModel(**about["click"]),
        pictures_at=folder / PICTURES_FILE,
    )
