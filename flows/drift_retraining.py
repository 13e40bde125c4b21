"""What the event of a drift starts on a lone machine (`vitrine drift serve`): a snapshot of the data as they are now, and a retraining of
it, once for each event. On work pools the event starts the `retrain` deployment of prefect.yaml itself."""

from typing import Any

from prefect import State as PrefectState
from prefect import flow, get_run_logger
from prefect.states import Completed, Failed

from components.errors import VitrineError
from flows.drift_case import NOTHING_TO_DO, take_case
from flows.retrain import retrain
from flows.snapshot import take
from flows.tasks import named


@flow(name="retrain-on-drift", persist_result=False)
def retrain_on_drift(evidence: dict[str, Any]) -> PrefectState[Any]:
    """Completed, with what became of the retraining as its message; or that another run has taken the event, and nothing was done.

    `evidence` is the event's payload. Nothing that comes of it is released: that is `vitrine release start`, with its gates.
    """
    try:
        case = take_case(evidence)
        if case is None:
            return Completed(message=NOTHING_TO_DO)
        _snapshot()
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    done = retrain(return_state=True)
    message = f"for {case.key} on {case.window}: {done.message}"
    return Completed(message=message, data=case.event_id) if done.is_completed() else Failed(message=message)


@named("snapshot")
def _snapshot() -> bool:
    """Whether there is anything new to train on."""
    taken = take()
    for line in (*taken.news.lines, *taken.news.warnings):
        get_run_logger().info(line)
    return taken.changed
