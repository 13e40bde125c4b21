"""The edge of `vitrine key`: API keys are made, listed and revoked in the gateway's file of keys."""

import datetime as dt
from pathlib import Path

from rich.console import Console
from rich.table import Table

from components.contract import bind, read_params
from components.errors import BadParams
from components.serve.access.config import AccessConfig
from components.serve.access.key_file import add, read_file, revoke
from components.serve.access.keys import SCOPES, KeyRow, Scope, new_key


def create(scopes: list[str], rate_per_s: float | None, burst: int | None, note: str, expires: str | None) -> str:
    """A fresh key, whose hash stands in the file from now on. Raises BadParams for an unknown scope or a day that is past."""
    path, cfg = _settings()
    rate_per_s = cfg.new_key.rate_per_s if rate_per_s is None else rate_per_s
    burst = max(cfg.new_key.burst, int(rate_per_s)) if burst is None else burst
    key, row = new_key(_scopes(scopes), rate_per_s, burst, note, _now(), _day(expires))
    add(path, row)
    return key


def show(console: Console | None = None) -> None:
    """Prints the keys, without what they are compared with."""
    path, _ = _settings()
    table = Table("id", "scopes", "a second", "at once", "made", "expires", "state", "note", title=str(path))
    for row in read_file(path).keys:
        made, expires = f"{row.created_at:%Y-%m-%d}", f"{row.expires_at:%Y-%m-%d}" if row.expires_at else "never"
        table.add_row(row.id, " ".join(row.scopes), f"{row.rate:g}", str(row.burst), made, expires, _state(row), row.note)
    (console or Console()).print(table)


def withdraw(key_id: str) -> Path:
    """The file in which the key is now marked as revoked; a gateway that runs refuses it within a second."""
    path, _ = _settings()
    revoke(path, key_id)
    return path


def _settings() -> tuple[Path, AccessConfig]:
    serve = read_params().get("serve", {})
    cfg = bind(AccessConfig, "access", serve)
    return cfg.key_file(Path(serve["state"])), cfg


def _scopes(names: list[str]) -> list[Scope]:
    if unknown := sorted(set(names) - set(SCOPES)):
        raise BadParams(f"--scope {unknown[0]}: one of {', '.join(SCOPES)}")
    return [scope for scope in SCOPES if scope in names]


def _day(text: str | None) -> dt.datetime | None:
    """The start of the day in UTC, or the moment given."""
    if text is None:
        return None
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        raise BadParams(f"--expires {text}: a day such as 2027-01-31, UTC") from None
    return moment.astimezone(dt.UTC) if moment.tzinfo else moment.replace(tzinfo=dt.UTC)


def _state(row: KeyRow) -> str:
    if row.revoked:
        return "revoked"
    return "expired" if row.expires_at and row.expires_at <= _now() else "in force"


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC).replace(microsecond=0)
