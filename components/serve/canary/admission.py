"""Bringing the releases that the channel record names into service here, and taking out those that it named and names no more."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from components import releases
from components.errors import BadBundle
from components.release.channel import Channel
from components.serve.canary.config import ChannelConfig
from components.serve.canary.following import Following, words_of
from components.serve.problems import Refused
from components.serve.router import Router, name_of

log = logging.getLogger("vitrine")

ALIAS_S = 2.5  # until the alias that another replica switched is seen, and followed
COMING = "it is being brought into service"


class Lifecycle(Protocol):
    """What changes the releases of a gateway: components.serve.lifecycle.Lifecycle."""

    async def let_in(self, release_id: str, *, gated: bool, wanted: Callable[[], bool]) -> None:
        """Returns once the release stands beside the active one and gave its golden answers. Raises VitrineError."""

    async def activate(self, release_id: str) -> None:
        """Returns once the index's alias names the release. Raises VitrineError."""

    async def unload(self, release_id: str) -> None:
        """Returns once the release is out of service, and its generation gone. Raises VitrineError."""


@dataclass(frozen=True)
class Refusal:
    """Why a release does not answer here, how often it was tried again, and when it is (time.monotonic())."""

    reason: str
    times: int
    again_s: float


@dataclass
class Admission:
    """One change at a time. `ready` are the releases that were let in here."""

    router: Router
    lifecycle: Lifecycle
    following: Following
    cfg: ChannelConfig
    ready: set[str] = field(default_factory=set)
    refused: dict[str, Refusal] = field(default_factory=dict)
    _work: "asyncio.Task[None] | None" = None
    _unnamed_s: dict[str, float] = field(default_factory=dict)

    def answers(self, release_id: str | None) -> bool:
        """Whether the release may be asked here."""
        return release_id in self.router.served and (release_id in self.ready or release_id == self.router.active)

    def why_not(self, release_id: str) -> str | None:
        """Why the release does not answer here yet, or not at all; None where it does."""
        if self.answers(release_id):
            return None
        refusal = self.refused.get(release_id)
        return refusal.reason if refusal else COMING

    def heed(self) -> None:
        """Sets about what the record asks for; to be called again and again, and at once where the record changed."""
        if self._work is None or self._work.done():
            self._work = asyncio.get_running_loop().create_task(self._bring())

    async def _bring(self) -> None:
        record = self.following.record
        self.refused = {one: why for one, why in self.refused.items() if one in named(record) | self.following.kept.taken}
        if record.stable:
            await self._try(record.stable, self._lead)
        if record.candidate:
            await self._try(record.candidate.release_id, self.let_in)
        await self._let_go()

    async def _try(self, release_id: str, act: Callable[[str], Awaitable[None]]) -> None:
        before, was_named = self.refused.get(release_id), release_id in named(self.following.record)
        if before and time.monotonic() < before.again_s:
            return
        try:
            await act(release_id)
        except Exception as error:
            is_given_up = was_named and release_id not in named(self.following.record)
            if not is_given_up:
                self._refuse(release_id, error, before)
        else:
            self.refused.pop(release_id, None)

    def _refuse(self, release_id: str, error: Exception, before: Refusal | None) -> None:
        reason, known = words_of(error)
        times = before.times + 1 if before else 0
        if before is None or before.reason != reason:
            log.warning("serve: release %s, as the channel record has it: %s", release_id[:12], reason, exc_info=not known)
        wait_s = min(self.cfg.retry_s * 2 ** min(times, 30), self.cfg.max_retry_s)
        self.refused[release_id] = Refusal(reason, times, time.monotonic() + wait_s)

    async def _lead(self, release_id: str) -> None:
        """The stable release answers by the record as soon as it is let in; then the alias of the index follows."""
        if release_id == self.router.active:
            self.ready.add(release_id)
            return
        await self.let_in(release_id)
        try:
            await self.lifecycle.activate(release_id)
        except Refused:
            await asyncio.sleep(ALIAS_S)  # where another replica switched in the same moment, it is followed
            if release_id != self.router.active:
                raise

    async def let_in(self, release_id: str) -> None:
        """The release stands in service. One that answered here before goes by its golden answers alone."""
        if self.answers(release_id):
            return
        gated = release_id not in self.following.kept.passed and not await self._answered_before(release_id)

        def wanted() -> bool:
            return release_id in named(self.following.record)

        await self.fetch(release_id, wanted)
        await self.following.take_in(release_id, passed=False)
        await self.lifecycle.let_in(release_id, gated=gated, wanted=wanted)
        self.ready.add(release_id)
        await self.following.take_in(release_id, passed=True)

    async def fetch(self, release_id: str, wanted: Callable[[], bool] = lambda: True) -> None:
        """The release lies in the releases folder. Raises VitrineError where it does not and cannot be fetched, or is `wanted` no more."""
        try:
            await asyncio.to_thread(releases.find, release_id, self.router.folder)
        except BadBundle:
            await self.following.fetch(release_id, self.router.folder, wanted)

    async def _answered_before(self, release_id: str) -> bool:
        alias = await self.router.index.alias()
        return name_of(release_id) in (alias.active, *alias.previous)

    async def stood_before(self, release_id: str) -> bool:
        """Whether the release was in service here before the gateway started, so that it can be again in a moment."""
        abouts = await self.router.index.generations()
        return release_id in self.following.kept.passed and any(one.name == name_of(release_id) and one.complete for one in abouts)

    async def _let_go(self) -> None:
        """Takes releases out of service that nothing names any more, once other replicas had the time to see it."""
        alias, now_s = await self.router.index.alias(), time.monotonic()
        for release_id in self.following.kept.taken:
            if release_id in named(self.following.record) or name_of(release_id) in (alias.active, *alias.previous):
                self._unnamed_s.pop(release_id, None)
            elif now_s >= self._unnamed_s.setdefault(release_id, now_s) + self.cfg.linger_s:
                await self._try(release_id, self._unload)

    async def _unload(self, release_id: str) -> None:
        self.ready.discard(release_id)
        if release_id in self.router.served:
            await self.lifecycle.unload(release_id)
            log.info("serve: release %s is out of service", release_id[:12])
        await self.following.let_go(release_id)

    async def settled(self, timeout_s: float) -> None:
        """Returns once what was set about is done, or takes longer than that."""
        if self._work is not None:
            await asyncio.wait([self._work], timeout=timeout_s)

    async def close(self) -> None:
        """Gives up what was set about."""
        if self._work is not None:
            self._work.cancel()
            await asyncio.wait([self._work])


def named(record: Channel) -> set[str]:
    """The releases that have traffic by the record, or may come to it."""
    candidate = record.candidate.release_id if record.candidate else None
    return {release_id for release_id in (record.stable, candidate) if release_id}
