"""What people are told of a release: over a webhook, and whatever else a caller brings. Telling stops no release, let alone a rollback."""

import dataclasses
import datetime as dt
import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from components.errors import BadParams

log = logging.getLogger("vitrine")

WEBHOOK = "VITRINE_WEBHOOK_URL"


@dataclass(frozen=True)
class Notice:
    """One thing that happened to a release. `event` is the kind of the decision, as in the decision log."""

    event: str
    release_id: str
    group: str | None
    platforms: tuple[str, ...]
    weight_percent: int | None
    reason: str
    actor: str
    at: dt.datetime
    revision: int

    @property
    def subject(self) -> str:
        """One short line."""
        whom = self.group or ", ".join(self.platforms) or "the release"
        weight = "" if self.weight_percent is None else f" ({self.weight_percent} %)"
        return f"release {self.release_id[:12]}: {self.event} {whom}{weight}"

    def as_json(self) -> dict[str, object]:
        """What the webhook is sent."""
        said = {"at": self.at.isoformat(), "platforms": list(self.platforms), "text": f"{self.subject}: {self.reason}"}
        return dataclasses.asdict(self) | said


Sender = Callable[[Notice], None]


def senders(timeout_s: float, environment: Mapping[str, str] = os.environ) -> list[Sender]:
    """The webhook, where the environment names one. Raises BadParams where that is no http address."""
    url = environment.get(WEBHOOK)
    if not url:
        return []
    if not url.startswith(("http://", "https://")):
        raise BadParams(f"{WEBHOOK} in the environment must be an http:// or https:// address")  # without it: such addresses hold secrets
    return [lambda notice: _post(url, notice, timeout_s)]


def tell(notice: Notice, to: Sequence[Sender]) -> int:
    """How many were told; a sender that fails is told of in the log."""
    told = 0
    for send in to:
        try:
            send(notice)
            told += 1
        except Exception as error:  # whatever a sender's library raises
            log.warning("release: somebody could not be told: %s (%s)", notice.subject, type(error).__name__)
    return told


def _post(url: str, notice: Notice, timeout_s: float) -> None:
    import httpx

    httpx.post(url, json=notice.as_json(), timeout=timeout_s).raise_for_status()
