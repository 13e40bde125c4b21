"""Which segments a row belongs to, and how many rows each has.

N rows, S dimensions, V values of a dimension, T parts of the span.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from monitoring.buckets import QUALITIES, SELLER_SIZES
from monitoring.window import ALL, DIMENSIONS
from monitoring.windows.ledger import Ledger
from monitoring.windows.listings import LANGUAGES, MISSING, Catalogue

OTHER = "other"  # all values of a dimension beyond the largest ones


@dataclass(frozen=True)
class Segments:
    """The values of each dimension that are segments, in order of their names, and (V,) which of them each value that was found is."""

    values: Mapping[str, list[str]]
    place: Mapping[str, np.ndarray]

    def of(self, rows: np.ndarray, catalogue: Catalogue) -> np.ndarray:
        """(N, S) the place of ENTRY rows in the values of each of DIMENSIONS, MISSING where a row has none."""
        found = _codes(rows, catalogue)
        return np.stack([np.append(self.place[name], MISSING)[found[name]] for name in DIMENSIONS], axis=1).astype(np.int32)

    def counted(self, code_NS: np.ndarray, part_N: np.ndarray, num_parts: int) -> dict[str, np.ndarray]:
        """(V, T) rows of each value in each part, by dimension."""
        counts = {}
        for name, code in zip(DIMENSIONS, code_NS.T, strict=True):
            here, shape = code != MISSING, (len(self.values[name]), num_parts)
            counts[name] = np.bincount(code[here] * num_parts + part_N[here], minlength=shape[0] * shape[1]).reshape(shape)
        return counts


def segments_of(ledger: Ledger, catalogue: Catalogue, max_values: int) -> Segments:
    """Of each dimension the `max_values` values with most rows; between two of a size the first name decides. The others are OTHER."""
    names = _names(ledger, catalogue)
    counts = {name: np.zeros(len(words), np.int64) for name, words in names.items()}
    for rows in ledger.partitions():
        for name, code in _codes(rows, catalogue).items():
            counts[name] += np.bincount(code[code != MISSING], minlength=len(counts[name]))
    chosen = {name: _largest(words, counts[name], max_values) for name, words in names.items()}
    return Segments({name: one[0] for name, one in chosen.items()}, {name: one[1] for name, one in chosen.items()})


def num_rows(segments: Segments, counts: Mapping[str, np.ndarray], total: int) -> dict[str, int]:
    """Rows by segment: `all`, and dimension=value of those that have rows."""
    found = {ALL: total}
    for name in DIMENSIONS:
        found |= {f"{name}={value}": int(n) for value, n in zip(segments.values[name], counts[name], strict=True) if n}
    return found


def _names(ledger: Ledger, catalogue: Catalogue) -> dict[str, list[str]]:
    return {
        "platform": ledger.platforms.words,
        "category": catalogue.roots,
        "app_version": ledger.versions.words,
        "seller_size": list(SELLER_SIZES),
        "quality": list(QUALITIES),
        "title_language": list(LANGUAGES),
    }


def _codes(rows: np.ndarray, catalogue: Catalogue) -> dict[str, np.ndarray]:
    """(N,) places in the names of each dimension."""
    listed = catalogue.find(rows["item"])
    return {
        "platform": rows["platform"],
        "category": listed.root,
        "app_version": rows["version"],
        "seller_size": catalogue.seller_sizes(listed.seller, rows["ts"]),
        "quality": rows["quality"],
        "title_language": listed.language,
    }


def _largest(words: list[str], counts: np.ndarray, most: int) -> tuple[list[str], np.ndarray]:
    """The values that are segments, in order of their names, and (V,) the place of each word among them."""
    order = sorted(range(len(words)), key=lambda number: (-counts[number], words[number]))
    kept = [number for number in order if counts[number] > 0][:most]
    named = {words[number] for number in kept}
    rest = bool((np.delete(counts, kept) > 0).any())
    values = sorted(named | {OTHER} if rest else named)
    place = {value: number for number, value in enumerate(values)}
    default = place.get(OTHER, MISSING)
    return values, np.array([place[word] if word in named else default for word in words], np.int64)
