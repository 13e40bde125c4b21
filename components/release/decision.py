"""One decision on a release: what was decided, by whom, on which counts, by which thresholds, as one line of JSON."""

import datetime as dt
import getpass
import json
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import TypeAdapter, ValidationError

from components.errors import BadData, BadParams
from components.release.channel import Platform
from components.release.evidence import Look
from components.release.files import Input
from components.release.judgement import Judgement
from components.release.shadow import Baseline, ShadowReport
from components.release.strata import Stratum

Kind = Literal[
    "publish",
    "propose",
    "shadow",
    "baseline",
    "inputs",
    "look",
    "climb",
    "return",
    "hold",
    "withdraw",
    "pause",
    "resume",
    "rollback",
    "promote",
]
ACTOR = "VITRINE_ACTOR"
MAX_ENTRY_BYTES = 1 << 20
MAX_REASON_CHARS = 2_000
SECRET_NAME = re.compile(r"SECRET|TOKEN|PASSWORD|PASSWD|SALT|API_KEY|WEBHOOK|CREDENTIAL", re.IGNORECASE)
MIN_SECRET_CHARS = 8
LOGIN = re.compile(r"(?<=://)[^/\s@]+@")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """An entry. `revision` is that of the channel record that it goes by. An entry that counts names its `strata`, what was counted, and in
    `inputs` the files that came since the last entry that did; `thresholds` are the parts of the config that the verdict rests on.

    append() fills in `seq`, `previous` (the digest of the entry before), and, over every input of the log so far, `num_inputs` and
    `inputs_digest`. Raises BadParams without an actor or a reason.
    """

    release_id: str
    at: dt.datetime
    actor: str
    kind: Kind
    reason: str
    revision: int | None = None
    group: str | None = None
    platforms: tuple[Platform, ...] = ()
    weight_percent: int | None = None
    verdict: str | None = None
    thresholds: Mapping[str, Any] = field(default_factory=dict)
    strata: tuple[Stratum, ...] = ()
    inputs: tuple[Input, ...] = ()
    look: Look | None = None
    shadow: ShadowReport | None = None
    baseline: Baseline | None = None
    judgement: Judgement | None = None
    seq: int = 0
    previous: str = ""
    num_inputs: int = 0
    inputs_digest: str = ""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise BadParams(f"a {self.kind} needs a reason: it stands in the decision log for whoever asks later. Give one with --reason")
        if not self.actor.strip():
            raise BadParams(f"a {self.kind} needs an actor: set {ACTOR} to who decides")


_DECISION: TypeAdapter[Decision] = TypeAdapter(Decision)


def actor(environment: Mapping[str, str] = os.environ) -> str:
    """Who decides: what VITRINE_ACTOR says, else user@host."""
    if given := environment.get(ACTOR, "").strip():
        return given
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user that has no name
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def encode(decision: Decision) -> bytes:
    """The entry as one line of JSON, keys sorted. Raises BadData where it is too large, or would not come back as it is."""
    line = json.dumps(_DECISION.dump_python(decision, mode="json"), sort_keys=True, ensure_ascii=False)
    data = f"{line}\n".encode("utf-8", "backslashreplace")
    if len(data) > MAX_ENTRY_BYTES:
        raise BadData(f"a {decision.kind} has {len(data):,} bytes, the decision log takes {MAX_ENTRY_BYTES:,}: leave out thresholds")
    if decode(data) != decision:
        raise BadData(f"a {decision.kind} cannot be written to the decision log: it holds what JSON cannot say, such as nan")
    return data


def decode(data: bytes) -> Decision:
    """The entry. Raises BadData where it is none."""
    try:
        return _DECISION.validate_json(data)
    except (ValidationError, BadParams) as error:
        raise BadData(" ".join(str(error).split())[:300]) from None


def unveiled(text: str, environment: Mapping[str, str] = os.environ) -> str:
    """The text without what must stay secret: values of the environment's variables that are named so, and logins in addresses."""
    for name, value in environment.items():
        if len(value) >= MIN_SECRET_CHARS and SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return LOGIN.sub("***@", text)


def unveiled_in(value: Any) -> Any:
    """The config's values, in JSON's types, without secrets."""
    if isinstance(value, Mapping):
        return {str(name): unveiled_in(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [unveiled_in(one) for one in value]
    return unveiled(value) if isinstance(value, str) else value
