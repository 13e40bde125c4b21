"""What was measured in a window and in those before it, as numbers.

K series, L = 1 + P looks (the window and its parts), T windows before.
"""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from monitoring.detectors.measure import Comparison
from monitoring.judging.steps import MEAN, ROWS, SHARE
from monitoring.span import Kind, Span
from monitoring.window import ALL

Key = tuple[str, str]  # what is looked at, and in which segment


@dataclass(frozen=True)
class Values:
    """A window's values, float32 (L, K) in order of `keys`, the window first and then its parts; NaN where nothing was measured."""

    span: Span
    release_id: str
    keys: tuple[Key, ...]
    value_LK: np.ndarray

    @classmethod
    def of(cls, span: Span, release_id: str, whole: Comparison, parts: Sequence[Comparison] = ()) -> "Values":
        """What was measured in the window, and in its parts in order."""
        looks = [_numbers(look) for look in (whole, *parts)]
        keys = tuple(sorted({key for look in looks for key in look}))
        value_LK = np.array([[look.get(key, np.nan) for key in keys] for look in looks], np.float32).reshape(len(looks), len(keys))
        return cls(span, release_id, keys, value_LK)


def _numbers(look: Comparison) -> dict[Key, float]:
    """Detectors' values, means of features, and of each segment its rows, and its share of those that have a value in its dimension: of
    segments that the reference cannot know too."""
    found = {(one.detector, one.segment): one.value for one in look.found}
    found |= {(ROWS, segment): rows for segment, rows in look.num_rows.items()}
    known: dict[str, float] = {}
    for segment, rows in look.num_rows.items():
        known[dimension_of(segment)] = known.get(dimension_of(segment), 0.0) + rows
    found |= {(SHARE, segment): rows / known[dimension_of(segment)] for segment, rows in look.num_rows.items() if segment != ALL and rows}
    for segment, mean_F in look.means.items():
        found |= {(MEAN + name, segment): mean for name, mean in zip(look.scale.names, mean_F.tolist(), strict=True)}
    return found


def dimension_of(segment: str) -> str:
    """What the segment is cut by; `all` of the whole window."""
    return segment.partition("=")[0]


@dataclass(frozen=True)
class Past:
    """T windows before the one that is judged, oldest first, of the same kind. `quiet` (T,): others are left out of every forecast.
    `anew` (T + 1,) marks windows, the judged one too, from which on levels are learnt anew: the first of a release, and the first of a
    shift that somebody accepted."""

    windows: tuple[Values, ...]
    quiet: np.ndarray
    anew: np.ndarray

    @classmethod
    def of(cls, windows: Sequence[Values], quiet: Sequence[bool], release_id: str, accepted: Sequence[dt.datetime] = ()) -> "Past":
        """The past of a window that `release_id` answered. `accepted` are the starts of shifts that count as normal from then on."""
        releases = [*(window.release_id for window in windows), release_id]
        anew = np.array([place > 0 and one != releases[place - 1] for place, one in enumerate(releases)])
        starts = [window.span.start for window in windows]
        for start in accepted:
            place = sum(one < start for one in starts)
            anew[place] |= 0 < place < len(starts)
        return cls(tuple(windows), np.asarray(quiet, bool), anew)


@dataclass(frozen=True)
class Stack:
    """The past and the judged window, as one array (T + 1, L, K)."""

    keys: tuple[Key, ...]
    value_TLK: np.ndarray

    @classmethod
    def of(cls, past: Past, now: Values) -> "Stack":
        """Keys are those of any window. A segment without rows has a share of 0 in looks in which others of its dimension have some."""
        keys = tuple(sorted({*now.keys, *(key for window in past.windows for key in window.keys)}))
        place = {key: number for number, key in enumerate(keys)}
        num_looks = len(now.value_LK)
        value_TLK = np.full((len(past.windows) + 1, num_looks, len(keys)), np.nan, np.float32)
        for t, window in enumerate((*past.windows, now)):
            looks = min(num_looks, len(window.value_LK)) if len(window.value_LK) == num_looks else 1
            value_TLK[t][:looks, list(map(place.__getitem__, window.keys))] = window.value_LK[:looks]
        return cls(keys, _with_no_share(value_TLK, place))


def _with_no_share(value_TLK: np.ndarray, place: Mapping[Key, int]) -> np.ndarray:
    of_dimension: dict[str, list[int]] = {}
    for (name, segment), number in place.items():
        if name == SHARE:
            of_dimension.setdefault(dimension_of(segment), []).append(number)
    for numbers in of_dimension.values():
        there = value_TLK[:, :, numbers]
        known = np.isfinite(there).any(axis=2, keepdims=True)
        value_TLK[:, :, numbers] = np.where(known & ~np.isfinite(there), 0.0, there)
    return value_TLK


def season_of(span: Span) -> int:
    """What windows are like those of the same: the weekday, of an hour and a day; weeks have none."""
    return 0 if span.kind is Kind.WEEK else span.start.weekday()
