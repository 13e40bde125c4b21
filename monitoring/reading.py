"""From the store to a window: predictions, listings as of then, clicks and probes.

The log is read twice. The first time every row becomes a few numbers, on the disk, which say what counts, once each, and what was
wrong; the second time the sampled rows are taken, and sums are added up over all that count. So memory grows with the sample alone.
"""

import logging
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from components.objects import ObjectStore, told
from components.predictions import within
from monitoring.detectors.sums import Sums
from monitoring.detectors.whole import Chunk, add_up
from monitoring.extras import Extras
from monitoring.health import judged
from monitoring.probes import extras_of
from monitoring.reference import Reference
from monitoring.sampling import raked
from monitoring.span import Kind, Span, day_of
from monitoring.window import ALL, DIMENSIONS, Health, Window
from monitoring.windows.clicks import Clicks, clicks_of
from monitoring.windows.config import WindowsConfig
from monitoring.windows.counts import ReadCounts
from monitoring.windows.drawn import Drawn, Parts, drawn
from monitoring.windows.entries import FAULTS
from monitoring.windows.files import steps_back
from monitoring.windows.ledger import Ledger, is_of, looked_through, num_usual
from monitoring.windows.listings import Catalogue, catalogue_of
from monitoring.windows.missing import missing_share
from monitoring.windows.probed import Probed, probes_within
from monitoring.windows.scores import Scores
from monitoring.windows.segments import Segments, num_rows, segments_of
from monitoring.windows.taken import Taken, taken

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Read:
    """A window, what it holds beside its rows, and what was found in the files. `whole` are the sums over every row of the reference and
    of the window, where either is a sample; None where neither is. `parts` are its parts in order, from the same reading: of a day
    `parts_a_day` of them, of a week its days, of others none."""

    window: Window
    extras: Extras
    whole: tuple[Sums, Sums] | None
    about: ReadCounts
    parts: tuple["Read", ...] = ()


@dataclass(frozen=True)
class _Found:
    """What windows are cut from."""

    reference: Reference
    cfg: WindowsConfig
    segments: Segments
    drawn: Drawn
    taken: Taken
    clicks: Clicks
    probed: Probed
    about: ReadCounts


def read_window(
    store: ObjectStore, span: Span, reference: Reference, cfg: WindowsConfig, seed: int, catalogue: Catalogue | None = None
) -> Read:
    """What the reference's release answered in the span. Same store, span, reference, config and seed: same window.

    Whatever is wrong with the input is said in the window's `problems`, and `health` says whether it can be judged. `catalogue` may be
    given where several windows that end together are read. Raises StoreFailed; DiskFull where the scratch files find no room.
    """
    began = time.monotonic()
    catalogue = catalogue or catalogue_of(store, span.end, reference.since)
    parts = parts_of(span, cfg)
    with tempfile.TemporaryDirectory(prefix="vitrine-window-") as scratch, told(Path(scratch)):
        ledger = looked_through(store, span, reference.owner, Path(scratch))
        about = _about(store, span, ledger, reference.release_id)
        segments = segments_of(ledger, catalogue, cfg.max_values)
        sample = drawn(ledger, catalogue, segments, parts, cfg, seed)
        rows = taken(store, span, ledger, sample, segments, catalogue, reference.baseline, parts)
        known = (Scores.of(rows.rows["item_id"], rows.rows["image_score"].to_numpy()), reference.scores)
        clicks = clicks_of(store, span.start, span.end, reference.release_id, known, cfg.sample_rows, Path(scratch))
    probed = probes_within(store, span)
    about = _counted(about, ledger, sample, catalogue, clicks, probed)
    read = _cut(_Found(reference, cfg, segments, sample, rows, clicks, probed, about), parts)
    log.info("drift: %s: %d of %d rows sampled, %.1f s", span.name, rows.rows.num_rows, about.num_rows, time.monotonic() - began)
    return read


def parts_of(span: Span, cfg: WindowsConfig) -> Parts:
    """The parts that are cut from the span's reading; the span itself where it has none."""
    if span.kind is Kind.DAY:
        return Parts(span.parts(cfg.parts_a_day))
    if span.kind is Kind.WEEK:
        return Parts(tuple(day_of(part.start.date()) for part in span.parts(7)))
    return Parts((span,))


def _about(store: ObjectStore, span: Span, ledger: Ledger, release_id: str) -> ReadCounts:
    """What the first look found in the files."""
    num_repeated = ledger.count_repeated()
    own = [one for one in ledger.files if is_of(one.file, span)]
    return ReadCounts(
        span=span,
        release_id=release_id,
        num_texts=ledger.tally.num_texts,
        num_mixed=ledger.tally.num_mixed,
        num_repeated=num_repeated,
        num_written=sum(one.num_rows for one in own if one.wrong is None),
        num_misplaced=sum(one.num_misplaced for one in own if one.wrong is None),
        num_bytes=sum(one.file.num_bytes for one in own),
        num_usual=0 if ledger.tally.num_by_hour.any() else num_usual(store, span),
        releases=ledger.tally.foreign,
        empty=tuple(one.file.key for one in own if one.wrong is None and not one.num_rows),
        repeats=tuple(one.file.key for one in ledger.files if one.num_repeated and one.num_repeated == one.num_here),
        num_by_hour=ledger.tally.num_by_hour,
        steps_back=tuple(steps_back([one for one in ledger.files if one.wrong is None])),
    )


def _counted(about: ReadCounts, ledger: Ledger, sample: Drawn, catalogue: Catalogue, clicks: Clicks, probed: Probed) -> ReadCounts:
    """The same with what came after."""
    num_rows, wrong = int(sample.total_T.sum()), [one for one in ledger.files if one.wrong is not None]
    return replace(
        about,
        num_rows=num_rows,
        num_unlisted=sample.num_unlisted,
        num_lost_bytes=sum(one.file.num_bytes for one in wrong if is_of(one.file, about.span)),
        num_refused=clicks.num_refused,
        num_probes=probed.rows.num_rows,
        num_usual_probes=probed.num_before,
        num_held=sample.num_held,
        releases=Counter(about.releases) + Counter({about.release_id: num_rows}),
        faults={what: sample.faults[fault] for fault, what in FAULTS.items()},
        set_aside={one.file.key: str(one.wrong) for one in wrong},
        listings_aside=tuple(f"events/{name}" for name in catalogue.set_aside),
        events_aside=clicks.set_aside,
        probes_aside=probed.set_aside,
    )


def _cut(found: _Found, parts: Parts) -> Read:
    """The whole span, and its parts."""
    health, problems = judged(found.about, found.cfg)
    every = np.arange(len(parts.spans))
    whole = _read(found, found.about.span, every, health, problems)
    if len(parts.spans) == 1:
        return whole
    return replace(
        whole,
        parts=tuple(
            _read(found, span, every[number : number + 1], _of_part(found, number, health), ()) for number, span in enumerate(parts.spans)
        ),
    )


def _of_part(found: _Found, number: int, whole: Health) -> Health:
    """A part of a broken window is broken; of any other it may have too little."""
    few = found.drawn.total_T[number] < found.cfg.min_rows
    return Health.BROKEN if whole is Health.BROKEN else Health.TOO_LITTLE if few else Health.SOUND


def _read(found: _Found, span: Span, parts: np.ndarray, health: Health, problems: tuple[str, ...]) -> Read:
    """The stretch of the span that these parts make up."""
    taken, here = found.taken, np.isin(found.taken.part, parts)
    counts = {name: count[:, parts].sum(axis=1) for name, count in found.drawn.counts.items()}
    total = int(found.drawn.total_T[parts].sum())
    weight = taken.weight[here]
    if len(weight) < total:
        weight = raked(weight, taken.code_NS[here], [counts[name] for name in DIMENSIONS], total)
    window = Window(
        span.start,
        span.end,
        found.reference.fingerprint,
        taken.rows.filter(here),
        taken.vectors[here],
        weight,
        num_rows(found.segments, counts, total),
        health,
        problems,
    )
    about = replace(found.about, span=span, num_rows=total)
    return Read(window, _extras(found, window), _whole(found, window, parts), about)


def _extras(found: _Found, window: Window) -> Extras:
    clicked, skipped = found.clicks.of(window.start, window.end)
    asked = extras_of(within(found.probed.rows, window.start, window.end), found.reference.release_id)
    return replace(asked, clicked_scores=clicked, skipped_scores=skipped, missing_share=missing_share(window.rows, window.weight))


def _whole(found: _Found, window: Window, parts: np.ndarray) -> tuple[Sums, Sums] | None:
    reference, is_whole = found.reference, found.drawn.is_whole
    if is_whole and reference.sums is None:
        return None
    summed = [one for number in parts if (one := found.taken.sums[number]) is not None]
    now = _sums(window, reference) if is_whole else reduce(add, summed) if summed else None
    before = reference.sums or reference.baseline.part(ALL).sums
    return None if before is None or now is None else (before, now)


def _sums(window: Window, reference: Reference) -> Sums | None:
    """Over a window that is no sample."""
    baseline = reference.baseline
    chunk = Chunk.of(window.rows, window.vectors, window.weight, baseline.cfg, baseline.seed)
    return add_up(baseline.space, [chunk], baseline.cfg) if baseline.space and len(chunk.weight_N) else None
