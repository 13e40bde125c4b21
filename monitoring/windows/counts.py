"""What was found in a span's files, counted."""

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from monitoring.span import Span


@dataclass(frozen=True)
class ReadCounts:
    """What a span's files held. Rows of the log, each once, unless said otherwise. H hours of the span.

    `num_rows` are judged. `num_texts` were asked as a text, so no photo was seen; `releases` counts all others by the release that
    answered; `num_mixed` are of the reference's release and of another vector space. `num_repeated` came before. `faults`: rows in which a
    field is of no use, by what is wrong. `num_unlisted` name an item of which no listing is known.

    Of the files of the span's own days: `num_written` rows, of which `num_misplaced` carry a time that their file cannot know; `num_bytes`,
    of which `num_lost_bytes` lie in files that cannot be read. `set_aside` says why, by file. `empty` and `repeats` name files without
    rows, and files all of whose rows are in others. `num_by_hour` (H,) are rows of any release, repeated ones too. `steps_back`: (from,
    to) where a clock was set back. `num_usual`: rows that earlier days had at this time, looked up where now there are none.
    `listings_aside`, `events_aside` and `probes_aside` name files that cannot be read. `num_refused`: rows of pages and clicks at fault.
    `num_probes`; `num_usual_probes`: files of probes in the week before. `num_held`: the most rows that were in memory at once.
    """

    span: Span
    release_id: str
    num_rows: int = 0
    num_texts: int = 0
    num_mixed: int = 0
    num_repeated: int = 0
    num_unlisted: int = 0
    num_written: int = 0
    num_misplaced: int = 0
    num_bytes: int = 0
    num_lost_bytes: int = 0
    num_refused: int = 0
    num_probes: int = 0
    num_usual_probes: int = 0
    num_usual: int = 0
    num_held: int = 0
    releases: Mapping[str, int] = field(default_factory=dict)
    faults: Mapping[str, int] = field(default_factory=dict)
    set_aside: Mapping[str, str] = field(default_factory=dict)
    empty: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    listings_aside: tuple[str, ...] = ()
    events_aside: tuple[str, ...] = ()
    probes_aside: tuple[str, ...] = ()
    num_by_hour: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    steps_back: tuple[tuple[dt.datetime, dt.datetime], ...] = ()

    @property
    def num_foreign(self) -> int:
        """Rows that other releases answered."""
        return sum(count for release_id, count in self.releases.items() if release_id != self.release_id)
