"""Shoppers for tests: users who ask a live gateway for similar items, tell it what they were shown, and tap at known rates.

They keep what the gateway acknowledged, and which release answered whom, so that a test can tell afterwards that nothing was lost and that
nobody left the canary while its weight rose. As behind a load balancer, a gateway that failed is asked again once it is ready.
"""

import asyncio
import random
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

import httpx

PLATFORMS = ("web", "ios", "android")
AGAIN_S = 0.2
PURCHASES = 0.5  # of taps
LIMIT_S = 30.0


@dataclass(frozen=True)
class Answered:
    """Which release answered a user, and when it was asked and had answered (monotonic clock)."""

    release_id: str
    asked_s: float
    answered_s: float


@dataclass
class Traffic:
    """Shoppers at the gateways until the block ends. `tap_rate(release_id, platform)` is the chance that a page is tapped."""

    urls: Sequence[str]
    item_ids: Sequence[str]
    tap_rate: Callable[[str, str], float]
    num_users: int = 1500
    num_at_once: int = 8
    pause_s: float = 0.0
    seed: int = 1
    answered: dict[tuple[str, str], list[Answered]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    refused: list[Any] = field(default_factory=list)

    def __enter__(self) -> "Traffic":
        self._stop = threading.Event()
        self._failed: list[BaseException] = []
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(LIMIT_S)
        assert not self._thread.is_alive(), "the shoppers did not end"
        if self._failed and error is None:
            raise self._failed[0]

    def _run(self) -> None:
        try:
            asyncio.run(self._shop())
        except BaseException as error:
            self._failed.append(error)

    async def _shop(self) -> None:
        async with httpx.AsyncClient(timeout=10, limits=httpx.Limits(max_connections=self.num_at_once)) as client:
            await asyncio.gather(*(self._shopper(client, number) for number in range(self.num_at_once)))

    async def _shopper(self, client: httpx.AsyncClient, number: int) -> None:
        """Users who belong to this shopper, one visit after the other, so that a user's answers are in order."""
        rng = random.Random(f"{self.seed}/{number}")
        mine = [(rng.choice(PLATFORMS), f"user-{n}") for n in range(number, self.num_users, self.num_at_once)]
        while not self._stop.is_set():
            platform, user = rng.choice(mine)
            url = rng.choice(self.urls)
            page = await self._asked(client, url, platform, user, rng)
            if page:
                await self._told(client, url, _events(page, platform, user, rng, self.tap_rate))
            await (asyncio.sleep(self.pause_s) if page is not None else self._ready(client, url))

    async def _ready(self, client: httpx.AsyncClient, url: str) -> None:
        """Returns once the gateway says that it is ready: until then a load balancer sends nobody there."""
        while not self._stop.is_set():
            await asyncio.sleep(AGAIN_S)
            with suppress(httpx.TransportError):
                if (await client.get(f"{url}/health/ready")).status_code == 200:
                    return

    async def _asked(self, client: httpx.AsyncClient, url: str, platform: str, user: str, rng: random.Random) -> dict[str, Any] | None:
        asked, asked_s = {"item_id": rng.choice(self.item_ids), "k": "5"}, time.monotonic()
        try:
            answer = await client.get(f"{url}/v1/similar", params=asked, headers={"x-user-id": user, "x-platform": platform})
        except httpx.TransportError as error:
            self.statuses[type(error).__name__] += 1
            return None
        self.statuses[str(answer.status_code)] += 1
        if answer.status_code == 404:
            return {}  # an item that is not in the catalogue
        if answer.status_code != 200:
            return None
        page: dict[str, Any] = answer.json()
        self.answered[platform, user].append(Answered(page["release_id"], asked_s, time.monotonic()))
        return page | {"source_item_id": asked["item_id"]}

    async def _told(self, client: httpx.AsyncClient, url: str, events: list[dict[str, Any]]) -> None:
        """Sends the events until they are acknowledged, as a shop does, or the block ends."""
        while not self._stop.is_set():
            with suppress(httpx.TransportError):
                answer = await client.post(f"{url}/v1/events", json={"events": events})
                if answer.status_code == 200:
                    bad = {row["event_id"] for row in answer.json()["refused"]}
                    self.refused += answer.json()["refused"]
                    self.acknowledged |= {event["event_id"] for event in events} - bad
                    return
            await asyncio.sleep(AGAIN_S)


def _events(
    page: dict[str, Any], platform: str, user: str, rng: random.Random, tap_rate: Callable[[str, str], float]
) -> list[dict[str, Any]]:
    named = {"request_id": page["request_id"], "platform": platform, "user_id": user, "release_id": page["release_id"]}
    shown = [{"item_id": item["item_id"], "position": place, "price": item["price"]} for place, item in enumerate(page["items"])]
    if not shown:
        return []
    about = {"surface": "similar", "source_item_id": page["source_item_id"], "items": shown}
    first = {"type": "exposure", "event_id": uuid.uuid4().hex, **about}
    taps = []
    if rng.random() < tap_rate(page["release_id"], platform):
        what = "purchase" if rng.random() < PURCHASES else "click"
        taps = [{"type": what, "event_id": uuid.uuid4().hex, "item_id": shown[0]["item_id"]}]
    return [{**event, **named} for event in (first, *taps)]
