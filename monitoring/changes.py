"""What changed that day beside what the detectors measure: releases, mixes, sellers, and what was refused on the way in."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitoring.buckets import SELLER_SIZES
from monitoring.window import ALL, Window

MIXES = ("category", "app_version", "platform", "title_language", "seller_size", "quality")
NEW_SELLERS = f"seller_size={SELLER_SIZES[0]}"
MOST_VALUES, MOST_SELLERS = 6, 6
LEAST_MOVE = 0.003  # of all rows; what moved less is not worth a line


@dataclass(frozen=True)
class Share:
    """A value's share of the rows, 0 to 1: now, and in each window beside it; None where that one does not know the dimension."""

    value: str
    now: float
    beside: tuple[float | None, ...]

    @property
    def moved(self) -> float:
        """The largest move against any of the others."""
        return max((abs(self.now - one) for one in self.beside if one is not None), default=0.0)


@dataclass(frozen=True)
class Mix:
    """The values of a dimension that moved most, and how many others there are."""

    dimension: str
    shares: tuple[Share, ...]
    num_others: int


@dataclass(frozen=True)
class Seller:
    """A seller whose share of the rows grew. `is_new`: the first listing is younger than buckets.NEW_DAYS."""

    seller_id: str
    now: float
    beside: tuple[float | None, ...]
    is_new: bool


@dataclass(frozen=True)
class Changes:
    """`beside` names what the window is compared with, as the shares have it. `num_rows` are those of the window and of each beside it.
    `releases` counts the log's rows by the release that answered; `refused` counts what was refused, by what it is and why."""

    beside: tuple[str, ...]
    num_rows: tuple[int, ...]
    mixes: tuple[Mix, ...]
    sellers: tuple[Seller, ...]
    new_sellers: Share
    releases: Mapping[str, int] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)


def changes_of(
    now: Window, beside: Mapping[str, Window], releases: Mapping[str, int] | None = None, refused: Mapping[str, int] | None = None
) -> Changes:
    """What is otherwise in the window than in each of those beside it, as {"reference": ..., "day before": ...}."""
    others = tuple(beside.values())
    counts = [one.num_rows for one in others]
    return Changes(
        beside=tuple(beside),
        num_rows=(now.num_rows.get(ALL, 0), *(count.get(ALL, 0) for count in counts)),
        mixes=tuple(mix for dimension in MIXES if (mix := _mix(dimension, now.num_rows, counts)).shares),
        sellers=_sellers(now, others),
        new_sellers=_share(NEW_SELLERS, now.num_rows, counts),
        releases=dict(sorted((releases or {}).items(), key=lambda one: -one[1])),
        refused={name: count for name, count in (refused or {}).items() if count},
    )


def _mix(dimension: str, now: Mapping[str, int], others: Sequence[Mapping[str, int]]) -> Mix:
    """Values in order of how far they moved."""
    segments = sorted({segment for count in (now, *others) for segment in count if segment.partition("=")[0] == dimension})
    shares = sorted((_share(segment, now, others) for segment in segments), key=lambda one: -one.moved)
    kept = tuple(one for one in shares if one.moved >= LEAST_MOVE)[:MOST_VALUES]
    return Mix(dimension, kept, len(shares) - len(kept))


def _share(segment: str, now: Mapping[str, int], others: Sequence[Mapping[str, int]]) -> Share:
    dimension, _, value = segment.partition("=")
    known = [_part(segment, count) if any(name.startswith(f"{dimension}=") for name in count) else None for count in others]
    return Share(value, _part(segment, now), tuple(known))


def _part(segment: str, counts: Mapping[str, int]) -> float:
    return counts.get(segment, 0) / max(counts.get(ALL, 0), 1)


def _sellers(now: Window, others: Sequence[Window]) -> tuple[Seller, ...]:
    """Those whose share grew most since the last of the others."""
    shares, before = _seller_shares(now), [_seller_shares(one) for one in others]
    new = {seller for seller, size in zip(*_columns(now, "seller_id", "seller_size"), strict=True) if size == SELLER_SIZES[0]}
    last = before[-1] if before else {}
    grown = sorted(shares, key=lambda seller: (last.get(seller, 0.0) - shares[seller], seller))[:MOST_SELLERS]
    known = [one if any(name in one for name in grown) else None for one in before]  # held-out items are of few sellers
    return tuple(Seller(name, shares[name], tuple(one.get(name, 0.0) if one else None for one in known), name in new) for name in grown)


def _seller_shares(window: Window) -> dict[str, float]:
    """Of the rows that have a seller, by weight."""
    counts: Counter[str] = Counter()
    for seller, weight in zip(_columns(window, "seller_id")[0], np.asarray(window.weight).tolist(), strict=True):
        if seller is not None:
            counts[seller] += weight
    return {seller: count / max(counts.total(), 1e-12) for seller, count in counts.items()}


def _columns(window: Window, *names: str) -> list[list[str | None]]:
    return [window.rows[name].to_pylist() for name in names]
