"""What an entry of a decision log says, once more from its files: counted, and judged by the thresholds that the entry names."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import pyarrow as pa

from components.contract import Config
from components.errors import BadData
from components.objects import ObjectStore
from components.release.channel import FULL
from components.release.config import ShadowConfig
from components.release.decisions import Decision
from components.release.differences import differences
from components.release.evidence import Look
from components.release.files import AT_ONCE, Input
from components.release.hearing import Past
from components.release.judgement import Judgement, Verdict
from components.release.ladder import shadow_finding
from components.release.logged import table_of
from components.release.rules import JudgeConfig
from components.release.soak import soaked
from components.release.tally import Tally

READERS = 8

Judge = Callable[[Sequence[Look], Look, JudgeConfig], Judgement]
C = TypeVar("C", bound=Config)


@dataclass(frozen=True)
class Told:
    """An entry, what is wrong with it, and whether its verdict was reached again."""

    entry: Decision
    problems: Sequence[str]
    is_derived: bool


class Again:
    """Counts and judges again, entry by entry."""

    def __init__(self, entries: Sequence[Decision], store: ObjectStore, judge: Judge) -> None:
        self._entries, self._store, self._judge = entries, store, judge
        self._last = {one.key: one for entry in entries for one in entry.inputs}
        self._tally = Tally()
        self._tally.follow(tuple(dict.fromkeys(stratum for entry in entries for stratum in entry.strata)))

    def told(self, place: int) -> Told:
        """The entry at that place, after those before it."""
        entry = self._entries[place]
        problems = list(self._read(entry.inputs))
        try:
            found = list(self._derived(entry, self._entries[:place]))
        except BadData as error:
            found = [str(error)]
        return Told(entry, [*problems, *found], is_derived=entry.verdict is not None and not problems and not found)

    def _read(self, inputs: Sequence[Input]) -> Iterator[str]:
        """Counts the files, and says what is wrong with them."""
        with ThreadPoolExecutor(READERS) as pool:
            for start in range(0, len(inputs), AT_ONCE):
                some = inputs[start : start + AT_ONCE]
                tables: dict[str, list[pa.Table]] = {}
                for one, found in zip(some, pool.map(self._store.read, (one.key for one in some)), strict=True):
                    try:
                        self._open(one, found.data if found else None, tables)
                    except BadData as error:
                        yield f"{one.key} {error}"
                for name, opened in tables.items():
                    self._tally.take(name, opened)

    def _open(self, one: Input, data: bytes | None, tables: dict[str, list[pa.Table]]) -> None:
        """Adds the file's rows. Raises BadData where it is not what was counted."""
        if one.set_aside is not None and self._last[one.key] != one:
            return  # it was no table then, and was written anew since
        if data is None:
            raise BadData("is gone")
        if (digest := hashlib.sha256(data).hexdigest()) != one.sha256:
            raise BadData(f"has other bytes than when it was counted: sha256 {digest[:12]}, it was {one.sha256[:12]}")
        try:
            table = table_of(data, one.table)
        except BadData as error:
            if one.set_aside is None:
                raise BadData(f"was counted, but cannot be read: {error}") from None
            return
        if one.set_aside is not None:
            raise BadData(f"was set aside ({one.set_aside}), but can be read")
        tables.setdefault(one.table, []).append(table)

    def _derived(self, entry: Decision, before: Sequence[Decision]) -> Iterator[str]:
        """What the entry says otherwise than its files. Raises BadData where it cannot be derived at all."""
        if entry.kind == "climb" and entry.verdict not in (None, Verdict.PASS):
            yield f"users were given the release on {entry.verdict}"
        if entry.look is None and entry.shadow is None and entry.baseline is None:
            if entry.verdict is not None:
                raise BadData(f"{entry.verdict} stands on no counts")
            return
        if len(entry.strata) != 1:
            raise BadData(f"counts of one stratum stand on {len(entry.strata)}")
        if entry.baseline is not None:
            yield from differences("baseline", entry.baseline, self._baseline(entry))
        if entry.shadow is not None:
            yield from self._in_shadow(entry, before)
        if entry.look is not None:
            yield from self._on_rung(entry, entry.look, before)

    def _baseline(self, entry: Decision) -> object:
        if entry.baseline is None or entry.baseline.rule is None or not entry.strata[0].is_shadow:
            raise BadData("the baseline does not say what it was frozen by")
        return self._tally.shadows[entry.strata[0]].baseline(entry.baseline.at, entry.baseline.rule)

    def _in_shadow(self, entry: Decision, before: Sequence[Decision]) -> Iterator[str]:
        if entry.shadow is None or not entry.strata[0].is_shadow:
            raise BadData("a shadow stands on a rung")
        report = self._tally.shadows[entry.strata[0]].report(entry.shadow.at)
        yield from differences("shadow", entry.shadow, report)
        finding = shadow_finding(report, bound(ShadowConfig, "shadow", entry.thresholds))
        waits = (
            finding.verdict is Verdict.PASS
            and entry.verdict == Verdict.NOT_YET
            and entry.shadow.group not in _past(entry, before).baselines
        )
        if not waits:  # for its baseline
            yield from differences("verdict", entry.verdict, finding.verdict.value)

    def _on_rung(self, entry: Decision, recorded: Look, before: Sequence[Decision]) -> Iterator[str]:
        if entry.strata[0].is_shadow:
            raise BadData("a look stands on the shadow")
        look = self._tally.rungs[entry.strata[0]].look(recorded.at)
        yield from differences("look", recorded, look)
        judgement = self._judged(entry, look, _past(entry, before))
        yield from differences("judgement", entry.judgement, judgement)
        yield from differences("verdict", entry.verdict, judgement.verdict.value if judgement else Verdict.NOT_YET.value)

    def _judged(self, entry: Decision, look: Look, past: Past) -> Judgement | None:
        """None at 100 % where no baseline was frozen: then a person decides."""
        cfg = bound(JudgeConfig, "judge", entry.thresholds)
        if look.weight_percent < FULL:
            return self._judge(past.looks, look, cfg)
        baseline = past.baselines.get(look.group)
        return None if baseline is None else soaked(look, baseline, cfg, int(entry.thresholds.get("soak_users", 0)))


def _past(entry: Decision, before: Sequence[Decision]) -> Past:
    return Past(tuple(one for one in before if one.at >= entry.strata[0].proposed))


def bound(kind: type[C], name: str, thresholds: Mapping[str, Any]) -> C:
    """The part of an entry's thresholds as a Config. Raises BadData where it is not there or is none."""
    try:
        return kind.model_validate_json(json.dumps(thresholds[name]))
    except (KeyError, ValueError) as error:
        raise BadData(f"no thresholds of {name}: {' '.join(str(error).split())[:200]}") from None
