"""How a channel stands, in words: rows for a terminal, plain lines, and Markdown for Prefect. Pure."""

import datetime as dt
from collections.abc import Iterable, Mapping, Sequence

from components.release.channel import PLATFORMS, Channel, Platform
from components.release.component import Looked
from components.release.decision import Decision
from components.release.gateways import Applied

HEAD = ("platform", "step", "users", "since (UTC)", "verdict", "more users", "why")


def rows(channel: Channel, entries: Sequence[Decision]) -> list[tuple[str, ...]]:
    """A row a platform, in the order of HEAD: where it stands, the last verdict there, and how many more users the next may take."""
    if channel.candidate is None:
        return []
    return [(platform, *_row(channel, platform, entries)) for platform in PLATFORMS]


def _row(channel: Channel, platform: Platform, entries: Sequence[Decision]) -> tuple[str, ...]:
    lane = channel.lane(platform)
    last = last_verdict(channel, platform, entries)
    needed = f"{last.judgement.users_needed:,}" if last and last.judgement and last.judgement.users_needed else ""
    why = last.reason if last and last.at >= lane.since and lane.step in ("shadow", "canary") else lane.reason
    since = f"{lane.since.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S}"
    return str(lane.step), f"{lane.weight_percent} %", since, (last.verdict or "") if last else "", needed, why


def last_verdict(channel: Channel, platform: Platform, entries: Sequence[Decision]) -> Decision | None:
    """The last entry that judged the platform for the candidate."""
    candidate = channel.candidate
    if candidate is None:
        return None
    about = (one for one in reversed(entries) if one.verdict and one.strata and one.at >= candidate.since)
    return next((one for one in about if platform in one.strata[0].platforms), None)


def head_lines(channel: Channel, ended: str | None) -> list[str]:
    """What is stable, what is under test, and without a candidate how the last one ended."""
    lines = [f"stable: {channel.stable or 'none yet: the first release becomes stable at once'} (revision {channel.revision})"]
    if channel.candidate is not None:
        paused = f", paused: {channel.candidate.paused}" if channel.candidate.paused else ""
        lines.append(f"under test: {channel.candidate.release_id}, since {channel.candidate.since:%Y-%m-%d %H:%M:%S}{paused}")
    elif ended:
        lines.append(ended)
    return lines


def plain(all_rows: Iterable[tuple[str, ...]]) -> list[str]:
    """A line a platform."""
    lines = []
    for platform, step, users, since, verdict, needed, why in all_rows:
        more = f" ({needed} more users)" if needed else ""
        lines.append(f"{platform:8}{step} {users} since {since}{f', {verdict}{more}' if verdict else ''}: {why}")
    return lines


def gateway_lines(answers: Sequence[Applied], channel: Channel) -> list[str]:
    """What each gateway applies."""
    return [f"{one.url}: {_gateway(one, channel)}" for one in answers]


def _gateway(one: Applied, channel: Channel) -> str:
    if not one.is_reachable:
        return f"does not answer: {one.problem}"
    said = f"goes by revision {one.revision}, answers with {_short(one.stable)}"
    said += f" and {_short(one.candidate)}" if one.candidate else ""
    trouble = one.problem or one.lacks(channel)
    return f"{said}; {trouble}" if trouble else said


def _short(release_id: str | None) -> str:
    return release_id[:12] if release_id else "nothing"


def entry_line(entry: Decision) -> str:
    """An entry of the decision log in a line."""
    whom = entry.group or ", ".join(entry.platforms)
    weight = "" if entry.weight_percent is None else f" {entry.weight_percent} %"
    verdict = f" {entry.verdict}" if entry.verdict else ""
    return f"{entry.kind}{f' {whom}' if whom else ''}{weight}{verdict}: {entry.reason}"


def stay_lines(look: Looked) -> dict[str, str]:
    """Where each group stays and why, by group."""
    return {
        move.group: f"{move.group} stays at {move.weight_percent} %: {move.reason}"
        for move in look.moves
        if move.group and move.kind == "stay"
    }


def markdown(look: Looked, entries: Sequence[Decision], entry: Decision) -> str:
    """An entry with the ladder after it and, where it was judged, the metrics that it rests on."""
    parts = [f"## {entry_line(entry)}", *head_lines(look.channel, look.ended), ""]
    if table := rows(look.channel, entries):
        parts += [_line(HEAD), _line(["---"] * len(HEAD)), *(_line(row) for row in table), ""]
    if entry.judgement is not None:
        names = ("metric", "verdict", "stable", "canary", "difference", "interval", "margin")
        parts += [_line(names), _line(["---"] * len(names)), *(_line(_metric(vars(row))) for row in entry.judgement.rows)]
    return "\n".join(parts)


def _metric(row: Mapping[str, object]) -> list[str]:
    def number(name: str) -> str:
        value = row[name]
        return f"{value:.4g}" if isinstance(value, float) else "open" if name in ("low", "high") else "-"

    interval = f"{number('low')} to {number('high')}"
    unit = " of stable" if row["relative"] else ""
    return [
        str(row["metric"]),
        str(row["verdict"]),
        number("stable"),
        number("canary"),
        number("estimate") + unit,
        interval,
        number("limit"),
    ]


def _line(cells: Iterable[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
