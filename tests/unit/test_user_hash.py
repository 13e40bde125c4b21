"""Users in the log: the same name for the same person, and no way back without the salt."""

import hmac
import os
import stat
import threading

import pytest

from components.errors import BadParams
from components.serve.log.users import UserHash


def test_a_salt_of_the_environment_names_users_alike_on_every_machine(tmp_path):
    salt = {"VITRINE_USER_SALT": "0123456789abcdef"}
    one, other = (UserHash.open(tmp_path / name, salt) for name in ("one", "other"))
    assert one("u-1") == other("u-1") == hmac.new(b"0123456789abcdef", b"u-1", "sha256").hexdigest()
    assert one("u-1") != one("u-2")
    assert list(tmp_path.iterdir()) == []


def test_without_one_a_salt_is_made_once_and_read_by_its_owner_alone(tmp_path):
    first = UserHash.open(tmp_path / "state", {})("u-1")
    assert UserHash.open(tmp_path / "state", {})("u-1") == first
    assert UserHash.open(tmp_path / "elsewhere", {})("u-1") != first
    (file,) = (tmp_path / "state").iterdir()
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600


def test_gateways_that_start_together_agree_on_the_salt(tmp_path):
    names = []
    threads = [threading.Thread(target=lambda: names.append(UserHash.open(tmp_path, {})("u-1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(names), len(set(names)), len(list(tmp_path.iterdir()))) == (8, 1, 1)


@pytest.mark.parametrize("salt", ["", "short"])
def test_a_salt_that_can_be_guessed_is_refused_and_not_told(tmp_path, salt):
    with pytest.raises(BadParams, match="give 16 or more at random") as refusal:
        UserHash.open(tmp_path, {"VITRINE_USER_SALT": salt})
    assert not salt or salt not in str(refusal.value)
