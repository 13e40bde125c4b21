"""What stage runs and their retraining hand each other, by content, in the work cache's store: handed/RETRAIN/STAGE/SHA256.json.

Both must reach the same store, so `cache.url` is a bucket, or a folder that all machines share.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.errors import BadParams, VitrineError
from components.objects import S3, Calls, ObjectStore, open_store
from components.work_cache import cache_config
from flows.pools.entries import packed, unpacked

HANDED = "handed"
BRIEF = Calls(connect_s=5, read_s=10, attempts=2)  # a sign of life that is late is worth as little as none


class Damaged(VitrineError):
    """What was handed over is gone or altered, and asking again would not help."""


@dataclass(frozen=True)
class Shelf:
    """The store's part that belongs to one retraining; `brief` is the same place, by calls that soon give up."""

    store: ObjectStore
    brief: ObjectStore
    retrain_id: str

    @classmethod
    def open(cls, retrain_id: str) -> "Shelf":
        """In the store that `cache.url` names. Raises BadParams where that is a folder inside the workspace, which no other clone sees."""
        url = shared_url(cache_config().url)
        return cls(open_store(url), open_store(url, BRIEF), retrain_id)

    def put(self, stage: str, value: Mapping[str, Any]) -> str:
        """The digest under which the value is kept from now on; it is written again where it is there already, so that it stays young."""
        data, digest = packed(value)
        self.store.put(self._key(stage, digest), data)
        return digest

    def get(self, stage: str, digest: str) -> dict[str, Any]:
        """The value. Raises Damaged where it is gone, or is not what the digest says."""
        key = self._key(stage, digest)
        data = self.store.get(key)
        if data is None:
            raise Damaged(f"{key} is not in the work cache: is cache.max_gib too small for one retraining?")
        if hashlib.sha256(data).hexdigest() != digest:
            raise Damaged(f"{key} was altered: its bytes do not have the digest in its name")
        return unpacked(data)

    def beat(self, stage: str, flow_run_id: str, sign: str) -> None:
        """Says that the run is alive; each `sign` is another than the one before. An object of its own each time: to be listed is all that
        it is for, and nobody reads one that is just being replaced."""
        before = list(self.brief.stored(self._beats(stage, flow_run_id)))
        self.brief.put(f"{self._beats(stage, flow_run_id)}/{sign}", sign.encode())
        for one in before:
            self.brief.delete(one.key)

    def last_beat(self, stage: str, flow_run_id: str) -> str | None:
        """What the run said last; None where it has not said anything yet."""
        return "\n".join(one.key for one in self.brief.stored(self._beats(stage, flow_run_id))) or None

    def clear(self) -> None:
        """Forgets everything that was handed over for this retraining."""
        for one in list(self.brief.stored(f"{HANDED}/{self.retrain_id}")):
            self.brief.delete(one.key)

    def _key(self, stage: str, digest: str) -> str:
        return f"{HANDED}/{self.retrain_id}/{stage}/{digest}.json"

    def _beats(self, stage: str, flow_run_id: str) -> str:
        return f"{HANDED}/{self.retrain_id}/{stage}/beats-{flow_run_id}"


def shared_url(url: str, knob: str = "cache.url") -> str:
    """The url. Raises BadParams where each clone would have a store of its own there."""
    if not url.startswith(S3) and not Path(url).is_absolute():
        raise BadParams(
            f"{knob} = {url!r} lies inside each clone, where no other stage run sees it: on work pools it must be s3://bucket/prefix, "
            "or the absolute path of a folder that all workers share"
        )
    return url
