"""The monitor flow: every window that is due, judged as tasks that people recognise."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from prefect import State as PrefectState
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.states import Completed, Failed
from rich.console import Console
from rich.text import Text

from components.contract import STATE
from components.errors import VitrineError
from components.process import alone
from components.shortage import told
from flows import drift_told
from flows.drift_check import Checked, Wanted, asked, check
from flows.drift_event import Prefect
from flows.drift_told import Line
from flows.drift_watch import Watch
from flows.tasks import named
from monitoring.cases import new_moment
from monitoring.due import due, left_out
from monitoring.span import Kind, Span

ARTIFACT = "drift-verdict"
T = TypeVar("T")


@flow(name="monitor", persist_result=False)
def monitor(
    date: str | None = None, week: str | None = None, hour: str | None = None, since: str | None = None, bundle: str | None = None
) -> PrefectState[Any]:
    """Completed where every window that was due was judged, whatever was found, with a Line for each as its data; Failed, with the reason.

    Without a window yesterday is judged, and before it the days that were missed.
    """
    try:
        with told("monitor", STATE / "tmp", {}), alone("monitor", STATE / "locks"):
            lines = _checked(asked(date, week, hour, since), Path(bundle) if bundle else None)
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    message = drift_told.message(lines)
    if untold := [line for line in lines if not line.is_told]:
        return Failed(message=f"{untold[-1].window} was judged, and Prometheus was not told: {message}", data=lines)
    return Completed(message=message, data=lines)


def _checked(wanted: Wanted, bundle: Path | None) -> list[Line]:
    """A line for each window. One that cannot be judged ends it: the next run begins with it."""
    log = get_run_logger()
    watch = named("open")(lambda: Watch.open(bundle))()
    lines, last = list[Line](), None
    for span in _spans(watch, wanted, log.warning):
        done = check(watch, span, _as_task(span), listener=Prefect(watch.cfg.action.automation), yesterday=_of_day_before(last, span))
        last = done
        lines.append(drift_told.line(done))
        log.info(drift_told.sentence(lines[-1]))
        create_markdown_artifact(drift_told.markdown(lines[-1]), key=ARTIFACT, description=drift_told.sentence(lines[-1]))
    return lines


def _spans(watch: Watch, wanted: Wanted, warn: Callable[[str], None]) -> Sequence[Span]:
    if wanted.span:
        return [wanted.span]
    known = watch.history.summaries(Kind.DAY, last=1)
    now, last = new_moment(), known[-1].span.end if known else None
    if missed := left_out(now, last, watch.cfg.check):
        warn(f"{missed} days before stay unjudged: `vitrine drift check --since DAY` judges them")
    return due(now, last, wanted.since, watch.cfg.check)


def _of_day_before(done: Checked | None, span: Span) -> Any:
    return done.window if done is not None and done.judgement.span.end == span.start else None


def _as_task(span: Span) -> Any:
    def call(name: str, act: Callable[[], T]) -> T:
        return named(name, f"{name} {span.name}")(act)()

    return call


def at_terminal(wanted: Wanted, bundle: Path | None, given: dict[str, str | None]) -> int:
    """The exit status of one run: 0 where everything was judged, 1 where something could not be, 2 where somebody is called and that was
    asked for. Prints a row for each window."""
    state = monitor(**given, bundle=str(bundle) if bundle else None, return_state=True)
    lines = cast(list[Line], state.result()) if state.is_completed() else []
    console = Console()
    if lines:
        drift_told.show(lines, console)
    if not state.is_completed():
        Console(stderr=True).print(Text(str(state.message or state.name), style="red"), soft_wrap=True)
        return 1
    return 2 if wanted.fail_on_drift and any(line.pages for line in lines) else 0
