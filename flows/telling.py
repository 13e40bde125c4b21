"""A release's chapter of the page, out of its decision log, the gateway's own log, and what the gateway was seen to go by."""

import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence

import polars as pl

from components.objects import ObjectStore
from components.release.channel import Platform
from components.release.decision import Decision
from components.release.report.story import Chapter, Heard, Moved, Shelf, Timing

PROMOTED, ROLLED_BACK, OPEN = "promoted", "rolled back", "still under test"
MOVES = frozenset({"propose", "climb", "return", "hold", "withdraw", "pause", "resume", "rollback", "promote"})
ENDINGS = {"promote": PROMOTED, "withdraw": ROLLED_BACK, "rollback": ROLLED_BACK}

Reached = Callable[[int], float | None]


def ending(entries: Sequence[Decision]) -> tuple[str, str]:
    """How it ended and why, in the words of the log: of a release that went back, what it was returned for."""
    last = next((one for one in reversed(entries) if one.kind in ENDINGS), None)
    if last is None:
        return OPEN, entries[-1].reason if entries else "nothing was decided"
    returned = [one.reason for one in entries if one.kind == "return"]
    is_returned = last.kind == "withdraw" and returned
    return ENDINGS[last.kind], "; ".join(dict.fromkeys(returned)) if is_returned else last.reason


def chapter(entries: Sequence[Decision], title: str, about: str, timings: Mapping[str, Timing], shelves: Sequence[Shelf]) -> Chapter:
    """What the page tells of the release. Raises IndexError where nothing was decided."""
    how, why = ending(entries)
    return Chapter(
        title=title,
        release_id=entries[0].release_id,
        about=about,
        ending=how,
        reason=why,
        facts=_facts(entries),
        heard=[Heard(one.at, one.judgement) for one in entries if one.judgement is not None],
        moved=[_moved(one) for one in entries if one.kind in MOVES],
        timings=timings,
        shelves=shelves,
    )


def _facts(entries: Sequence[Decision]) -> dict[str, str]:
    looks = [one for one in entries if one.judgement is not None]
    if not looks:
        return {}
    took_s = (entries[-1].at - entries[0].at).total_seconds()
    highest: dict[tuple[str | None, int | None], int] = {}
    for one in looks:
        if one.look is not None:
            highest[one.group, one.weight_percent] = sum(one.look.users.values())
    return {"looks kept": f"{len(looks):,}", "users judged": f"{sum(highest.values()):,}", "from proposal to end": f"{took_s:.0f} s"}


def _moved(entry: Decision) -> Moved:
    weight = 0 if entry.kind in ("propose", "withdraw", "rollback") and entry.weight_percent is None else entry.weight_percent
    return Moved(entry.at, entry.kind, entry.platforms, weight, entry.reason, entry.actor)


def timings(
    entries: Sequence[Decision], store: ObjectStore, groups: Mapping[str, Sequence[Platform]], reached: Reached
) -> dict[str, Timing]:
    """Of each group that was returned: from the candidate's first answer to one of its users to the look that failed it, and on to when the
    gateway went by a record without it. A group that returned before any user saw the release has none."""
    found = {}
    for group, platforms in groups.items():
        back = next((one for one in entries if one.kind == "return" and set(platforms) & set(one.platforms)), None)
        first = first_answer(store, entries[0].release_id, platforms) if back else None
        if back is None or first is None:
            continue
        at_s = reached((back.revision or 0) + 1)
        weightless = None if at_s is None else dt.datetime.fromtimestamp(at_s, dt.UTC)
        found[group] = Timing(first, back.at, weightless)
    return found


def first_answer(store: ObjectStore, release_id: str, platforms: Sequence[Platform]) -> dt.datetime | None:
    """When the release first answered a user of these platforms; None where it never did."""
    firsts: list[dt.datetime] = []
    for one in store.stored("answers"):
        rows = pl.read_parquet(io.BytesIO(store.get(one.key) or b""), columns=["ts", "arm", "candidate_id", "platform"])
        ours = rows.filter(pl.col("arm") == "canary", pl.col("candidate_id") == release_id, pl.col("platform").is_in(list(platforms)))
        if (first := ours["ts"].min()) is not None:
            assert isinstance(first, dt.datetime)
            firsts.append(first)
    return min(firsts, default=None)
