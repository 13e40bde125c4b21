"""The quarantine of pictures: what is condemned stays so, whatever happens to the process and to the end of the file."""

import asyncio
import hashlib
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.serve.pictures.poison import FILE, FOLDER, Register
from components.serve.problems import Refused


def register_in(state: Path, **changes) -> Register:
    return Register(state, **{"max_entries": 100, "max_kept": 10, "max_kept_mib": 1} | changes)


def condemn(register: Register, data: bytes, cause: str = "hung", **more) -> str:
    image_id = hashlib.sha256(data).hexdigest()
    asyncio.run(register.condemn(image_id, data, cause, **more))
    return image_id


def is_refused(register: Register, image_id: str, *fingerprint: str) -> bool:
    try:
        register.check(image_id, *fingerprint)
    except Refused as refused:
        return (refused.code, refused.kind.status) == ("picture_quarantined", 422)
    return False


def test_a_condemned_picture_is_refused_here_and_after_a_restart_and_its_bytes_are_kept(tmp_path):
    image_id = condemn(register_in(tmp_path), b"bad", "killed by SIGSEGV")
    again = register_in(tmp_path)
    with pytest.raises(Refused, match=r"picture_quarantined: condemned at 20.*: killed by SIGSEGV"):
        again.check(image_id)
    assert again.kept(image_id) == (tmp_path / FOLDER / image_id).read_bytes() == b"bad"
    assert [(entry.image_id, entry.cause, entry.num_bytes) for entry in again.entries()] == [(image_id, "killed by SIGSEGV", 3)]
    assert not is_refused(again, "0" * 64)


def test_a_released_picture_is_taken_again_also_after_a_restart(tmp_path):
    register = register_in(tmp_path)
    image_id, other = condemn(register, b"bad"), condemn(register, b"worse")
    assert asyncio.run(register.release(image_id))
    assert not asyncio.run(register.release(image_id))
    for one in (register, register_in(tmp_path)):
        assert not is_refused(one, image_id)
        assert is_refused(one, other)
        assert one.kept(image_id) is None
    condemn(register, b"bad")
    assert is_refused(register_in(tmp_path), image_id)


def test_a_picture_that_broke_one_model_is_refused_for_that_model_only(tmp_path):
    register = register_in(tmp_path)
    image_id = condemn(register, b"bad", fingerprint="candidate")
    for one in (register, register_in(tmp_path)):
        assert is_refused(one, image_id, "candidate")
        assert not is_refused(one, image_id, "stable")
        assert not is_refused(one, image_id)


KILLED = """
import asyncio, hashlib, sys, time
from pathlib import Path
from components.serve.pictures.poison import Register

register = Register(Path(sys.argv[1]), max_entries=100, max_kept=10, max_kept_mib=1)
for number in range(5):
    data = b"bad %d" % number
    asyncio.run(register.condemn(hashlib.sha256(data).hexdigest(), data, "hung"))
print("written", flush=True)
time.sleep(60)
"""


def test_what_was_condemned_is_there_after_kill_9(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert len(register_in(tmp_path).entries()) == 5


@given(st.integers(0, 10_000))
def test_a_file_cut_at_any_byte_gives_what_stands_before_the_cut_and_takes_new_lines(tmp_path_factory, cut):
    state = tmp_path_factory.mktemp("state")
    register = register_in(state)
    ids = [condemn(register, b"bad %d" % number) for number in range(3)]
    raw = (state / FILE).read_bytes()
    cut %= len(raw) + 1
    (state / FILE).write_bytes(raw[:cut])
    left = raw[:cut].count(b"\n")
    torn = register_in(state)
    assert [is_refused(torn, one) for one in ids] == [number < left for number in range(3)]
    new = condemn(torn, b"new")
    assert is_refused(register_in(state), new)
    assert len(register_in(state).entries()) == left + 1


def test_a_line_that_cannot_be_read_is_left_out_and_the_others_count(tmp_path):
    register = register_in(tmp_path)
    first, second = condemn(register, b"one"), condemn(register, b"two")
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(lines[0] + b"\xff garbage\n" + b'{"image_id": 1}\n[]\n' + lines[1])
    assert is_refused(register_in(tmp_path), first)
    assert is_refused(register_in(tmp_path), second)


def test_entries_and_their_file_are_bounded_and_the_newest_stay(tmp_path):
    register = register_in(tmp_path, max_entries=4)
    ids = [condemn(register, b"bad %d" % number) for number in range(30)]
    for one in (register, register_in(tmp_path, max_entries=4)):
        assert [entry.image_id for entry in one.entries()] == ids[:-5:-1]
        assert [is_refused(one, image_id) for image_id in ids] == [False] * 26 + [True] * 4
    assert len((tmp_path / FILE).read_bytes().splitlines()) <= 8


def test_kept_pictures_are_bounded_by_number_and_by_bytes_and_none_that_is_too_large_is_kept(tmp_path):
    register = register_in(tmp_path, max_kept=3)
    ids = [condemn(register, b"bad %d" % number) for number in range(8)]
    assert len(list((tmp_path / FOLDER).iterdir())) == 3
    assert all(is_refused(register, image_id) for image_id in ids)
    large = condemn(register, bytes(600_000))
    larger = condemn(register, bytes(600_001))
    assert [register.kept(one) is None for one in (ids[-1], large, larger)] == [True, True, False]
    assert register.kept(condemn(register, bytes(2**20 + 1))) is None
    assert register.kept(larger) is not None


def test_a_picture_condemned_twice_has_one_entry(tmp_path):
    register = register_in(tmp_path)
    condemn(register, b"bad"), condemn(register, b"bad", "memory")
    assert [entry.cause for entry in register.entries()] == ["hung"]


def test_a_disk_that_fails_is_logged_and_the_picture_is_refused_all_the_same(tmp_path, caplog):
    register = register_in(tmp_path)
    (tmp_path / FILE).mkdir()
    image_id = condemn(register, b"bad")
    assert is_refused(register, image_id)
    assert "the quarantine cannot be written" in caplog.text
