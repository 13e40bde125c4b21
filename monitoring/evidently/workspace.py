"""Evidently's workspace: a project for each kind of window, with a dashboard and the last windows as its runs.

Runs are named by their window, so one that is judged again replaces itself; a reader sees a whole run or none. The workspace is a folder
that Evidently reads by itself, or lies in a bucket, where checks of many machines meet: the runs alone are there, in the same places, and
who looks at them gets a copy.
"""

import hashlib
import io
import json
import logging
import os
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import BadWorkspace
from components.objects import S3, ObjectStore, open_store
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


def save_run(judgement: Judgement, now: Window | None, reference: Window | None, cfg: EvidentlyConfig, seed: int) -> None:
    """The window's run stands in the workspace, and runs beyond the last `num_windows` of its kind are deleted. Raises StoreFailed."""
    began, kind, store = time.monotonic(), judgement.span.kind, open_store(cfg.workspace)
    data = _dumped(run_of(judgement, now, reference, cfg, seed))
    key = f"{_runs_of(kind)}/{run_id(judgement.span)}.json"
    if cfg.workspace.startswith(S3):
        store.put(key, data)
    else:
        _make_project(kind, Path(cfg.workspace))
        _place(Path(cfg.workspace) / key, data, Path(cfg.workspace))
    num_deleted = _prune(store, kind, cfg.num_windows)
    log.info("drift: %s is in evidently's workspace, %d older deleted, %.1f s", judgement.span.name, num_deleted, time.monotonic() - began)


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


def _runs_of(kind: Kind) -> str:
    """The folder of the kind's runs, in the workspace."""
    return f"{project_id(kind)}/{RUNS}"


def _runs_in(store: ObjectStore, kind: Kind) -> list[str]:
    """The keys of the kind's runs, in order of time."""
    return [one.key for one in store.stored(_runs_of(kind)) if one.key.endswith(".json")]


def _prune(store: ObjectStore, kind: Kind, num_windows: int) -> int:
    """How many of the oldest runs were deleted, so that `num_windows` are left."""
    old = _runs_in(store, kind)[:-num_windows]
    for key in old:
        store.delete(key)
    return len(old)


def open_ui(cfg: EvidentlyConfig, port: int) -> None:
    """Serves Evidently's pages over the workspace on loopback, until it is stopped; of one in a bucket, as it is now. Raises BadWorkspace
    where no window was judged yet, StoreFailed."""
    if not any(_runs_in(open_store(cfg.workspace), kind) for kind in Kind):
        raise BadWorkspace(f"{cfg.workspace} holds no window: run `vitrine drift check` first, which writes one")
    without_telemetry()
    import uvicorn
    from evidently.ui.service.app import create_app
    from evidently.ui.service.components.storage import LocalStorageComponent
    from evidently.ui.service.components.telemetry import TelemetryComponent
    from evidently.ui.service.local_service import LocalConfig

    with _at_hand(cfg.workspace) as folder:
        told = LocalConfig(storage=LocalStorageComponent(path=str(folder)), telemetry=TelemetryComponent(enabled=False))
        with redirect_stdout(io.StringIO()):  # it prints its own making
            app = create_app(told)
        log.info("drift: Evidently's pages over %s are at http://%s:%d/", cfg.workspace, HOST, port)
        uvicorn.run(app, host=HOST, port=port, log_level="warning")


@contextmanager
def _at_hand(workspace: str) -> Iterator[Path]:
    """The workspace's folder; of one in a bucket, a copy that goes with the block."""
    if not workspace.startswith(S3):
        yield Path(workspace)
        return
    store = open_store(workspace)
    with tempfile.TemporaryDirectory(prefix="vitrine-drift-") as folder:
        for kind in Kind:
            for key in _runs_in(store, kind):
                if (data := store.get(key)) is not None:  # else it was too old by now
                    (_make_project(kind, Path(folder)) / RUNS / Path(key).name).write_bytes(data)
        yield Path(folder)


def _make_project(kind: Kind, workspace: Path) -> Path:
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
