"""What is counted of one candidate, table by table: which rows are new, whose they are, and which of them wait for others. Pure."""

import collections
import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from components.release.channel import PLATFORMS
from components.release.evidence import Look
from components.release.keys import Hashes, Keys, hash_of, is_in
from components.release.logged import FOLDERS, NONE, SHADOW, STABLE, Acts, Answers, R, Shown, acts_of, answers_of, joined, shown_of
from components.release.rung import Rung
from components.release.shadow import Shadow, ShadowReport
from components.release.strata import Stratum, Trial


class Tally:
    """Tables may come in any order, split in any way and more than once: what is counted is the same. Memory: about 25 bytes an answer and
    12 an item shown since the candidate was proposed, 24 for each item whose answer has not come, and what the strata take that are
    followed (Rung, Shadow)."""

    def __init__(self) -> None:
        self.rungs: dict[Stratum, Rung] = {}
        self.shadows: dict[Stratum, Shadow] = {}
        self.num_rows: collections.Counter[str] = collections.Counter()
        self._once = {name: Keys() for name in FOLDERS}
        self._requests = Keys()
        self._pages: list[Shown] = []
        self._acts: list[Acts] = []
        self._met: set[tuple[int, int]] = set()

    @property
    def strata(self) -> tuple[Stratum, ...]:
        """What is counted now."""
        return (*self.shadows, *self.rungs)

    def can_follow(self, strata: Sequence[Stratum]) -> bool:
        """Whether no row that one of these wants was passed over. None was where it began after the last rows came, as it does unless
        somebody else changed the record, a hold was ended, limits came late, or it is of another trial."""
        is_other_trial = bool(self.strata) and {stratum.trial for stratum in strata} != self._trials
        return not is_other_trial and not any(map(self._was_met, set(strata) - set(self.strata)))

    def follow(self, strata: Sequence[Stratum]) -> None:
        """Counts these from now on, and no others."""
        self.rungs = {one: self.rungs.get(one) or Rung(one) for one in strata if not one.is_shadow}
        self.shadows = {one: self.shadows.get(one) or Shadow(one) for one in strata if one.is_shadow}

    def looks(self, at: dt.datetime) -> dict[Stratum, Look]:
        """Each rung that is followed, as it stands."""
        return {stratum: rung.look(at) for stratum, rung in self.rungs.items()}

    def reports(self, at: dt.datetime) -> dict[Stratum, ShadowReport]:
        """Each group in the shadow, as it stands."""
        return {stratum: shadow.report(at) for stratum, shadow in self.shadows.items()}

    @property
    def num_unmatched(self) -> tuple[int, int]:
        """Pages, and acts on pages, that no answer has the request_id of."""
        pages = joined(self._pages)
        return 0 if pages is None else len(np.unique(pages.page_N)), sum(map(len, self._acts))

    @property
    def _trials(self) -> set[Trial]:
        return {stratum.trial for stratum in self.strata}

    def _was_met(self, stratum: Stratum) -> bool:
        return any((PLATFORMS.index(name), stratum.weight_percent) in self._met for name in stratum.platforms)

    def take(self, name: str, tables: Sequence[pa.Table]) -> None:
        """Counts files of the table `name`."""
        table = pa.concat_tables(tables)
        if name == "answers":
            self._answered(self._new(name, answers_of(table)))
        elif name == "impressions":
            self._shown(self._new(name, shown_of(table)))
        else:
            self._acted(self._new(name, acts_of(table)))

    def _new(self, name: str, rows: R) -> R:
        """The rows that are here for the first time."""
        _, first = self._once[name].add(rows.row_N)
        self.num_rows[name] += len(first)
        self.num_rows["repeated"] += len(rows) - len(first)
        return rows.take(first)

    def _answered(self, rows: Answers) -> None:
        sound = rows.take(rows.is_sound_N)
        is_ours_N = self._is_ours(sound)
        is_known_N = (sound.user_N != 0) & (sound.platform_N != NONE)
        found = {"unsound": ~rows.is_sound_N, "answers_of_others": ~is_ours_N, "answers_to_nobody": is_ours_N & ~is_known_N}
        self.num_rows.update({name: int(np.count_nonzero(mask_N)) for name, mask_N in found.items()})
        ours = sound.take(is_ours_N & is_known_N)
        self._met.update(zip(ours.platform_N.tolist(), ours.weight_N.tolist(), strict=True))
        for shadow in self.shadows.values():
            shadow.answered(ours)
        self._paged(sound.take(sound.arm_N != SHADOW))

    def _paged(self, rows: Answers) -> None:
        was_known_N = self._requests.find(rows.request_N) >= 0
        _, first = self._requests.add(rows.request_N)
        for rung in self.rungs.values():
            rung.answered(rows, was_known_N)
        self._match(np.sort(rows.request_N[first]))

    def _is_ours(self, rows: Answers) -> np.ndarray:
        """(N,): of a candidate that is followed, by the release that its arm is to have."""
        is_ours_N = np.zeros(len(rows), np.bool_)
        for candidate_id, stable_id, _ in self._trials:
            candidate, stable = (np.uint64(hash_of(name)) for name in (candidate_id, stable_id))
            is_ours_N |= (rows.candidate_N == candidate) & (rows.release_N == np.where(rows.arm_N == STABLE, stable, candidate))
        return is_ours_N

    def _match(self, new: Hashes) -> None:
        """Counts the pages and acts that waited for answers to these requests."""
        pages, acts = joined(self._pages), joined(self._acts)
        if len(new) and pages is not None:
            is_here_N = is_in(pages.page_N, new)
            self._pages = [pages.take(~is_here_N)]
            self._shown(pages.take(is_here_N))
        if len(new) and acts is not None:
            self._acts = []
            self._acted(acts)

    def _shown(self, rows: Shown) -> None:
        is_here_N = self._requests.find(rows.page_N) >= 0  # of a stratum that is not counted, where no rung has it
        for rung in self.rungs.values():
            rung.shown(rows)
        if not is_here_N.all():
            self._pages.append(rows.take(~is_here_N))

    def _acted(self, acts: Acts) -> None:
        is_here_N = self._requests.find(acts.page_N) >= 0
        for rung in self.rungs.values():
            rung.acted(acts)
        if not is_here_N.all():
            self._acts.append(acts.take(~is_here_N))
