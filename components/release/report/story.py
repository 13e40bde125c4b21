"""What the page tells of each release, in the order of time. Pure."""

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from components.release.channel import FULL
from components.release.judgement import Judgement, Row, Verdict

HEADLINE = ("tap_rate", "purchase_rate")


@dataclass(frozen=True)
class Heard:
    """A look at a group's rung, and what the judge made of it."""

    at: dt.datetime
    judgement: Judgement


@dataclass(frozen=True)
class Moved:
    """A change of the channel record: whom it concerns, the weight that they have from then on (None where it sets none), and why."""

    at: dt.datetime
    kind: str
    platforms: Sequence[str]
    weight_percent: int | None
    reason: str
    actor: str


@dataclass(frozen=True)
class Timing:
    """A rollback by the clock: the candidate's first answer to a user, the look that crossed the boundary, and when every gateway was seen
    to go by a record without it (None where that was not seen)."""

    first_answer: dt.datetime
    boundary: dt.datetime
    weightless: dt.datetime | None

    @property
    def to_boundary_s(self) -> float:
        """Seconds for which users met the bad release before it was known to be one."""
        return (self.boundary - self.first_answer).total_seconds()

    @property
    def to_weightless_s(self) -> float | None:
        """Seconds from then until no gateway gave it to anybody; lower is better."""
        return (self.weightless - self.boundary).total_seconds() if self.weightless else None


@dataclass(frozen=True)
class Photo:
    """A photo on a shelf. `is_fit` says that it shows what the shelf is for: the same leaf category."""

    image_id: str
    caption: str
    is_fit: bool | None = None
    is_tapped: bool = False


@dataclass(frozen=True)
class Shelf:
    """What users saw beside one item, by arm: pages that the gateway really gave while both releases answered."""

    source: Photo
    arms: Mapping[str, Sequence[Photo]]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One release. `ending` is `promoted` or `rolled back`, `reason` why in a sentence; `timings` are by the group that was returned."""

    title: str
    release_id: str
    about: str
    ending: str
    reason: str
    facts: Mapping[str, str] = field(default_factory=dict)
    heard: Sequence[Heard] = ()
    moved: Sequence[Moved] = ()
    timings: Mapping[str, Timing] = field(default_factory=dict)
    shelves: Sequence[Shelf] = ()

    @property
    def began(self) -> dt.datetime | None:
        """When the first thing happened to it."""
        times = [*(one.at for one in self.heard), *(one.at for one in self.moved)]
        return min(times) if times else None


@dataclass(frozen=True)
class Seen:
    """A metric at a look. `at_s` counts from the release's beginning; the others as in Judgement and its rows: differences are canary minus
    stable, and only an analysis has an interval."""

    at_s: float
    is_analysis: bool
    weight_percent: int
    num_users: int
    row: Row


@dataclass(frozen=True)
class Course:
    """One metric of one group over all its looks below 100 %."""

    group: str
    metric: str
    seen: Sequence[Seen]

    @property
    def rungs(self) -> list[list[Seen]]:
        """The looks of each rung: every rung begins anew, with users of its own."""
        return [list(some) for _, some in groupby(self.seen, key=lambda one: one.weight_percent)]

    @property
    def failed(self) -> bool:
        """Whether it is what the release went back for."""
        return self.seen[-1].row.verdict is Verdict.FAIL


def courses(chapter: Chapter) -> list[Course]:
    """Every metric of every group: those that failed first, then the success metrics, then guardrails."""
    found: dict[tuple[str, str], list[Seen]] = {}
    for one in sorted(chapter.heard, key=lambda one: one.at):
        judgement = one.judgement
        if judgement.weight_percent >= FULL or chapter.began is None:
            continue
        at_s = (one.at - chapter.began).total_seconds()
        for row in judgement.rows:
            seen = Seen(at_s, judgement.is_analysis, judgement.weight_percent, judgement.num_users, row)
            found.setdefault((row.metric, judgement.group), []).append(seen)
    made = [Course(group, metric, seen) for (metric, group), seen in found.items()]
    return sorted(made, key=lambda one: (not one.failed, one.metric not in HEADLINE))


def headline(all_courses: Sequence[Course]) -> tuple[list[Course], list[Course]]:
    """Those that a reader looks at first, and the rest: what failed in any group, and the first success metric there is."""
    failed = {one.metric for one in all_courses if one.failed}
    shown = failed | ({HEADLINE[0]} if any(one.metric == HEADLINE[0] for one in all_courses) else set())
    first = shown or {one.metric for one in all_courses[:1]}
    return [one for one in all_courses if one.metric in first], [one for one in all_courses if one.metric not in first]


def steps(chapter: Chapter) -> dict[str, list[tuple[float, int]]]:
    """By platform, the weight from each moment on, in seconds from the release's beginning."""
    found: dict[str, list[tuple[float, int]]] = {}
    for move in sorted(chapter.moved, key=lambda one: one.at):
        if move.weight_percent is None or chapter.began is None:
            continue
        for platform in move.platforms:
            found.setdefault(platform, [(0.0, 0)]).append(((move.at - chapter.began).total_seconds(), move.weight_percent))
    return found
