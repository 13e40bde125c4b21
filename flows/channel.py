"""The edge of `vitrine release status`, `publish`, `pause`, `resume`, `rollback` and `promote`: the registry is enough for them."""

import datetime as dt
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from components.contract import bind, path_of, read_params
from components.objects import open_store
from components.release import gateways, notices
from components.release.changes import Desk
from components.release.channel import Channel
from components.release.component import Controller
from components.release.config import ReleaseConfig
from components.release.counts import Counter
from components.release.notices import Sender
from components.release.people import Person
from components.release.registry import Registry
from flows import standing

log = logging.getLogger("vitrine")

RECENT = 5


@dataclass(frozen=True)
class Office:
    """What `release:` of params.yaml leads to: the registry, at a desk."""

    cfg: ReleaseConfig
    params: Mapping[str, Any]
    desk: Desk

    @classmethod
    def open(cls) -> "Office":
        """Raises BadParams where the section cannot be used."""
        params = read_params()
        cfg = bind(ReleaseConfig, "release", params)
        return cls(cfg, params, Desk(Registry.open(cfg.registry)))

    def person(self, actor: str = "", senders: Sequence[Sender] = ()) -> Person:
        """Whoever sits at this terminal, unless `actor` says otherwise."""
        return Person(self.desk, [*notices.senders(self.cfg.notify.timeout_s), *senders], actor)

    def controller(self, release_id: str, senders: Sequence[Sender] = ()) -> Controller:
        """Follows a release by the gateway's log."""
        counter = Counter(open_store(str(self.params["serve"]["store"])), self.cfg.counting)
        return Controller(release_id, self.desk, counter, self.cfg, [*notices.senders(self.cfg.notify.timeout_s), *senders])


def publish(bundle: Path | None) -> str:
    """The release's id, once the bundle is in the registry."""
    office = Office.open()
    return office.person().publish(bundle or path_of("bundle", office.params))


def decide(verb: str, reason: str) -> str:
    """What stands after a person paused, resumed, rolled back or promoted, in one line."""
    channel: Channel = getattr(Office.open().person(), verb)(reason)
    return "; ".join(standing.head_lines(channel, None))


def show(console: Console | None = None) -> None:
    """Prints how the channel stands, by what the registry and each gateway say. Changes nothing."""
    console, office = console or Console(), Office.open()
    channel, _ = office.desk.registry.channel()
    entries = office.desk.log_of(channel.candidate.release_id).read() if channel.candidate else []
    lines = standing.head_lines(channel, None if channel.candidate else _last_ended(office.desk))
    table = standing.rows(channel, entries)
    answers = gateways.ask(office.cfg.gateways, office.cfg.ladder.gateway_timeout_s)
    _print(console, lines)
    if console.is_terminal and table:
        console.print(table_of(table))
    else:
        _print(console, standing.plain(table))
    _print(console, standing.gateway_lines(answers, channel))


def _last_ended(desk: Desk) -> str | None:
    """How the last release that was under test ended."""
    ends: list[tuple[dt.datetime, str]] = []
    for one in desk.registry.releases()[:RECENT]:
        last = next((entry for entry in reversed(desk.log_of(one.release_id).read()) if entry.kind in ENDINGS), None)
        if last is not None:
            ends.append((last.at, f"last: {one.release_id[:12]} {ENDINGS[last.kind]}: {last.reason}"))
    return max(ends)[1] if ends else None


ENDINGS = {"promote": "promoted", "withdraw": "rolled back", "rollback": "rolled back"}


def table_of(all_rows: list[tuple[str, ...]]) -> Table:
    """The platforms as a table for a terminal."""
    table = Table(*standing.HEAD, box=None, pad_edge=False, header_style="dim")
    for row in all_rows:
        table.add_row(*map(Text, row))
    return table


def _print(console: Console, lines: list[str]) -> None:
    for line in lines:
        console.print(Text(line), soft_wrap=True)
