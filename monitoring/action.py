"""What a drift leads to: a retraining run with the evidence attached, where a retraining can mend it, and never twice for one cause."""

import datetime as dt
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import AfterValidator, Field

from components.contract import Config
from monitoring.cases import Case, Cases, Step
from monitoring.judged import Cause, CauseName, Finding, Judgement, Verdict
from monitoring.span import Kind

EVENT = "vitrine.drift.retrain"
NAMESPACE = uuid.UUID("6b3f3f0a-1b0e-5c59-9a53-6c1c7c1b3a57")
JUDGED = frozenset({Verdict.QUIET, Verdict.WATCH, Verdict.DRIFT})
MOST_SEGMENTS = 5
MOST_FINDINGS = 5

# Why no retraining is opened, whatever params.yaml says, by cause: new weights would change nothing, or would learn from what is broken.
NOT_MENDED = {
    CauseName.RESIZE_BUG: "the pictures are damaged on their way: mend the uploader",
    CauseName.TITLE_LANGUAGE: "the titles are damaged on their way: mend what writes them",
    CauseName.MISSING_FIELDS: "fields are lost on their way: mend what writes them",
    CauseName.CALIBRATOR: "the release is not the one that was published: roll it back",
    CauseName.STALE_INDEX: "the index does not take what is written: mend it, the model is as it was",
    CauseName.MODEL_CHANGED: "the release is not the one that was published: roll it back",
    CauseName.BROKEN_INPUT: "nothing is known of such a window: mend the log",
}


def _mendable(causes: list[CauseName]) -> list[CauseName]:
    if wrong := [cause for cause in causes if cause in NOT_MENDED]:
        raise ValueError(f"{wrong[0]} is not mended by a retraining: {NOT_MENDED[wrong[0]]}")
    return causes


class ActionConfig(Config):
    """When a drift opens a retraining: for the causes in `retrain`, not within `cool_down_days` of the last, and once until the case is
    closed, which takes `close_after_days` judged days in a row without the cause. `automation` is the name of Prefect's that runs it."""

    retrain: Annotated[list[Annotated[CauseName, Field(strict=False)]], AfterValidator(_mendable)]
    cool_down_days: int = Field(ge=0)
    close_after_days: int = Field(ge=1)
    automation: str = Field(min_length=1)
    timeout_s: float = Field(gt=0)


@dataclass(frozen=True)
class Followed:
    """The cases after a window, and for each cause that paged one line: what is done about it, or why nothing is."""

    cases: Cases
    said: tuple[str, ...]


def follow(cases: Cases, judgement: Judgement, page: str, cfg: ActionConfig, now: dt.datetime) -> Followed:
    """The cases after this window. Whole days alone count, each once and in order: a window that was followed before changes nothing.

    A cause opens a case where it pages (not while it is watched or snoozed), and holds it open as long as it is named at all.
    """
    span = judgement.span
    if span.kind is not Kind.DAY or (cases.followed_to and span.end <= cases.followed_to):
        return Followed(cases, ())
    cases = _aged(cases, judgement, cfg)
    said = []
    for cause in _paging(judgement):
        cases, line = _answered(cases, cause, judgement, page, cfg, now)
        said.append(line)
    return Followed(cases.model_copy(update={"followed_to": span.end}), tuple(said))


def _paging(judgement: Judgement) -> list[Cause]:
    """Causes that call somebody, each name once: where a shift ranks another segment first tomorrow, its cause is still the same."""
    paging = [cause for cause in judgement.causes if cause.snoozed_until is None] if judgement.verdict is Verdict.DRIFT else []
    return list({cause.name: cause for cause in reversed(paging)}.values())[::-1]


def _aged(cases: Cases, judgement: Judgement, cfg: ActionConfig) -> Cases:
    """Counts the window for every open case, and closes those whose time is over."""
    return cases.with_cases(tuple(_older(case, judgement, cfg) if case.is_open else case for case in cases.cases))


def _older(case: Case, judgement: Judgement, cfg: ActionConfig) -> Case:
    if judgement.release_id != case.release_id:
        return _closed(case, f"release {judgement.release_id[:12]} answers, and has a reference of its own")
    if judgement.verdict not in JUDGED:
        return case
    is_there = any(cause.name is case.cause for cause in judgement.causes)
    num_quiet = 0 if is_there else case.num_quiet + 1
    case = case.model_copy(update={"num_quiet": num_quiet})
    return _closed(case, f"{num_quiet} days without it") if num_quiet >= cfg.close_after_days else case


def _closed(case: Case, why: str) -> Case:
    return case.model_copy(update={"step": Step.CLOSED, "why": why})


def _answered(cases: Cases, cause: Cause, judgement: Judgement, page: str, cfg: ActionConfig, now: dt.datetime) -> tuple[Cases, str]:
    name = cause.name
    if name in NOT_MENDED:
        return cases, f"{name}: no retraining, {NOT_MENDED[name]}"
    if name not in cfg.retrain:
        return cases, f"{name}: no retraining, monitor.action.retrain does not name it"
    if there := next((case for case in cases.open if case.cause is name), None):
        return cases, f"{name}: a retraining was opened on {there.window} ({there.step})"
    if last := _cooling(cases, judgement.span.end, cfg):
        return cases, f"{name}: no retraining yet, one was opened for {last.cause} on {last.window} (cool-down {cfg.cool_down_days} days)"
    opened = case_of(cause, judgement, page, now)
    return cases.with_cases((*cases.cases, opened)), f"{name}: a retraining is opened"


def _cooling(cases: Cases, end: dt.datetime, cfg: ActionConfig) -> Case | None:
    """The case within whose cool-down the window ends."""
    since = end - dt.timedelta(days=cfg.cool_down_days)
    return next((case for case in reversed(cases.cases) if case.window_end > since), None)


def case_of(cause: Cause, judgement: Judgement, page: str, now: dt.datetime) -> Case:
    """A new case. Its event id follows from cause, window and release, so that nothing can name the same one otherwise."""
    named = f"{cause.name}/{judgement.span.kind}/{judgement.span.name}/{judgement.release_id}"
    return Case(
        event_id=str(uuid.uuid5(NAMESPACE, named)),
        cause=cause.name,
        key=cause.key,
        window=judgement.span.name,
        opened_at=now,
        window_end=judgement.span.end,
        release_id=judgement.release_id,
        evidence=evidence_of(cause, judgement, page),
    )


def evidence_of(cause: Cause, judgement: Judgement, page: str) -> dict[str, Any]:
    """What the run is given, as JSON: the verdict in a sentence, the cause with segments and findings, the page, and what was judged."""
    return {
        "cause": cause.name.value,
        "cause_key": cause.key,
        "reason": judgement.reason,
        "verdict": judgement.verdict.value,
        "window": judgement.span.name,
        "start": judgement.span.start.isoformat(),
        "end": judgement.span.end.isoformat(),
        "num_rows": judgement.num_rows,
        "release_id": judgement.release_id,
        "fingerprint": judgement.fingerprint,
        "page": page,
        "segments": [{"segment": blame.segment, "explained": round(blame.explained, 4)} for blame in cause.segments[:MOST_SEGMENTS]],
        "findings": [_told(finding) for finding in cause.findings[:MOST_FINDINGS]],
        "other_causes": [other.key for other in judgement.causes if other.name is not cause.name],
    }


def _told(finding: Finding) -> dict[str, Any]:
    one = finding.measured
    return {"detector": one.detector, "segment": one.segment, "effect": one.effect, "surprise": round(finding.surprise, 2)}


def waiting(cases: Cases) -> Sequence[Case]:
    """Cases that Prefect is not known to have been told of."""
    return [case for case in cases.cases if case.step is Step.CLAIMED]
