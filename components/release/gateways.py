"""What each gateway applies of the channel record: asked at GET /v1/channel, with little patience, and never needed for a rollback."""

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from components.release.channel import Channel

KEY = "VITRINE_API_KEY"
Get = Callable[[str, float], Mapping[str, Any]]


@dataclass(frozen=True)
class Applied:
    """A gateway's answer: the revision that it goes by, the releases that stand there, and why others do not. `problem` says why it gave
    none, or why it cannot read the record."""

    url: str
    revision: int | None
    stable: str | None
    candidate: str | None
    why_not: Mapping[str, str]
    problem: str | None

    @property
    def is_reachable(self) -> bool:
        """Whether it answered."""
        return self.revision is not None

    def lacks(self, channel: Channel) -> str | None:
        """What it lacks to go by that record in full; None where nothing, or where it cannot be asked."""
        candidate = channel.candidate.release_id if channel.candidate else None
        if self.revision is None:
            return None
        if candidate is not None and self.candidate != candidate:
            return f"{self.url} has not let {candidate[:12]} in: {self.why_not.get(candidate, 'it is on its way')}"
        if self.revision < channel.revision:
            return f"{self.url} goes by revision {self.revision}, not yet {channel.revision}"
        return None


def get(url: str, timeout_s: float) -> Mapping[str, Any]:
    """The JSON there; VITRINE_API_KEY is sent where it is set."""
    import httpx

    headers = {"authorization": f"Bearer {key}"} if (key := os.environ.get(KEY)) else {}
    answer = httpx.get(url, timeout=timeout_s, headers=headers).raise_for_status()
    found: Mapping[str, Any] = answer.json()
    return found


def ask(urls: Sequence[str], timeout_s: float, *, read: Get = get) -> list[Applied]:
    """Every gateway's answer, in order, all asked at once."""
    if not urls:
        return []
    with ThreadPoolExecutor(len(urls)) as pool:
        return list(pool.map(lambda url: _one(url, timeout_s, read), urls))


def _one(url: str, timeout_s: float, read: Get) -> Applied:
    try:
        told = read(f"{url.rstrip('/')}/v1/channel", timeout_s)
        here = told["here"]
        return Applied(url, int(told["revision"]), here["stable"], here["candidate"], dict(here["why_not"]), told["problem"])
    except Exception as error:  # whatever a client or a stranger at that address comes up with
        return Applied(url, None, None, None, {}, f"{type(error).__name__}: {' '.join(str(error).split())[:200]}")


def waited_for(answers: Sequence[Applied], channel: Channel) -> str | None:
    """Why nobody may climb yet: the first gateway that can be reached and does not go by the record in full; None where there is none."""
    return next((lack for one in answers if (lack := one.lacks(channel))), None)
