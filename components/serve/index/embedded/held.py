"""An open generation's parts: what its reads, its writes and its compactions share."""

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

from components.neighbours import IndexConfig
from components.serve.index.config import EmbeddedConfig
from components.serve.index.embedded.building import load
from components.serve.index.embedded.commits import Commits
from components.serve.index.embedded.journal import Journal, told
from components.serve.index.embedded.memory import Memory


@dataclass
class Held:
    """`memory` holds every change up to `seq`; it is changed in the event loop only."""

    folder: Path
    cfg: EmbeddedConfig
    index_cfg: IndexConfig
    journal: Journal
    commits: Commits
    memory: Memory
    seq: int
    closed: bool = False

    @classmethod
    def open(cls, folder: Path, cfg: EmbeddedConfig, index_cfg: IndexConfig) -> "Held":
        """What lies in the folder. Raises BadState where it is damaged."""
        journal = Journal(folder)
        try:
            journal.forget_deletions(forgotten_before(cfg))
            with told(journal.path):
                memory = load(folder, journal, index_cfg)
        except BaseException:
            journal.close()
            raise
        return cls(folder, cfg, index_cfg, journal, Commits(journal, cfg.max_waiting_rows), memory, journal.seq)


def forgotten_before(cfg: EmbeddedConfig) -> dt.datetime:
    """Deletions older than this need not be remembered."""
    return dt.datetime.now(dt.UTC) - dt.timedelta(days=cfg.keep_tombstones_days)
