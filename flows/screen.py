"""The ladder on a terminal as it moves; plain lines where there is no terminal."""

import time
from collections.abc import Mapping
from types import TracebackType

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from components.release.channel import FULL, PLATFORMS, Candidate, Step

BAR_CELLS = 25
STYLES = {Step.SHADOW: "dim", Step.CANARY: "green", Step.HELD: "yellow", Step.RETURNED: "red"}


class Screen:
    """Lines that stay, and below them, on a terminal, how the release under test stands right now."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(soft_wrap=True)
        self._live = Live(console=self.console, refresh_per_second=4, transient=True) if self.console.is_terminal else None
        self._started_s = time.monotonic()

    def __enter__(self) -> "Screen":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._live:
            self._live.stop()

    def say(self, line: str, style: str = "") -> None:
        """A line that stays, with the seconds since the beginning."""
        self.console.print(Text(f"{time.monotonic() - self._started_s:6.1f} s  {line}", style=style))

    def stand(self, title: str, candidate: Candidate | None, words: Mapping[str, str]) -> None:
        """Draws where each platform stands; `words` say by group what the judge waits for. Nothing without a terminal."""
        if self._live:
            self._live.update(_drawn(title, candidate, words) if candidate else Text(""), refresh=True)


def _drawn(title: str, candidate: Candidate, words: Mapping[str, str]) -> RenderableType:
    table = Table(box=SIMPLE_HEAD, show_edge=False, title=title, title_justify="left", title_style="bold")
    for name in ("platform", "", "users", "step"):
        table.add_column(name, no_wrap=True)
    for platform in PLATFORMS:
        lane = candidate.lanes[platform]
        table.add_row(platform, bar(lane.weight_percent), f"{lane.weight_percent} %", Text(lane.step.value, style=STYLES[lane.step]))
    return Group(table, *(Text(f"{group}: {said}", style="dim", overflow="ellipsis", no_wrap=True) for group, said in words.items()))


def bar(weight_percent: int) -> str:
    """The share of users as cells; any user at all fills one."""
    filled = -(-BAR_CELLS * weight_percent // FULL)
    return "█" * filled + "░" * (BAR_CELLS - filled)
