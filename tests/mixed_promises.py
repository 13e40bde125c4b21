"""What a gateway that was killed and started again must have: every upsert and every event that it acknowledged."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from tests.load import Answer, Ask, Load, Tally, run
from tests.mixed_judge import Judge
from tests.served import Server
from tests.wire_bytes import request

FLUSH_S = 150.0


def wanting_listings(server: Server, judge: Judge) -> list[str]:
    """Acknowledged upserts that the gateway does not have, as sentences."""
    found: list[str] = []

    def compare(ask: Ask, answer: Answer) -> None:
        item_id, status = ask.kind, answer.status
        item = json.loads(answer.body)["item"] if status == 200 else {}
        got, wanted = (item.get("price"), item.get("image_id")), judge.stored[item_id]
        unsure = [(price, image or wanted[1]) for price, image in judge.unsure.get(item_id, [])]
        if got != wanted and got not in unsure:
            found.append(f"{item_id}: {status}, {got}, acknowledged as {wanted}")

    asks = [Ask(request("GET", f"/v1/items/{item_id}"), item_id) for item_id in judge.stored]

    async def drive() -> Tally:
        async with Load("127.0.0.1", server.port, 8, compare) as load:
            return await load.all_of(asks)

    missing = len(asks) - sum(run(drive()).statuses().values())
    return found + ([f"{missing} listings could not be asked for"] if missing else [])


def wanting_rows(server: Server, judge: Judge) -> list[str]:
    """Acknowledged events that are not in the partitions just once, and upserts that are not in them, as sentences."""
    deadline = time.monotonic() + FLUSH_S
    while time.monotonic() < deadline and backlog(server):
        time.sleep(1)
    store = server.workspace / ".vitrine/serve/store/events"
    times = Counter(logged(store))
    upserts = set(zip(*(column(store / "listings", name) for name in ("item_id", "price")), strict=True))
    events = [f"{one}: {times[one]} times in the partitions" for one in sorted(judge.events) if times[one] != 1]
    return events + [f"{item_id} at {price} is not in the partitions" for item_id, price in sorted(judge.acknowledged - upserts)]


def backlog(server: Server) -> float:
    """Rows that are not in the store yet."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("vitrine_log_backlog_rows"))


def logged(events: Path) -> Iterator[str]:
    """Every event_id in the partitions, as often as it is there; an exposure's once, by its first item."""
    yield from (one for one in column(events / "clicks", "event_id") if one)
    yield from (one.removesuffix("/0") for one in column(events / "impressions", "event_id") if one and one.endswith("/0"))


def column(folder: Path, name: str) -> Sequence[str]:
    """A column of all the files of a table."""
    return [value for path in sorted(folder.glob("**/*.parquet")) for value in pq.read_table(path, columns=[name])[name].to_pylist()]
