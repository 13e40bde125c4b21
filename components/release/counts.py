"""What the judge decides by, counted from the gateway's log: answers, the pages that shown items belong to, and what was done with them.

A page's arm is that of the answer it shows, by request_id, never what the client says. Counting is incremental: a look reads the files that
came since the last one, and costs no more than these, the users and the pages that still wait for their answer. A new process counts the
same from the same files.
"""

import datetime as dt
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from components.objects import ObjectStore
from components.release.channel import Channel, Platform
from components.release.evidence import Look
from components.release.files import LogFiles
from components.release.shadow import Baseline, ShadowReport
from components.release.strata import CountingConfig, Stratum, strata_of
from components.release.tally import Tally


@dataclass(frozen=True)
class Account:
    """What became of the files and rows that were read. Rows that are `repeated` or `unsound` count for nothing, nor do answers to nobody
    (without user or platform) and those of other releases than the two compared. Pages and acts are `unmatched` while no answer has their
    request_id: theirs may still come, or they are of a search that the gateway never answered."""

    num_files: int
    set_aside: Mapping[str, str]
    altered: Sequence[str]
    answers: int
    items_shown: int
    acts: int
    repeated: int
    unsound: int
    answers_to_nobody: int
    answers_of_others: int
    unmatched_pages: int
    unmatched_acts: int


class Counter:
    """Counts what the gateway logged of one candidate at a time."""

    def __init__(self, store: ObjectStore, cfg: CountingConfig, *, clock: Callable[[], float] = time.time) -> None:
        self._store, self._cfg, self._clock = store, cfg, clock
        self._begin()

    def _begin(self) -> None:
        self.tally, self.files = Tally(), LogFiles(self._store, self._cfg.readers)

    def read(self, channel: Channel, baselines: Mapping[str, Baseline], groups: Mapping[str, Sequence[Platform]]) -> None:
        """Counts what is new for the candidate as the channel record has it; `baselines` are those frozen so far, by group. Where rows were
        passed over that are wanted now, all is read again. Raises StoreFailed; what was counted by then stays so."""
        strata = strata_of(channel, groups, {group: one.limits for group, one in baselines.items()}, self._cfg.attribution_s)
        if not self.tally.can_follow(strata):
            self._begin()
        self.tally.follow(strata)
        if strata:
            until = max(dt.datetime.fromtimestamp(self._clock(), dt.UTC), *(stratum.since for stratum in strata))
            for name, tables in self.files.new(strata[0].proposed, until):
                self.tally.take(name, tables)

    def looks(self, at: dt.datetime) -> dict[Stratum, Look]:
        """Each rung that a group stands on, as it is."""
        return self.tally.looks(at)

    def reports(self, at: dt.datetime) -> dict[Stratum, ShadowReport]:
        """Each group in the shadow, as it is."""
        return self.tally.reports(at)

    def baselines(self, at: dt.datetime) -> dict[Stratum, Baseline]:
        """The baseline of each group in the shadow whose stable release has answered often enough."""
        found = {stratum: shadow.baseline(at, self._cfg) for stratum, shadow in self.tally.shadows.items()}
        return {stratum: baseline for stratum, baseline in found.items() if baseline is not None}

    def account(self) -> Account:
        """What became of all that was read so far."""
        rows, (pages, acts) = self.tally.num_rows, self.tally.num_unmatched
        return Account(
            num_files=len(self.files.inputs),
            set_aside=self.files.set_aside,
            altered=sorted(self.files.altered),
            answers=rows["answers"],
            items_shown=rows["impressions"],
            acts=rows["clicks"],
            repeated=rows["repeated"],
            unsound=rows["unsound"],
            answers_to_nobody=rows["answers_to_nobody"],
            answers_of_others=rows["answers_of_others"],
            unmatched_pages=pages,
            unmatched_acts=acts,
        )
