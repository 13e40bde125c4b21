"""The ladder: from what is known of each group of platforms, what follows for its traffic. Pure.

shadow -> 1 -> 5 -> 25 -> 50 -> 100 % of users, each group for itself: one that fails goes back to 0 at once and the others go on. The
release becomes stable once every platform has it for all its users and its soak is over; it is withdrawn once no platform has it any more.
"""

import datetime as dt
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

from components.release.channel import FULL, Candidate, Lane, Platform, Step
from components.release.config import LadderConfig, ShadowConfig
from components.release.judgement import Judgement, Verdict
from components.release.shadow import ShadowReport


@dataclass(frozen=True)
class Finding:
    """What is known of a group where it stands: a verdict, why in one sentence, and how many users (of the smaller arm) it rests on."""

    verdict: Verdict
    reason: str
    num_users: int = 0


NOTHING = Finding(Verdict.NOT_YET, "not yet: nothing was counted")


class Kind(StrEnum):
    """What a move does."""

    STAY = "stay"
    CLIMB = "climb"
    RETURN = "return"
    HOLD = "hold"
    PROMOTE = "promote"
    WITHDRAW = "withdraw"


@dataclass(frozen=True)
class Move:
    """What happens to some platforms: the weight that they have from now on, and why. `group` is None where it concerns the release."""

    kind: Kind
    group: str | None
    platforms: tuple[Platform, ...]
    weight_percent: int
    reason: str


def judged(judgement: Judgement) -> Finding:
    """What the judge found."""
    return Finding(judgement.verdict, judgement.reason, judgement.num_users)


def shadow_finding(report: ShadowReport, cfg: ShadowConfig) -> Finding:
    """PASS where a group may leave the shadow, FAIL where enough was answered by both and a limit is broken, else NOT_YET."""
    if report.num_shadowed < cfg.min_compared:
        missing = cfg.min_compared - report.num_shadowed
        return Finding(Verdict.NOT_YET, f"not yet, {missing:,} more requests needed in the shadow of {report.group}", report.num_users)
    where = f"in the shadow of {report.group}, {report.num_shadowed:,} requests"
    error_share, overlap = report.num_errors / report.num_shadowed, report.overlap.value if report.overlap else math.nan
    ratio = math.nan if report.latency_ratio is None else report.latency_ratio
    limits = (
        ("error_share", error_share, "above", cfg.max_error_share, error_share <= cfg.max_error_share),
        ("overlap", overlap, "below", cfg.min_overlap, overlap >= cfg.min_overlap),
        ("latency_ratio", ratio, "above", cfg.max_latency_ratio, ratio <= cfg.max_latency_ratio),
    )
    broken = [f"{name} {found:.3g} is {side} {limit:g}" for name, found, side, limit, is_kept in limits if not is_kept]  # nan keeps none
    if broken:
        return Finding(Verdict.FAIL, f"{where}: {', '.join(broken)}", report.num_users)
    return Finding(Verdict.PASS, f"passed {where}: overlap {overlap:.2f}, latency ratio {ratio:.2f}", report.num_users)


@dataclass(frozen=True)
class Ladder:
    """What moves follow from: the candidate as the record has it, what was found in each group, and the time. Where `waits` says what is
    waited for (a gateway that has not admitted the release), nobody climbs and nothing is promoted; users return all the same."""

    candidate: Candidate
    findings: Mapping[str, Finding]
    now: dt.datetime
    cfg: LadderConfig
    groups: Mapping[str, Sequence[Platform]]
    waits: str | None = None

    def moves(self) -> list[Move]:
        """A move of each group that is not returned, those that return first, then what follows for the release as a whole."""
        if mismatch := next((f for group, f in self.findings.items() if f.verdict is Verdict.MISMATCH and self.standing(group)), None):
            every = tuple(name for group in self.groups for name in self.standing(group))
            made = [Move(Kind.RETURN, None, every, 0, mismatch.reason)]
        else:
            made = [self._of(group) for group in self.groups if self.standing(group)]
            made.sort(key=lambda move: move.kind is not Kind.RETURN)
        return made + self._of_release(made)

    def standing(self, group: str) -> tuple[Platform, ...]:
        """The group's platforms that were not returned."""
        return tuple(name for name in self.groups[group] if self.candidate.lanes[name].step is not Step.RETURNED)

    def _lowest(self, group: str) -> Lane:
        lanes = (self.candidate.lanes[name] for name in self.standing(group))
        return min(lanes, key=lambda lane: (lane.weight_percent, lane.step is not Step.HELD))

    def _of(self, group: str) -> Move:
        """A group's move. One that lacks a finding stays: no data is never a pass."""
        names, lane, finding = self.standing(group), self._lowest(group), self.findings.get(group, NOTHING)
        weight, kind, reason = lane.weight_percent, Kind.STAY, finding.reason
        if finding.verdict is Verdict.FAIL:
            weight, kind = 0, Kind.RETURN
        elif lane.step is Step.HELD:
            reason = f"held: {lane.reason}"
        elif finding.verdict is Verdict.HOLD:
            kind = Kind.HOLD
        elif finding.verdict is Verdict.PASS and (unmet := self._unmet(lane, finding)):
            reason = unmet
        elif finding.verdict is Verdict.PASS and weight < FULL:
            weight, kind = self.cfg.after(weight), Kind.CLIMB
            names = tuple(name for name in names if self.candidate.lanes[name].weight_percent < weight)
        return Move(kind, group, names, weight, reason)

    def _unmet(self, lane: Lane, finding: Finding) -> str | None:
        """What a group that passed still lacks to go on."""
        if self.candidate.paused is not None:
            return f"passed, but paused: {self.candidate.paused}"
        if lane.step is not Step.SHADOW:
            stood_s = (self.now - lane.since).total_seconds()
            wanted = self.cfg.soak_users if lane.weight_percent == FULL else self.cfg.min_users
            if finding.num_users < wanted:
                there = f"{finding.num_users:,} of {wanted:,} at {lane.weight_percent} %"
                return f"not yet: {wanted - finding.num_users:,} more users needed ({there})"
            if stood_s < self.cfg.min_s:
                return f"passed, but only {stood_s:.0f} of {self.cfg.min_s:g} s at {lane.weight_percent} %"
        return f"passed, but {self.waits}" if self.waits else None

    def _of_release(self, made: Sequence[Move]) -> list[Move]:
        """What follows once every group is returned, or every group that is left is through its soak; else nothing."""
        every = tuple(self.candidate.lanes)
        gone = {name: lane.reason for name, lane in self.candidate.lanes.items() if lane.step is Step.RETURNED}
        gone |= {name: move.reason for move in made if move.kind is Kind.RETURN for name in move.platforms}
        why = "; ".join(dict.fromkeys(gone[name] for name in every if name in gone))
        left = tuple(name for name in every if name not in gone)
        if not left:
            return [Move(Kind.WITHDRAW, None, every, 0, why)]
        if not all(move.kind is Kind.RETURN or self._is_through(move) for move in made):
            return []
        if not gone:
            return [Move(Kind.PROMOTE, None, every, FULL, "every platform gives it to all users, and the soak is passed")]
        return [Move(Kind.HOLD, None, left, FULL, f"{', '.join(left)} keep it at {FULL} %, but it cannot become stable: {why}")]

    def _is_through(self, move: Move) -> bool:
        lane, finding = self._lowest(move.group or ""), self.findings.get(move.group or "", NOTHING)
        passed = finding.verdict is Verdict.PASS and lane.step is Step.CANARY
        return passed and lane.weight_percent == FULL and self._unmet(lane, finding) is None
