"""Two at work in one workspace, in either order, and stages that DVC was told to hold."""

import contextlib
import json
import signal
import time

import zc.lockfile


def test_a_flow_is_refused_while_a_person_runs_dvc_and_neither_is_harmed(shop, unkilled_digests):
    shop.knob("label.hold").touch()
    person = shop.start_dvc("repro")
    shop.await_output("label waits")
    status, output = shop.retrain()
    assert status == 1
    assert f"StageBusy: another DVC command works in this workspace: pid {person.pid}" in output
    assert "Traceback" not in output
    shop.knob("label.hold").unlink()
    assert person.wait(timeout=60) == 0, shop.output()
    assert shop.digests() == unkilled_digests
    assert shop.retrain()[0] == 0


def test_dvc_is_refused_while_a_flow_works_and_neither_is_harmed(shop, unkilled_digests):
    shop.knob("label.hold").touch()
    flow = shop.start_retrain()
    shop.await_output("label waits")
    status, output = shop.dvc("repro")
    assert status != 0
    assert "is busy, it is being blocked by" in output
    assert "repro --single-item label" in output  # with its pid before it
    shop.knob("label.hold").unlink()
    assert flow.wait(timeout=60) == 0, shop.output()
    assert shop.digests() == unkilled_digests
    assert "up to date" in shop.dvc("repro")[1]


def test_a_person_who_starts_dvc_between_two_stages_of_a_flow_fails_that_flow_with_a_clear_word(shop, unkilled_digests):
    """The flow has begun; its next stage finds its outs held by another's DVC."""
    shop.knob("pairs.hold").touch()
    flow = shop.start_retrain()
    shop.await_output("pairs waits")
    tmp = shop.folder / ".dvc" / "tmp"
    entry = {"pid": flow.pid, "cmd": "vitrine retrain"}  # a living process of just this command line
    lock = json.loads((tmp / "rwlock").read_text())
    lock.setdefault("write", {})[str(shop.folder / "data" / "labels")] = entry
    (tmp / "rwlock").write_text(json.dumps(lock))
    shop.knob("pairs.hold").unlink()
    assert flow.wait(timeout=60) == 1
    assert f"pid {flow.pid}" in shop.output()
    assert "another DVC command works in this workspace" in shop.output()
    assert "Traceback" not in shop.output()
    status, output = shop.retrain()
    assert status == 0, output
    assert shop.digests() == unkilled_digests


def test_frozen_stages_keep_their_outs_and_are_called_frozen(shop):
    shop.dvc("repro")
    before = shop.digests()
    assert shop.dvc("freeze", "label")[0] == 0
    (shop.folder / "seed.txt").write_text("2")
    status, output = shop.retrain()
    assert status == 0, output
    assert "[2/3] label: frozen in " in output
    assert "3 stages: 1 ran, 1 unchanged, 1 frozen" in output
    now = shop.digests()
    assert now["data/pairs"] != before["data/pairs"]
    assert now["data/labels"] == before["data/labels"]
    shop.dvc("unfreeze", "label")
    assert "Running stage 'label'" in shop.dvc("repro")[1]


def test_a_flow_waits_for_a_persons_dvc_and_says_for_whom_and_how_long(shop, unkilled_digests):
    shop.knob("label.hold").touch()
    person = shop.start_dvc("repro")
    shop.await_output("label waits")
    waiting = shop.start_retrain("--wait", "90", output="flow.txt")
    shop.await_output(f"another DVC command works in this workspace: pid {person.pid}", output="flow.txt")
    shop.await_output("waiting for it, 90 s at most (workspace.wait_s in params.yaml, or --wait)", output="flow.txt")
    shop.knob("label.hold").unlink()
    assert person.wait(timeout=60) == 0, shop.output()
    assert waiting.wait(timeout=90) == 0, shop.output("flow.txt")
    assert "3 stages: 3 unchanged" in shop.output("flow.txt")
    assert shop.digests() == unkilled_digests


def test_a_second_flow_waits_for_the_first_and_ctrl_c_ends_the_waiting_alone(shop, unkilled_digests):
    shop.knob("label.hold").touch()
    first = shop.start_retrain()
    shop.await_output("label waits")
    second = shop.start_retrain("--wait", "90", output="second.txt")
    third = shop.start_retrain("--wait", "90", output="third.txt")
    for name in ("second.txt", "third.txt"):
        shop.await_output(f"retrain is already running in this workspace (pid {first.pid}); waiting for it", output=name)
    second.send_signal(signal.SIGINT)
    assert second.wait(timeout=30) == 130
    assert "Traceback" not in shop.output("second.txt")
    shop.knob("label.hold").unlink()
    assert first.wait(timeout=60) == 0, shop.output()
    assert third.wait(timeout=90) == 0, shop.output("third.txt")
    assert "3 stages: 3 unchanged" in shop.output("third.txt")
    assert shop.digests() == unkilled_digests


def test_a_flow_that_waited_in_vain_names_who_was_at_work(shop):
    shop.knob("pairs.hold").touch()
    person = shop.start_dvc("repro")
    shop.await_output("pairs waits")
    status, output = shop.retrain("--wait", "1")
    assert status == 1
    assert "1 s at most" in output
    assert f"StageBusy: another DVC command works in this workspace: pid {person.pid}" in output
    assert "BadParams: --wait -1 is no time to wait" in shop.retrain("--wait", "-1")[1]


def test_a_flow_waits_between_two_stages_too(shop, unkilled_digests):
    shop.knob("pairs.hold").touch()
    flow = shop.start_retrain("--wait", "90")
    shop.await_output("pairs waits")
    rwlock = shop.folder / ".dvc" / "tmp" / "rwlock"
    lock = json.loads(rwlock.read_text())
    lock.setdefault("write", {})[str(shop.folder / "data" / "labels")] = {"pid": flow.pid, "cmd": "vitrine retrain --wait 90"}
    rwlock.write_text(json.dumps(lock))
    shop.knob("pairs.hold").unlink()
    shop.await_output("waiting for it, ")
    rwlock.write_text("{}")
    assert flow.wait(timeout=60) == 0, shop.output()
    assert shop.digests() == unkilled_digests


def test_a_short_dvc_command_at_the_end_of_a_stage_costs_the_stage_nothing(shop, unkilled_digests):
    """DVC alone gives up after three seconds, and with that what the stage has done."""
    shop.knob("pairs.hold").touch()
    flow = shop.start_retrain()
    shop.await_output("pairs waits")
    with contextlib.closing(zc.lockfile.LockFile(str(shop.folder / ".dvc" / "tmp" / "lock"))):
        shop.knob("pairs.hold").unlink()
        time.sleep(6)  # twice DVC's patience
        assert flow.poll() is None, shop.output()
    assert flow.wait(timeout=60) == 0, shop.output()
    assert "pairs: ran" in shop.output()
    assert shop.digests() == unkilled_digests
