"""What the gates found: as the report that later stages depend on, and as the message that stops the run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import BadData
from components.validate.gates import NEXT_STEP, Gate

RUNBOOK = "docs/runbook.md"


@dataclass(frozen=True)
class Finding:
    """One gate's outcome. `observed` is the number that gate.measure names, None where it could not be computed; `problem` says why.

    It passes within [low, high], None being no limit. `first` names the first rows at fault.
    """

    suite: str
    gate: Gate
    success: bool
    observed: float | None
    low: float | None
    high: float | None
    first: tuple[str, ...] = ()
    problem: str = ""

    @property
    def stops(self) -> bool:
        """Whether this finding stops the run."""
        return not self.success and not self.gate.unchecked

    def __str__(self) -> str:
        gate = self.gate
        found = "not to be computed: " + self.problem if self.observed is None else f"{self.observed:.6g}"
        where = f"\n    First: {', '.join(self.first)}." if self.first else ""
        return (
            f"  {self.suite}.{gate.name} (the {gate.measure}): {found}, limit {_limit(self.low, self.high)}.{where}"
            f"\n    {NEXT_STEP[gate.anchor]}\n    See {RUNBOOK}#{gate.anchor}."
        )


def _limit(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"{low:g} to {high:g}"
    return f"at most {high:g}" if high is not None else f"at least {low:g}"


def report_of(findings: Iterable[Finding]) -> dict[str, dict[str, Any]]:
    """By suite and gate: checked, success, observed, limit, what was measured, and why where it was not checked. No clock, no run id."""
    report: dict[str, dict[str, Any]] = {}
    for finding in findings:
        row = {
            "checked": not finding.gate.unchecked,
            "success": not finding.stops,
            "observed": finding.observed,
            "limit": {"min": finding.low, "max": finding.high},
            "measure": finding.gate.measure,
        }
        report.setdefault(finding.suite, {})[finding.gate.name] = row | ({"why": finding.gate.unchecked} if finding.gate.unchecked else {})
    return report


def stop_on(findings: Sequence[Finding], data_docs: Path) -> None:
    """Returns where every gate that decides has passed; else raises BadData, which lists each that has not and what to do."""
    failed = [finding for finding in findings if finding.stops]
    if failed:
        lines = "\n".join(map(str, failed))
        raise BadData(
            f"{len(failed)} of {len(findings)} gates on the data failed; no later stage was run.\n{lines}\n"
            f"All of them, with the rows found: {data_docs / 'index.html'}. A limit is a knob under validate in params.yaml."
        )
