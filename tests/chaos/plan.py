"""Whom to kill, in which stage and when: a pure function of the stages and a seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass

TARGETS = ("flow", "dvc", "stage")
LEAST_A_STAGE = 5
LEAST_A_TARGET = 20


@dataclass(frozen=True)
class Kill:
    """SIGKILL to the target while `driver` runs the stage, after `share`, in [0, 1), of the time that the target then has."""

    stage: str
    target: str
    driver: str
    share: float


def least_kills(stages: Sequence[str]) -> int:
    """So many that every stage is hit five times and every target twenty."""
    return max(LEAST_A_STAGE * len(stages), LEAST_A_TARGET * len(TARGETS))


def plan(stages: Sequence[str], num_kills: int, seed: int) -> list[Kill]:
    """The kills in the order of the stages, spread over stages and over targets as evenly as their number allows.

    DVC and the stage are killed now below a flow, now below a plain `dvc repro`.
    """
    rng = random.Random(seed)
    luckless = set(rng.sample(range(len(stages)), num_kills % len(stages)))
    counts = [num_kills // len(stages) + (place in luckless) for place in range(len(stages))]
    turn = rng.randrange(len(TARGETS))
    kills: list[Kill] = []
    for stage, count in zip(stages, counts, strict=True):
        targets = [TARGETS[(turn + number) % len(TARGETS)] for number in range(count)]
        turn += count
        rng.shuffle(targets)
        kills += [Kill(stage, target, _driver(target, rng), rng.random()) for target in targets]
    return kills


def _driver(target: str, rng: random.Random) -> str:
    return "flow" if target == "flow" or rng.random() < 2 / 3 else "dvc"
