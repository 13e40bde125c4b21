"""Two at work in one workspace, in either order, and stages that DVC was told to hold."""

import json


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
