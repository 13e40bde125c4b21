"""Shoppers at a live gateway, who click as the simulated market's do: `python -m flows.shoppers URL` browses until it is ended.

It is a process of its own, so that whoever measures the gateway shares no interpreter with those who use it. Visits are due at random
times that do not wait for answers; the same seed gives the same visits and the same luck, whoever answers. K = slots of a page.
"""

import asyncio
import collections
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pyarrow.parquet as pq
from pydantic import Field

from components import schema
from components.contract import Config, bind, path_of, read_params
from components.ingest.catalogue import COLUMNS, item_of
from components.ingest.market import ClickModel, MarketConfig, Share, Truth
from components.ingest.shelf import Shelf, shared_share, stocked
from components.ingest.shoppers import (
    FAVOURITE_SHARE,
    NUM_FAVOURITE_LEAVES,
    PLATFORMS,
    Users,
    attraction,
    examination,
    new_users,
    relevance,
)
from components.process import die_with_parent
from components.shards import read_shards

LATE_S = 5.0  # visits that are due longer than this are given up: a gateway that stands still is not to be stormed afterwards
RETRY_S = 0.2


class ShoppersConfig(Config):
    """How many come: `pages_per_s` in the mean, a `return_share` of them by users who were there before, of `num_users` in all."""

    pages_per_s: float = Field(gt=0)
    return_share: Share
    num_users: int = Field(gt=0)
    num_slots: int = Field(gt=0)
    num_connections: int = Field(gt=0)


@dataclass(frozen=True)
class Visit:
    """A page that is going to be asked for: by whom, similar to which item (numbers in the Crowd), due when, in seconds from the start."""

    number: int
    user: int
    wish: int
    due_s: float


@dataclass(frozen=True)
class Crowd:
    """Everybody who comes, and what there is to be seen. `row_of` finds an item by its id; prices are those of the listings."""

    shelf: Shelf
    users: Users
    user_ids: list[str]
    item_ids: list[str]
    row_of: dict[str, int]
    click: ClickModel
    seed: int

    def visits(self, cfg: ShoppersConfig) -> Iterator[Visit]:
        """Without end. Fresh users come in order of their number, so nobody is fresh twice before `num_users` were there."""
        rng, due_s, num_fresh = np.random.default_rng([self.seed, 0]), 0.0, 0
        for number in range(sys.maxsize):
            due_s += float(rng.exponential(1.0 / cfg.pages_per_s))
            returns, luck = num_fresh > 0 and rng.random() < cfg.return_share, rng.random()
            user = int(luck * min(num_fresh, cfg.num_users)) if returns else num_fresh % cfg.num_users
            num_fresh += not returns
            yield Visit(number, user, self._wish(user, rng), due_s)

    def _wish(self, user: int, rng: np.random.Generator) -> int:
        """An item, mostly of a leaf category that the user likes."""
        liked = int(self.users.leaves[user, rng.integers(NUM_FAVOURITE_LEAVES)])
        leaf = liked if rng.random() < FAVOURITE_SHARE else int(self.shelf.leaf[rng.integers(len(self.shelf.leaf))])
        first, last = self.shelf.starts[leaf], self.shelf.starts[leaf + 1]
        return int(self.shelf.members[rng.integers(first, last)])

    def reaction(self, visit: Visit, shown: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """Which of the shown items (K,) the user clicks, and which of these they buy, by the market's click model."""
        rng = np.random.default_rng([self.seed, 1, visit.number])
        item_K = np.array([self.row_of[item_id] for item_id in shown], np.int64)
        match_K = self.relevance(visit, item_K)
        seen_K = rng.random(len(item_K)) < examination(np.arange(len(item_K)), self.click)
        clicked_K = seen_K & (rng.random(len(item_K)) < attraction(match_K, self.shelf.quality[item_K], self.click))
        return clicked_K, clicked_K & (rng.random(len(item_K)) < self.click.purchase_share * match_K)

    def relevance(self, visit: Visit, item_K: np.ndarray) -> np.ndarray:
        """How well the items suit what the visit is for (K,), in [0, 1]: the market's own measure on pages of similar items."""
        shelf, wish = self.shelf, visit.wish
        colour_K = shelf.colour[item_K]
        liked_K = (colour_K[:, None] == self.users.colours[visit.user]).any(axis=1)
        same_colour_K = (colour_K >= 0) & (colour_K == shelf.colour[wish])
        shared_K = shared_share(shelf.words[wish], shelf.words[item_K])
        return relevance(shelf.leaf[item_K] == shelf.leaf[wish], same_colour_K, shared_K, liked_K)


def crowd_of(listings: Path, truth: Path, market: MarketConfig, cfg: ShoppersConfig, seed: int) -> Crowd:
    """The crowd over a catalogue. What the truth says of an item's photo only its shoppers know; real photos have no truth."""
    rows = [row for row in read_shards(listings, [*COLUMNS, "status"]).sort_by("item_id").to_pylist() if row["status"] != "deleted"]
    items = [item_of(row, truth_of) for row, truth_of in zip(rows, _truths(truth, rows), strict=True)]
    shelf = stocked(items)
    users = new_users(shelf.num_leaves, market.model_copy(update={"num_users": cfg.num_users, "seed": seed}))
    ids = [item.item_id for item in items]
    row_of = {item_id: row for row, item_id in enumerate(ids)}
    return Crowd(shelf, users, users.user_id.to_pylist(), ids, row_of, market.click, seed)


def _truths(folder: Path, rows: list[dict[str, Any]]) -> list[Truth | None]:
    table = pq.read_table(folder, columns=["item_id", "quality", "kind"], schema=schema.TRUTH)
    known = {row["item_id"]: Truth(row["item_id"], row["quality"], row["kind"], ()) for row in table.to_pylist()}
    return [known.get(row["item_id"]) for row in rows]


@dataclass
class Line:
    """A connection that is kept open and has one request at a time: far cheaper than a client that can do everything."""

    host: str
    port: int
    streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, head: str, body: bytes = b"") -> tuple[int, bytes]:
        """The answer's status and body. `head` is the request line and headers of its own, each with its CRLF. Raises OSError, EOFError."""
        try:
            if self.streams is None:
                self.streams = await asyncio.open_connection(self.host, self.port)
            reader, writer = self.streams
            writer.write(f"{head}Host: {self.host}:{self.port}\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            lines = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n")
            headers = dict(line.lower().split(b": ", 1) for line in lines[1:] if b": " in line)
            return int(lines[0].split()[1]), await reader.readexactly(int(headers.get(b"content-length", b"0")))
        except (OSError, EOFError):
            self.close()
            raise

    def close(self) -> None:
        """Ends the connection; the next request opens another."""
        if self.streams is not None:
            self.streams[1].close()
            self.streams = None


class Browsing:
    """A crowd at a gateway. `counts` says what became of the visits: shown, tapped, refused, lost, given up."""

    def __init__(self, crowd: Crowd, cfg: ShoppersConfig, url: str) -> None:
        self._crowd, self._cfg = crowd, cfg
        where = urlsplit(url)
        self._host, self._port = where.hostname or "127.0.0.1", where.port or 80
        self._due: asyncio.Queue[Visit] = asyncio.Queue()
        self._started_s = 0.0
        self.counts: collections.Counter[str] = collections.Counter()

    async def run(self) -> None:
        """Browses until it is cancelled."""
        self._started_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._cfg.num_connections):
                group.create_task(self._serve_visits())
            await self._come()

    async def _come(self) -> None:
        loop = asyncio.get_running_loop()
        for visit in self._crowd.visits(self._cfg):
            if (wait_s := self._started_s + visit.due_s - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            self._due.put_nowait(visit)

    async def _serve_visits(self) -> None:
        line, loop = Line(self._host, self._port), asyncio.get_running_loop()
        while True:
            visit = await self._due.get()
            if loop.time() - self._started_s - visit.due_s > LATE_S:
                self.counts["given up"] += 1
                continue
            try:
                self.counts[await self._visit(line, visit)] += 1
            except (OSError, EOFError):
                self.counts["lost"] += 1
                await asyncio.sleep(RETRY_S)

    async def _visit(self, line: Line, visit: Visit) -> str:
        """One page: asked for, looked at, and told of, with what was tapped and bought."""
        crowd = self._crowd
        wish, user = crowd.item_ids[visit.wish], crowd.user_ids[visit.user]
        platform = PLATFORMS[int(crowd.users.platform[visit.user])]
        who = f"X-Platform: {platform}\r\nX-User-ID: {user}\r\nX-Request-ID: v{visit.number}\r\n"
        status, body = await line.ask(f"GET /v1/similar?item_id={wish}&k={self._cfg.num_slots} HTTP/1.1\r\n{who}")
        answer = json.loads(body) if status == 200 else {"items": []}
        if not answer["items"]:
            return "refused" if status != 200 else "empty"
        clicked_K, bought_K = crowd.reaction(visit, [item["item_id"] for item in answer["items"]])
        events = told(answer, wish, user, platform, clicked_K, bought_K)
        head = "POST /v1/events HTTP/1.1\r\nContent-Type: application/json\r\n"
        status, _ = await line.ask(head, json.dumps({"events": events}).encode())
        return "untold" if status != 200 else "tapped" if clicked_K.any() else "shown"


def told(answer: dict[str, Any], wish: str, user: str, platform: str, clicked_K: np.ndarray, bought_K: np.ndarray) -> list[dict[str, Any]]:
    """The page and what was done on it, as POST /v1/events takes them: the exposure with the answer's request and release, then acts."""
    request, items = answer["request_id"], answer["items"]
    named = {"request_id": request, "platform": platform, "user_id": user, "release_id": answer["release_id"]}
    shown = [{"item_id": item["item_id"], "position": slot, "price": item["price"]} for slot, item in enumerate(items)]
    page = {
        "type": "exposure",
        "event_id": f"{request}:page",
        "surface": "similar",
        "source_item_id": wish,
        "items": shown,
        "simulated": True,
    }
    acts = [("click", slot) for slot in np.flatnonzero(clicked_K)] + [("purchase", slot) for slot in np.flatnonzero(bought_K)]
    return [
        page | named,
        *({"type": act, "event_id": f"{request}:{act}:{slot}", "item_id": items[slot]["item_id"]} | named for act, slot in acts),
    ]


def main(url: str) -> None:
    """Browses by `market:` and `show.shoppers:` of the params.yaml here, until it or its parent is ended."""
    from flows.show import ShowConfig

    die_with_parent()
    params = read_params()
    cfg, market = bind(ShowConfig, "show", params), bind(MarketConfig, "market", params)
    crowd = crowd_of(path_of("listings", params), path_of("truth", params), market, cfg.shoppers, cfg.seed)
    asyncio.run(Browsing(crowd, cfg.shoppers, url).run())


if __name__ == "__main__":
    main(sys.argv[1])
