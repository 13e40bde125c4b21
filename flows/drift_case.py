"""The case of a drift that a retraining is for: taken once, and shown with its evidence."""

from typing import Any

from prefect.artifacts import create_markdown_artifact

from components.contract import read_params
from components.objects import open_store
from flows.tasks import named, own_run_id
from monitoring.cases import Case, CaseBook

ARTIFACT = "drift-evidence"
NOTHING_TO_DO = "nothing was done: another run has taken this event, or its case is closed"


def take_case(evidence: dict[str, Any]) -> Case | None:
    """The case of the event with this payload, where this flow run is the one that retrains for it; its evidence is an artifact then."""
    case = _taken(str(evidence.get("event_id", "")), own_run_id())
    if case is not None:
        create_markdown_artifact(shown(case), key=ARTIFACT, description=f"{case.key} on {case.window}")
    return case


@named("take the case")
def _taken(event_id: str, run_id: str) -> Case | None:
    return CaseBook(open_store(str(read_params()["serve"]["store"]))).taken(event_id, run_id)


def shown(case: Case) -> str:
    """The evidence for people, as Markdown."""
    told = case.evidence
    segments = ", ".join(f"{one['segment']} ({one['explained']:.0%} of the shift)" for one in told["segments"]) or "the whole shop"
    findings = [f"| {one['detector']} | {one['segment']} | {one['effect']} | {one['surprise']:.1f} |" for one in told["findings"]]
    head = ["| detector | segment | effect | surprise |", "|---|---|---|---|"]
    lines = [
        f"**{told['reason']}**",
        "",
        f"- cause: `{case.key}`, first paged on {case.window}",
        f"- segments: {segments}",
        f"- release: `{case.release_id[:12]}`, {told['num_rows']:,} rows",
        f"- page: {told['page']}",
        "",
        *head,
        *findings,
    ]
    return "\n".join(lines) + "\n"
