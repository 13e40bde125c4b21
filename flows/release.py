"""The release flow: publish, shadow, an approval where one is wanted, climb. Prefect shows it, tells people, and asks them.

All state lies in the registry: a flow that was killed goes on where it was when it is started again, and `vitrine release` needs no flow.
"""

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import State as PrefectState
from prefect import flow, get_run_logger
from prefect.artifacts import create_markdown_artifact
from prefect.exceptions import FlowPauseTimeout
from prefect.states import Completed, Failed
from rich.console import Console
from rich.text import Text

from components.errors import Conflict, StoreFailed, VitrineError
from components.release import published
from components.release.changes import AWAITS_APPROVAL, CHANGING, Desk
from components.release.component import Controller, Looked
from components.release.decision import actor
from components.release.judgement import Verdict
from flows import standing
from flows.approval import asked
from flows.blocks import blocks
from flows.channel import Office, show
from flows.pools.config import pools_config
from flows.pools.transfer import brought
from flows.tasks import named, own_run_id

ARTIFACT = "release-verdict"
DIGEST = re.compile(r"[0-9a-f]{64}")
BEGINNINGS = ("propose", "promote")
SHOWN = frozenset({*CHANGING, "baseline"})


@flow(name="release", persist_result=False)
def release(bundle: str | None = None) -> PrefectState[Any]:
    """Completed, with how it ended for the release as its message, also where it was rolled back; Failed, with the reason.

    `bundle` is a folder, or the id of a published release; without one the release that is under test goes on.
    """
    try:
        release_id = _begin(bundle)
        ended = _shadow(release_id)
        if ended == AWAITS_APPROVAL:
            asked(release_id)
            ended = _shadow(release_id)
        ended = ended or _climb(release_id)
    except FlowPauseTimeout:
        return Failed(message="nobody said whether the release may leave its shadow: start the flow again, and it asks again")
    except VitrineError as error:
        return Failed(message=f"{type(error).__name__}: {error}")
    return Completed(message=f"release {release_id[:12]} {ended}", data=ended)


@named("publish")
def _begin(bundle: str | None) -> str:
    """The release's id, once it is published and under test, or stable where it is the first. A run that Prefect executes again goes on
    with its own: by then its clone may hold a newer bundle, which nobody asked for."""
    office, in_this_run = Office.open(), f", flow run {own_run_id()}"
    if begun := _begun(office.desk, in_this_run):
        return begun
    person = office.person(f"{actor()}{in_this_run}", blocks(office.cfg.notify))
    if bundle is None:
        channel = office.desk.read()
        if channel.candidate is None:
            raise Conflict("no release is under test: name a bundle, or the id of a published release")
        return channel.candidate.release_id
    release_id = bundle if DIGEST.fullmatch(bundle) else person.publish(brought(Path(bundle), pools_config(), get_run_logger().info))
    published.found(office.desk.registry.store, release_id)  # what nobody can fetch is not proposed
    channel = person.start(release_id, f"{bundle} is to be released", office.cfg)
    for line in standing.head_lines(channel, None):
        get_run_logger().info(line)
    return release_id


def _begun(desk: Desk, by: str) -> str | None:
    """The release that an actor of this ending put under test or made stable, if there is one."""
    for one in desk.registry.releases():
        if any(entry.kind in BEGINNINGS and entry.actor.endswith(by) for entry in desk.log_of(one.release_id).read()):
            return one.release_id
    return None


@named("shadow")
def _shadow(release_id: str) -> str | None:
    """How it ended in the shadow, AWAITS_APPROVAL where that is all it waits for, or None once a user sees the release."""
    look = _followed(release_id, lambda look: has_left_shadow(look) or awaits_approval(look))
    return look.ended or (AWAITS_APPROVAL if awaits_approval(look) else None)


@named("climb")
def _climb(release_id: str) -> str | None:
    """How it ended."""
    return _followed(release_id, lambda look: False).ended


def has_left_shadow(look: Looked) -> bool:
    """Whether any user sees the release."""
    return look.channel.candidate is not None and any(lane.weight_percent for lane in look.channel.candidate.lanes.values())


def awaits_approval(look: Looked) -> bool:
    """Whether every group is through its shadow, and a person's word is all that lacks."""
    candidate = look.channel.candidate
    passed = [one.finding.verdict is Verdict.PASS for one in look.heard.values()]
    return candidate is not None and candidate.paused == AWAITS_APPROVAL and bool(passed) and all(passed)


def _followed(release_id: str, until: Callable[[Looked], bool]) -> Looked:
    """The look that ended it, or that `until` waited for. What a store or a server of Prefect does meanwhile ends nothing."""
    log, office = get_run_logger(), Office.open()
    controller, said = office.controller(release_id, blocks(office.cfg.notify)), dict[str, str]()
    while True:
        try:
            look = controller.step()
        except (StoreFailed, Conflict) as error:
            log.warning("release %s: no look was possible, the next follows: %s", release_id[:12], error)
        else:
            _tell(look, controller, said)
            if look.ended or until(look):
                return look
        time.sleep(office.cfg.ladder.look_s)


def _tell(look: Looked, controller: Controller, said: dict[str, str]) -> None:
    """A line for each decision, and where a group stays one when its reason is another; an artifact for each verdict."""
    log = get_run_logger()
    for entry in look.made:
        if entry.kind in SHOWN:
            log.info(standing.entry_line(entry))
        if entry.kind in CHANGING or entry.verdict not in (None, Verdict.NOT_YET):
            _show(standing.markdown(look, controller.desk.entries(look.release_id), entry), standing.entry_line(entry))
    for group, line in standing.stay_lines(look).items():
        if said.get(group) != line:
            log.info(line)
            said[group] = line
    if look.ended:
        log.info("release %s %s", look.release_id[:12], look.ended)


def _show(text: str, description: str) -> None:
    try:
        create_markdown_artifact(text, key=ARTIFACT, description=description)
    except Exception as error:  # whatever Prefect's client raises: the decision stands in the registry
        get_run_logger().warning("the artifact of a verdict could not be written: %s", error)


def at_terminal(bundle: str | None) -> int:
    """The exit status of one run: 0 where it came to its end, also to a rollback, 1 where it failed. The ladder is printed as it moves."""
    state = release(bundle, return_state=True)
    console = Console(stderr=not state.is_completed())
    console.print(Text(str(state.message or state.name), style="" if state.is_completed() else "red"), soft_wrap=True)
    if console.is_terminal and state.is_completed():
        show(console)
    return 0 if state.is_completed() else 1
