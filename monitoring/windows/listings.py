"""The catalogue as of a moment: what each item's listing said then, and how large its seller was, in a few numbers an item.

I items, S sellers, N rows.
"""

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.admit import JAPANESE, LATIN
from components.objects import ObjectStore
from components.schema import UTC_TIME
from monitoring.buckets import NEW_DAYS, seller_size_of
from monitoring.windows.events import ShopEvents
from monitoring.windows.keys import joined, named

LANGUAGES = ("ja", "en", "und")
HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
MISSING = -1
NEVER = np.iinfo(np.int64).max

# Of a listing: the item's number, when it was written and a number that decides between two of one moment, when the item was listed, and
# places in the names of root categories, LANGUAGES and sellers, MISSING where it says none.
ROW = np.dtype(
    [
        ("item", "u8"),
        ("updated", "i8"),
        ("tie", "u8"),
        ("created", "i8"),
        ("root", "i4"),
        ("language", "i1"),
        ("seller", "i4"),
        ("gone", "?"),
    ]
)


@dataclass
class Names:
    """Words by number, in the order in which they came."""

    words: list[str] = field(default_factory=list)
    number: dict[str, int] = field(default_factory=dict)

    def coded(self, column: pa.ChunkedArray | pa.Array) -> np.ndarray:
        """(N,) int32 numbers of the column's words; new ones are taken in. MISSING where null."""
        coded = (column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column).dictionary_encode()
        numbers = np.array([self._number(word) for word in coded.dictionary.to_pylist()] + [MISSING], np.int32)
        return np.asarray(numbers[pc.fill_null(coded.indices, len(numbers) - 1).to_numpy(zero_copy_only=False)])

    def _number(self, word: str) -> int:
        if word not in self.number:
            self.number[word] = len(self.words)
            self.words.append(word)
        return self.number[word]


@dataclass(frozen=True)
class Found:
    """(N,) of each row: places in the catalogue's roots, in LANGUAGES and in its sellers, MISSING where there is none, and whether the
    item's listing is known."""

    root: np.ndarray
    language: np.ndarray
    seller: np.ndarray
    known: np.ndarray


@dataclass(frozen=True)
class Catalogue:
    """Listings in order of their item's number. `first_us` (S,): when a seller's first listing came; `num_then` (S,) listings that it had
    when the reference was made, `num_now` when the window ended."""

    rows: np.ndarray
    roots: list[str]
    sellers: pa.Array
    first_us: np.ndarray
    num_then: np.ndarray
    num_now: np.ndarray
    set_aside: tuple[str, ...] = ()

    def find(self, item_N: np.ndarray) -> Found:
        """What the listings of items, by their numbers, say."""
        if not len(self.rows):
            nothing = np.full(len(item_N), MISSING)
            return Found(nothing, nothing, nothing, np.zeros(len(item_N), bool))
        place = np.minimum(np.searchsorted(self.rows["item"], item_N), len(self.rows) - 1)
        known = self.rows["item"][place] == item_N
        root, language, seller = (np.where(known, self.rows[name][place], MISSING) for name in ("root", "language", "seller"))
        return Found(root, language, seller, known)

    def seller_sizes(self, seller_N: np.ndarray, ts_us: np.ndarray) -> np.ndarray:
        """(N,) places in buckets.SELLER_SIZES at the day of each row, MISSING without a seller: how many listings a seller had when the
        reference was made, or for one who came later, has now; so that buckets do not fill up as a release ages."""
        if not len(self.first_us):
            return np.full(len(seller_N), MISSING)
        num = np.where(self.num_then > 0, self.num_then, np.maximum(self.num_now, 1))[seller_N]
        age_us = ts_us // DAY_US * DAY_US - self.first_us[seller_N]
        return np.where(seller_N == MISSING, MISSING, seller_size_of(np.where(age_us < NEW_DAYS * DAY_US, 0, num)))


def catalogue_of(store: ObjectStore, until: dt.datetime, since: dt.datetime | None = None) -> Catalogue:
    """The catalogue as of `until`: of each item's upserts the newest until then. `since` is when the reference was made.

    Every file of listings is read, as by `ingest`: rewrite old days as one file where there are many. In memory are 40 bytes an item."""
    events, roots, sellers = ShopEvents.of(store, "listings"), Names(), Names()
    until_us = microseconds(until)
    newest = _newest(_rows(table, roots, sellers, until_us) for table in events.rows("listings"))
    seller, created = newest["seller"], newest["created"]
    first, here = np.full(len(sellers.words), NEVER), seller != MISSING
    np.minimum.at(first, seller[here], created[here])
    there = here & ~newest["gone"]
    before = there & (created <= (until_us if since is None else microseconds(since)))
    then, now = (np.bincount(seller[counted], minlength=len(first)) for counted in (before, there))
    return Catalogue(newest, roots.words, pa.array(sellers.words, pa.string()), first, then, now, tuple(sorted(events.set_aside)))


def microseconds(at: dt.datetime) -> int:
    """Unix time."""
    return (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(microseconds=1)


def _rows(table: pa.Table, roots: Names, sellers: Names, until_us: int) -> np.ndarray:
    """The rows of a file as ROW, without those that nobody could know then, or that do not say what they are about."""
    table = table.filter(pc.fill_null(pc.less_equal(table["updated_at"], pa.scalar(until_us, UTC_TIME)), False))
    table = table.filter(pc.is_valid(table["item_id"]))
    rows = np.zeros(table.num_rows, ROW)
    rows["item"] = named(table["item_id"])
    rows["updated"] = table["updated_at"].cast(pa.int64()).to_numpy()
    rows["created"] = pc.fill_null(table["created_at"], pa.scalar(until_us, UTC_TIME)).cast(pa.int64()).to_numpy()
    root = roots_of(table["category"])
    rows["root"] = roots.coded(root)
    rows["language"] = languages_of(table["title"])
    rows["seller"] = sellers.coded(table["seller_id"])
    rows["gone"] = pc.fill_null(pc.equal(table["status"], "deleted"), False).to_numpy()
    rows["tie"] = joined(*(named(table[name]) for name in ("title", "seller_id", "image_id", "status")), named(root), rows["created"])
    return rows


def roots_of(column: pa.ChunkedArray) -> pa.Array:
    """(N,) the first name of each path; null where there is none."""
    paths = column.combine_chunks()
    first = paths.offsets.to_numpy()[:-1]
    some = pc.fill_null(pc.greater(pc.list_value_length(paths), 0), False).to_numpy(zero_copy_only=False)
    return paths.values.take(pa.array(first.astype(np.int64), mask=~some))


def languages_of(titles: pa.ChunkedArray) -> np.ndarray:
    """(N,) places in LANGUAGES, as admit.language_of names them; MISSING where there is no title."""
    titles = pc.utf8_normalize(titles, form="NFC")
    japanese, latin = (pc.match_substring_regex(titles, found.pattern) for found in (JAPANESE, LATIN))
    place = pc.if_else(japanese, 0, pc.if_else(latin, 1, 2))
    return np.asarray(pc.fill_null(place, MISSING).to_numpy().astype(np.int8))


def _newest(files: Iterable[np.ndarray]) -> np.ndarray:
    """Of each item the row that was written last, in order of the items' numbers."""
    kept, waiting, num_waiting = np.zeros(0, ROW), [], 0
    for rows in files:
        waiting.append(rows)
        num_waiting += len(rows)
        if num_waiting > max(len(kept), 100_000):
            kept, waiting, num_waiting = _last(np.concatenate([kept, *waiting])), [], 0
    return _last(np.concatenate([kept, *waiting]))


def _last(rows: np.ndarray) -> np.ndarray:
    rows = rows[np.lexsort([rows["tie"], rows["updated"], rows["item"]])]
    return rows[np.append(rows["item"][1:] != rows["item"][:-1], True)] if len(rows) else rows
