"""The file of keys: private, replaced as a whole, looked at again when it changes, and never a way in by accident."""

import datetime as dt
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.errors import BadParams
from components.serve.access.key_file import Keys, add, read_file, revoke
from components.serve.access.keys import KeyRows, new_key
from tests.conftest import PROJECT

NOW = dt.datetime(2027, 1, 1, tzinfo=dt.UTC)


def row(note: str = ""):
    return new_key(["read"], 5.0, 10, note, NOW, None)[1]


class Clock:
    """Seconds that pass when the test says so."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "keys.json"


def test_a_new_file_can_be_read_by_its_owner_alone(path):
    add(path, row())
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(read_file(path).keys) == 1


def test_a_file_that_others_may_read_is_refused(path):
    add(path, row())
    for mode in (0o640, 0o604, 0o666, 0o610):
        path.chmod(mode)
        with pytest.raises(BadParams, match="chmod 600"):
            read_file(path)
        with pytest.raises(BadParams, match="chmod 600"):
            Keys(path, {})


def test_a_revoked_key_stays_listed(path):
    first, second = row(), row()
    add(path, first)
    add(path, second)
    revoke(path, first.id)
    assert [(key.id, key.revoked) for key in read_file(path).keys] == [(first.id, True), (second.id, False)]


def test_revoking_what_is_not_there_is_told(path):
    add(path, row())
    with pytest.raises(BadParams, match="nobodyhere"):
        revoke(path, "nobodyhere")


def test_two_writers_lose_nothing(path):
    code = (
        "import datetime as dt, sys; from pathlib import Path\n"
        "from components.serve.access.key_file import add; from components.serve.access.keys import new_key\n"
        "for _ in range(20): add(Path(sys.argv[1]), new_key(['read'], 1.0, 1, sys.argv[2], dt.datetime.now(dt.UTC), None)[1])\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name], cwd=PROJECT) for name in ("a", "b")]
    assert [writer.wait(60) for writer in writers] == [0, 0]
    assert sorted(key.note for key in read_file(path).keys) == ["a"] * 20 + ["b"] * 20


def test_a_writer_that_was_killed_leaves_the_file_as_it_was(path):
    add(path, row("kept"))
    path.with_name(".keys.json.partial").write_text("half of a fi")
    add(path, row("new"))
    assert [key.note for key in read_file(path).keys] == ["kept", "new"]


def test_without_file_or_variable_the_gateway_is_open(path):
    assert Keys(path, {}).current() is None


def test_a_file_without_keys_lets_nobody_in(path):
    path.parent.mkdir()
    path.write_text('{"keys": []}')
    path.chmod(0o600)
    assert Keys(path, {}).current() == {}


def test_the_variable_wins_over_the_file(path):
    add(path, row())
    other = row()
    keys = Keys(path, {"VITRINE_API_KEYS": KeyRows(keys=[other]).model_dump_json()})
    assert list(keys.current()) == [other.id]


def test_a_broken_variable_stops_the_start(path):
    for text in ("", "{}", "vk_a_b"):
        with pytest.raises(BadParams, match="VITRINE_API_KEYS"):
            Keys(path, {"VITRINE_API_KEYS": text})


def test_a_change_counts_within_a_second_and_the_file_is_not_asked_more_often(path):
    clock, first, second = Clock(), row(), row()
    add(path, first)
    keys = Keys(path, {}, clock)
    add(path, second)
    clock.now_s += 0.9
    assert list(keys.current()) == [first.id]
    clock.now_s += 0.1
    assert list(keys.current()) == [first.id, second.id]


def broken(path: Path) -> None:
    path.write_text("{")


def opened_to_all(path: Path) -> None:
    path.chmod(0o644)


def gone(path: Path) -> None:
    path.unlink()


@pytest.mark.parametrize("harm", [broken, opened_to_all, gone])
def test_a_file_that_goes_bad_leaves_the_last_good_keys_in_force(path, harm, caplog):
    clock, only = Clock(), row()
    add(path, only)
    keys = Keys(path, {}, clock)
    harm(path)
    clock.now_s += 2
    with caplog.at_level(logging.ERROR, "vitrine"):
        assert list(keys.current()) == [only.id]
        clock.now_s += 2
        assert list(keys.current()) == [only.id]
    assert len(caplog.records) == 1  # told once, not every second
    path.unlink(missing_ok=True)
    add(path, other := row())
    clock.now_s += 2
    assert list(keys.current()) == [other.id]


def test_a_file_that_appears_closes_an_open_gateway_even_where_it_is_broken(path):
    clock = Clock()
    keys = Keys(path, {}, clock)
    path.parent.mkdir()
    path.write_text("not yet")
    clock.now_s += 2
    assert keys.current() == {}


def test_a_huge_file_is_refused_unread(path):
    path.parent.mkdir()
    with open(path, "wb") as file:
        file.truncate(10**9)
    path.chmod(0o600)
    with pytest.raises(BadParams, match="bytes"):
        read_file(path)


def test_the_command_line_makes_lists_and_revokes_keys(tmp_path):
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())

    def vitrine(*words: str) -> subprocess.CompletedProcess[str]:
        env = os.environ | {"PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
        command = [sys.executable, "-c", "from flows.cli import main; main()", "key", *words]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)

    made = vitrine("create", "--scope", "read", "--scope", "write", "--rate", "7", "--note", "search team", "--expires", "2099-01-31")
    assert made.returncode == 0, made.stderr
    key = made.stdout.strip()
    key_id, secret = key.split("_")[1:]
    listed = vitrine("list").stdout
    assert all(part in listed for part in (key_id, "read write", "search team", "2099-01-31", "in force"))
    assert secret not in listed
    assert "sha256" not in listed
    assert vitrine("revoke", key_id).returncode == 0
    assert "revoked" in vitrine("list").stdout
    rows = json.loads((tmp_path / ".vitrine/serve/keys.json").read_text())["keys"]
    assert [(r["id"], r["scopes"], r["rate"], r["burst"], r["revoked"]) for r in rows] == [(key_id, ["read", "write"], 7.0, 500, True)]
    for words in (("create",), ("create", "--scope", "root"), ("create", "--scope", "read", "--expires", "soon"), ("revoke", "nobodyhere")):
        assert vitrine(*words).returncode != 0
