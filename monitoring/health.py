"""Whether a window can be judged, and what was wrong with its input, in words. Pure: what was counted in, the verdict on it out.

H hours of the span.
"""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from monitoring.detectors.pair import percent
from monitoring.window import Health
from monitoring.windows.config import WindowsConfig
from monitoring.windows.counts import ReadCounts

MAX_NAMED = 3
HOUR, DAY = dt.timedelta(hours=1), dt.timedelta(days=1)


@dataclass(frozen=True)
class Problem:
    """What was wrong, in words, and the share of the rows that is lost or of no use by it, 0 to 1; 0 where no row suffers."""

    words: str
    share: float = 0.0


def judged(about: ReadCounts, cfg: WindowsConfig) -> tuple[Health, tuple[str, ...]]:
    """BROKEN where one problem costs more than max_bad_share of the rows, else TOO_LITTLE below min_rows; and every problem, worst first.

    docs/drift.md, "Bad input", has the table."""
    found = sorted(problems(about, cfg), key=lambda one: -one.share)
    broken = any(one.share > cfg.max_bad_share for one in found)
    few = about.num_rows < cfg.min_rows
    words = [one.words for one in found] + ([_too_few(about, cfg.min_rows)] if few else [])
    return Health.BROKEN if broken else Health.TOO_LITTLE if few else Health.SOUND, tuple(words)


def problems(about: ReadCounts, cfg: WindowsConfig) -> Iterator[Problem]:
    """Everything that was wrong with the input."""
    yield from _files(about)
    yield from _holes(about, cfg.hole_rows)
    yield from _clocks(about)
    yield from _releases(about)
    yield from _fields(about)
    yield from _beside(about)


def _files(about: ReadCounts) -> Iterator[Problem]:
    if about.set_aside:
        first = next(iter(sorted(about.set_aside.items())))
        lost = about.num_lost_bytes / about.num_bytes if about.num_bytes else 0.0
        lost = lost if about.num_by_hour.any() else 1.0
        yield Problem(f"{_num(len(about.set_aside), 'file')} cannot be read ({percent(lost)} of the bytes): {first[0]}: {first[1]}", lost)
    if about.empty:
        yield Problem(f"{_num(len(about.empty), 'file')} without rows: {_named(about.empty)}")
    if about.num_repeated:
        again = f"; nothing else is in {_named(about.repeats)}" if about.repeats else ""
        yield Problem(f"{_num(about.num_repeated, 'row')} came more than once and count once{again}")


def _holes(about: ReadCounts, hole_rows: int) -> Iterator[Problem]:
    total = int(about.num_by_hour.sum())
    if not total and about.num_usual >= hole_rows:
        yield Problem(
            f"no rows at all, where earlier days had about {about.num_usual:,} at this time: the log is not written, or not here", 1.0
        )
    for first, end, expected in holes(about.num_by_hour, hole_rows):
        start, until = (about.span.start + hour * HOUR for hour in (first, end))
        end_words = f"{until:%H:%M}" if until - start < DAY else _at(until)
        words = f"no rows from {_at(start)} to {end_words}, where about {expected:,} were to be expected"
        yield Problem(words, expected / (expected + total))


def holes(num_by_hour: np.ndarray, hole_rows: int) -> Iterator[tuple[int, int, int]]:
    """Stretches of hours without rows, from `first` to before `end`, with the rows to be expected of them: as many an hour as the hours
    around have. Where one of those has fewer than `hole_rows`, nothing was to be expected."""
    there = np.flatnonzero(num_by_hour)
    edges = [-1, *there.tolist(), len(num_by_hour)] if len(there) else []
    for before, after in pairwise(edges):
        around = [int(num_by_hour[place]) for place in (before, after) if 0 <= place < len(num_by_hour)]
        if after - before > 1 and min(around) >= hole_rows:
            yield before + 1, after, round((after - before - 1) * float(np.mean(around)))


def _clocks(about: ReadCounts) -> Iterator[Problem]:
    if about.num_misplaced:
        share = about.num_misplaced / max(about.num_written, 1)
        words = (
            f"{_num(about.num_misplaced, 'row')} ({percent(share)}) carry a time that their file cannot know, after its day or long before"
        )
        yield Problem(f"{words}: a clock is wrong", share)
    for before, after in about.steps_back:
        share = _doubled(about, before, after)
        yield Problem(f"a clock was set back from {_at(before)} to {_at(after)}: two stretches of time lie in one", share)


def _doubled(about: ReadCounts, before: dt.datetime, after: dt.datetime) -> float:
    """The share of the span's rows between the two; 0 for a jump of more than a day, whose rows lie elsewhere."""
    if before - after > DAY:
        return 0.0
    starts = [about.span.start + number * HOUR for number in range(len(about.num_by_hour))]
    inside = [max((min(start + HOUR, before) - max(start, after)) / HOUR, 0.0) for start in starts]
    return float(np.array(inside) @ about.num_by_hour) / max(int(about.num_by_hour.sum()), 1)


def _releases(about: ReadCounts) -> Iterator[Problem]:
    others = {name: count for name, count in about.releases.items() if name != about.release_id}
    total = max(sum(about.releases.values()), 1)
    for name, count in sorted(others.items(), key=lambda one: (-one[1], one[0]))[:MAX_NAMED]:
        yield Problem(f"{_num(count, 'row')} ({percent(count / total)}) are of release {name[:12]}, and left out here")
    if about.num_mixed:
        share = about.num_mixed / total
        words = f"{_num(about.num_mixed, 'row')} ({percent(share)}) name this release with vectors of another model's space"
        yield Problem(f"{words}: two models answer under one name", share)


def _fields(about: ReadCounts) -> Iterator[Problem]:
    for what, count in about.faults.items():
        if count:
            share = count / max(about.num_rows, 1)
            yield Problem(f"{what} in {_num(count, 'row')} ({percent(share)}): left out, the other fields count", share)


def _beside(about: ReadCounts) -> Iterator[Problem]:
    if about.num_unlisted:
        share = about.num_unlisted / max(about.num_rows, 1)
        words = f"{_num(about.num_unlisted, 'row')} ({percent(share)}) are of items whose listing is not in events/listings"
        yield Problem(words, share if about.listings_aside else 0.0)
    aside = (*about.listings_aside, *about.events_aside, *about.probes_aside)
    if aside:
        yield Problem(f"{_num(len(aside), 'file')} of events or probes cannot be read: {_named(aside)}")
    if about.num_refused:
        yield Problem(f"{_num(about.num_refused, 'row')} of pages and clicks are at fault and left out, see docs/quarantine.md")
    if about.num_usual_probes and not about.num_probes:
        yield Problem("no probes, though there were some the days before: the release's own answers and its index are not watched")


def _too_few(about: ReadCounts, min_rows: int) -> str:
    said = f"{_num(about.num_rows, 'row')} of release {about.release_id[:12]}, at least {min_rows} are needed"
    if about.num_foreign < min_rows:
        return said
    most = max((name for name in about.releases if name != about.release_id), key=lambda name: about.releases[name])
    return f"{said}: this window is another release's, {most[:12]}; judge it against that one's reference"


def _num(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def _named(names: Iterable[str]) -> str:
    names = sorted(names)
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    return ", ".join(names[:MAX_NAMED]) + more


def _at(time: dt.datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"
