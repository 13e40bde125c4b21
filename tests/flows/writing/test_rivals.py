"""Two writers, one after the other and at once, and one that is killed and called again: nothing is lost."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from components.errors import Conflict, StageBusy
from components.process import alone
from flows.lock_entries import entries_in
from flows.writer import commit_lock
from tests.conftest import PROJECT
from tests.flows.shop_repository import KEPT, SETTINGS, Clone, commit, config, hook, kept_in

CHILD = """
import sys, time
from pathlib import Path
from flows.writer import commit_lock
from tests.flows.shop_repository import config
folder, base, run_id, gate = Path(sys.argv[1]), sys.argv[2], sys.argv[3], Path(sys.argv[4])
print("up", flush=True)
while not gate.exists():
    time.sleep(0.001)
try:
    print(commit_lock(f"Retrain {run_id}", base, run_id, folder=folder, cfg=config(), say=lambda line: None).where)
except Exception as error:
    print(type(error).__name__, error)
"""


def start(clone: Clone, base: str, run_id: str, gate: Path) -> "subprocess.Popen[str]":
    env = os.environ | SETTINGS | {"PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-c", CHILD, str(clone.folder), base, run_id, str(gate)]
    child = subprocess.Popen(command, env=env, text=True, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == "up\n"
    return child


def both(shop: Clone, rival: Clone, bases: tuple[str, str], gate: Path) -> list[str]:
    """What two writers say that start at the same moment."""
    children = [start(clone, base, name, gate) for clone, base, name in zip((shop, rival), bases, ("a", "b"), strict=True)]
    gate.touch()
    return sorted(child.communicate(timeout=60)[0].strip() for child in children)


def test_a_rivals_equal_results_leave_nothing_to_do(shop, rival, origin):
    base = shop.run_line(pairs="p", label="l")
    commit(rival, rival.run_line(pairs="p", label="l"))
    tip = origin.tip()
    made = commit(shop, base)
    assert (made.where, made.commit, origin.tip()) == ("there", tip, tip)
    assert (shop.head(), shop.status()) == (tip, "")


def test_a_rivals_other_results_win_and_ours_are_kept(shop, rival, origin):
    base = shop.run_line(pairs="p", label="ours")
    commit(rival, rival.run_line(pairs="p", label="theirs"), run_id="rival")
    tip = origin.tip()
    with pytest.raises(
        Conflict, match=r"origin/main: [0-9a-f]{7,} of vitrine-bot, \d{4}-\d\d-\d\d \(Retrain rival\) committed other results for label"
    ) as error:
        commit(shop, base)
    assert origin.tip() == tip
    assert "(here and at origin)" in str(error.value)
    assert origin.lock(kept_in(error)) == (shop.folder / "dvc.lock").read_text().strip()
    with pytest.raises(Conflict) as again:
        commit(shop, base)
    assert kept_in(again) == kept_in(error), "told again, it is not kept twice"


def test_results_for_other_stages_are_joined(shop, rival, origin):
    base = shop.run_line(pairs="p", label="l")
    commit(rival, rival.run_line(market="m"), run_id="rival")
    made = commit(shop, base)
    assert made.where == "pushed"
    assert list(entries_in(origin.lock().encode() + b"\n", "dvc.lock")) == ["market", "pairs", "label"]
    assert "`git checkout dvc.lock && git pull` brings what others did here" in made.note


def test_results_that_a_rivals_results_before_them_made_stale_are_kept_aside(shop, rival, origin):
    commit(shop, shop.run_line(pairs="p", label="old"))
    rival.git("pull", "-q")
    base = shop.run_line(label="new")
    commit(rival, rival.run_line(pairs="other"), run_id="rival")
    tip = origin.tip()
    with pytest.raises(Conflict, match=r"label \(data/pairs\)"):
        commit(shop, base)
    assert origin.tip() == tip


@pytest.mark.parametrize("number", range(3))
def test_of_two_rivals_at_once_one_wins_and_the_other_is_kept(shop, rival, origin, tmp_path, number):
    bases = (shop.run_line(pairs="p", label="ours"), rival.run_line(pairs="p", label="theirs"))
    lost, won = both(shop, rival, bases, tmp_path / "gate")
    assert won == "pushed"
    assert lost.startswith("Conflict origin/main: ")
    found = KEPT.search(lost)
    assert found
    assert {origin.lock(), origin.lock(found[1])} == {(clone.folder / "dvc.lock").read_text().strip() for clone in (shop, rival)}
    assert origin.git("rev-list", "--count", "main") == "2"


def test_of_two_rivals_with_equal_results_both_are_content_with_one_commit(shop, rival, origin, tmp_path):
    bases = (shop.run_line(pairs="p", label="l"), rival.run_line(pairs="p", label="l"))
    assert both(shop, rival, bases, tmp_path / "gate") == ["pushed", "there"]
    assert origin.git("rev-list", "--count", "main") == "2"


def test_killed_between_commit_and_push_it_can_be_called_again(shop, origin, tmp_path):
    base = shop.run_line(pairs="p", label="l")
    (tmp_path / "gate").touch()
    hook(shop.folder / ".git", "pre-push", f"kill -9 $(cat {tmp_path}/pid); exit 1")
    child = start(shop, base, "a", tmp_path / "waits")
    (tmp_path / "pid").write_text(str(child.pid))
    before = shop.status(), origin.tip()
    (tmp_path / "waits").touch()
    assert child.wait(60) == -9
    assert (shop.status(), origin.tip()) == before
    (shop.folder / ".git" / "hooks" / "pre-push").unlink()
    made = commit(shop, base)
    assert (made.where, origin.tip(), shop.status()) == ("pushed", made.commit, "")


def test_killed_after_the_push_it_finds_its_own_commit_there(shop, origin):
    base = shop.run_line(pairs="p", label="l")
    commit(shop, base)
    tip = origin.tip()
    shop.git("update-ref", "HEAD", base)
    shop.git("read-tree", base)  # as it was: pushed, and nothing here says so
    assert shop.status() == "?? dvc.lock"
    made = commit(shop, base)
    assert (made.where, origin.tip(), shop.head(), shop.status()) == ("there", tip, tip, "")


def test_a_second_writer_of_one_workspace_waits_for_the_first(shop, origin):
    base = shop.run_line(pairs="p", label="l")
    locks, held, release = shop.folder / ".vitrine" / "locks", threading.Event(), threading.Event()

    def hold() -> None:
        with alone("writer", locks):
            held.set()
            release.wait(30)

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    with pytest.raises(StageBusy, match="writer is already running"):
        commit(shop, base)
    threading.Timer(0.5, release.set).start()
    said: list[str] = []
    made = commit_lock("Retrain", base, "run", folder=shop.folder, cfg=config(), wait_s=30, say=said.append)
    holder.join()
    assert made.where == "pushed"
    assert f"(pid {os.getpid()}); waiting for it" in said[0]
