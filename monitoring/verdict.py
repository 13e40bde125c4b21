"""What is said of a window: from what was measured in it and in those before it to a judgement. Pure."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from monitoring.detectors.measure import Comparison
from monitoring.judged import Calibration, Cause, CauseName, Finding, Judgement, Verdict
from monitoring.judging.causes import causes_of
from monitoring.judging.config import FollowConfig, VerdictConfig
from monitoring.judging.deviations import deviations
from monitoring.judging.found import Looked, Rule, findings
from monitoring.judging.offs import Deviations, Offs
from monitoring.judging.past import Key, Past, Values
from monitoring.judging.steps import PROFILE, SHARE, STEPS
from monitoring.judging.surprise import Scale
from monitoring.snooze import NOTHING_SAID, Said
from monitoring.span import Kind, Span
from monitoring.window import ALL, Health, Window

RAREST_DAYS = 36_525.0  # no history tells more than that something is rarer than once in a century


@dataclass(frozen=True)
class Seen:
    """What was measured in a window: in words, and with its parts as the numbers that history keeps; and what the reading of it said."""

    fingerprint: str
    num_rows: int
    whole: Comparison
    values: Values
    health: Health = Health.SOUND
    problems: tuple[str, ...] = ()

    @classmethod
    def of(cls, span: Span, release_id: str, window: Window, whole: Comparison, parts: Sequence[Comparison] = ()) -> "Seen":
        """The window's comparison, and those of its parts in order of time."""
        values = Values.of(span, release_id, whole, parts)
        return cls(window.fingerprint, window.num_rows.get(ALL, 0), whole, values, window.health, window.problems)

    @property
    def span(self) -> Span:
        """When it was."""
        return self.values.span


@dataclass(frozen=True)
class Before:
    """What the window before said: since when each cause that goes on has been named, and series that were far off, but asked once."""

    since: Mapping[CauseName, dt.datetime] = field(default_factory=dict)
    watched: frozenset[Key] = frozenset()


FIRST = Before()


def judge(
    seen: Seen,
    past: Past,
    cfg: VerdictConfig,
    max_false_pages_per_quarter: float,
    *,
    said: Said = NOTHING_SAID,
    before: Before = FIRST,
    now: dt.datetime | None = None,
) -> Judgement:
    """What is said of the window, which rests on `past`: windows of its kind that ended before it began. `now` is when it is said, for
    snoozes that end; None: at the window's end.

    Somebody is called for days alone: an hour or a week says WATCH at most, and BROKEN.
    """
    if seen.health is Health.BROKEN:
        broken = Cause(CauseName.BROKEN_INPUT, (), ())
        return _named(_judgement(seen, Verdict.BROKEN, _first(seen, "the input is broken"), (broken,)), said, before, now)
    if seen.health is Health.TOO_LITTLE or not seen.whole.found:
        return _judgement(seen, Verdict.TOO_LITTLE, _first(seen, f"{seen.num_rows} rows are too few to be judged"))
    follow = follow_of(seen.span.kind, cfg)
    offs = Offs.of(seen.values, past, follow, cfg)
    off = deviations(offs, follow.least_windows, cfg.min_parts)
    if offs.num_windows < follow.least_windows or not np.isfinite(off.z_S).any():
        return _calibrating(seen, past, offs, follow)
    off = off.where(np.isfinite(off.z_S) & _large_enough(off.keys, seen.whole.num_rows, cfg.min_share))
    scale = Scale.of(off.z_TS, [name for name, _ in off.keys])
    rule = Rule(scale.threshold(max_false_pages_per_quarter), cfg, follow.effect_times, before.watched)
    return _named(_judged(seen, offs, off, scale, rule), said, before, now)


def _large_enough(keys: tuple[Key, ...], rows: Mapping[str, float], min_share: float) -> np.ndarray:
    """(S,) which series are of segments that matter; of small ones, only the share does."""
    least = min_share * rows.get(ALL, 0.0)
    return np.array([name == SHARE or rows.get(segment, 0.0) >= least for name, segment in keys], bool)


def follow_of(kind: Kind, cfg: VerdictConfig) -> FollowConfig:
    """How forecasts follow windows of that kind."""
    return {Kind.HOUR: cfg.hour, Kind.PART: cfg.hour, Kind.DAY: cfg.day, Kind.WEEK: cfg.week}[kind]


def _first(seen: Seen, otherwise: str) -> str:
    return seen.problems[0] if seen.problems else otherwise


def _judgement(seen: Seen, verdict: Verdict, reason: str, causes: tuple[Cause, ...] = ()) -> Judgement:
    return Judgement(seen.span, seen.values.release_id, seen.fingerprint, verdict, reason, seen.num_rows, causes, problems=seen.problems)


def _calibrating(seen: Seen, past: Past, offs: Offs, follow: FollowConfig) -> Judgement:
    """Before there is enough history: how much there is, and of what there is too little."""
    kind, num = seen.span.kind.value, offs.num_windows
    since = int(np.flatnonzero(past.anew)[-1]) if past.anew.any() else 0
    fresh = int(past.quiet[since:].sum())
    if num >= follow.least_windows:
        reason = f"levels are learnt anew since a new release or an accepted shift: {fresh} of {follow.level_windows} quiet {kind}s so far"
    else:
        reason = f"{num} quiet {kind}s with a forecast so far, {follow.least_windows} are needed before anything is judged"
    resting = Calibration(num, 0, float("inf"), float("nan"), float("nan"))
    return dataclasses.replace(_judgement(seen, Verdict.CALIBRATING, reason), calibration=resting)


def _judged(seen: Seen, offs: Offs, off: Deviations, scale: Scale, rule: Rule) -> Judgement:
    measured = {(one.detector, one.segment): one for one in seen.whole.found}
    found = findings(off, scale, rule, Looked(measured, seen.whole.num_rows, seen.whole.scale))
    alarms, limit = [one for one in found if one.alarming], rule.threshold
    causes = causes_of(alarms, offs, seen.whole.num_rows, rule.cfg.min_share)
    verdict = _verdict(seen.span.kind, bool(alarms), found[0].surprise >= limit)
    rates = scale.rate(limit), scale.rate_upper(limit), scale.num_beyond(limit)
    return dataclasses.replace(
        _judgement(seen, verdict, _reason(verdict, found, causes, limit), causes),
        findings=found,
        calibration=Calibration(scale.num_windows, len(off.keys), limit, *rates),
        once_in_days=min(10 ** min(found[0].surprise, 9.0), RAREST_DAYS) if seen.span.kind is Kind.DAY else None,
    )


def _verdict(kind: Kind, alarmed: bool, far: bool) -> Verdict:
    if alarmed and kind is Kind.DAY:
        return Verdict.DRIFT
    return Verdict.WATCH if alarmed or far else Verdict.QUIET


def _reason(verdict: Verdict, found: tuple[Finding, ...], causes: tuple[Cause, ...], threshold: float) -> str:
    """One sentence for a person who was woken."""
    first = found[0]
    if causes:
        return "; ".join(_said_of(cause) for cause in causes)
    where = f"{first.measured.effect} ({first.measured.detector} in {first.measured.segment})"
    if verdict is Verdict.WATCH:
        return f"unusual, but too small or too short to call anybody: {where}"
    return f"nothing unusual; farthest off is {where}, at a surprise of {first.surprise:.1f} where {threshold:.1f} are needed"


def _said_of(cause: Cause) -> str:
    """The cause, where, and its most surprising finding there, of those that say to which side if there are any."""
    where = cause.segments[0].segment if cause.segments else "the whole window"
    here = [one.measured for one in cause.findings if one.measured.segment == where] or [cause.findings[0].measured]
    told = next((one for one in here if one.detector in STEPS and one.detector != PROFILE), here[0])
    return f"{cause.name.words} in {where}: {told.effect}"


def _named(judgement: Judgement, said: Said, before: Before, now: dt.datetime | None) -> Judgement:
    """The judgement with since when its causes go on, and which of them are snoozed."""
    causes = []
    for cause in judgement.causes:
        snooze = said.silencing(cause, now or judgement.span.end)
        since = before.since.get(cause.name, judgement.span.start)
        cause = dataclasses.replace(cause, since=since)
        if snooze:
            cause = dataclasses.replace(cause, snoozed_until=snooze.until, snooze_reason=snooze.reason)
        causes.append(cause)
    return dataclasses.replace(judgement, causes=tuple(causes))
