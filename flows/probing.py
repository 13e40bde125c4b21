"""The probe flow: one probing of the gateway, for a schedule."""

from pathlib import Path
from typing import Any

from prefect import State as PrefectState
from prefect import flow, get_run_logger
from prefect.states import Completed, Failed

from components.errors import VitrineError
from flows.probe import probed, summed_up
from flows.tasks import named


@flow(name="probe", persist_result=False)
def probe(bundle: str | None = None, address: str | None = None) -> PrefectState[Any]:
    """Completed, with what the gateway said in short, once it is kept for the next check; Failed where it left questions open.

    `bundle` is a folder; the stable release, and the address of params.yaml, unless given.
    """
    try:
        lines = summed_up(named("probe")(probed)(Path(bundle) if bundle else None, address), get_run_logger().info)
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    return Completed(message="; ".join(lines))
