"""Queries and photos worth a look: where neighbours are right, where they are wrong, and the ends of the image score."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from components.evaluate.held_out import HeldOut
from components.evaluate.relevance import Relevance
from components.evaluate.table import MODEL, Measured, Row

COMPARED = (MODEL, "color_histogram")


@dataclass(frozen=True)
class Photo:
    """A photo on the page. `hit` is None where right and wrong do not apply."""

    image_id: str
    caption: str
    hit: bool | None = None


@dataclass(frozen=True)
class Strip:
    """A query and its neighbours by each compared row. `value` is the model's nDCG@5 for it."""

    query: Photo
    value: float
    found: dict[str, list[Photo]]


def spread(order: Sequence[int], group: Sequence[object], num: int) -> list[int]:
    """The first `num` of `order` taken in rounds, one of each group a round, so that no group fills the page."""
    rounds: dict[object, int] = {}
    ranked = []
    for place, n in enumerate(order):
        rounds[group[n]] = rounds.get(group[n], 0) + 1
        ranked.append((rounds[group[n]], place, n))
    return [n for _, _, n in sorted(ranked)[:num]]


def good_and_bad(measured: Measured, relevance: Relevance, rows: Sequence[Row], held: HeldOut, num: int) -> tuple[list[Strip], list[Strip]]:
    """The queries with the highest and with the lowest nDCG@5 of the model, of as many categories as there are.

    Among equal ones those come first that have most to find, since they tell most.
    """
    value_Q = measured.value_QM[MODEL][:, 0]
    to_find_Q = relevance.num_relevant(np.ones(len(held.item_id), bool))[measured.item_Q]
    group = [held.category[n] for n in measured.item_Q]
    best, worst = np.lexsort((-to_find_Q, -value_Q)), np.lexsort((-to_find_Q, value_Q))
    compared = [row for row in rows if row.name in COMPARED]
    good, bad = (spread(order.tolist(), group, num) for order in (best, worst))
    bad = [q for q in bad if q not in good]
    return (
        [_strip(int(measured.item_Q[q]), float(value_Q[q]), relevance, compared, held) for q in good],
        [_strip(int(measured.item_Q[q]), float(value_Q[q]), relevance, compared, held) for q in bad],
    )


def _strip(item: int, value: float, relevance: Relevance, rows: Sequence[Row], held: HeldOut) -> Strip:
    query_Q = np.array([item])
    found = {}
    for row in rows:
        ranking_QK = row.ranker.rank(query_Q, relevance.own_N, row.present_N)
        hit_K = relevance.hits(query_Q, ranking_QK)[0]
        found[row.name] = [
            Photo(held.image_id[n], held.category[n][-1] if held.category[n] else "", bool(hit))
            for n, hit in zip(ranking_QK[0], hit_K, strict=True)
            if n >= 0
        ]
    return Strip(Photo(held.image_id[item], held.title[item]), value, found)


def ends_of_score(held: HeldOut, num: int) -> tuple[list[Photo], list[Photo]]:
    """The held-out photos with the highest and with the lowest image score, of as many owners as there are."""
    highest = spread(np.argsort(-held.score_N, kind="stable").tolist(), held.owner, num)
    lowest = spread(np.argsort(held.score_N, kind="stable").tolist(), held.owner, num)
    return _scored(highest, held), _scored([n for n in lowest if n not in highest], held)


def _scored(items: Sequence[int], held: HeldOut) -> list[Photo]:
    return [Photo(held.image_id[n], f"{held.score_N[n]:.2f}") for n in items]


def image_ids(strips: Sequence[Strip], photos: Sequence[Photo]) -> set[str]:
    """Every picture that has to be on the page."""
    shown = {photo.image_id for strip in strips for found in strip.found.values() for photo in found}
    return shown | {strip.query.image_id for strip in strips} | {photo.image_id for photo in photos}
