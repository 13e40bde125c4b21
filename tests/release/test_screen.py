"""The ladder on a terminal, and plain lines where it is none."""

import datetime as dt
import io
from types import MappingProxyType

from rich.console import Console

from components.release.channel import PLATFORMS, Candidate, Lane, Step
from flows.screen import BAR_CELLS, Screen, bar

AT = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def make_candidate(weight=25):
    lanes = {name: Lane(Step.RETURNED if name == "ios" else Step.CANARY, 0 if name == "ios" else weight, AT, "why") for name in PLATFORMS}
    return Candidate("a" * 64, AT, 0.2, MappingProxyType(lanes))


def shown(*, terminal):
    out = io.StringIO()
    with Screen(Console(file=out, force_terminal=terminal, width=100, legacy_windows=False)) as screen:
        screen.say("climb web")
        screen.stand("A better model", make_candidate(), {"web": "not yet, 100 more users needed"})
    return out.getvalue()


def test_a_terminal_shows_where_each_platform_stands_and_what_the_judge_waits_for():
    text = shown(terminal=True)
    for said in ("climb web", "A better model", "web", "ios", "android", "25 %", "returned", "100 more users"):
        assert said in text


def test_without_a_terminal_there_are_plain_lines_and_no_codes():
    text = shown(terminal=False)
    assert text.strip().endswith("climb web")
    assert "\x1b" not in text


def test_any_user_at_all_fills_a_cell_and_all_users_fill_every_one():
    assert [bar(weight).count("█") for weight in (0, 1, 50, 100)] == [0, 1, 13, BAR_CELLS]
    assert {len(bar(weight)) for weight in range(101)} == {BAR_CELLS}
