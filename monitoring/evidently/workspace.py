"""Evidently's local workspace: a project for each kind of window, with a dashboard and the last windows as its runs.

Runs are named by their window, so one that is judged again replaces itself; a reader sees a whole run or none.
"""

import hashlib
import json
import logging
import os
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import BadWorkspace
from monitoring.detectors.registry import DETECTORS
from monitoring.evidently.report import run_of, without_telemetry
from monitoring.evidently.told import ANY_SEGMENT
from monitoring.judged import Judgement
from monitoring.judging.steps import STEPS
from monitoring.measured import Family
from monitoring.report.config import EvidentlyConfig
from monitoring.span import Kind, Span
from monitoring.window import Window

if TYPE_CHECKING:
    from evidently.core.report import Snapshot
    from evidently.ui.storage.local.base import LocalState

RUNS = "snapshots"
HOST = "127.0.0.1"
CODES = "-1: not judged, 0: quiet, 1: watch, 2: drift, 3: broken input. Times are UTC."
FAMILIES = {
    Family.EMBEDDING: "Photos in the vector space",
    Family.SCORE: "Image Scores",
    Family.LABELS: "Clicks",
    Family.INPUTS: "Inputs",
    Family.HEALTH: "Model and index",
}
FAMILY_OF = {one.name: one.family for one in DETECTORS.values()} | {one.name: one.family for one in STEPS.values()}

log = logging.getLogger("vitrine")


def save_run(judgement: Judgement, now: Window | None, reference: Window | None, cfg: EvidentlyConfig, seed: int) -> Path:
    """The run's file in the workspace, after the window's run stands there; runs beyond the last `num_windows` of the kind are deleted."""
    began = time.monotonic()
    run = run_of(judgement, now, reference, cfg, seed)
    project = _project(judgement.span.kind, Path(cfg.workspace))
    path = project / RUNS / f"{run_id(judgement.span)}.json"
    _place(path, _dumped(run), Path(cfg.workspace))
    num_deleted = prune(project, cfg.num_windows)
    log.info("drift: %s is in evidently's workspace, %d older deleted, %.1f s", judgement.span.name, num_deleted, time.monotonic() - began)
    return path


def run_id(span: Span) -> str:
    """The window's id, in order of time: a version 7 UUID of its start and its name."""
    start_ms = max(round(span.start.timestamp() * 1000), 0)
    rest = hashlib.sha256(f"{span.kind}/{span.name}".encode()).digest()
    bits = bytearray(start_ms.to_bytes(6, "big") + rest[:10])
    bits[6], bits[8] = (bits[6] & 0x0F) | 0x70, (bits[8] & 0x3F) | 0x80
    return str(uuid.UUID(bytes=bytes(bits)))


def project_id(kind: Kind) -> uuid.UUID:
    """The same for a kind of window in every workspace."""
    return uuid.uuid5(uuid.NAMESPACE_URL, f"vitrine/drift/{kind}")


def prune(project: Path, num_windows: int) -> int:
    """How many of the oldest runs were deleted, so that `num_windows` are left."""
    old = sorted((project / RUNS).glob("*.json"))[:-num_windows]
    for path in old:
        path.unlink(missing_ok=True)
    return len(old)


def open_ui(cfg: EvidentlyConfig, port: int) -> None:
    """Serves Evidently's pages over the workspace on loopback, until it is stopped. Raises BadWorkspace where no window was judged yet."""
    if not any(Path(cfg.workspace).glob(f"*/{RUNS}/*.json")):
        raise BadWorkspace(f"{cfg.workspace} holds no window: run `vitrine drift check` first, which writes one")
    without_telemetry()
    import contextlib
    import io

    import uvicorn
    from evidently.ui.service.app import create_app
    from evidently.ui.service.components.storage import LocalStorageComponent
    from evidently.ui.service.components.telemetry import TelemetryComponent
    from evidently.ui.service.local_service import LocalConfig

    told = LocalConfig(storage=LocalStorageComponent(path=cfg.workspace), telemetry=TelemetryComponent(enabled=False))
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its own making
        app = create_app(told)
    log.info("drift: Evidently's pages over %s are at http://%s:%d/", cfg.workspace, HOST, port)
    uvicorn.run(app, host=HOST, port=port, log_level="warning")


def _project(kind: Kind, workspace: Path) -> Path:
    """The project's folder, with its name and its dashboard in place."""
    from evidently.sdk.models import ProjectModel
    from evidently.ui.storage.local.base import LocalState

    folder = workspace / str(project_id(kind))
    (folder / RUNS).mkdir(parents=True, exist_ok=True)
    state = LocalState(str(workspace))
    if not (folder / "metadata.json").exists():
        about = "Verdicts of drift, as vitrine found them: see docs/drift.md"
        state.write_project(ProjectModel(id=project_id(kind), name=f"Drift by {kind}", description=about))
    _write_dashboard(kind, state)
    return folder


def _write_dashboard(kind: Kind, state: "LocalState") -> None:
    """Panels of the verdict, of the largest surprise beside the threshold, and of every detector by family."""
    from evidently.sdk.models import DashboardModel, DashboardTabModel

    own = project_id(kind)
    panels = _panels()
    for panel in panels:
        panel.id = uuid.uuid5(own, panel.title)  # the same every time, so that a page that is open stays where it is
    tab = DashboardTabModel(id=uuid.uuid5(own, "tab"), title="Drift", panels=[one.id for one in panels])
    dashboard = DashboardModel(tabs=[tab], panels=panels)
    if state.read_dashboard(own) != dashboard:
        state.write_dashboard(own, dashboard)


def _panels() -> list[Any]:
    from evidently.sdk.models import PanelMetric
    from evidently.sdk.panels import bar_plot_panel, line_plot_panel

    def level(of: str) -> Any:
        return PanelMetric(metric="DriftLevel", legend=of, metric_labels={"of": of})

    def each(family: Family) -> list[Any]:
        names = [name for name, of in FAMILY_OF.items() if of is family]
        return [
            PanelMetric(metric="DriftSurprise", legend=name, metric_labels={"detector": name, "segment": ANY_SEGMENT}) for name in names
        ]

    verdict = bar_plot_panel("Verdict", [PanelMetric(metric="DriftVerdict", legend="verdict")], CODES)
    surprise = line_plot_panel(
        "Largest surprise of any series", [level("largest surprise"), level("threshold")], "In windows: once in 10^t"
    )
    about = "Largest surprise in any segment, by detector"
    by_family = [line_plot_panel(title, each(family), about, "half") for family, title in FAMILIES.items()]
    return [verdict, surprise, *by_family]


def _dumped(run: "Snapshot") -> bytes:
    """The run as its file holds it. What is drawn holds no NaN, which browsers cannot read."""
    from evidently.legacy.utils import NumpyEncoder

    model = run.to_snapshot_model().dict()
    for drawn in ("widgets", "tests_widgets"):
        model[drawn] = json.loads(json.dumps(model[drawn], cls=NumpyEncoder), parse_constant=lambda name: None)
    return json.dumps(model, cls=NumpyEncoder).encode()


def _place(path: Path, data: bytes, workspace: Path) -> None:
    """Written beside the workspace, then moved into it: pages that are open hear of a new file, not of one in the making."""
    handle, partial = tempfile.mkstemp(dir=workspace.resolve().parent, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(partial, path)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
