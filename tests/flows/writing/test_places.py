"""Where the commit goes: a remote that takes it, refuses or is silent, a branch, or the checkout alone."""

import socket

import pytest

from components.errors import Conflict, GitFailed
from tests.flows.shop_repository import Clone, commit, hook, kept_in

SECRET = "hunter2-secret"


def test_without_a_remote_the_commit_is_made_here_alone_and_says_so(shop):
    shop.git("remote", "remove", "origin")
    base = shop.run_line(pairs="p", label="l")
    shop.write("staged.txt", "staged\n")
    shop.git("add", "staged.txt")
    made = commit(shop, base)
    assert (made.where, shop.head()) == ("local", made.commit)
    assert "here alone: there is no remote 'origin'" in made.note
    assert shop.status() == "A  staged.txt"
    assert shop.git("rev-parse", "main^") == base


def test_without_a_branch_the_commit_is_made_here_alone_on_a_branch_of_its_own(shop, origin):
    shop.git("checkout", "-q", "--detach")
    base = shop.run_line(pairs="p", label="l")
    tip = origin.tip()
    made = commit(shop, base)
    assert (made.where, made.branch, shop.head(), origin.tip()) == ("local", None, made.commit, tip)
    assert "no branch is checked out" in made.note
    assert made.commit in shop.git("for-each-ref", "--format=%(objectname)", "refs/heads/vitrine/")


def test_a_named_branch_is_pushed_to_whatever_is_checked_out(shop, origin):
    shop.git("checkout", "-q", "--detach")
    made = commit(shop, shop.run_line(pairs="p", label="l"), branch="main")
    assert (made.where, origin.tip()) == ("pushed", made.commit)
    assert commit(shop, shop.run_line(label="new"), branch="runs").commit == origin.tip("runs")
    assert origin.tip() == made.commit


def test_a_checkout_that_left_the_base_is_not_committed_on(shop):
    shop.git("remote", "remove", "origin")
    base = shop.run_line(pairs="p", label="l")
    shop.git("checkout", "-q", "--orphan", "elsewhere")
    shop.git("commit", "-q", "-m", "other")
    with pytest.raises(Conflict, match="the checkout has left"):
        commit(shop, base)


def test_a_shallow_clone_commits_too(origin, rival, tmp_path):
    rival.commit("README.md", "two\n")
    rival.git("push", "-q")
    shop = origin.clone(tmp_path / "shallow", "--depth", "1")
    base = shop.run_line(pairs="p", label="l")
    rival.commit("README.md", "three\n")
    rival.commit("README.md", "four\n")
    rival.git("push", "-q")
    assert commit(shop, base).commit == origin.tip()
    assert origin.git("show", "main:README.md") == "four"


def test_a_workspace_below_the_top_of_its_repository_commits_its_own_lock(shop, origin):
    inner = Clone(shop.folder / "tokyo")
    for name in shop.git("ls-files").splitlines():
        inner.write(name, (shop.folder / name).read_text())
    shop.git("add", "-A")
    shop.git("commit", "-q", "-m", "a second shop")
    commit(inner, inner.run_line(pairs="p", label="l"))
    assert origin.changed_by("main") == ["tokyo/dvc.lock"]
    assert shop.status() == ""


def test_a_hook_that_refuses_main_is_quoted_and_ours_is_kept_at_origin(shop, origin):
    hook(origin.folder, "update", 'case "$1" in refs/heads/main) echo "main is protected: open a pull request" >&2; exit 1;; esac')
    base = shop.run_line(pairs="p", label="l")
    tip = origin.tip()
    with pytest.raises(GitFailed, match=r"origin refused the push to main \(hook declined\).*main is protected") as error:
        commit(shop, base)
    assert origin.tip() == tip
    assert origin.lock(kept_in(error)) == (shop.folder / "dvc.lock").read_text().strip()


def test_a_hook_that_refuses_everything_leaves_ours_here(shop, origin):
    hook(origin.folder, "pre-receive", 'echo "closed for the night" >&2; exit 1')
    base = shop.run_line(pairs="p", label="l")
    with pytest.raises(GitFailed, match=r"\(here alone, since origin refused .*closed for the night") as error:
        commit(shop, base)
    assert shop.git("rev-parse", f"{kept_in(error)}^") == base
    (origin.folder / "hooks" / "pre-receive").unlink()
    assert commit(shop, base).where == "pushed"
    assert shop.git("branch", "--list", "vitrine/*") == "", "what was kept here is at origin now"


def test_a_remote_that_does_not_answer_ends_in_a_clear_error_within_the_limit(shop):
    """It takes the connection and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://ada:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/shop.git"
        shop.git("remote", "set-url", "origin", url)
        base = shop.run_line(pairs="p", label="l")
        with pytest.raises(GitFailed, match=r"git fetch had no answer after 1 s.*\(here\)") as error:
            commit(shop, base, timeout_s=1.0)
    assert SECRET not in str(error.value)
    assert shop.git("rev-parse", f"{kept_in(error)}^") == base


def test_no_credentials_of_an_address_are_told(shop, caplog):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    shop.git("remote", "set-url", "origin", f"http://ada:{SECRET}@127.0.0.1:{port}/shop.git")
    said: list[str] = []
    with pytest.raises(GitFailed, match=rf"origin cannot be read: .*127\.0\.0\.1:{port}") as error:
        commit(shop, shop.run_line(pairs="p", label="l"), said=said)
    assert SECRET not in f"{error.value} {said} {caplog.text}"
    assert "ada" not in str(error.value)
