"""What a series of kills showed, as Markdown."""

from collections.abc import Sequence

from tests.chaos.plan import TARGETS
from tests.chaos.series import Series


def went_well(series: Series, failure: str) -> bool:
    """Whether nothing outlived a kill, no out was half written, and the end was that of an unkilled run."""
    return not failure and not any(one.orphans or one.finding.half_written for one in series.struck)


def markdown(series: Series, stages: Sequence[str], seed: int, seconds: float, failure: str) -> str:
    """Kills by stage and target, what they left, and how the series ended."""
    struck = series.struck
    head = ["stage", *TARGETS, "all"]
    rows = [[stage, *(str(_count(series, stage, target)) for target in TARGETS), str(_count(series, stage))] for stage in stages]
    rows.append(["**all**", *(str(_count(series, None, target)) for target in TARGETS), str(len(struck))])
    gone = sorted(one.gone_s for one in struck)
    resumed = sorted(one.resumed_s for one in struck if one.resumed_s is not None)
    facts = [
        f"seed {seed}, {len(struck)} kills in {seconds / 60:.1f} min; {series.misses} came too late and were tried again",
        f"orphans: {sum(len(one.orphans) for one in struck)} (all processes gone after {_spread(gone)})",
        f"half-written outs: {sum(len(one.finding.half_written) for one in struck)}",
        f"folders of whole files that DVC was taking away or putting back: {sum(len(one.finding.in_transit) for one in struck)}",
        f"dvc.lock cut short and mended: {series.num_mended()}",
        f"until the stage was begun again: {_spread(resumed)}",
        f"at the end: {failure or 'digests of all outs equal those of the unkilled run'}",
    ]
    table = ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]
    return "\n".join(["", "## Kills", "", *table, "", *(f"- {fact}" for fact in facts)])


def _count(series: Series, stage: str | None, target: str | None = None) -> int:
    return sum(one.kill.stage == (stage or one.kill.stage) and one.kill.target == (target or one.kill.target) for one in series.struck)


def _spread(seconds: Sequence[float]) -> str:
    """Median and most, in seconds."""
    return f"{seconds[len(seconds) // 2]:.1f} s in the middle, {seconds[-1]:.1f} s at most" if seconds else "never"
