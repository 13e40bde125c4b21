"""Simulated ladders: every rung of every group of a release, judged on the same draws by each rule."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from components.release.judge import decided, weigh
from components.release.rules import JudgeConfig, Rung
from components.release.schedule import bounds, chances
from tests.ladder_draws import Scenario, draw
from tests.ladder_rules import PASS, RULES, Ended, Rule, arms


@dataclass(frozen=True)
class Ladders:
    """(B,) for each group: how its climb ended, the rung it ended on, and users of the smaller arm on all its rungs together."""

    outcome: dict[str, np.ndarray]
    rung: dict[str, np.ndarray]
    users: dict[str, np.ndarray]

    def any_group(self, outcome: int) -> np.ndarray:
        """(B,) bool: some group ended so."""
        return np.asarray(np.any([ended == outcome for ended in self.outcome.values()], axis=0))

    def every_group(self, outcome: int) -> np.ndarray:
        """(B,) bool: all groups ended so."""
        return np.asarray(np.all([ended == outcome for ended in self.outcome.values()], axis=0))


def simulate(scenario: Scenario, num: int, cfg: JudgeConfig, seed: int, rules: Mapping[str, Rule] = RULES) -> dict[str, Ladders]:
    """How `num` ladders end under each rule, all on the same draws; a group that passes its last rung ends in PASS."""
    rng = np.random.default_rng(seed)
    found = {name: _at_the_foot(num, cfg) for name in rules}
    for group in cfg.budget.groups:
        for rung in cfg.rungs:
            drawn = draw(scenario, group, rung, cfg.asked_at(rung.weight_percent), num, cfg, rng)
            for name, rule in rules.items():
                _follow(found[name], group, rung, rule(drawn, group, rung, cfg))
    return found


def _at_the_foot(num: int, cfg: JudgeConfig) -> Ladders:
    outcome, users, rung = ({group: np.full(num, fill) for group in cfg.budget.groups} for fill in (PASS, 0, 0))
    return Ladders(outcome, rung, users)


def _follow(ladders: Ladders, group: str, rung: Rung, ended: Ended) -> None:
    """Takes those that still climb through a rung."""
    climbs = ladders.outcome[group] == PASS
    ladders.users[group][climbs] += ended.users_B[climbs]
    ladders.rung[group][climbs] = rung.weight_percent
    ladders.outcome[group][climbs] = ended.outcome_B[climbs]


def crossings(moments_LBMAS: np.ndarray, users_L: list[int], name: str, rung: Rung, cfg: JudgeConfig) -> tuple[np.ndarray, np.ndarray]:
    """(B,) and (B,): whether the one metric, taken alone as a guardrail, ever reaches the boundary of a pass, and that of a fail. At its
    margin the first may happen as often as the budget of a pass says, the second as that of a fail."""
    group, metric = next(iter(cfg.budget.groups)), cfg.metrics[name].model_copy(update={"kind": "guardrail"})
    plan = bounds(users_L, rung, chances(group, rung.weight_percent, cfg), cfg)
    found = [
        decided(weigh(*arms(moments_BMAS, cfg), [metric], group), bound.pass_z, bound.fail_z)
        for moments_BMAS, bound in zip(moments_LBMAS, plan, strict=True)
    ]
    passed_B, failed_B = (np.any([pair[side][:, 0] for pair in found], axis=0) for side in (0, 1))
    return passed_B, failed_B
