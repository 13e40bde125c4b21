"""A window's rows made ready for the detectors: what many of them and many segments share is worked out once.

N rows, D width of a vector, M fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.errors import BadData
from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.hashes import blocks
from monitoring.detectors.space import Space
from monitoring.detectors.whole import Chunk, fit, folds, items
from monitoring.window import ALL, DIMENSIONS, Window

MEASURED = ("image_score", "brightness", "sharpness", "text_share")
WORDS = ("platform", "category", "app_version", "title_language", "seller_id", "seller_size", "quality")
OF_PICTURE = (*MEASURED, "width", "height")
OF_LISTING = ("category", "title_language", "seller_id")
FIELDS = (*OF_PICTURE, *OF_LISTING, "app_version", "platform")
BROWSER = "web"  # a browser has no app, so no version of it is missing

Vocabulary = Mapping[str, pa.Array]


@dataclass(frozen=True)
class Words:
    """A column of words as numbers: (N,) places in `words`, -1 where missing. The first `num_known` are the reference's."""

    code_N: np.ndarray
    words: pa.Array
    num_known: int

    @classmethod
    def of(cls, column: pa.ChunkedArray, known: pa.Array | None) -> "Words":
        """The column's words: those that the reference knows first, new ones after them in order of the alphabet."""
        known = pa.array([], pa.string()) if known is None else known
        found = pc.unique(column).drop_null()
        new = found.filter(pc.invert(pc.is_in(found, value_set=known)))
        words = pa.concat_arrays([known, new.sort()])
        code = pc.fill_null(pc.index_in(column, value_set=words), -1) if len(words) else pa.array(np.full(len(column), -1))
        return cls(code.to_numpy().astype(np.int64), words, len(known))


@dataclass(frozen=True)
class Rows:
    """A window's rows. Rows that stand for nothing are left out; `sound_N` marks vectors whose numbers are all finite.

    `could_NM` marks which of FIELDS a row could have: a text that was asked has no picture, a shopper's own photo no listing, and a
    browser no version of the app.
    """

    vector_ND: np.ndarray
    sound_N: np.ndarray
    weight_N: np.ndarray
    item_N: np.ndarray
    fold_N: np.ndarray
    block_N: np.ndarray
    number: Mapping[str, np.ndarray]
    word: Mapping[str, Words]
    could_NM: np.ndarray
    missing_NM: np.ndarray

    @classmethod
    def of(cls, window: Window, known: Vocabulary, cfg: DetectorsConfig, seed: int) -> "Rows":
        """The window's rows, whose words are numbered as `known` has them."""
        here = np.isfinite(window.weight) & (window.weight > 0)
        table = window.rows.filter(pa.array(here))
        sound = np.isfinite(window.vectors[here]).all(axis=1)
        item, could = items(table, seed), _could(table)
        return cls(
            vector_ND=np.where(sound[:, None], window.vectors[here], 0).astype(np.float32, copy=False),
            sound_N=sound,
            weight_N=window.weight[here].astype(np.float64),
            item_N=item,
            fold_N=folds(item, cfg),
            block_N=blocks(table, cfg, seed),
            number=_numbers(table),
            word={name: Words.of(table[name], known.get(name)) for name in WORDS},
            could_NM=could,
            missing_NM=np.stack([_missing(table[name]) for name in FIELDS], axis=1) & could,
        )

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of each column."""
        return {name: column.words for name, column in self.word.items()}

    def members(self) -> dict[str, np.ndarray]:
        """The row numbers of every segment that has rows, `all` first, then by dimension, in order of the words."""
        found = {ALL: np.arange(len(self.weight_N))}
        for dimension in DIMENSIONS:
            words, code = self.word[dimension].words.to_pylist(), self.word[dimension].code_N
            order = np.argsort(code, kind="stable")
            first = np.searchsorted(code[order], np.arange(len(words) + 1))
            found |= {f"{dimension}={w}": np.sort(order[first[i] : first[i + 1]]) for i, w in enumerate(words) if first[i] < first[i + 1]}
        return found

    def space(self, cfg: DetectorsConfig, seed: int) -> Space | None:
        """The vector space of these rows, as a reference; None without a sound vector."""
        if not self.sound_N.any():
            return None
        columns = (self.vector_ND, self.weight_N, self.item_N, self.fold_N, self.block_N)
        return fit([Chunk(*(column[self.sound_N] for column in columns))], cfg, seed)


def same_width(reference: Rows, current: Rows) -> None:
    """Raises BadData where the two windows' vectors differ in width: no detector can compare two models' vectors."""
    widths = reference.vector_ND.shape[1], current.vector_ND.shape[1]
    if widths[0] != widths[1]:
        raise BadData(f"the reference's vectors hold {widths[0]} values, the window's {widths[1]}: they come from different models")


def _numbers(table: pa.Table) -> dict[str, np.ndarray]:
    """Columns of numbers, NaN where missing or senseless; a picture's size is the log2 of its side in px, were it square."""
    found = {name: _floats(table[name]) for name in (*MEASURED, "width", "height")}
    width, height = (np.where(found[name] > 0, found[name], np.nan) for name in ("width", "height"))
    shapes = {"size": np.log2(width * height) / 2, "aspect": np.log2(width / height)}
    return {name: found[name] for name in MEASURED} | shapes


def _floats(column: pa.ChunkedArray) -> np.ndarray:
    return np.asarray(column.cast(pa.float64()).to_numpy())


def _missing(column: pa.ChunkedArray) -> np.ndarray:
    """(N,) whether the field is null or no number."""
    return np.asarray(pc.is_null(column, nan_is_null=True).to_numpy())


def _could(table: pa.Table) -> np.ndarray:
    """(N, M) whether the row could have the field."""
    of_picture, of_listing = ~_missing(table["image_id"]), ~_missing(table["item_id"])
    of_app = pc.fill_null(pc.not_equal(table["platform"], BROWSER), True).to_numpy()
    could = dict.fromkeys(OF_PICTURE, of_picture) | dict.fromkeys(OF_LISTING, of_listing) | {"app_version": of_app}
    return np.stack([could.get(name, np.ones(table.num_rows, bool)) for name in FIELDS], axis=1)
