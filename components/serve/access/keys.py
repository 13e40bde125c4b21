"""API keys: `vk_<id>_<secret>`, of which only a hash is kept, and what each may do.

A scope is granted only where it is listed: `admin` alone can change releases, and can neither read nor write. `probe` allows no address
of its own: it lets a request say that it is none of a shopper's (X-Probe).
"""

import datetime as dt
import hashlib
import hmac
import secrets
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, Field, ValidationError

from components.contract import Config
from components.errors import BadParams
from components.serve.access.config import Count, PerSecond
from components.serve.access.rates import Rate
from components.serve.problems import Refused

Scope = Literal["read", "write", "admin", "probe"]
SCOPES: tuple[Scope, ...] = ("read", "write", "admin", "probe")
ALL_SCOPES = frozenset(SCOPES)
BASE62 = string.ascii_letters + string.digits
ID_CHARS = 10
SECRET_CHARS = 43  # of 62 each: 256 bits
MAX_KEY_CHARS = 128
MAX_NOTE_CHARS = 200


def _once(scopes: list[Scope]) -> list[Scope]:
    if len(set(scopes)) < len(scopes):
        raise ValueError("names a scope twice")
    return scopes


class KeyRow(Config):
    """One key as the file holds it. `hash` is `sha256:` and the hexadecimal digest of the whole key, `rate` is in requests a second."""

    id: Annotated[str, Field(pattern="^[0-9A-Za-z]{8,32}$")]
    hash: Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]
    scopes: Annotated[list[Scope], Field(min_length=1), AfterValidator(_once)]
    rate: PerSecond
    burst: Count
    note: Annotated[str, Field(max_length=MAX_NOTE_CHARS)] = ""
    created_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    revoked: bool = False


class KeyRows(Config):
    """The file of keys."""

    version: Literal[1] = 1
    keys: list[KeyRow]


@dataclass(frozen=True, slots=True)
class Key:
    """A key as the gateway compares it. `expires_s` is Unix time."""

    id: str
    digest: bytes
    scopes: frozenset[str]
    rate: Rate
    expires_s: float
    revoked: bool


NOBODY = Key("", bytes(32), frozenset(), Rate(1, 1), 0.0, True)
Compare = Callable[[bytes, bytes], bool]


def digest_of(key: str) -> bytes:
    """sha256 of the key. It holds 256 random bits, which no search gets through, so a slow hash would cost each request and add nothing."""
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def new_key(
    scopes: list[Scope], rate: float, burst: int, note: str, now: dt.datetime, expires_at: dt.datetime | None
) -> tuple[str, KeyRow]:
    """A fresh key, to be shown once, and its row for the file. Raises BadParams where a part breaks a rule."""
    key_id, secret = ("".join(secrets.choice(BASE62) for _ in range(n)) for n in (ID_CHARS, SECRET_CHARS))
    key = f"vk_{key_id}_{secret}"
    if expires_at and expires_at <= now:
        raise BadParams(f"expires {expires_at:%Y-%m-%d %H:%M} UTC, which is past: give a day to come")
    row = {"id": key_id, "hash": f"sha256:{digest_of(key).hex()}", "scopes": scopes, "rate": float(rate), "burst": burst, "note": note}
    try:
        return key, KeyRow.model_validate(row | {"created_at": now, "expires_at": expires_at})
    except ValidationError as error:
        raise BadParams(f"the key cannot be made: {faults(error)}") from None


def read_rows(text: bytes, source: str) -> KeyRows:
    """The file's rows. Raises BadParams that names where it is wrong, and never what stands there."""
    try:
        rows = KeyRows.model_validate_json(text)
    except ValidationError as error:
        raise BadParams(f"{source} is no file of keys: {faults(error)}") from None
    ids = [row.id for row in rows.keys]
    if twice := sorted({key_id for key_id in ids if ids.count(key_id) > 1}):
        raise BadParams(f"{source} holds the key {twice[0]} twice: take one out")
    return rows


def faults(error: ValidationError) -> str:
    """Which fields are wrong and how, without their values."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the whole'}: {e['msg']}" for e in error.errors(include_input=False)[:5])


def ring_of(rows: KeyRows) -> Mapping[str, Key]:
    """The keys by id."""
    return {row.id: _key_of(row) for row in rows.keys}


def _key_of(row: KeyRow) -> Key:
    expires_s = row.expires_at.timestamp() if row.expires_at else float("inf")
    digest = bytes.fromhex(row.hash.removeprefix("sha256:"))
    return Key(row.id, digest, frozenset(row.scopes), Rate(row.rate, row.burst), expires_s, row.revoked)


def verify(ring: Mapping[str, Key], key: str, now_s: float, compare: Compare = hmac.compare_digest) -> Key:
    """The key that was shown. Raises Refused key_unknown.

    An id that nobody has costs the same hash and the same comparison as one that somebody has, so the time tells nothing.
    """
    parts = key[: MAX_KEY_CHARS + 1].split("_", 2)
    known = ring.get(parts[1], NOBODY) if len(parts) == 3 and parts[0] == "vk" else NOBODY
    same = compare(digest_of(key[: MAX_KEY_CHARS + 1]), known.digest)
    if not same or known is NOBODY:
        raise Refused("key_unknown", "no such key: look for a missing character, or ask for a new key")
    if known.revoked:
        raise Refused("key_unknown", f"the key {known.id} was revoked: ask for a new one")
    if now_s >= known.expires_s:
        raise Refused("key_unknown", f"the key {known.id} has expired: ask for a new one")
    return known
