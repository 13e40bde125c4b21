"""`vitrine explain`: every verdict is reached again from the files, and whatever was changed since is told."""

import dataclasses
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from components.contract import read_params
from components.errors import BadParams
from components.objects import FolderStore, open_store
from components.release.channel import FULL, Channel, climbed
from components.release.config import ReleaseConfig
from components.release.counts import Counter
from components.release.decision import encode
from components.release.decisions import Decision, DecisionLog, key_of
from components.release.evidence import Look
from components.release.explain import Explained, explained, resolved
from components.release.judge import judge
from components.release.judgement import Judgement, Verdict
from components.release.ladder import shadow_finding
from components.release.rules import JudgeConfig
from components.release.soak import soaked
from flows.explain import show_from
from tests.conftest import PROJECT, run
from tests.release.canary_log import CANDIDATE, GROUPS, Row, act, after, answer, channel, parquet, shown, write
from tests.s3_server import S3Server

CFG = ReleaseConfig.model_validate(read_params(PROJECT / "params.yaml")["release"])
JUDGE = CFG.judge.model_copy(update={"metrics": dict(sorted(CFG.judge.metrics.items()))})  # as the log has them
SHADOW = {"shadow": CFG.shadow.model_dump(mode="json")}
COUNTING = CFG.counting.model_copy(update={"min_baseline_answers": 100, "readers": 2})
STEPS = (0, 1, 25, 100)


class Controller:
    """Counts, judges and writes down, as the ladder's controller does, of the group web alone."""

    def __init__(self, registry: Any, store: Any) -> None:
        self.store, self.log = store, DecisionLog(registry, CANDIDATE)
        self.counter = Counter(store, COUNTING)

    def tick(self, record: Channel, at_s: float) -> Verdict:
        entries, at = self.log.read(), after(at_s)
        baselines = {entry.baseline.group: entry.baseline for entry in entries if entry.baseline}
        self.counter.read(record, baselines, {"web": GROUPS["web"]})
        verdict = Verdict.NOT_YET
        for stratum, report in self.counter.reports(at).items():
            verdict = shadow_finding(report, CFG.shadow).verdict
            self._write("shadow", at, strata=(stratum,), shadow=report, verdict=verdict, thresholds=SHADOW)
        for stratum, baseline in self.counter.baselines(at).items() if not baselines else ():
            self._write("baseline", at, strata=(stratum,), baseline=baseline)
        for stratum, look in self.counter.looks(at).items():
            if look.weight_percent < FULL:
                judgement = judge([entry.look for entry in entries if entry.look], look, JUDGE)
            else:
                judgement = soaked(look, baselines["web"], JUDGE, 5)
            verdict = judgement.verdict
            thresholds = {"judge": JUDGE.model_dump(mode="json"), "soak_users": 5}
            self._write("look", at, strata=(stratum,), look=look, judgement=judgement, verdict=verdict.value, thresholds=thresholds)
        return verdict

    def _write(self, kind: str, at: Any, **more: Any) -> None:
        inputs = self.log.news(self.counter.files.inputs.values())
        said = {"release_id": CANDIDATE, "at": at, "actor": "controller@here", "kind": kind, "reason": "as counted", "group": "web"}
        self.log.append(Decision(**said, inputs=inputs, **more))  # type: ignore[arg-type]


def traffic(store: Any, weight: int, start_s: float, num_users: int, rng: np.random.Generator, error_share: float = 0.0) -> None:
    """Answers, pages and clicks of users who come once or twice, in three files."""
    answers: list[Row] = []
    items: list[Row] = []
    acts: list[Row] = []
    for user in range(num_users):
        in_canary = rng.random() * 100 < weight
        for _ in range(1 + user % 2):
            page, at_s = f"{start_s}-{weight}-{user}-{len(answers)}", start_s + float(rng.random())
            status = 503 if in_canary and rng.random() < error_share else 200
            arm = "canary" if in_canary else "stable"
            scores = rng.random(4).round(2).tolist()
            more = {"weight_percent": weight, "status": status, "latency_ms": float(rng.gamma(2, 10)), "hit_scores": scores}
            answers.append(answer(page, f"u-{start_s}-{user}", arm, at_s=at_s, **more))
            if weight == 0:
                answers.append(
                    answer(page, f"u-{start_s}-{user}", "shadow", at_s=at_s, overlap=float(rng.random()), score_shift=0.01, **more)
                )
            items += [shown(page, f"i-{slot}") for slot in range(2)]
            if rng.random() < 0.3:
                acts.append(act(page, "i-1", at_s=at_s + 3))
    for name, rows in (("impressions", items), ("answers", answers), ("clicks", acts)):
        write(store, name, rows)


def climb(registry: Any, store: Any, error_share: float = 0.0, ticks: int = 3) -> list[Verdict]:
    """The log of a release from the shadow to 100 %, a new process on every rung; returns each rung's last verdict."""
    rng, verdicts = np.random.default_rng(0), []
    record = channel()
    for rung, weight in enumerate(STEPS):
        start_s = 1000.0 * rung
        if weight:
            record = climbed(record, ["web"], weight, after(start_s), "climbs")
        controller = Controller(registry, store)
        for tick in range(ticks):
            traffic(store, weight, start_s + 10 + tick, 250, rng, error_share if weight else 0.0)
            verdict = controller.tick(record, start_s + 20 + tick)
        verdicts.append(verdict)
    return verdicts


@pytest.fixture(scope="module")
def climbed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("climb")
    climb(FolderStore(folder / "registry"), FolderStore(folder / "store"), error_share=0.5)
    return folder


@pytest.fixture
def folder(climbed_once: Path, tmp_path: Path) -> Path:
    """A copy to do harm to."""
    return shutil.copytree(climbed_once, tmp_path / "copy")


def told(folder: Path, **more: Any) -> Explained:
    return explained(DecisionLog(FolderStore(folder / "registry"), CANDIDATE), FolderStore(folder / "store"), **more)


def problems(folder: Path) -> str:
    found = told(folder)
    assert not found.is_sound
    return "\n".join([*found.problems, *(problem for one in found.told for problem in one.problems)])


def rewrite(folder: Path, seq: int, change: Callable[[Decision], Decision]) -> None:
    """Alters an entry and, as whoever covers their tracks would, every digest after it."""
    log = DecisionLog(FolderStore(folder / "registry"), CANDIDATE)
    previous = ""
    for entry in log.read():
        entry = dataclasses.replace(change(entry) if entry.seq == seq else entry, previous=previous)
        data = encode(entry)
        log.store.put(key_of(CANDIDATE, entry.seq), data)
        previous = hashlib.sha256(data).hexdigest()


def entry_with(folder: Path, wanted: Callable[[Decision], bool]) -> Decision:
    entries = DecisionLog(FolderStore(folder / "registry"), CANDIDATE).read()
    return [entry for entry in entries if wanted(entry)][-1]


def test_every_verdict_is_reached_again_over_restarts_and_rungs(climbed_once):
    found = told(climbed_once)
    assert found.is_sound, problems(climbed_once)
    verdicts = [one.entry.verdict for one in found.told if one.entry.verdict]
    assert found.num_derived == len(verdicts) == 12
    assert {"PASS", "FAIL", "NOT_YET"} <= set(verdicts)
    assert sum(len(one.entry.inputs) for one in found.told) == 36


def test_what_is_frozen_in_the_shadow_holds_at_100_percent(climbed_once):
    entries = [one.entry for one in told(climbed_once).told]
    assert [entry.kind for entry in entries[:4]] == ["shadow", "baseline", "shadow", "shadow"]
    frozen, last = entries[1].baseline, entries[-1].judgement
    assert frozen is not None
    assert last is not None
    assert {row.metric: row.stable for row in last.rows} == pytest.approx(frozen.values, rel=1e-5)


def test_a_file_that_is_gone_is_named(folder):
    entry = entry_with(folder, lambda one: bool(one.inputs) and one.kind == "look")
    FolderStore(folder / "store").delete(entry.inputs[0].key)
    assert f"{entry.inputs[0].key} is gone" in problems(folder)


def test_a_file_with_other_bytes_is_named_and_counts_for_nothing(folder):
    entry = entry_with(folder, lambda one: bool(one.inputs) and one.kind == "look")
    key = next(one.key for one in entry.inputs if one.table == "answers")
    FolderStore(folder / "store").put(key, parquet("answers", [answer("r-1")]))
    found = problems(folder)
    assert f"{key} has other bytes" in found
    assert "look.users.canary: the log says" in found


def changed(entry: Decision, part: str | None = None, **to: Any) -> Decision:
    """The entry with other values, or with a part of it that has."""
    return dataclasses.replace(entry, **({part: dataclasses.replace(getattr(entry, part), **to)} if part else to))


@pytest.mark.parametrize(
    ("kind", "part", "to", "said"),
    [
        ("look", "look", {"users": {"canary": 7}}, "look.users.canary: the log says 7"),
        ("look", "look", {"left_out": {}}, "look.left_out.crossed_users: the log says None"),
        ("look", None, {"verdict": "HOLD"}, "verdict: the log says HOLD"),
        ("look", "judgement", {"num_users": 1}, "judgement.num_users: the log says 1"),
        ("look", None, {"thresholds": {}}, "no thresholds of judge"),
        ("look", None, {"strata": ()}, "stand on 0"),
        ("look", None, {"inputs": ()}, "other files than the log names"),
        ("look", None, {"kind": "climb", "verdict": "NOT_YET"}, "users were given the release on NOT_YET"),
        ("look", None, {"release_id": "d" * 64}, "is of another release"),
        ("shadow", "shadow", {"num_compared": 9}, "shadow.num_compared: the log says 9"),
        ("baseline", "baseline", {"num_answers": 9}, "baseline.num_answers: the log says 9"),
        ("baseline", "baseline", {"rule": None}, "what it was frozen by"),
    ],
)
def test_an_entry_that_says_otherwise_than_its_files_is_told(folder, kind, part, to, said):
    entry = entry_with(folder, lambda one: one.kind == kind)
    rewrite(folder, entry.seq, lambda one: changed(one, part, **to))
    assert said in problems(folder)


def test_a_verdict_without_counts_is_told(folder):
    log = DecisionLog(FolderStore(folder / "registry"), CANDIDATE)
    log.append(Decision(release_id=CANDIDATE, at=after(9999), actor="a", kind="promote", reason="b", verdict="PASS"))
    assert "PASS stands on no counts" in problems(folder)


def test_a_decision_of_a_person_needs_no_counts(folder):
    log = DecisionLog(FolderStore(folder / "registry"), CANDIDATE)
    log.append(Decision(release_id=CANDIDATE, at=after(9999), actor="ada@shop", kind="rollback", reason="the photos look wrong"))
    assert told(folder).is_sound


def test_an_altered_entry_breaks_the_chain(folder):
    path = folder / "registry" / key_of(CANDIDATE, 3)
    path.write_bytes(path.read_bytes().replace(b"as counted", b"as invented"))
    assert "entry 3 is not the one that entry 4 was written after" in problems(folder)


def test_an_entry_that_is_missing_or_unreadable_is_told(folder):
    (folder / "registry" / key_of(CANDIDATE, 3)).unlink()
    (folder / "registry" / key_of(CANDIDATE, 5)).write_text("{")
    found = problems(folder)
    assert "entry 3 is missing" in found
    assert "entry 5 cannot be read" in found


def test_a_judge_that_says_otherwise_now_is_told(climbed_once):
    def lenient(past: Sequence[Look], look: Look, cfg: JudgeConfig) -> Judgement:
        return dataclasses.replace(judge(past, look, cfg), verdict=Verdict.PASS)

    found = told(climbed_once, judge=lenient)
    assert not found.is_sound
    assert any("judgement.verdict: the log says FAIL, the files say PASS" in problem for one in found.told for problem in one.problems)


def test_a_file_that_was_set_aside_and_written_anew_is_no_fault_but_one_that_can_be_read_is(tmp_path):
    registry, store = FolderStore(tmp_path / "registry"), FolderStore(tmp_path / "store")
    controller, record, key = Controller(registry, store), channel(), "answers/dt=2026-01-31/late.parquet"
    whole = parquet("answers", [answer("r-1", weight_percent=0)])
    store.put(key, whole[:-9])
    controller.tick(record, 20)
    assert told(tmp_path).is_sound
    store.put(key, whole)
    assert "was set aside" not in (wrong := problems(tmp_path))
    assert "has other bytes" in wrong
    controller.tick(record, 30)
    assert told(tmp_path).is_sound
    assert controller.counter.account().answers == 1


def test_a_sound_file_that_the_log_calls_broken_is_told(folder):
    def hidden(entry: Decision) -> Decision:
        return dataclasses.replace(entry, inputs=tuple(dataclasses.replace(one, set_aside="trust me") for one in entry.inputs))

    rewrite(folder, 1, hidden)
    assert "was set aside (trust me), but can be read" in problems(folder)


def test_a_release_is_found_by_how_its_digest_begins(climbed_once):
    registry = FolderStore(climbed_once / "registry")
    assert resolved(registry, "cccc") == CANDIDATE
    for given, said in (("ccc", "4 digits"), ("dddd", "no release")):
        with pytest.raises(BadParams, match=said):
            resolved(registry, given)
    nobody = DecisionLog(registry, "d" * 64)
    with pytest.raises(BadParams, match="no decision log"):
        explained(nobody, registry)


def test_the_terminal_shows_what_when_who_and_why_and_ends_with_the_verdict_on_the_log(climbed_once, folder):
    console = Console(file=io.StringIO(), width=200)
    registry, store = FolderStore(climbed_once / "registry"), FolderStore(climbed_once / "store")
    assert show_from(registry, store, "cccccc", every=False, console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for said in ("controller@here", "look web 1 %", "FAIL", "as counted", "Every verdict follows from the files", "12 of 12"):
        assert said in text
    entry = entry_with(folder, lambda one: bool(one.inputs) and one.kind == "look")
    FolderStore(folder / "store").delete(entry.inputs[0].key)
    assert not show_from(registry, FolderStore(folder / "store"), "cccccc", every=True, console=console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    for said in ("not derived", f"entry {entry.seq} (look): {entry.inputs[0].key} is gone", "Not every verdict follows"):
        assert said in text


def test_over_s3_the_same_is_told(s3: S3Server, climbed_once, tmp_path, monkeypatch):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    store, local = open_store(f"{s3.url}/explain"), FolderStore(climbed_once / "store")
    for one in local.stored():
        store.put(one.key, local.get(one.key) or b"")
    counter = Counter(store, COUNTING)
    counter.read(channel(), {}, GROUPS)
    assert counter.account().num_files == 36
    log = DecisionLog(FolderStore(climbed_once / "registry"), CANDIDATE)
    assert explained(log, store).is_sound


def test_the_digests_of_inputs_are_those_that_a_person_can_check(climbed_once):
    line = (climbed_once / "registry" / key_of(CANDIDATE, 1)).read_text()
    for one in json.loads(line)["inputs"]:
        assert hashlib.sha256((climbed_once / "store" / one["key"]).read_bytes()).hexdigest() == one["sha256"]


def test_the_command_ends_with_1_where_a_verdict_cannot_be_reached_again(folder):
    edit = (PROJECT / "params.yaml").read_text()
    (folder / "params.yaml").write_text(edit.replace(".vitrine/registry", "registry").replace(".vitrine/serve/store", "store"))
    done = run(folder, "vitrine", "explain", CANDIDATE[:8])
    assert "Every verdict follows from the files" in done.stdout
    entry = entry_with(folder, lambda one: bool(one.inputs))
    FolderStore(folder / "store").delete(entry.inputs[0].key)
    done = run(folder, "vitrine", "explain", CANDIDATE, check=False)
    assert done.returncode == 1
    assert f"{entry.inputs[0].key} is gone" in done.stdout
    done = run(folder, "vitrine", "explain", "d" * 64, check=False)
    assert done.returncode == 1
    assert "has no decision log" in done.stderr
