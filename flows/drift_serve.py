"""`vitrine drift serve`: the daily check, and the retraining that a drift opens, as deployments of the configured Prefect server."""

from typing import Any, cast

from prefect import serve as serve_deployments
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.types.entrypoint import EntrypointType

from components.contract import bind, read_params
from flows.drift_retraining import retrain_on_drift
from flows.server import check_configured
from monitoring.action import EVENT
from monitoring.config import MonitorConfig

ONE_AT_A_TIME: Any = {"entrypoint_type": EntrypointType.MODULE_PATH, "concurrency_limit": 1}  # a workspace has one writer
PAYLOAD = {"__prefect_kind": "json", "value": {"__prefect_kind": "jinja", "template": "{{ event.payload | tojson }}"}}


def serve() -> None:
    """Runs what is due until it is told to end. Raises BadWorkspace where no Prefect server is configured: ours would forget it."""
    check_configured()
    serve_deployments(*deployments(bind(MonitorConfig, "monitor", read_params())), pause_on_shutdown=False)


def deployments(cfg: MonitorConfig) -> list[RunnerDeployment]:
    """The check by the clock, and the retraining by the event."""
    from flows.monitor import monitor

    daily = monitor.to_deployment("daily", cron=cfg.check.cron, **ONE_AT_A_TIME)
    return [cast(RunnerDeployment, daily), heard_deployment(cfg)]


def heard_deployment(cfg: MonitorConfig) -> RunnerDeployment:
    """The retraining, and the automation that runs it for each event of a drift."""
    heard = DeploymentEventTrigger(
        name=cfg.action.automation,
        description='A drift was paged that a retraining can mend; see docs/drift.md, "Action".',
        expect={EVENT},
        match={"prefect.resource.id": "vitrine.release.*"},
        parameters={"evidence": PAYLOAD},
    )
    return cast(RunnerDeployment, retrain_on_drift.to_deployment("on-drift", triggers=[heard], **ONE_AT_A_TIME))
