"""Users as they come to disk: a keyed hash, so that nobody who reads the log can find a person by trying ids."""

import hashlib
import hmac
import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from components.errors import BadParams

SALT = "VITRINE_USER_SALT"
FILE = "user_salt"
MIN_CHARS = 16


class UserHash:
    """Turns user ids into 64 hex digits, by HMAC-SHA256 (RFC 2104). Gateways that share a salt give a user the same name."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    @classmethod
    def open(cls, state: Path, environment: Mapping[str, str] = os.environ) -> "UserHash":
        """With the salt in VITRINE_USER_SALT, else that of the folder `state`, made once and readable by its owner alone. Raises BadParams
        for a salt that can be guessed."""
        given = environment.get(SALT)
        if given is None:
            return cls(_kept(state / FILE))
        if len(given) < MIN_CHARS:
            raise BadParams(
                f"{SALT} has {len(given)} characters: give {MIN_CHARS} or more at random, such as `openssl rand -hex 32` prints"
            )
        return cls(given.encode())

    def __call__(self, user_id: str) -> str:
        """The name under which the user is logged."""
        return hmac.new(self._key, user_id.encode(), hashlib.sha256).hexdigest()


def _kept(path: Path) -> bytes:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{FILE}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        os.link(partial, path)  # fails where there is one: a salt is never replaced
    except FileExistsError:
        pass
    finally:
        partial.unlink(missing_ok=True)
    return path.read_bytes()
