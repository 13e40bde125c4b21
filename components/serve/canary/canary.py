"""A gateway's part in the canary: it follows the channel record, answers as that says, and takes rollbacks whatever the registry does."""

import asyncio
import datetime as dt
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.errors import Conflict, VitrineError
from components.release.channel import Channel
from components.serve.canary.admission import Admission, named
from components.serve.canary.arms import Arms
from components.serve.canary.config import ChannelConfig
from components.serve.canary.edge import Edge
from components.serve.canary.following import Following
from components.serve.canary.remembered import Rollback
from components.serve.canary.rollback import leaving
from components.serve.canary.told import candidate_told
from components.serve.log.event_log import EventLog
from components.serve.meters import Meters
from components.serve.problems import Refused
from components.serve.router import Router

log = logging.getLogger("vitrine")

AFTERWARDS = 5  # times flush_s that the log hurries on once nothing is under test: the last answers and clicks are still to come
BY_HAND = "the channel record decides which release answers: POST /v1/channel/rollback, or `vitrine release` at the registry"


@dataclass(frozen=True)
class RolledBack:
    """The release that was sent back, and the one that answers now. `written`: the registry knows; `problem`: why it does not."""

    release_id: str
    stable: str
    revision: int
    written: bool
    problem: str | None


@dataclass
class Canary:
    """Without a `registry` nothing is followed."""

    registry: str | None
    router: Router
    following: Following
    admission: Admission
    arms: Arms
    events: EventLog
    meters: Meters
    cfg: ChannelConfig
    flush_s: float
    _tested_s: float = float("-inf")

    async def first(self, bundle: str | None) -> str | None:
        """The release to begin with: the bundle where there is no record, else the stable one; None for what was served last. Where the
        registry cannot be read and nothing is known from before, it waits: a bundle that is at hand may not be one that is released."""
        if self.registry is None:
            return bundle
        alias = await self.router.index.alias()
        await self.following.look()
        while self.following.problem and not self.following.governs and alias.active is None:
            self.following.waits = f"the channel record cannot be read: {self.following.problem}"
            await asyncio.sleep(self.cfg.poll_s)
            await self.following.look()
        record = self.following.record
        if record.stable is None:
            return None if self.following.problem else bundle
        if bundle not in (None, record.stable):
            log.warning("serve: the channel record says that %s answers, so the bundle %s does not", record.stable[:12], str(bundle)[:12])
        await self._fetch(record.stable, alias.active)
        return record.stable if alias.active is None else None

    async def _fetch(self, stable: str, active: str | None) -> None:
        """Brings what a start needs; where that fails, the start itself says what is missing."""
        needed = {about.release_id for about in await self.router.index.generations() if about.name == active}
        for release_id in {stable, *needed}:
            try:
                await self.admission.fetch(release_id)
            except VitrineError as error:
                log.warning("serve: release %s could not be fetched: %s", release_id[:12], error)

    async def settle(self) -> None:
        """Returns once the stable release answers, and the candidate stands where it stood here before: nobody is to leave the canary
        because a gateway was started again. What takes longer than start_s is not waited for."""
        if self.registry is not None:
            self._apply()
            record = self.following.record
            stood = record.candidate is not None and await self.admission.stood_before(record.candidate.release_id)
            if stood or not self.admission.answers(record.stable):
                self.following.waits = "bringing what the channel record names into service"
                await self.admission.settled(self.cfg.start_s)
        self.following.waits = None

    async def follow(self) -> None:
        """Goes by the record, for as long as the gateway runs."""
        while self.registry is not None:
            await asyncio.sleep(self.cfg.poll_s)
            if self.following.waits is None:
                try:
                    await self.following.look()
                    self._apply()
                except Exception:  # the next second tries again
                    log.exception("serve: the channel record could not be followed")

    def _apply(self) -> None:
        self.admission.heed()
        if self.following.record.candidate:
            self._tested_s = time.monotonic()
        is_over = time.monotonic() > self._tested_s + AFTERWARDS * self.flush_s
        self.events.hasten(None if is_over else self.flush_s)

    def refuse_by_hand(self) -> None:
        """Raises Refused channel_decides where the record says which release answers: what is done by hand would be undone in a second."""
        if self.following.governs:
            raise Refused("channel_decides", BY_HAND)

    def refuse_unloading(self, release_id: str) -> None:
        """Raises Refused channel_decides for a release that the record names: it would be brought into service again."""
        if release_id in named(self.following.record):
            raise Refused("channel_decides", f"the channel record names release {release_id[:12]}. {BY_HAND}")

    async def roll_back(self, reason: str, actor: str, release_id: str | None = None) -> RolledBack:
        """Sends back the candidate, or, where there is none, the stable release; only `release_id` where that is given.

        Every answer from here is the stable release's at once, and stays so across restarts until the registry knows. Raises Refused.
        """
        self._check_governs()
        try:
            leaves = leaving(self.following.record)
        except Conflict as error:
            raise Refused("nothing_to_roll_back", str(error)) from None
        if release_id not in (None, leaves):
            raise Refused("channel_conflict", f"{leaves[:12]} would be rolled back, not {str(release_id)[:12]}: see GET /v1/channel")
        log.warning("serve: %s rolls back release %s: %s", actor, leaves[:12], reason)
        written = await self.following.roll_back(Rollback(leaves, reason, actor, dt.datetime.now(dt.UTC)))
        if self.following.waits is None:  # else the start goes by it
            self._apply()
            await self._until_stable_answers()
        record = self.following.record
        stable = self.arms.stable().release_id if self.router.active else str(record.stable)
        return RolledBack(leaves, stable, record.revision, written, None if written else self.following.unwritten)

    async def _until_stable_answers(self) -> None:
        """Waits where an earlier release must be let in again, which takes a moment."""
        end_s = time.monotonic() + self.cfg.timeout_s
        while not self.admission.answers(self.following.record.stable) and time.monotonic() < end_s:
            self.admission.heed()
            await self.admission.settled(self.cfg.timeout_s)
            await asyncio.sleep(0.01)

    async def change(self, act: Callable[[Edge], Channel]) -> None:
        """Changes the record. Raises Refused channel_conflict where it allows no such change, registry_failed where it cannot be told."""
        self._check_governs()
        try:
            await self.following.change(act)
        except Conflict as error:
            raise Refused("channel_conflict", str(error)) from None
        except VitrineError as error:
            raise Refused("registry_failed", str(error), retry_after_s=self.cfg.timeout_s) from None
        self._apply()

    def _check_governs(self) -> None:
        if not self.following.governs:
            raise Refused("channel_conflict", "there is no channel record: releases are switched by hand under /v1/releases")

    def told(self) -> dict[str, Any]:
        """What GET /v1/channel answers with."""
        record, state = self.following.record, self.events.state()
        waiting = self.following.kept.rollbacks
        return {
            "revision": record.revision,
            "stable": record.stable,
            "previous": list(record.previous),
            "candidate": candidate_told(record),
            "age_s": round(self.following.age_s, 3),
            "problem": self.following.problem,
            "here": self._here(record),
            "rollbacks_unwritten": [{"release_id": one.release_id, "reason": one.reason, "at": one.at} for one in waiting],
            "answers": {"logged": state.answers_kept, "dropped": state.answers_dropped},
        }

    def _here(self, record: Channel) -> dict[str, Any]:
        """What of the record holds at this gateway."""
        candidate = record.candidate.release_id if record.candidate else None
        stands = self.admission.answers(candidate)
        why = {release_id: self.admission.why_not(release_id) for release_id in (record.stable, candidate) if release_id}
        return {
            "stable": self.arms.stable().release_id if self.router.active else None,
            "candidate": candidate if stands else None,
            "why_not": {release_id: reason for release_id, reason in why.items() if reason},
        }

    def measure(self) -> None:
        """Brings the gauges up to date."""
        record, meters, state = self.following.record, self.meters, self.events.state()
        meters.answers_logged.set(state.answers_kept)
        meters.answers_dropped.set(state.answers_dropped)
        if self.registry is None:
            return
        meters.channel_revision.set(record.revision)
        meters.channel_age.set(self.following.age_s)
        meters.channel_readable.set(self.following.problem is None)
        meters.rollbacks_unwritten.set(len(self.following.kept.rollbacks))
        meters.candidate_stands.clear()
        if record.candidate:
            reason = self.admission.why_not(record.candidate.release_id)
            meters.candidate_stands.labels(record.candidate.release_id[:12], (reason or "")[:120]).set(reason is None)

    async def close(self) -> None:
        """Gives up what is being worked on."""
        await self.arms.shadows.close()
        await self.admission.close()
