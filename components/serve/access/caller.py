"""Who calls, as the routes see it: `request.state.caller`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from starlette.types import Scope

from components.serve.problems import Refused

Platform = Literal["web", "ios", "android"]
PLATFORMS: Mapping[bytes, Platform] = {b"web": "web", b"ios": "ios", b"android": "android"}
APP_VERSION = re.compile(rb"[0-9A-Za-z._+-]{1,32}")
USER_ID = re.compile(rb"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """`key_id` is None without keys. The others are what the shop says of its own user in X-Platform, X-App-Version and X-User-ID.

    A probe is asked by the monitoring: it is answered afresh, never from memory, and stands in no log of what shoppers were answered.
    """

    request_id: str
    key_id: str | None
    scopes: frozenset[str]
    platform: Platform | None = None
    app_version: str | None = None
    user_id: str | None = field(default=None, repr=False)  # so that no log line shows it by accident
    is_probe: bool = False


def caller_of(headers: Mapping[bytes, bytes], request_id: str, key_id: str | None, scopes: frozenset[str]) -> Caller:
    """The caller. Raises Refused invalid for a header that breaks a rule: a platform taken for none would mix the platforms' figures;
    scope_missing for a probe whose key may send none."""
    platform, version, user_id = headers.get(b"x-platform"), headers.get(b"x-app-version"), headers.get(b"x-user-id")
    is_probe = _probing(headers.get(b"x-probe"), scopes)
    if platform is version is user_id is None:
        return Caller(request_id=request_id, key_id=key_id, scopes=scopes, is_probe=is_probe)
    return Caller(
        request_id=request_id,
        key_id=key_id,
        scopes=scopes,
        platform=_platform(platform),
        app_version=_matching(APP_VERSION, version, "X-App-Version: 1 to 32 letters, digits and . _ + -"),
        user_id=_matching(USER_ID, user_id, "X-User-ID: 1 to 128 visible ASCII characters"),
        is_probe=is_probe,
    )


def _probing(value: bytes | None, scopes: frozenset[str]) -> bool:
    """Whoever may send probes can keep requests out of the log that drift is read from, so it takes a scope."""
    if value is None:
        return False
    if value != b"1":
        raise Refused("invalid", "X-Probe: 1, or no such header")
    if "probe" not in scopes:
        raise Refused("scope_missing", "X-Probe needs the scope probe")
    return True


def _platform(value: bytes | None) -> Platform | None:
    if value is None:
        return None
    if (known := PLATFORMS.get(value.lower())) is None:
        raise Refused("invalid", "X-Platform: one of web, ios and android, or no such header")
    return known


def _matching(pattern: re.Pattern[bytes], value: bytes | None, rule: str) -> str | None:
    if value is None:
        return None
    if not pattern.fullmatch(value):
        raise Refused("invalid", rule)
    return value.decode("ascii")


def charge(scope: Scope, cost: int) -> None:
    """Takes `cost` more from the caller's rate; the request itself has cost 1, so a batch of n rows costs n - 1 more.

    Raises Refused rate_limited, or invalid where the key could never afford it. Costs nothing where no rate applies.
    """
    pay: Callable[[int], None] | None = scope.get("state", {}).get("pay")
    if pay is not None and cost > 0:
        pay(cost)
