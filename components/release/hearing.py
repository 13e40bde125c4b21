"""What is known of a candidate in each group of platforms: what was counted, judged against all that was seen before."""

import dataclasses
import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from components.release.channel import FULL, Candidate
from components.release.config import ReleaseConfig
from components.release.counts import Counter
from components.release.decision import Decision
from components.release.evidence import Look
from components.release.files import Input
from components.release.judge import judge
from components.release.judgement import Judgement, Verdict
from components.release.ladder import Finding, judged, shadow_finding
from components.release.shadow import Baseline, ShadowReport
from components.release.soak import soaked
from components.release.strata import Stratum


@dataclass(frozen=True)
class Past:
    """What was decided since the release was proposed this time."""

    entries: tuple[Decision, ...]

    @classmethod
    def of(cls, candidate: Candidate, entries: Sequence[Decision]) -> "Past":
        """Of the candidate as the record has it."""
        return cls(tuple(entry for entry in entries if entry.at >= candidate.since))

    @property
    def baselines(self) -> Mapping[str, Baseline]:
        """Those frozen so far, by group: the first of each."""
        return {entry.group: entry.baseline for entry in reversed(self.entries) if entry.baseline is not None and entry.group is not None}

    @property
    def looks(self) -> list[Look]:
        """What was judged so far."""
        return [entry.look for entry in self.entries if entry.look is not None]

    def last(self, stratum: Stratum) -> Decision | None:
        """The last entry that counts that stratum."""
        return next((entry for entry in reversed(self.entries) if stratum in entry.strata and entry.kind != "baseline"), None)


@dataclass(frozen=True)
class Heard:
    """A group where it stands: in the shadow a report, and the baseline where it can be frozen; on a rung a look and its judgement."""

    stratum: Stratum
    finding: Finding
    at: dt.datetime
    report: ShadowReport | None = None
    baseline: Baseline | None = None
    look: Look | None = None
    judgement: Judgement | None = None

    @property
    def kind(self) -> Literal["shadow", "look"]:
        """Of the entry where nothing moves."""
        return "shadow" if self.report is not None else "look"

    def written(self, entry: Decision, inputs: tuple[Input, ...], cfg: ReleaseConfig) -> Decision:
        """The entry with what it rests on."""
        return dataclasses.replace(
            entry,
            verdict=self.finding.verdict.value,
            strata=(self.stratum,),
            inputs=inputs,
            look=self.look,
            shadow=self.report,
            judgement=self.judgement,
            thresholds=self._thresholds(cfg),
        )

    def _thresholds(self, cfg: ReleaseConfig) -> Mapping[str, object]:
        if self.report is not None:
            return {"shadow": cfg.shadow.model_dump(mode="json")}
        soak = {"soak_users": cfg.ladder.soak_users} if self.stratum.weight_percent == FULL else {}
        return {"judge": cfg.judge.model_dump(mode="json"), **soak}

    def frozen(self, entry: Decision, inputs: tuple[Input, ...]) -> Decision:
        """The entry of the baseline, which comes before that of the climb out of the shadow."""
        reason = f"the stable release's limits on {', '.join(entry.platforms)}, before a user there sees the candidate"
        about = {"kind": "baseline", "reason": reason, "weight_percent": None}
        return dataclasses.replace(entry, strata=(self.stratum,), inputs=inputs, baseline=self.baseline, **about)  # type: ignore[arg-type]


def in_order(cfg: ReleaseConfig) -> ReleaseConfig:
    """The config with its metrics in the order of the decision log, so that a verdict derived from there reads the same."""
    return cfg.model_copy(update={"judge": cfg.judge.model_copy(update={"metrics": dict(sorted(cfg.judge.metrics.items()))})})


def hear(counter: Counter, past: Past, at: dt.datetime, cfg: ReleaseConfig) -> dict[str, Heard]:
    """Each group that is counted, where it stands; of one whose platforms stand on several rungs, the lowest."""
    looks, reports, baselines = counter.looks(at), counter.reports(at), counter.baselines(at)
    heard: dict[str, Heard] = {}
    for stratum in sorted((*reports, *looks), key=lambda one: one.weight_percent):
        if stratum.group in heard:
            continue
        if stratum.is_shadow:
            heard[stratum.group] = _in_shadow(stratum, reports[stratum], past.baselines, baselines.get(stratum), cfg)
        else:
            heard[stratum.group] = _on_rung(stratum, looks[stratum], past, cfg)
    return heard


def _in_shadow(
    stratum: Stratum, report: ShadowReport, frozen: Mapping[str, Baseline], baseline: Baseline | None, cfg: ReleaseConfig
) -> Heard:
    finding = shadow_finding(report, cfg.shadow)
    has_baseline = stratum.group in frozen or baseline is not None
    if finding.verdict is Verdict.PASS and not has_baseline:
        wanted = f"{report.num_answers:,} of {cfg.counting.min_baseline_answers:,} answers for the baseline"
        finding = Finding(Verdict.NOT_YET, f"not yet: {wanted} of {stratum.group}", report.num_users)
    return Heard(stratum, finding, report.at, report=report, baseline=None if stratum.group in frozen else baseline)


def _on_rung(stratum: Stratum, look: Look, past: Past, cfg: ReleaseConfig) -> Heard:
    if stratum.weight_percent < FULL:
        judgement = judge(past.looks, look, cfg.judge)
    elif stratum.group in past.baselines:
        judgement = soaked(look, past.baselines[stratum.group], cfg.judge, cfg.ladder.soak_users)
    else:
        return Heard(stratum, Finding(Verdict.NOT_YET, f"no baseline was frozen for {stratum.group}: a person decides"), look.at, look=look)
    return Heard(stratum, judged(judgement), look.at, look=look, judgement=judgement)


def is_worth_a_line(heard: Heard, past: Past, cfg: ReleaseConfig) -> bool:
    """Whether what was heard is written down though nothing moves: the first of a stratum, another verdict, or an analysis with more users.

    Looks between analyses decide nothing (judge.py), so leaving them out changes no verdict, and a log of weeks stays short.
    """
    last = past.last(heard.stratum)
    if last is None or last.verdict != heard.finding.verdict.value:
        return True
    if heard.judgement is None or not heard.judgement.is_analysis:
        return False
    before = last.judgement.num_users if last.judgement else 0
    is_thinned = heard.judgement.horizon_users is None  # with a horizon each analysis spends some of the budget, so the log must know it
    return heard.finding.num_users > before and not (is_thinned and heard.finding.num_users < before * cfg.judge.growth)
