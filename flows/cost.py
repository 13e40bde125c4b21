"""What a run cost: machine-seconds by pool, what the judge of labels was paid, and bytes stored. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import Field

from components.contract import Config
from flows.dag import Stage
from flows.stage import StageRun

MILLION = 1_000_000
UNITS = ("B", "kB", "MB", "GB", "TB", "PB")

Rows = list[tuple[str, ...]]


class PricesConfig(Config):
    """Prices of a million tokens in `currency`; null: not known."""

    currency: str = Field(pattern="^[A-Z]{3}$")
    million_input_tokens: float | None = Field(ge=0)
    million_output_tokens: float | None = Field(ge=0)


@dataclass(frozen=True)
class Asked:
    """What a paid judge was asked: calls sent, tokens by its own count, and calls of which it told none (a lost answer, or no usage)."""

    num_calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    num_untold: int = 0

    def plus(self, other: "Asked") -> "Asked":
        """Both together."""
        return Asked(
            self.num_calls + other.num_calls,
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.num_untold + other.num_untold,
        )


@dataclass(frozen=True, kw_only=True)
class Cost:
    """`machine_s` by pool, in seconds; `money` for the judge, None where a price or a count is not known; `new_bytes` by path of the outs
    that no entry before had, at most, since files that stay in a folder are stored once; `total_bytes` of all outs."""

    machine_s: Mapping[str, float]
    asked: Asked
    money: float | None
    currency: str
    new_bytes: Mapping[str, int]
    total_bytes: int
    cache_bytes: int | None = field(default=None)


def machine_times(runs: Iterable[StageRun], stages: Iterable[Stage]) -> list[tuple[str, float]]:
    """The pool and the seconds of each run; cost_of() adds them up. Runs of stages that are not there are passed over."""
    pools = {stage.name: stage.pool for stage in stages}
    return [(pools[run.stage], run.seconds) for run in runs if run.stage in pools]


def asked_in(rows: Iterable[Mapping[str, Any]], since: str = "") -> Asked:
    """What rows of runs/stages.jsonl that began at the UTC time `since` or later say of a paid judge, tries that failed included."""
    total = Asked()
    for row in rows:
        if isinstance(asked := row.get("asked"), Mapping) and str(row.get("started", "")) >= since:
            total = total.plus(Asked(**asked))
    return total


def cost_of(
    times: Iterable[tuple[str, float]],
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    asked: Asked,
    prices: PricesConfig,
    cache_bytes: int | None = None,
) -> Cost:
    """The cost of a run that found the entries `before` in dvc.lock and left `after`, by stage.

    `cache_bytes`: what the work cache holds by now, where that was looked at.
    """
    machine_s: dict[str, float] = {}
    for pool, seconds in times:
        machine_s[pool] = round(machine_s.get(pool, 0.0) + seconds, 2)
    old = {out["md5"] for out in _outs(before)}
    outs = {str(out["path"]): out for out in _outs(after)}
    return Cost(
        machine_s=machine_s,
        asked=asked,
        money=money_of(asked, prices),
        currency=prices.currency,
        new_bytes={path: int(out.get("size", 0)) for path, out in outs.items() if out["md5"] not in old},
        total_bytes=sum({str(out["md5"]): int(out.get("size", 0)) for out in outs.values()}.values()),
        cache_bytes=cache_bytes,
    )


def _outs(entries: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [out for entry in entries.values() for out in entry.get("outs", ()) if "md5" in out]


def money_of(asked: Asked, prices: PricesConfig) -> float | None:
    """In the currency of the prices; 0 where nobody was asked, None where a price is not known."""
    if asked.num_calls == 0:
        return 0.0
    if prices.million_input_tokens is None or prices.million_output_tokens is None:
        return None
    spent = asked.input_tokens * prices.million_input_tokens + asked.output_tokens * prices.million_output_tokens
    return round(spent / MILLION, 6)


def rows(cost: Cost) -> Rows:
    """The table, its head first."""
    times = [(f"machine-seconds, {pool}", f"{seconds:,.1f}") for pool, seconds in sorted(cost.machine_s.items())]
    stored = [
        ("stored anew (DVC), at most", size(sum(cost.new_bytes.values()))),
        ("outs of this run (DVC), in all", size(cost.total_bytes)),
    ]
    cache = [] if cost.cache_bytes is None else [("work cache, in all", size(cost.cache_bytes))]
    return [("cost", ""), *times, ("labelling", labelling(cost)), *stored, *cache]


def labelling(cost: Cost) -> str:
    """What the judge was asked and paid, in words."""
    asked = cost.asked
    if asked.num_calls == 0:
        return f"0 {cost.currency}, no call"
    tokens = f"{asked.num_calls:,} calls, {asked.input_tokens:,} tokens in, {asked.output_tokens:,} out"
    untold = f"; {asked.num_untold:,} calls of unknown length come on top" if asked.num_untold else ""
    if cost.money is None:
        return f"{tokens}{untold}; set cost.million_input_tokens and cost.million_output_tokens for the money"
    return f"{cost.money:,.2f} {cost.currency}: {tokens}{untold}"


def size(num_bytes: int) -> str:
    """The bytes for people, in decimal units, as stores bill them."""
    value, place = float(num_bytes), 0
    while round(value, 1) >= 1000 and place < len(UNITS) - 1:
        value, place = value / 1000, place + 1
    return f"{num_bytes} B" if place == 0 else f"{value:.1f} {UNITS[place]}"
