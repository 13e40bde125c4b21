"""How far pictures, fields and the mix of what is shown moved."""

from collections.abc import Callable

import numpy as np

from monitoring.detectors.pair import Found, Pair, moved, percent
from monitoring.detectors.part import Part
from monitoring.detectors.weighted import Weighted, total_variation, wasserstein
from monitoring.window import ALL

Show = Callable[[float], str]


def moved_number(pair: Pair, column: str, least_spread: float, name: str, show: Show) -> Found | None:
    """Wasserstein-1 of a column in units of the reference's spread in the segment, which counts as `least_spread` or more; 0 or more."""
    if (both := pair.numbers(column)) is None:
        return None
    distance = wasserstein(*both)
    value = distance / max(both[0].spread, least_spread)
    return Found(value, _said(*both, distance, name, show), *map(len, both))


def _said(before: Weighted, now: Weighted, distance: float, name: str, show: Show) -> str:
    """The means, or, where they moved little beside the whole, quartiles."""
    if abs(now.mean - before.mean) >= distance / 2:
        return moved(name, show(before.mean), show(now.mean))
    quartiles = (" to ".join(map(show, side.quantiles(np.array([0.25, 0.75])))) for side in (before, now))
    return moved(f"{name}, middle half", *quartiles)


def missing(pair: Pair) -> Found | None:
    """By how much the share of rows that lack a field grew, 0 to 1, of the field that grew most; of fields that the rows do not show
    too, where the extras tell of them."""
    before, now = pair.reference.missing_shares, pair.current.missing_shares
    if pair.segment == ALL:
        before, now = ({**dict(side.missing_share), **shown} for side, shown in zip(pair.extras, (before, now), strict=True))
    grown = {name: now[name] - before[name] for name in sorted(before.keys() & now.keys())}
    if not grown:
        return None
    worst = max(grown, key=grown.__getitem__)
    if grown[worst] <= 0:
        return pair.found(0.0, "no field is missing more often")
    return pair.found(grown[worst], moved(f"{worst} missing", percent(before[worst]), percent(now[worst])))


def mix(pair: Pair, column: str) -> Found | None:
    """Total variation between the shares of a column's words, 0 to 1: the share of rows that changed places.

    Rows without a word do not count. None in a segment cut by that column."""
    if pair.dimension == column:
        return None
    words = pair.current.rows.word[column].words
    p, q = (part.shares(column, len(words)) for part in (pair.reference, pair.current))
    if p is None or q is None:
        return None
    most = int(np.argmax(np.abs(q - p)))
    return pair.found(total_variation(p, q), moved(f"{column} {words[most]}", percent(p[most]), percent(q[most])))


def share(pair: Pair) -> Found | None:
    """By how much the segment's share of the rows grew, -1 to 1, below 0 where it shrank; among rows that have a value in its dimension.

    The one detector that a segment needs no rows in the reference for: it may be new."""
    if pair.segment == ALL:
        return None
    shares, counts = zip(*(_share(part, pair.dimension) for part in (pair.reference, pair.current)), strict=True)
    if min(counts) < pair.cfg.min_rows:
        return None
    return Found(shares[1] - shares[0], moved("share of rows", percent(shares[0]), percent(shares[1])), *counts)


def _share(part: Part, dimension: str) -> tuple[float, int]:
    """The part's share of its window's rows that have a value in the dimension, and how many those are."""
    known = part.rows.word[dimension].code_N >= 0
    return float(part.weight.sum() / max(part.rows.weight_N[known].sum(), 1e-9)), int(known.sum())


def newcomer(pair: Pair) -> Found | None:
    """The largest share of rows of one seller that the whole reference has not, 0 to 1."""
    sellers = pair.current.rows.word["seller_id"]
    if not sellers.num_known or (shares := pair.current.shares("seller_id", len(sellers.words))) is None:
        return None
    value = float(shares[sellers.num_known :].max(initial=0.0))
    return pair.found(value, f"{percent(value)} of rows are of a seller not in the reference")


def concentration(pair: Pair) -> Found | None:
    """By how much the largest seller's share of rows grew, 0 to 1, whichever seller that is."""
    num_words = len(pair.current.rows.word["seller_id"].words)
    p, q = (part.shares("seller_id", num_words) for part in (pair.reference, pair.current))
    if p is None or q is None:
        return None
    return pair.found(
        max(float(q.max() - p.max()), 0.0), moved("largest seller", percent(float(p.max())), f"{percent(float(q.max()))} of rows")
    )
