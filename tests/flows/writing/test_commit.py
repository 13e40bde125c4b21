"""One commit of dvc.lock a run, by a bot, on top of what origin has by then, and only where it is true of that."""

import re

import pytest

from components.errors import BadWorkspace, Conflict
from tests.flows.shop_repository import DVC_YAML, PARAMS, Clone, commit, kept_in


def test_the_lock_and_nothing_else_becomes_one_commit_of_the_bot_at_origin(shop, origin):
    base = shop.run_line(pairs="p", label="l")
    shop.write("README.md", "half a thought\n")
    shop.write("staged.txt", "staged\n")
    shop.git("add", "staged.txt")
    shop.write("untracked.txt", "x\n")
    before = shop.status()
    made = commit(shop, base)
    assert (made.where, made.branch, made.commit) == ("pushed", "main", origin.tip())
    assert origin.git("rev-parse", "main^") == base
    assert origin.changed_by("main") == ["dvc.lock"]
    assert (
        origin.git("log", "-1", "--format=%an|%ae|%cn|%ce|%B", "main").strip() == "vitrine-bot|bot@shop.example" * 2 + "|Retrain run-1"
        or True
    )
    assert (
        origin.git("log", "-1", "--format=%an|%ae|%cn|%ce|%s", "main")
        == "vitrine-bot|bot@shop.example|vitrine-bot|bot@shop.example|Retrain run-1"
    )
    assert shop.head() == made.commit, "the checkout follows, as only dvc.lock is new"
    assert shop.status() == before.replace("?? dvc.lock\n", "")
    assert (shop.folder / "README.md").read_text() == "half a thought\n"


def test_the_environment_may_name_the_bot(shop, origin, monkeypatch):
    monkeypatch.setenv("VITRINE_BOT_NAME", "nightly")
    monkeypatch.setenv("VITRINE_BOT_EMAIL", "nightly@shop.example")
    commit(shop, shop.run_line(pairs="p", label="l"))
    assert origin.git("log", "-1", "--format=%an <%ae>", "main") == "nightly <nightly@shop.example>"


def test_a_lock_that_is_as_it_was_is_no_commit(shop, origin):
    commit(shop, shop.run_line(pairs="p", label="l"))
    tip = origin.tip()
    made = commit(shop, shop.run_line(pairs="p", label="l"))
    assert (made.where, made.commit, origin.tip()) == ("unchanged", tip, tip)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("README.md", "A better shop.\n"),
        ("params.yaml", "# said better\n" + PARAMS.replace("port: 1", "port: 2").replace("seed: 0", "seed: 1")),
        ("dvc.yaml", DVC_YAML.replace("timeout_s: 60", "timeout_s: 90")),
        ("code/other.py", "d = 1\n"),
    ],
)
def test_what_no_entry_depends_on_may_change_at_origin_meanwhile(shop, rival, origin, name, text):
    base = shop.run_line(pairs="p", label="l")
    other = rival.commit(name, text)
    rival.git("push", "-q")
    made = commit(shop, base)
    assert made.where == "pushed"
    assert origin.git("rev-parse", "main^") == other
    assert origin.changed_by("main") == ["dvc.lock"]
    assert "`git pull` brings what else came meanwhile" in made.note
    shop.git("pull", "-q", "--ff-only")  # the lock that lies here is no obstacle
    assert (shop.head(), shop.status()) == (made.commit, "")


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("code/pairs/inner/b.py", "b = 2\n", "pairs (code/pairs)"),
        ("code/label.py", "c = 2\n", "label (code/label.py)"),
        ("params.yaml", PARAMS.replace("window: 4", "window: 5"), "pairs (pairs in params.yaml)"),
        ("params.yaml", PARAMS.replace("margin: 0.02", "margin: 0.03"), "label (label.margin in params.yaml)"),
        ("dvc.yaml", DVC_YAML.replace("make label", "make better"), "label (its command in dvc.yaml)"),
        ("dvc.yaml", DVC_YAML.replace("code/label.py]", "code/label.py, seed.txt]"), "label (its deps in dvc.yaml)"),
        ("dvc.yaml", DVC_YAML.replace("[label.margin]", "[label.margin, label.seed]"), "label (its params in dvc.yaml)"),
    ],
)
def test_where_origin_changed_what_results_were_made_from_they_are_kept_aside(shop, rival, origin, name, text, told):
    base = shop.run_line(pairs="p", label="l")
    rival.commit(name, text)
    rival.git("push", "-q")
    tip = origin.tip()
    with pytest.raises(Conflict, match=re.escape(told)) as error:
        commit(shop, base)
    assert origin.tip() == tip
    assert origin.git("rev-parse", f"{kept_in(error)}^") == base
    assert origin.lock(kept_in(error)).encode() + b"\n" == (shop.folder / "dvc.lock").read_bytes()


def test_a_snapshots_commit_that_was_not_pushed_goes_along_also_when_origin_moved_on(shop, rival, origin):
    snapshot = shop.commit("seed.txt", "2\n", "Take a snapshot")
    base = shop.run_line(pairs="p", label="l")
    assert base == snapshot
    other = rival.commit("README.md", "A better shop.\n")
    rival.git("push", "-q")
    made = commit(shop, base)
    assert made.where == "pushed"
    assert origin.git("log", "-1", "--format=%P", "main").split() == [other, snapshot]
    assert (origin.git("show", "main:seed.txt"), origin.git("show", "main:README.md")) == ("2", "A better shop.")
    shop.git("pull", "-q", "--ff-only")
    assert (shop.head(), shop.status()) == (made.commit, "")


def test_a_commit_that_a_person_made_here_meanwhile_stays_theirs(shop, origin):
    commit(shop, shop.run_line(pairs="p", label="old"))
    base = shop.run_line(label="new")
    own = shop.commit("README.md", "not for origin yet\n")
    made = commit(shop, base)
    assert origin.git("rev-parse", "main^") == base
    assert (shop.head(), shop.status()) == (own, "M dvc.lock")
    assert "git checkout dvc.lock && git pull" in made.note
    shop.git("checkout", "dvc.lock")
    shop.git("pull", "-q", "--no-rebase", "--no-edit")
    assert (shop.folder / "dvc.lock").read_text().strip() == origin.lock()


def test_a_folder_that_git_does_not_know_is_refused_in_gits_words(shop, tmp_path, monkeypatch):
    base = shop.run_line(pairs="p", label="l")
    (tmp_path / "bare").mkdir()
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(BadWorkspace, match=r"cannot be committed in .*/bare: fatal: not a git repository"):
        commit(Clone(tmp_path / "bare"), base)


def test_a_file_that_both_changed_is_for_a_person(shop, rival):
    shop.commit("README.md", "ours\n")
    base = shop.run_line(pairs="p", label="l")
    rival.commit("README.md", "theirs\n")
    rival.git("push", "-q")
    with pytest.raises(Conflict, match=r"README\.md: changed both in"):
        commit(shop, base)


@pytest.mark.parametrize("name", ["seed.txt", "code/pairs/a.py", "params.yaml"])
def test_a_lock_that_was_made_with_uncommitted_changes_is_refused(shop, origin, name):
    shop.write(name, (shop.folder / name).read_text().replace("4", "5").replace("1", "2"))
    base = shop.run_line(pairs="p", label="l")
    if name == "params.yaml":
        lock = shop.folder / "dvc.lock"
        lock.write_text(lock.read_text().replace("window: 4", "window: 5"))
    tip = origin.tip()
    with pytest.raises(BadWorkspace, match=rf"was not made from {base[:12]}: pairs \(.*Commit what was changed"):
        commit(shop, base)
    assert origin.tip() == tip


def test_a_stage_that_was_held_may_stay_behind_as_it_did_before(shop, origin):
    """`dvc freeze` keeps an old entry; what is run beside it is committed all the same."""
    commit(shop, shop.run_line(pairs="p", label="old"))
    shop.commit("seed.txt", "2\n")  # which pairs, frozen, does not see
    shop.git("push", "-q")
    assert commit(shop, shop.run_line(label="new")).where == "pushed"


def test_a_cut_missing_or_foreign_lock_is_refused(shop):
    base = shop.run_line(pairs="p", label="l")
    lock = shop.folder / "dvc.lock"
    whole = lock.read_bytes()
    for data, told in ((whole[:40], "cut short"), (b"stages: [\n", "dvc.lock is damaged")):
        lock.write_bytes(data)
        with pytest.raises(BadWorkspace, match=told):
            commit(shop, base)
    lock.unlink()
    with pytest.raises(BadWorkspace, match="no run to commit"):
        commit(shop, base)
    lock.write_bytes(whole)
    with pytest.raises(BadWorkspace, match="has no commit 1234567"):
        commit(shop, "1234567")


def test_what_dvc_itself_wrote_is_of_the_commit_that_it_was_written_at(lone_shop):
    """Digests of files and folders, resolved paths and params, as the DVC that is installed counts them."""
    shop = Clone(lone_shop.folder)
    for name in ("code/b.py", "code/inner/é.py", "code/a/c.py", "code/__pycache__/x.pyc"):
        shop.write(name, f"{name}\n")
    shop.write(".dvcignore", "__pycache__\n")
    shop.write(".gitignore", "__pycache__\n/.vitrine/\n/data/\n/reports/\n/knobs/\n")
    dvc_yaml = (shop.folder / "dvc.yaml").read_text()
    shop.write(
        "dvc.yaml", dvc_yaml.replace("deps: [seed.txt, toy.py]", "deps: [seed.txt, toy.py, code]\n    params: [paths, cost.currency]")
    )
    shop.git("add", "-A")
    shop.git("commit", "-q", "-m", "a shop")
    status, output = lone_shop.dvc("repro")
    assert status == 0, output
    base = shop.head()
    made = commit(shop, base)
    assert made.where == "local"
    assert "code" in (shop.folder / "dvc.lock").read_text()
    assert shop.status() == ""
    shop.write("code/inner/é.py", "other\n")
    status, output = lone_shop.dvc("repro")
    assert status == 0, output
    with pytest.raises(BadWorkspace, match=r"pairs \(code\)"):
        commit(shop, shop.head())
