"""The soak: at 100 % no control arm is left, so the candidate is held to what the stable release showed in the shadow. Pure."""

import math

import numpy as np

from components.release import mismatch
from components.release.channel import FULL
from components.release.evidence import EMPTY, Look
from components.release.findings import limits_of
from components.release.judge import weigh
from components.release.judgement import Judgement, Ratio, Row, Verdict, rounded
from components.release.ratio import Counted, counted, moments_of
from components.release.rules import JudgeConfig, Metric
from components.release.sequential import anytime
from components.release.shadow import Baseline

KNOWN_TRIALS = 1e12  # a baseline is a limit that was agreed on, not an arm that varies


def soaked(look: Look, baseline: Baseline, cfg: JudgeConfig, soak_users: int) -> Judgement:
    """FAIL where a guardrail is shown to lie beyond its margin from the baseline; PASS where `soak_users` were answered and none does.

    Any look may fail: the bound holds at every time (anytime()), for a part of the group's budget that rungs keep for after their horizon.
    Success metrics have no baseline: what shoppers do changes with the day.
    """
    asked = {name: metric for name, metric in cfg.metrics.items() if metric.kind == "guardrail" and name in baseline.values}
    value_1M = np.array([[baseline.values[name] for name in asked]], dtype=np.float64)
    canary = counted(moments_of([look], list(asked))[:, :, 1], cfg.prior_users)
    stable = Counted(value_1M, value_1M * KNOWN_TRIALS, np.full_like(value_1M, KNOWN_TRIALS))
    ahead_M = weigh(stable, canary, asked.values(), look.group).margin_z_BM[0]
    users = look.users.get("canary", 0)
    bound = _bound(users, look.group, cfg, len(asked))
    rows = tuple(
        _row(name, metric, look, baseline, float(canary.value_BM[0, m]), float(ahead_M[m]), bound)
        for m, (name, metric) in enumerate(asked.items())
    )
    verdict, missing = _verdict(rows, users, soak_users), max(0, soak_users - users)
    return Judgement(
        group=look.group,
        weight_percent=look.weight_percent,
        verdict=verdict,
        reason=_reason(verdict, rows, look, users, missing),
        num_users=users,
        horizon_users=None,
        users_needed=missing,
        num_analyses=0,
        is_analysis=users >= cfg.min_users,
        rows=rows,
        ratio=Ratio(1.0, 1.0 if users else None, 0.0, rounded(mismatch.limit(cfg.budget.mismatch_share)) or 0.0),
    )


def _bound(users: int, group: str, cfg: JudgeConfig, num_metrics: int) -> float:
    if users < cfg.min_users:
        return math.inf
    budget = cfg.budget.fail_share * cfg.share_of(group) * cfg.budget.late_share / 2
    return anytime(users, budget / max(num_metrics, 1), cfg.focus_users)


def _row(name: str, metric: Metric, look: Look, baseline: Baseline, canary: float, ahead: float, bound: float) -> Row:
    stable, limit = baseline.values[name], float(limits_of([metric], look.group)[0])
    away = canary / stable - 1 if metric.relative and stable else canary - stable
    verdict = Verdict.FAIL if ahead <= -bound else Verdict.PASS if ahead >= 0 else Verdict.NOT_YET
    return Row(
        metric=name,
        verdict=verdict,
        better=metric.better,
        relative=metric.relative,
        users_stable=baseline.num_users,
        users_canary=look.samples.get(name, {}).get("canary", EMPTY).num_users,
        stable=rounded(stable),
        canary=rounded(canary),
        estimate=rounded(away),
        low=None,
        high=None,
        limit=limit,
        margin_z=rounded(ahead),
        fail_z=rounded(ahead),
        pass_bound=0.0,
        fail_bound=rounded(bound),
        users_needed=None,
    )


def _verdict(rows: tuple[Row, ...], users: int, soak_users: int) -> Verdict:
    if any(row.verdict is Verdict.FAIL for row in rows):
        return Verdict.FAIL
    is_through = bool(rows) and users >= soak_users and all(row.verdict is Verdict.PASS for row in rows)
    return Verdict.PASS if is_through else Verdict.NOT_YET


def _reason(verdict: Verdict, rows: tuple[Row, ...], look: Look, users: int, missing: int) -> str:
    where = f"{look.group} at {FULL} %, {users:,} users"
    beyond = "; ".join(
        f"{row.metric} {row.canary} where the stable release had {row.stable}, margin {row.limit:+.3g}"
        for row in rows
        if row.verdict is not Verdict.PASS and row.canary is not None
    )
    if verdict is Verdict.FAIL:
        return f"beyond the limits in the soak of {where}: {beyond}"
    if verdict is Verdict.PASS:
        return f"within the limits in the soak of {where}: {', '.join(row.metric for row in rows)}"
    return f"not yet, {missing:,} more users needed in the soak of {where}{f': {beyond}' if beyond else ''}"
