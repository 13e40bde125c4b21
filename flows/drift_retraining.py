"""What the event of a drift starts: a snapshot of the data as it is now, and a retraining of it, once for each event."""

from typing import Any

from prefect import State as PrefectState
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.context import FlowRunContext
from prefect.states import Completed, Failed

from components.contract import read_params
from components.errors import VitrineError
from components.objects import open_store
from flows.retrain import retrain
from flows.snapshot import take
from flows.tasks import named
from monitoring.cases import Case, CaseBook

ARTIFACT = "drift-evidence"


@flow(name="retrain-on-drift", persist_result=False)
def retrain_on_drift(evidence: dict[str, Any]) -> PrefectState[Any]:
    """Completed, with what became of the retraining as its message; or that another run has taken the event, and nothing was done.

    `evidence` is the event's payload. Nothing that comes of it is released: that is `vitrine release start`, with its gates.
    """
    context = FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    try:
        case = _taken(str(evidence.get("event_id", "")), str(context.flow_run.id))
        if case is None:
            return Completed(message="nothing was done: another run has taken this event, or its case is closed")
        create_markdown_artifact(shown(case), key=ARTIFACT, description=f"{case.key} on {case.window}")
        _snapshot()
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    done = retrain(return_state=True)
    message = f"for {case.key} on {case.window}: {done.message}"
    return Completed(message=message, data=case.event_id) if done.is_completed() else Failed(message=message)


@named("take the case")
def _taken(event_id: str, run_id: str) -> Case | None:
    """The case, where this run is the one that retrains for it."""
    return CaseBook(open_store(str(read_params()["serve"]["store"]))).taken(event_id, run_id)


@named("snapshot")
def _snapshot() -> bool:
    """Whether there is anything new to train on."""
    taken = take()
    for line in (*taken.news.lines, *taken.news.warnings):
        get_run_logger().info(line)
    return taken.changed


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
