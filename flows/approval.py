"""The approval: the flow pauses until a person says whether the release may leave its shadow, in Prefect or with `vitrine release`."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from prefect.context import FlowRunContext
from prefect.flow_runs import pause_flow_run, resume_flow_run
from prefect.input import RunInput
from pydantic import Field

from components.release.changes import AWAITS_APPROVAL
from components.release.channel import Channel
from flows import standing
from flows.blocks import blocks
from flows.channel import Office

POLL_S = 2.0
ELSEWHERE = {"approve": True, "reason": "it was decided with `vitrine release`"}


class Approval(RunInput):
    """Whether the release may leave its shadow, and why: both stand in the decision log."""

    approve: bool
    reason: str = Field(min_length=1)


def asked(release_id: str) -> None:
    """Returns once a person has decided, and the record says so. Raises FlowPauseTimeout where nobody does in time."""
    office, context = Office.open(), FlowRunContext.get()
    assert context is not None
    assert context.flow_run is not None
    shadow = standing.plain(standing.rows(office.desk.read(), office.desk.entries(release_id)))
    text = "\n".join([f"Release `{release_id}` is through its shadow. May users see it?", "", *(f"- {line}" for line in shadow)])
    timeout_s = max(1, int(office.cfg.ladder.approval_timeout_s))
    with _answered_elsewhere(str(context.flow_run.id), office, release_id):
        said = pause_flow_run(wait_for_input=Approval.with_initial_data(description=text), timeout=timeout_s, poll_interval=int(POLL_S))
    if waits(office.desk.read(), release_id):  # else somebody was faster
        person = office.person(f"somebody at Prefect, flow run {context.flow_run.name}", blocks(office.cfg.notify))
        person.resume(said.reason) if said.approve else person.rollback(said.reason)


def waits(channel: Channel, release_id: str) -> bool:
    """Whether the release still waits for its approval."""
    candidate = channel.candidate
    return candidate is not None and candidate.release_id == release_id and candidate.paused == AWAITS_APPROVAL


@contextmanager
def _answered_elsewhere(flow_run_id: str, office: Office, release_id: str) -> Iterator[None]:
    """Ends the pause too where the record says that somebody decided with `vitrine release`, or that a gateway rolled back."""
    over = threading.Event()

    def watch() -> None:
        while not over.wait(POLL_S):
            try:
                if not waits(office.desk.registry.channel()[0], release_id):
                    resume_flow_run(flow_run_id, run_input=ELSEWHERE)  # type: ignore[arg-type]  # an id as text will do
                    return
            except Exception:  # the registry is away, or the flow is not paused yet, or is no more: the next look tells
                continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
