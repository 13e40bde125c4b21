"""The decision log: one line an entry, each the next of a chain, and of two who write at once one."""

import json
import math
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from components.contract import read_params
from components.errors import BadData, BadParams, Conflict, StoreFailed
from components.objects import FolderStore, open_store
from components.release.decision import MAX_ENTRY_BYTES, MAX_REASON_CHARS, actor, decode, encode, unveiled
from components.release.decisions import MAX_INPUTS, Decision, DecisionLog, key_of, releases_with_log
from components.release.evidence import EMPTY as NO_SAMPLE
from components.release.evidence import Look, Sample
from components.release.files import Input, chained
from components.release.judge import judge
from components.release.rules import JudgeConfig
from components.release.shadow import Baseline, Estimate, ShadowReport
from tests import moto_s3
from tests.conftest import PROJECT
from tests.release.canary_log import CANDIDATE, LIMITS, after, stratum

LOOK = Look(
    "web", 5, after(0), after(60), {"stable": 950, "canary": 50}, {"tap_rate": {"stable": Sample(9, 1, 2, 3, 4, 0.1), "canary": NO_SAMPLE}}
)
JUDGE = JudgeConfig.model_validate(read_params(PROJECT / "params.yaml")["release"]["judge"])


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path / "registry")


def decision(kind: str = "look", reason: str = "because", **more: object) -> Decision:
    said = {"release_id": CANDIDATE, "at": after(60), "actor": "controller@here", "kind": kind, "reason": reason} | more
    return Decision(**said)  # type: ignore[arg-type]


def inputs(count: int, start: int = 0) -> tuple[Input, ...]:
    return tuple(Input(f"answers/dt=2026-01-31/{n:06d}.parquet", f"{n:064x}") for n in range(start, start + count))


def test_an_entry_is_one_line_of_sorted_json_and_comes_back_as_it_was():
    entry = decision(
        verdict="NOT_YET",
        group="web",
        platforms=("web",),
        revision=7,
        strata=(stratum(),),
        inputs=inputs(2),
        look=LOOK,
        judgement=judge([], LOOK, JUDGE),
        shadow=ShadowReport("web", after(0), after(9), 3, 2, 1, 1, 1, Estimate(0.5, 0.0, 1.0), None, None, 1.25),
        baseline=Baseline("web", after(9), 10, 2, LIMITS, {"error_share": 0.1}),
        thresholds={"judge": JUDGE.model_dump(mode="json")},
    )
    data = encode(entry)
    assert data.endswith(b"}\n")
    assert data.count(b"\n") == 1
    assert list(json.loads(data)) == sorted(json.loads(data))
    assert decode(data) == entry
    assert encode(decode(data)) == data


def test_thresholds_come_back_to_the_last_bit():
    rng = np.random.default_rng(0)
    floats = rng.integers(0, 2**62, 500).view(np.float64).tolist()
    thresholds = {"margins": [*floats, -0.0, 5e-324], "on": True, "block": None}
    assert decode(encode(decision(thresholds=thresholds))).thresholds == thresholds


def test_a_number_that_json_lacks_is_refused():
    for value in (math.nan, math.inf):
        with pytest.raises(BadData, match="JSON cannot say"):
            encode(decision(thresholds={"margin": value}))


def test_an_entry_has_a_bounded_size():
    with pytest.raises(BadData, match="takes"):
        encode(decision(thresholds={"judge": "x" * MAX_ENTRY_BYTES}))


@pytest.mark.parametrize("kind", ["pause", "resume", "rollback", "promote", "look"])
@pytest.mark.parametrize(("name", "said"), [("reason", " "), ("actor", "")])
def test_nothing_is_decided_without_a_reason_or_by_nobody(kind, name, said):
    with pytest.raises(BadParams, match=f"a {kind} needs an? {name}"):
        decision(kind, **{name: said})


def test_the_actor_is_who_the_environment_says_else_user_and_host():
    assert actor({"VITRINE_ACTOR": "jenkins"}) == "jenkins"
    user, _, host = actor({}).partition("@")
    assert user
    assert host


def test_entries_are_numbered_and_each_holds_the_digest_of_the_one_before(store):
    log = DecisionLog(store, CANDIDATE)
    one, two = log.append(decision("publish")), log.append(decision("propose"))
    assert (one.seq, one.previous, two.seq) == (1, "", 2)
    assert two.previous == log.digest(1) != ""
    assert DecisionLog(store, CANDIDATE).read() == [one, two]
    assert store.get(key_of(CANDIDATE, 2)) == encode(two)


def test_of_two_who_write_one_entry_one_gets_a_conflict_and_has_read_the_other(store):
    mine, others = DecisionLog(store, CANDIDATE), DecisionLog(store, CANDIDATE)
    mine.append(decision("publish"))
    others.read()
    won = others.append(decision("climb", "others"))
    with pytest.raises(Conflict, match="entry 2"):
        mine.append(decision("climb", "mine"))
    assert mine.entries[-1] == won
    assert mine.append(decision("climb", "mine")).seq == 3


def test_an_append_whose_answer_was_lost_is_no_conflict_when_it_is_tried_again(store):
    class Lossy(FolderStore):
        lost = 0

        def swap(self, key: str, data: bytes, version: str | None) -> str:
            made = super().swap(key, data, version)
            if type(self).lost == 0:
                type(self).lost += 1
                raise StoreFailed("the answer was lost")
            return made

    log = DecisionLog(Lossy(store.root), CANDIDATE)
    with pytest.raises(StoreFailed):
        log.append(decision("climb"))
    assert log.append(decision("climb")).seq == 1
    assert len(DecisionLog(store, CANDIDATE).read()) == 1


def test_many_writers_at_once_leave_one_chain_without_gap(store):
    def write(writer: int) -> int:
        log, written = DecisionLog(store, CANDIDATE), 0
        while written < 8:
            try:
                log.append(decision("pause", f"{writer}.{written}"))
                written += 1
            except Conflict:
                continue
        return written

    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(write, range(6))) == 48
    log = DecisionLog(store, CANDIDATE)
    entries = log.read()
    assert [entry.seq for entry in entries] == list(range(1, 49))
    assert all(entry.previous == log.digest(entry.seq - 1) for entry in entries)
    assert len({entry.reason for entry in entries}) == 48


def test_a_writer_that_is_killed_leaves_whole_entries_alone(store):
    code = (
        "import sys; from tests.release.test_decisions import *\n"
        "log = DecisionLog(FolderStore(Path(sys.argv[1])), CANDIDATE)\n"
        "while True: print(log.append(decision('look', inputs=inputs(500, 500 * log.last_seq))).seq, flush=True)\n"
    )
    for seen in (3, 20):
        child = subprocess.Popen([sys.executable, "-c", code, str(store.root)], stdout=subprocess.PIPE, text=True, cwd=PROJECT)
        assert child.stdout is not None
        acknowledged = 0
        while acknowledged < seen:
            acknowledged = int(child.stdout.readline())
        child.kill()
        acknowledged = max([acknowledged, *map(int, child.stdout.read().split())])
        child.wait()
        log = DecisionLog(store, CANDIDATE)
        entries = log.read()
        assert not log.unreadable
        assert [entry.seq for entry in entries] == list(range(1, len(entries) + 1))
        assert acknowledged <= len(entries) <= acknowledged + 1
        assert entries[-1].num_inputs == 500 * len(entries)


def test_an_entry_names_files_that_are_new_and_runs_a_digest_over_all(store):
    log = DecisionLog(store, CANDIDATE)
    files = inputs(5)
    log.append(decision(inputs=log.news(files[:3])))
    again = DecisionLog(store, CANDIDATE)
    again.read()
    assert again.news(files) == files[3:]
    entry = again.append(decision(inputs=again.news(files)))
    assert (entry.num_inputs, entry.inputs_digest) == (5, chained("", files))


def test_a_file_that_was_set_aside_is_named_again_once_it_can_be_read(store):
    log = DecisionLog(store, CANDIDATE)
    log.append(decision(inputs=(Input("answers/dt=2026-01-31/a.parquet", "0" * 64, "half of one"),)))
    whole = Input("answers/dt=2026-01-31/a.parquet", "1" * 64)
    assert log.news([whole]) == (whole,)


def test_more_files_than_one_entry_takes_go_into_entries_before_it(store):
    log = DecisionLog(store, CANDIDATE)
    entry = log.append(decision(inputs=inputs(2 * MAX_INPUTS + 1)))
    assert [(one.kind, len(one.inputs)) for one in log.entries] == [("inputs", MAX_INPUTS), ("inputs", MAX_INPUTS), ("look", 1)]
    assert (entry.num_inputs, entry.inputs_digest) == (2 * MAX_INPUTS + 1, chained("", inputs(2 * MAX_INPUTS + 1)))
    assert max(one.num_bytes for one in store.stored("decisions")) < MAX_ENTRY_BYTES


def test_an_entry_that_cannot_be_read_stops_nobody(store):
    log = DecisionLog(store, CANDIDATE)
    log.append(decision("publish"))
    log.append(decision("propose"))
    store.put(key_of(CANDIDATE, 2), b"{")
    again = DecisionLog(store, CANDIDATE)
    assert [entry.kind for entry in again.read()] == ["publish"]
    assert set(again.unreadable) == {2}
    assert again.append(decision("rollback")).seq == 3


def test_secrets_never_reach_the_log(store):
    assert unveiled("s3 refused AKIA/very-secret-1 at http://user:pass@host/x", {"AWS_SECRET_ACCESS_KEY": "very-secret-1"}) == (
        "s3 refused AKIA/*** at http://***@host/x"
    )
    entry = DecisionLog(store, CANDIDATE).append(
        decision(reason="see https://me:pw123@host", thresholds={"block": "ftp://a:b@c", "n": [1]})
    )
    data = store.get(key_of(CANDIDATE, 1)) or b""
    assert b"pw123" not in data
    assert b"a:b" not in data
    assert entry.thresholds["n"] == [1]


def test_a_long_reason_is_cut(store):
    assert len(DecisionLog(store, CANDIDATE).append(decision(reason="x" * 10**5)).reason) == MAX_REASON_CHARS


def test_releases_with_a_log_are_found(store):
    for release_id in (CANDIDATE, "b" * 64):
        DecisionLog(store, release_id).append(decision("publish"))
    assert releases_with_log(store) == ["b" * 64, CANDIDATE]


def test_over_s3_two_writers_leave_one_chain(moto, tmp_path, monkeypatch):
    for name, value in moto.environment.items():
        monkeypatch.setenv(name, value)
    logs = [DecisionLog(open_store(f"s3://{moto_s3.BUCKET}/{tmp_path.name}"), CANDIDATE) for _ in range(2)]
    for log in logs:
        log.read()
    logs[0].append(decision("publish"))
    with pytest.raises(Conflict):
        logs[1].append(decision("publish", "again"))
    assert logs[1].append(decision("propose")).previous == logs[0].digest(1)
