"""The catalogue as shoppers read it: columns of numbers for leaf categories, colour words and title words."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from components.ingest.drawing.palette import COLOUR_OF_WORD, COLOURS
from components.ingest.rows import CatalogueItem

MAX_WORDS = 512
_WORD = re.compile(r"\w+(?:[-']\w+)*")
_COLOUR_NUMBER = {colour.name: number for number, colour in enumerate(COLOURS)}


@dataclass(frozen=True)
class Shelf:
    """N items and L leaf categories as arrays. `members` lists items leaf by leaf: leaf l holds members[starts[l] : starts[l + 1]].

    `words` (N, W) uint64 are bit sets of the MAX_WORDS commonest title words. `colour` is -1 where the title names none, `quality`
    0.5 where nobody knows it. `queries` are what a shopper who wants such an item types; `coloured` the same with its colour, and
    the *_words are their bit sets.
    """

    leaf: np.ndarray
    members: np.ndarray
    starts: np.ndarray
    colour: np.ndarray
    words: np.ndarray
    quality: np.ndarray
    price_rank: np.ndarray
    queries: tuple[str, ...]
    query_words: np.ndarray
    coloured: tuple[str, ...]
    coloured_words: np.ndarray

    @property
    def num_leaves(self) -> int:
        """L."""
        return len(self.starts) - 1


def words_of(text: str) -> list[str]:
    """Lower-case words in order; Japanese is cut at spaces and brackets only."""
    return _WORD.findall(text.lower())


def colour_of(words: Iterable[str]) -> int:
    """Number of the first colour that the words name, in either language, or -1."""
    return next((_COLOUR_NUMBER[COLOUR_OF_WORD[word]] for word in words if word in COLOUR_OF_WORD), -1)


def stocked(items: Sequence[CatalogueItem]) -> Shelf:
    """The items on a shelf; there must be at least one."""
    names = [item.category[-1] if item.category else "" for item in items]
    leaf_names, leaf = np.unique(np.array(names, dtype=object).astype(str), return_inverse=True)
    titles = [words_of(item.title) for item in items]
    vocabulary = {word: bit for bit, (word, _) in enumerate(_commonest(titles))}
    typical = _typical_words(titles, leaf, len(leaf_names))
    plain = [[w for w in words if w in typical[group]] or words_of(name) for words, group, name in zip(titles, leaf, names, strict=True)]
    coloured = [[w for w in words if w in COLOUR_OF_WORD][:1] + query for words, query in zip(titles, plain, strict=True)]
    price = np.array([item.price for item in items], float)
    return Shelf(
        leaf=leaf,
        members=np.argsort(leaf, kind="stable"),
        starts=np.concatenate([[0], np.cumsum(np.bincount(leaf, minlength=len(leaf_names)))]),
        colour=np.array([colour_of(words) for words in titles]),
        words=_bits(titles, vocabulary),
        quality=np.array([0.5 if item.quality is None else item.quality for item in items]),
        price_rank=_rank_within(leaf, price),
        queries=tuple(" ".join(query) for query in plain),
        query_words=_bits(plain, vocabulary),
        coloured=tuple(" ".join(query) for query in coloured),
        coloured_words=_bits(coloured, vocabulary),
    )


def _commonest(titles: Iterable[Iterable[str]]) -> list[tuple[str, int]]:
    counts = Counter(word for words in titles for word in set(words))
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:MAX_WORDS]


def _typical_words(titles: Sequence[Sequence[str]], leaf: np.ndarray, num_leaves: int) -> list[set[str]]:
    """For each leaf, the words that stand in 15 % of its titles or more and mostly (60 %) nowhere else."""
    everywhere = Counter(word for words in titles for word in set(words))
    here: list[Counter[str]] = [Counter() for _ in range(num_leaves)]
    for words, group in zip(titles, leaf, strict=True):
        here[group].update(set(words))
    sizes = np.bincount(leaf, minlength=num_leaves)

    def is_typical(word: str, count: int, group: int) -> bool:
        return count >= 0.15 * sizes[group] and count >= 0.6 * everywhere[word] and word not in COLOUR_OF_WORD

    return [{word for word, count in counts.items() if is_typical(word, count, group)} for group, counts in enumerate(here)]


def _bits(texts: Sequence[Sequence[str]], vocabulary: dict[str, int]) -> np.ndarray:
    bits = np.zeros((len(texts), -(-max(len(vocabulary), 1) // 64)), np.uint64)
    for row, words in enumerate(texts):
        for word in words:
            bit = vocabulary.get(word)
            if bit is not None:
                bits[row, bit // 64] |= np.uint64(1) << np.uint64(bit % 64)
    return bits


def shared_share(asked: np.ndarray, titles: np.ndarray) -> np.ndarray:
    """Share of the asked words that a title has, in [0, 1]; bit sets of shape (..., W)."""
    common = np.bitwise_count(asked & titles).sum(axis=-1, dtype=np.int64)
    return np.asarray(common / np.maximum(np.bitwise_count(asked).sum(axis=-1, dtype=np.int64), 1))


def _rank_within(leaf: np.ndarray, price: np.ndarray) -> np.ndarray:
    """Place of each price in its leaf, from 0 for the cheapest towards 1."""
    order = np.lexsort((price, leaf))
    sizes = np.bincount(leaf)
    place = np.empty(len(leaf))
    place[order] = np.arange(len(leaf)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.asarray(place / sizes[leaf])
