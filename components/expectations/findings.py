"""What the gates found: as the report that later stages depend on, and as the message that stops the run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import BadData
from components.expectations.gate import Gate

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Finding:
    """One gate's outcome. `observed` is the number that gate.measure names, None where it could not be computed; `problem` says why.

    It passes within [low, high], None being no limit. `first` names the first rows at fault; `rows` holds a few of them as the gate saw
    them, `source` is the folder of shards they were read from, None where they were computed, and `columns` are those the gate looked at.
    """

    suite: str
    gate: Gate
    success: bool
    observed: float | None
    low: float | None
    high: float | None
    first: tuple[str, ...] = ()
    problem: str = ""
    rows: tuple[Mapping[str, Any], ...] = ()
    source: Path | None = None
    columns: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """table.gate, unique among findings."""
        return f"{self.suite}.{self.gate.name}"

    @property
    def checked(self) -> bool:
        """False where there was too little to decide by."""
        return not self.gate.unchecked

    @property
    def stops(self) -> bool:
        """Whether this finding stops the run."""
        return not self.success and self.checked

    @property
    def limit(self) -> str:
        """The limit in words."""
        if self.low is not None and self.high is not None:
            return f"{self.low:g} to {self.high:g}"
        if self.low is None and self.high is None:
            return "none"
        return f"at most {self.high:g}" if self.high is not None else f"at least {self.low:g}"

    @property
    def link(self) -> str:
        """Where to read on."""
        return f"{RUNBOOK}#{self.gate.advice.anchor}"

    def __str__(self) -> str:
        gate = self.gate
        found = "not to be computed: " + self.problem if self.observed is None else f"{self.observed:.6g}"
        where = f"\n    First: {', '.join(self.first)}." if self.first else ""
        return (
            f"  {self.name} (the {gate.measure}): {found}, limit {self.limit}.{where}"
            f"\n    Usual cause: {gate.advice.cause}"
            f"\n    {gate.advice.next_step}"
            f"\n    See {self.link}."
        )


def report_of(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """By suite and gate: checked, success, observed, limit, what was measured, and why where it was not checked. No clock, no run id."""
    report: dict[str, dict[str, Any]] = {}
    for finding in findings:
        row = {
            "checked": finding.checked,
            "success": not finding.stops,
            "observed": finding.observed,
            "limit": {"min": finding.low, "max": finding.high},
            "measure": finding.gate.measure,
        }
        report.setdefault(finding.suite, {})[finding.gate.name] = row | ({"why": finding.gate.unchecked} if finding.gate.unchecked else {})
    return report


def observed_of(findings: Iterable[Finding]) -> dict[str, dict[str, float]]:
    """By suite and gate, what the gates that leave a margin measured: the metrics worth following from run to run."""
    observed: dict[str, dict[str, float]] = {}
    for finding in findings:
        if finding.observed is not None and finding.high != 0:
            observed.setdefault(finding.suite, {})[finding.gate.name] = finding.observed
    return observed


def stop_on(findings: Sequence[Finding], stage: str, page: Path) -> None:
    """Returns where every gate that decides has passed; else raises BadData, which lists each that has not and what to do."""
    failed = [finding for finding in findings if finding.stops]
    if failed:
        lines = "\n".join(map(str, failed))
        raise BadData(
            f"{len(failed)} of {len(findings)} gates of {stage} failed; no later stage was run.\n{lines}\n"
            f"All of them on one page: {page}. Five rows of each: `vitrine validate --explain`. "
            f"A limit is a knob under {stage} in params.yaml."
        )
