"""One rung of a canary as it fills: answers by user and arm, pages joined to the answers that they show, and acts joined to the pages.

Rows may come in any order, an act before its page and a page before its answer: what is counted in the end is the same. N = rows.
"""

import datetime as dt
from collections.abc import Mapping

import numpy as np

from components.release.channel import FULL, PLATFORMS, Arm
from components.release.evidence import Look, Sample
from components.release.keys import Hashes, Keys, hash_of, roomy
from components.release.logged import CANARY, PURCHASE, STABLE, Acts, Answers, Shown, joined
from components.release.strata import Limits, Stratum
from components.release.sums import UserSums

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)
BAD_REQUEST, NOT_FOUND, SERVER_ERROR = 400, 404, 500
COLUMNS = ("answers", "errors", "slow", "empty", "scored", "outside", "hits", "sellers", "pages", "taps", "purchases")
METRICS: Mapping[str, tuple[str, str]] = {
    "error_share": ("errors", "answers"),
    "slow_share": ("slow", "answers"),
    "empty_share": ("empty", "answers"),
    "score_shift": ("outside", "scored"),
    "seller_share": ("sellers", "hits"),
    "tap_rate": ("taps", "pages"),
    "purchase_rate": ("purchases", "pages"),
}
LIMITED = ("slow_share", "score_shift")
IN_STABLE, IN_CANARY = 1, 2


def microseconds(at: dt.datetime) -> int:
    """Since 1970."""
    return (at - EPOCH) // MICROSECOND


class Members:
    """Which answers are a stratum's: those of the stable arm and of `other_arm`, CANARY or SHADOW."""

    def __init__(self, stratum: Stratum, other_arm: int) -> None:
        self._candidate, self._stable = (np.uint64(hash_of(name)) for name in (stratum.candidate_id, stratum.stable_id))
        self._weight, self._since_us = stratum.weight_percent, microseconds(stratum.since)
        self._platforms, self._other_arm = np.array([PLATFORMS.index(name) for name in stratum.platforms], np.int8), other_arm

    def where(self, rows: Answers) -> np.ndarray:
        """(N,): in either arm, by the release that belongs to it, on the stratum's rung and platforms, since it began, of a known user."""
        is_arm_N = (rows.arm_N == STABLE) & (rows.release_N == self._stable)
        is_arm_N |= (rows.arm_N == self._other_arm) & (rows.release_N == self._candidate)
        is_here_N = (rows.candidate_N == self._candidate) & (rows.weight_N == self._weight) & (rows.ts_N >= self._since_us)
        return np.asarray(is_arm_N & is_here_N & np.isin(rows.platform_N, self._platforms) & (rows.user_N != 0))


def score_bits(score: float) -> int:
    """The score as the log has it: bits of float16, which among scores from 0 up stand in the order of their values."""
    return int(np.float16(score).view(np.uint16))


def guarded(rows: Answers, limits: Limits | None) -> dict[str, np.ndarray | int]:
    """What each answer adds to its user's sums. Empty is one without hits that should have some: a 404 too, since one release's index may
    lack the item, but no bad request, and no caller who went away."""
    should_have_N = (rows.status_N < BAD_REQUEST) | (rows.status_N == NOT_FOUND)
    found: dict[str, np.ndarray | int] = {"answers": 1, "errors": rows.status_N >= SERVER_ERROR}
    found["empty"] = should_have_N & (rows.num_hits_N == 0)
    found |= {"hits": rows.num_hits_N, "sellers": rows.num_sellers_N, "scored": rows.num_scores_N}
    if limits is not None:
        is_outside_H = (rows.score_H < score_bits(limits.score_low)) | (rows.score_H > score_bits(limits.score_high))  # nan too
        found |= {"slow": rows.latency_N >= limits.latency_ms, "outside": rows.of_scores(is_outside_H)}
    return found


class Rung:
    """Sums by user of one stratum. It holds about 100 bytes a user, 45 an answer and 30 an item shown."""

    def __init__(self, stratum: Stratum) -> None:
        self.stratum = stratum
        self._members = Members(stratum, CANARY)
        self._window_us = round(stratum.attribution_s * 1e6)
        self._users, self._arms_U = UserSums(COLUMNS), np.zeros(0, np.uint8)
        self._pages = Keys()
        self._page_user, self._page_ts = np.zeros(0, np.int32), np.zeros(0, np.int64)
        self._page_counts = {name: np.zeros(0, np.int32) for name in ("pages", "taps", "purchases")}
        self._is_shared = np.zeros(0, np.bool_)
        self._slots, self._slot_page = Keys(), np.zeros(0, np.int32)
        self._tapped, self._bought = Keys(), Keys()
        self._waiting: list[Acts] = []
        self._late: list[Acts] = []

    def answered(self, every: Answers, was_known_N: np.ndarray) -> None:
        """Counts the answers that are this stratum's; each comes once. `was_known_N` says whose request_id an earlier answer had, here or
        elsewhere."""
        is_here_N = self._members.where(every)
        rows = every.take(is_here_N)
        elsewhere = rows.request_N[was_known_N[is_here_N] & (self._pages.find(rows.request_N) < 0)]
        user_N = self._users.users(rows.user_N)
        self._users.add(user_N, **guarded(rows, self.stratum.limits))
        self._arms_U = roomy(self._arms_U, len(self._users))
        np.bitwise_or.at(self._arms_U, user_N, np.where(rows.arm_N == STABLE, IN_STABLE, IN_CANARY).astype(np.uint8))
        self._paged(rows, user_N)
        self._share(self._pages.find(np.concatenate([elsewhere, every.request_N[~is_here_N]])))
        self._retry(self._late)

    def _paged(self, rows: Answers, user_N: np.ndarray) -> None:
        """A page belongs to the user who was answered; of several answers to one user under one request_id the last one's time counts."""
        page_N, first = self._pages.add(rows.request_N)
        num_pages = len(self._pages)
        self._page_user, self._page_ts = roomy(self._page_user, num_pages), roomy(self._page_ts, num_pages)
        self._is_shared = roomy(self._is_shared, num_pages)
        self._page_counts = {name: roomy(counts, num_pages) for name, counts in self._page_counts.items()}
        self._page_user[page_N[first]] = user_N[first]
        np.maximum.at(self._page_ts, page_N, rows.ts_N)
        self._share(page_N[self._page_user[page_N] != user_N])

    def _share(self, pages: np.ndarray) -> None:
        """Takes back what was counted of these pages, where there are such: answers to several users, or of several strata, have their
        request_id, so that they are nobody's."""
        pages = np.unique(pages[pages >= 0])
        pages = pages[~self._is_shared[pages]]
        self._users.add(self._page_user[pages], **{name: -counts[pages] for name, counts in self._page_counts.items()})
        self._is_shared[pages] = True

    def shown(self, rows: Shown) -> None:
        """Counts the items that are on a page of this stratum."""
        page_N = self._pages.find(rows.page_N)
        is_here_N = page_N >= 0
        page, slot = page_N[is_here_N], rows.row_N[is_here_N]
        number, first = self._slots.add(slot)
        self._slot_page = roomy(self._slot_page, len(self._slots))
        self._slot_page[number[first]] = page[first]
        fresh = np.unique(page)
        self._count("pages", fresh[self._page_counts["pages"][fresh] == 0])
        if len(first):
            self._retry(self._waiting)

    def acted(self, acts: Acts) -> None:
        """Counts the acts on a page of this stratum: one an item, where the item was shown on it, or once it is."""
        self._credit(acts.take(self._pages.find(acts.page_N) >= 0))

    def _retry(self, kept: list[Acts]) -> None:
        again = joined(kept)
        kept.clear()
        if again is not None:
            self._credit(again)

    def _credit(self, acts: Acts) -> None:
        slot_N = self._slots.find(acts.slot_N)
        is_known_N = slot_N >= 0
        page_N = self._slot_page[slot_N] if len(self._slot_page) else slot_N
        is_late_N = is_known_N & (acts.ts_N > self._page_ts[page_N] + self._window_us) if len(self._page_ts) else is_known_N
        for kept, mask_N in ((self._waiting, ~is_known_N), (self._late, is_late_N)):
            if mask_N.any():
                kept.append(acts.take(mask_N))
        is_counted_N = is_known_N & ~is_late_N
        self._once("taps", self._tapped, acts.slot_N[is_counted_N], page_N[is_counted_N])
        is_counted_N &= acts.kind_N == PURCHASE
        self._once("purchases", self._bought, acts.slot_N[is_counted_N], page_N[is_counted_N])

    def _once(self, name: str, done: Keys, slot_N: Hashes, page_N: np.ndarray) -> None:
        _, first = done.add(slot_N)
        self._count(name, page_N[first])

    def _count(self, name: str, page_N: np.ndarray) -> None:
        """Adds one for each page to its user, unless it is nobody's."""
        np.add.at(self._page_counts[name], page_N, 1)
        page_N = page_N[~self._is_shared[page_N]]
        self._users.add(self._page_user[page_N], **{name: 1})

    def _num_owned(self, kept: list[Acts]) -> int:
        """How many of the acts are on a page that is somebody's."""
        return sum(int(np.count_nonzero(~self._is_shared[self._pages.find(acts.page_N)])) for acts in kept)

    def look(self, at: dt.datetime) -> Look:
        """The stratum as it stands. Users in both arms are in neither; at 100 % there is no stable arm."""
        arms_U = self._arms_U[: len(self._users)]
        arms: dict[Arm, np.ndarray] = {"stable": arms_U == IN_STABLE, "canary": arms_U == IN_CANARY}
        if self.stratum.weight_percent == FULL:
            del arms["stable"]
        samples: dict[str, dict[Arm, Sample]] = {
            metric: {arm: self._users.sample(x, y, is_in_U) for arm, is_in_U in arms.items()}
            for metric, (x, y) in METRICS.items()
            if self.stratum.limits is not None or metric not in LIMITED
        }
        users = {arm: int(np.count_nonzero(is_in_U)) for arm, is_in_U in arms.items()}
        left_out = {
            "crossed_users": int(np.count_nonzero(arms_U == (IN_STABLE | IN_CANARY))),
            "shared_pages": int(np.count_nonzero(self._is_shared)),
            "late_acts": self._num_owned(self._late),
            "acts_without_item": self._num_owned(self._waiting),
        }
        stratum = self.stratum
        return Look(stratum.group, stratum.weight_percent, stratum.since, at, users, samples, left_out)
