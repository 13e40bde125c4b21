"""What a gateway must not forget of the channel when it ends: the last good record, rollbacks that are not in it yet, and which releases it
took in for it. One file in its state folder, replaced in one step."""

import datetime as dt
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from components.errors import BadState
from components.objects import FolderStore
from components.release.channel import EMPTY, Channel
from components.release.record import decode, encode

FILE = "channel.json"
FORMAT = 1


@dataclass(frozen=True)
class Rollback:
    """A release that a person sent back here, which the registry may not know yet."""

    release_id: str
    reason: str
    actor: str
    at: dt.datetime


@dataclass
class Remembered:
    """The file's content. `record` is as it was read last, at `read_s` (Unix time); `taken` are the releases that were brought here for it,
    `passed` those of them that stood in service."""

    path: Path
    registry: str
    record: Channel = EMPTY
    read_s: float = 0.0
    rollbacks: tuple[Rollback, ...] = ()
    taken: frozenset[str] = frozenset()
    passed: frozenset[str] = frozenset()

    @classmethod
    def open(cls, state: Path, registry: str) -> "Remembered":
        """What an earlier process left; nothing where it followed another registry. Raises BadState where the file is damaged."""
        path = state / FILE
        if not path.exists():
            return cls(path, registry)
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            if found["format"] != FORMAT:
                raise ValueError(f"its format is {found['format']}, not {FORMAT}")
            if found["registry"] != registry:
                return cls(path, registry)
            rollbacks = tuple(Rollback(**row | {"at": dt.datetime.fromisoformat(row["at"])}) for row in found["rollbacks"])
            record = decode(found["record"].encode())
            taken, passed = frozenset(found["taken"]), frozenset(found["passed"])
            return cls(path, registry, record, path.stat().st_mtime, rollbacks, taken, passed)
        except (ValueError, KeyError, TypeError, AttributeError, BadState) as error:
            raise BadState(f"{path} is damaged ({error}): move it away; a rollback that is not in the registry yet may be in it") from None

    def keep(self) -> None:
        """Writes it down."""
        rollbacks = [vars(one) | {"at": one.at.isoformat()} for one in self.rollbacks]
        said = {"record": encode(self.record).decode(), "rollbacks": rollbacks, "taken": sorted(self.taken), "passed": sorted(self.passed)}
        data = json.dumps({"format": FORMAT, "registry": self.registry} | said, indent=2) + "\n"
        FolderStore(self.path.parent).put(self.path.name, data.encode())
        self._date()

    def seen(self) -> None:
        """The record was read again and is the same."""
        self.read_s = time.time()
        self._date()

    def _date(self) -> None:
        """The file's own time says when the record was read last."""
        if self.path.exists():
            os.utime(self.path, (self.read_s, self.read_s))
