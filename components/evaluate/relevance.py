"""What a query should find among the held-out items. N = gallery items, Q = queries, K = ranks; numbers are positions in the gallery."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from components.evaluate.held_out import HeldOut


@dataclass(frozen=True)
class Relevance:
    """Items with equal labels are relevant to each other, unless `own` is equal too: such items leave the query's ranking.

    A label of -1 makes an item neither a query nor a find. Intervals draw `cluster`.
    """

    kind: str
    label_N: np.ndarray
    own_N: np.ndarray
    cluster_N: np.ndarray

    def num_relevant(self, present_N: np.ndarray) -> np.ndarray:
        """int (N,): for each item as a query, how many items there are to find in the gallery of the present ones."""
        labelled_N = present_N & (self.label_N >= 0)
        both_N = codes_of(zip(self.label_N.tolist(), self.own_N.tolist(), strict=True))
        same_label_N = np.bincount(self.label_N[labelled_N], minlength=len(self.label_N) + 1)[self.label_N]
        same_both_N = np.bincount(both_N[labelled_N], minlength=len(both_N) + 1)[both_N]
        return np.where(self.label_N >= 0, same_label_N - same_both_N, 0)

    def hits(self, query_Q: np.ndarray, ranking_QK: np.ndarray) -> np.ndarray:
        """bool (Q, K): which of the ranked items are relevant; a rank of -1 holds none."""
        return np.asarray((ranking_QK >= 0) & (self.label_N[ranking_QK] == self.label_N[query_Q][:, None]))


def codes_of(names: Iterable[object]) -> np.ndarray:
    """int64 (N,): equal names get equal numbers, numbered in the order they first appear; None gets -1."""
    known: dict[object, int] = {}
    return np.array([-1 if name is None else known.setdefault(name, len(known)) for name in names], np.int64)


def category_relevance(held: HeldOut) -> Relevance:
    """Same leaf category, the whole path compared, from another owner. Cluster: the query's owner."""
    owner_N = codes_of(held.owner)
    return Relevance("category", codes_of([path or None for path in held.category]), owner_N, owner_N)


def product_relevance(held: HeldOut) -> Relevance:
    """Another photo of the same exact product, whoever sells it. Items of unknown product take no part. Cluster: the product."""
    product_N = codes_of(held.product)
    return Relevance("product", product_N, np.arange(len(product_N)), product_N)


def slices_of(category: Sequence[tuple[str, ...]], source: Sequence[str]) -> dict[str, np.ndarray]:
    """bool (N,) by slice name: `all`, then each root category, then each source.

    A name already taken gets its kind in front (`category: all`, `source: Fruit`).
    """
    roots = [path[0] if path else None for path in category]
    slices = {"all": np.ones(len(roots), bool)}
    for kind, names in (("category", roots), ("source", list(source))):
        for name in sorted({name for name in names if name is not None}):
            slices[name if name not in slices else f"{kind}: {name}"] = np.array([value == name for value in names], bool)
    return slices
