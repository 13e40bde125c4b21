"""`python -m tests.bench_ladders`: how often the judge of params.yaml errs, on simulated ladders, and its rivals on the same draws.

A ladder is a release's whole climb: every rung, look and metric, over every group. Prints Markdown for docs/benchmarks.md, and what of the
promises held. One core, minutes; `--only WORD` runs the scenarios whose name has it, and the boundaries where it is `alone`.
"""

import argparse
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from components.contract import bind, read_params
from components.release.judge import judge
from components.release.rules import JudgeConfig, Metric, Rung
from components.release.schedule import chances, in_time
from tests.ladder_draws import HABITS, ONE_PAGE, SEVERAL_PAGES, UNLIKE, Scenario, World, draw, draw_returning, looks_of
from tests.ladder_rules import FAIL, HOLD, MISMATCH, PASS, RULES
from tests.ladders import Ladders, crossings, simulate
from tests.looks import make_look

CHUNK = 1_000
SOON = 20_000
ALONE = "each boundary alone"
JUDGES = ("judge", "judge, no horizon")
MOST_FAILS = 0.4


def is_sound(ladders: Ladders) -> tuple[str, bool]:
    """What holds while nothing is worse than its margin, and no success metric worse at all."""
    stopped = ladders.any_group(FAIL) | ladders.any_group(MISMATCH)
    return "some group ends in FAIL, or a mismatch, in at most 2.5 %", float(stopped.mean()) <= 0.025


def is_climbed(ladders: Ladders) -> tuple[str, bool]:
    """What holds for equal arms besides."""
    return "every group ends in PASS in at least 80 %", float(ladders.every_group(PASS).mean()) >= 0.8


def is_kept_out(ladders: Ladders) -> tuple[str, bool]:
    """What holds at a margin."""
    return "some group ends in PASS in at most 2.5 %", float(ladders.any_group(PASS).mean()) <= 0.025


def is_caught(ladders: Ladders) -> tuple[str, bool]:
    """What holds for a tap rate of 2.0 %."""
    return f"every group ends in FAIL within {SOON:,} users in at least 95 %", float(fails_soon(ladders).mean()) >= 0.95


Promise = Callable[[Ladders], tuple[str, bool]]


@dataclass(frozen=True)
class Trial:
    """A scenario, the rules that it is put to, and what the judge promises there."""

    scenario: Scenario
    rules: tuple[str, ...]
    promises: tuple[Promise, ...]


def at_margin(name: str, metric: Metric) -> float:
    """The value of a canary that does exactly the harm that is still borne."""
    rate, sign = HABITS[name].rate, 1 if metric.better == "lower" else -1
    return rate * (1 + sign * metric.margin) if metric.relative else rate + sign * metric.margin


def trials(cfg: JudgeConfig) -> list[Trial]:
    """All of them, those that every rule is put to first."""

    def trial(name: str, values: dict[str, float], world: World, rules: tuple[str, ...], *promises: Promise) -> Trial:
        return Trial(Scenario(name, dict.fromkeys(cfg.budget.groups, values), world), rules, promises)

    def taps(words: str, world: World, rules: tuple[str, ...], *of_power: Promise) -> list[Trial]:
        margin = {"tap_rate": at_margin("tap_rate", cfg.metrics["tap_rate"])}
        return [
            trial(f"{words}equal arms", {}, world, rules, is_sound, is_climbed),
            trial(f"{words}tap_rate at its margin", margin, world, rules, is_kept_out),
            trial(f"{words}tap_rate 2.0 %", {"tap_rate": 0.02}, world, rules, is_kept_out, *of_power),
        ]

    found = taps("", SEVERAL_PAGES, tuple(RULES), is_caught)
    found.append(Trial(Scenario("web 3.6 %, app 2.4 %", {"web": {"tap_rate": 0.036}, "app": {"tap_rate": 0.024}}), JUDGES, ()))
    for name, metric in cfg.metrics.items():
        if name != "tap_rate":
            promises = (is_kept_out, is_sound) if metric.kind == "guardrail" else (is_kept_out,)
            found.append(trial(f"{name} at its margin", {name: at_margin(name, metric)}, SEVERAL_PAGES, JUDGES, *promises))
    return found + taps("one page a user: ", ONE_PAGE, JUDGES, is_caught) + taps("users very unlike: ", UNLIKE, JUDGES)


def run(trial: Trial, num: int, cfg: JudgeConfig, seed: int) -> dict[str, Ladders]:
    """All ladders of a trial, a chunk at a time so that they fit into memory."""
    rules = {name: RULES[name] for name in trial.rules}
    starts = range(0, num, CHUNK)
    parts = [simulate(trial.scenario, min(CHUNK, num - start), cfg, seed * 1_000 + start // CHUNK, rules) for start in starts]
    return {name: joined([part[name] for part in parts]) for name in rules}


def joined(parts: list[Ladders]) -> Ladders:
    """Chunks as one."""

    def whole(field: str) -> dict[str, np.ndarray]:
        return {group: np.concatenate([getattr(part, field)[group] for part in parts]) for group in parts[0].outcome}

    return Ladders(whole("outcome"), whole("rung"), whole("users"))


def shown(hits: np.ndarray) -> str:
    """A share in percent, with its 95 % interval (Wilson 1927)."""
    n, p, z = len(hits), float(np.mean(hits)), 1.96
    middle, half = (p + z * z / (2 * n)) / (1 + z * z / n), z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return f"{100 * p:.2f} [{100 * max(0.0, middle - half):.2f}, {100 * min(1.0, middle + half):.2f}]"


def fails_soon(ladders: Ladders) -> np.ndarray:
    """(B,): every group failed within SOON users of its smaller arm, those of earlier rungs included."""
    return np.asarray(ladders.every_group(FAIL) & np.all([users <= SOON for users in ladders.users.values()], axis=0))


HEAD = f"""
| {{}} | PASS, every group | PASS, some group | FAIL, some group | FAIL, every group within {SOON:,} users | mismatch | no verdict | users |
|---|---|---|---|---|---|---|---|"""


def row(name: str, ladders: Ladders) -> str:
    """A rule's line of a trial's table."""
    ends = (ladders.any_group(PASS), ladders.any_group(FAIL), fails_soon(ladders), ladders.any_group(MISMATCH), ladders.any_group(HOLD))
    users = np.median(np.concatenate(list(ladders.users.values())))
    return f"| {name} | {' | '.join(shown(share) for share in (ladders.every_group(PASS), *ends))} | {users:,.0f} |"


def premises(cfg: JudgeConfig) -> Iterator[str]:
    """What stands above the tables."""
    horizons = ", ".join(f"{rung.horizon_users:,} at {rung.weight_percent} %" for rung in cfg.rungs)
    yield f"Horizons, in users of the smaller arm: {horizons}; together {sum(rung.horizon_users or 0 for rung in cfg.rungs):,} in a group."
    yield "\n| metric | stable value | margin | a user's own correlation |\n|---|---|---|---|"
    for name, metric in cfg.metrics.items():
        size = f"{metric.margin:.0%} of the stable value" if metric.relative else f"{100 * metric.margin:g} points"
        yield f"| {name} | {100 * HABITS[name].rate:g} % | {size}, {metric.better} is better | {HABITS[name].correlation} |"


def alone(num: int, cfg: JudgeConfig, rng: np.random.Generator) -> Iterator[str]:
    """How often one metric at exactly its margin reaches each boundary, against what it may: the whole budget of a pass, and a fail's part.
    The budget of fails is raised, so that there is something to count."""
    cfg = cfg.model_copy(update={"budget": cfg.budget.model_copy(update={"fail_share": MOST_FAILS})})
    yield f"\n| {ALONE}, metric at its margin | reaches PASS, % | at most | reaches FAIL, % | at most |\n|---|---|---|---|---|"
    for words, world in (("several pages", SEVERAL_PAGES), ("one page", ONE_PAGE), ("very unlike", UNLIKE)):
        for rung in (cfg.rungs[0], cfg.rungs[-2]):
            for name, metric in cfg.asked_at(rung.weight_percent).items():
                scenario = Scenario(name, {"web": {name: at_margin(name, metric)}}, world)
                starts = range(0, num, CHUNK)
                parts = [draw(scenario, "web", rung, {name: metric}, min(CHUNK, num - start), cfg, rng).moments_LBMAS for start in starts]
                yield _reached(f"{name} at {rung.weight_percent} %, {words}", np.concatenate(parts, axis=1), name, rung, cfg)
    rung, rates = Rung(weight_percent=50, horizon_users=2_000), (0.03, at_margin("tap_rate", cfg.metrics["tap_rate"]))
    moments = draw_returning(rates, HABITS["tap_rate"].correlation, looks_of(rung, cfg), num // 2, rng)
    yield _reached(f"tap_rate at 50 %, horizon 2,000, users come back ({num // 2:,} times)", moments, "tap_rate", rung, cfg)


def _reached(words: str, moments_LBMAS: np.ndarray, name: str, rung: Rung, cfg: JudgeConfig) -> str:
    may = in_time(chances("web", rung.weight_percent, cfg), cfg)
    passed_B, failed_B = crossings(moments_LBMAS, looks_of(rung, cfg), name, rung, cfg)
    return f"| {words} | {shown(passed_B)} | {100 * may.pass_share:.2f} | {shown(failed_B)} | {100 * may.fail_share:.2f} |"


def speed(cfg: JudgeConfig) -> str:
    """How long one call takes after as many looks as are of use, and the first call of a process, which finds every boundary anew."""
    past, took = [make_look(users, 50) for users in looks_of(cfg.rungs[-1], cfg)], []
    for _ in range(20):
        started = time.perf_counter()
        judge(past[:-1], past[-1], cfg)
        took.append(1000 * (time.perf_counter() - started))
    return f"\nOne judge() call after {len(past) - 1} looks: {np.median(took):.1f} ms, the first of a process {took[0]:.0f} ms."


def main() -> None:
    """A table for each trial, then what held, then the boundaries alone."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--ladders", type=int, default=10_000)
    parser.add_argument("--only", default="")
    asked = parser.parse_args()
    cfg, started, held = bind(JudgeConfig, "judge", read_params()["release"]), time.monotonic(), []
    print(f"{asked.ladders:,} ladders each. Shares in percent of the ladders, with 95 % intervals; users: median over groups.\n")
    print(*premises(cfg), speed(cfg), sep="\n")
    for seed, trial in enumerate(trials(cfg)):
        if asked.only in trial.scenario.name:
            found = run(trial, asked.ladders, cfg, seed)
            print(HEAD.format(trial.scenario.name), *(row(*one) for one in found.items()), sep="\n", flush=True)
            held += [(trial.scenario.name, *promise(found["judge"])) for promise in trial.promises]
    print("\n| scenario | the judge's promise | held |\n|---|---|---|")
    print(*(f"| {name} | {words} | {'yes' if did else 'NO'} |" for name, words, did in held), sep="\n")
    if asked.only in ALONE:
        print(*alone(asked.ladders, cfg, np.random.default_rng(0)), sep="\n")
    print(f"\n{time.monotonic() - started:.0f} s on one core")


if __name__ == "__main__":
    main()
