"""A check of one window: read, judge, remember, tell, act, draw. The flow around it is flows/monitor.py."""

import logging
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from components.errors import BadParams
from flows.drift_evidence import evidence_of
from flows.drift_watch import SEED, Watch
from monitoring.action import follow
from monitoring.cases import Cases, new_moment
from monitoring.due import asked_for
from monitoring.judged import Judgement, Verdict
from monitoring.listener import Listener, tell_waiting
from monitoring.measuring import measured
from monitoring.metrics import STEPS, Outcome, gauges_of, linked, publish
from monitoring.reading import Read, read_window
from monitoring.report.page import address_of, write_page
from monitoring.runbook import HERE
from monitoring.span import Span
from monitoring.verdict import Seen, follow_of, judge
from monitoring.window import Window

log = logging.getLogger("vitrine")

DRIFT = "drift"
NOTHING: tuple[str, ...] = ()
MOST_SAME = 400  # windows that are looked through for how long a verdict has stood
T = TypeVar("T")


class Call(Protocol):
    """Runs a step under its name."""

    def __call__(self, name: str, act: Callable[[], T]) -> T:
        """What the step gives; raises what it raises."""


def plainly(name: str, act: Callable[[], T]) -> T:
    """Runs the step here and now."""
    return act()


@dataclass(frozen=True)
class Wanted:
    """What somebody asked for: a window, or days `since` one, else yesterday and what was missed."""

    span: Span | None
    since: str | None
    fail_on_drift: bool


def asked(
    date: str | None = None, week: str | None = None, hour: str | None = None, since: str | None = None, fail_on: str | None = None
) -> Wanted:
    """Raises BadParams where that is no window, or more than one."""
    span = asked_for(new_moment(), date, week, hour)
    if span and since:
        raise BadParams("--since beside a window: name either")
    if fail_on not in (None, DRIFT):
        raise BadParams(f"--fail-on {fail_on}: it can be drift")
    return Wanted(span, since, fail_on is not None)


@dataclass(frozen=True)
class Checked:
    """A window that was judged. `failed` says by step what went wrong after the verdict; `said` is what is done about its causes."""

    judgement: Judgement
    page: str
    failed: dict[str, str]
    said: tuple[str, ...]
    window: Window

    @property
    def is_told(self) -> bool:
        """Whether Prometheus was given the verdict."""
        return "alert" not in self.failed


def check(
    watch: Watch,
    span: Span,
    call: Call = plainly,
    *,
    listener: Listener | None = None,
    yesterday: Window | None = None,
) -> Checked:
    """The window, judged, kept, told, drawn, and acted upon. Raises what reading, judging and keeping it raise; what fails after that is in
    `failed`, and costs nothing of what comes later. Without a listener nobody is asked for a retraining."""
    found, seen = call("read", lambda: look(watch, span))
    judgement = call("judge", lambda: judged(watch, seen))
    call("remember", lambda: remember(watch, seen, judgement))
    failed: dict[str, str] = {}

    def tried(name: str, act: Callable[[], T], instead: T) -> T:
        try:
            return call(name, act)
        except Exception as error:  # whatever it is: the verdict stands, and what failed is told
            failed[name] = f"{type(error).__name__}: {error}"
            log.warning("drift: %s of %s failed: %s", name, span.name, failed[name])
            return instead

    page = address_of(span, watch.cfg.report)
    tried("alert", lambda: _tell(watch, judgement, page, STEPS), None)  # as long as they are to come, they count as failed: a kill shows
    said = tried("action", lambda: _act(watch, judgement, page, listener), NOTHING)
    tried("page", lambda: write_page(judgement, evidence_of(watch, judgement, found, yesterday), watch.cfg.report), None)
    if span.kind in watch.cfg.check.workspace:
        tried("workspace", lambda: _save(watch, judgement, found), None)
    tried("sum up", lambda: _tell(watch, judgement, page, failed), None)
    return Checked(judgement, "" if "page" in failed else page, failed, said, found.window)


def look(watch: Watch, span: Span) -> tuple[Read, Seen]:
    """The window as it was read, and what was measured in it."""
    reference = watch.reference
    found = read_window(watch.store, span, reference, watch.cfg.windows, SEED)
    whole, parts = measured(found, reference), tuple(measured(part, reference) for part in found.parts)
    return found, Seen.of(span, reference.release_id, found.window, whole, parts)


def judged(watch: Watch, seen: Seen) -> Judgement:
    """What is said of it, by the windows before it and by what people said."""
    said = watch.snoozes.read()
    past, before = watch.history.before(seen.span, seen.values.release_id, follow_of(seen.span.kind, watch.cfg.verdict), said)
    budget = watch.cfg.budget.max_false_pages_per_quarter
    return judge(seen, past, watch.cfg.verdict, budget, said=said, before=before, now=new_moment())


def remember(watch: Watch, seen: Seen, judgement: Judgement) -> None:
    """Keeps the numbers, then what was said of them."""
    watch.history.add(seen.values)
    watch.history.note(judgement, new_moment())


def _tell(watch: Watch, judgement: Judgement, page: str, failed: Collection[str]) -> None:
    """Gives Prometheus what is known so far."""
    cfg, span, follow_cfg = watch.cfg, judgement.span, follow_of(judgement.span.kind, watch.cfg.verdict)
    before = [one.verdict for one in watch.history.summaries(span.kind, MOST_SAME, until=span.start)]
    outcome = Outcome(
        judgement=judgement,
        page=page,
        num_same=num_same(judgement, before),
        needed_days=follow_cfg.level_windows + follow_cfg.least_windows,
        finished_at=new_moment(),
        failed=frozenset(failed),
        num_retrainings=Counter(case.step.value for case in watch.cases.read()[0].open),
    )
    publish(gauges_of(outcome, cfg.routes, cfg.report.runbook_url or HERE), span.kind, cfg.routes)


def num_same(judgement: Judgement, before: Sequence[Verdict]) -> int:
    """Windows in a row with this verdict, itself included; `before` are those of earlier windows, oldest first."""
    num = 1
    for verdict in reversed(before):
        if verdict != judgement.verdict:
            break
        num += 1
    return num


def _save(watch: Watch, judgement: Judgement, found: Read) -> None:
    from monitoring.evidently.workspace import save_run

    save_run(judgement, found.window, watch.reference.window, watch.cfg.report.evidently, SEED)


def _act(watch: Watch, judgement: Judgement, page: str, listener: Listener | None) -> tuple[str, ...]:
    """A line for each cause that called somebody, and for each retraining that was asked for or waits."""
    cfg, said = watch.cfg.action, list[str]()

    def act(cases: Cases) -> Cases:
        followed = follow(cases, judgement, linked(watch.cfg.routes.pages_url, page), cfg, new_moment())
        said[:] = followed.said
        return followed.cases

    if listener is None:
        return ()
    watch.cases.change(act)
    return (*said, *tell_waiting(watch.cases, listener, cfg.timeout_s))
