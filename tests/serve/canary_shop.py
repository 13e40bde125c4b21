"""A gateway that follows a channel record, and the registry that holds it: what the tests of the canary share."""

import datetime as dt
import io
import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import polars as pl

from components.manifest import MANIFEST, write_manifest
from components.objects import FolderStore
from components.release.channel import PLATFORMS, Channel, Platform, climbed, first, proposed, withdrawn
from components.release.provenance import gathered
from components.release.registry import Registry
from tests.serve.gateway import Running, running
from tests.serve.rival import LENIENT

NOW = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
WITHIN_S = 30.0
FAST: dict[str, Any] = {
    "log": {"canary_flush_s": 0.2},
    "channel": {"poll_s": 0.05, "retry_s": 0.1, "timeout_s": 1.0, "linger_s": 0.2},
    "index": LENIENT["index"],
}


def until(holds: Callable[[], Any], limit_s: float = WITHIN_S) -> Any:
    """What it returns, once that is true."""
    end_s = time.monotonic() + limit_s
    while not (found := holds()):
        assert time.monotonic() < end_s, "it did not come to be"
        time.sleep(0.02)
    return found


def twin(bundle: Path, folder: Path, name: str = "twin") -> Path:
    """A bundle that answers as the other one does, and is another release."""
    shutil.copytree(bundle, folder)
    facts = {k: v for k, v in json.loads((folder / MANIFEST).read_text()).items() if k not in ("format", "files")}
    (folder / MANIFEST).unlink()
    write_manifest(folder, facts | {"promote": True, "twin": name})
    return folder


@dataclass
class Place:
    """A registry in a folder whose channel tests change as a controller does."""

    folder: Path
    registry: Registry = field(init=False)

    def __post_init__(self) -> None:
        self.registry = Registry(FolderStore(self.folder))

    def publish(self, bundle: Path) -> str:
        """The bundle's digest, after the registry has it."""
        return self.registry.publish(bundle, gathered(bundle, bundle, NOW, {"CI_JOB_URL": "test"}))

    def begin(self, stable: str, candidate: str | None = None, share: float = 0.0, weight: int = 0) -> None:
        """Makes one release stable, and has another under test where it is given."""
        self.change(lambda record: first(record, stable))
        if candidate:
            self.propose(candidate, share)
            self.climb(weight)

    def propose(self, candidate: str, share: float = 0.0) -> None:
        """The release is under test."""
        self.change(lambda record: proposed(record, candidate, NOW, share, "test"))

    def climb(self, weight: int, *platforms: Platform) -> None:
        """So many percent of the platforms' users join."""
        if weight:
            self.change(lambda record: climbed(record, platforms or PLATFORMS, weight, NOW, "test"))

    def change(self, act: Callable[[Channel], Channel]) -> Channel:
        """The record after the change."""
        return self.registry.change(act)

    @property
    def record(self) -> Channel:
        """As it stands."""
        return self.registry.channel()[0]


@dataclass
class Canary:
    """A gateway over a registry. `stable` and `candidate` are two releases in it; `cleared` rows of the answers log are gone."""

    place: Place
    live: Running
    store: Path
    stable: str
    candidate: str
    cleared: int = 0

    @property
    def client(self) -> httpx.Client:
        """To the gateway."""
        return self.live.client

    def channel(self) -> dict[str, Any]:
        """What the gateway says of the record."""
        said: dict[str, Any] = self.client.get("/v1/channel").json()
        return said

    def heeds(self) -> dict[str, Any]:
        """What it says once it goes by the record as it stands, and has all in service that it names."""
        return heeds(self.client, self.place)

    def similar(self, user: str | None = None, platform: str = "web", **query: Any) -> httpx.Response:
        """Its answer to a user."""
        return self.client.get("/v1/similar", params={"text": "mug", **query}, headers=headers(user, platform))

    def answers(self, num_rows: int) -> pl.DataFrame:
        """The answers log, once so many rows of it lie in the store."""
        until(lambda: len(answers_in(self.store)) >= num_rows)
        return answers_in(self.store)

    def begin_again(self) -> None:
        """Nothing is under test, and the answers log is empty, as after the start."""
        if self.place.record.candidate:
            self.place.change(withdrawn)
        self.heeds()
        served = self.live.gateway.router.served.get(self.candidate)
        if served:
            vars(served.generation).pop("search", None)
        until(self._is_all_in_the_store)
        shutil.rmtree(self.store / "answers", ignore_errors=True)
        self.cleared = self.channel()["answers"]["logged"]

    def _is_all_in_the_store(self) -> bool:
        before = self.channel()["answers"]["logged"]
        time.sleep(0.3)  # rows wait a tenth of a second for each other
        return bool(before == self.channel()["answers"]["logged"] == self.cleared + len(answers_in(self.store)))


def heeds(client: httpx.Client, place: Place) -> dict[str, Any]:
    """What a gateway says once it goes by the record as it stands, and has all in service that it names."""

    def there() -> dict[str, Any] | None:
        said: dict[str, Any] = client.get("/v1/channel").json()
        record, here = place.record, said["here"]
        wanted = (record.stable, record.candidate.release_id if record.candidate else None)
        return said if said["revision"] == record.revision and (here["stable"], here["candidate"]) == wanted else None

    found: dict[str, Any] = until(there)
    return found


def headers(user: str | None, platform: str = "web") -> dict[str, str]:
    """Those of a shop's request for a user."""
    return {"x-user-id": user, "x-platform": platform} if user else {}


def answers_in(store: Path) -> pl.DataFrame:
    """All of the answers log that lies in the store."""
    files = sorted((store / "answers").rglob("*.parquet"))
    found = [pl.read_parquet(io.BytesIO(path.read_bytes())) for path in files if not path.name.startswith(".")]
    return pl.concat(found) if found else pl.DataFrame()


@contextmanager
def canary(workspace: Path, state: Path, changes: dict[str, Any] | None = None, rival: Path | None = None) -> Iterator[Canary]:
    """A gateway over a new registry with two releases, of which no record says anything yet: the workspace's own bundle as one that may be
    released, and a twin of it or the rival's."""
    place = Place(state / "registry")
    bundles = (
        twin(workspace / "bundle", state / "stable", "stable"),
        twin(rival / "bundle" if rival else workspace / "bundle", state / "other"),
    )
    stable, candidate = (place.publish(bundle) for bundle in bundles)
    place.begin(stable)
    with running(workspace, state / "gateway", fast(changes), registry=place.folder) as live:
        yield Canary(place, live, state / "gateway/store", stable, candidate)


def fast(changes: dict[str, Any] | None = None) -> dict[str, Any]:
    """Changes to `serve:` with which tests need not wait."""
    found: dict[str, Any] = json.loads(json.dumps(FAST))
    for section, values in (changes or {}).items():
        found.setdefault(section, {})
        merge_into(found[section], values)
    return found


def merge_into(base: dict[str, Any], changes: dict[str, Any]) -> None:
    """As tests.conftest.merge, where a key may be new."""
    for key, value in changes.items():
        if isinstance(value, dict):
            merge_into(base.setdefault(key, {}), value)
        else:
            base[key] = value
