"""Which raw listings become rows. Pure: a listing comes back, or the rejection that says why not."""

import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from components.ingest.rows import RawListing

STATUSES = ("on_sale", "sold", "deleted")
MAX_PRICE = 1e12
YEARS = (1970, 2200)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
JAPANESE = re.compile("[\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]")
LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a]")

MALFORMED = "malformed"  # the field under which a source says why it could not tell a row's cells apart

Listing = dict[str, object]
"""A row of schema.LISTINGS without its picture. price, currency, created_at, status and app_version are None where nobody gave them."""


@dataclass(frozen=True)
class Rejection:
    """Why a row or its picture was turned away: a code of docs/quarantine.md, and what was found."""

    reason: str
    detail: str


@dataclass(frozen=True)
class Rules:
    """What admission takes from params: a title's longest length, the `source` of a row that names none, the currency of a bare price."""

    max_title_chars: int
    source: str
    currency: str


class _RefusedError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, detail)


@dataclass
class Door:
    """Admits rows in order and remembers the ids that came by: the first row that carries an id has it, admitted or not."""

    rules: Rules
    seen: set[str] = field(default_factory=set)

    def admit(self, raw: RawListing) -> Listing | Rejection:
        """The listing or its rejection, as admit() says, and id_duplicate for an id seen before."""
        name = text_of(raw.fields.get("item_id"))
        if name in self.seen:
            return Rejection("id_duplicate", f"{name!r} came before; the first row keeps the id")
        if name:
            self.seen.add(name)
        return admit(raw, self.rules)


def admit(raw: RawListing, rules: Rules) -> Listing | Rejection:
    """The row as schema.LISTINGS wants it, or the first fault in this order: the row's shape, text, id, title, category, price,
    currency, time, status."""
    try:
        _check_text(raw.fields)
        return {
            "item_id": _required(raw.fields, "item_id", "id_missing"),
            "title": (title := _title(raw.fields, rules)),
            "category": _category(raw.fields),
            "price": (price := _price(raw.fields.get("price"))),
            "currency": _currency(raw.fields.get("currency")) or (rules.currency if price else None),
            "created_at": _time(raw.fields.get("created_at")),
            "status": _status(raw.fields.get("status")),
            "title_language": language_of(title),
            "description": text_of(raw.fields.get("description")) or "",
            "source": text_of(raw.fields.get("source")) or rules.source,
            "simulated": list(made_up) if isinstance(made_up := raw.fields.get("simulated"), list | tuple) else [],
            **{name: text_of(raw.fields.get(name)) for name in ("seller_id", "product_id", "app_version")},
        }
    except _RefusedError as fault:
        return fault.rejection


def text_of(value: object) -> str | None:
    """The value as NFC text without blanks around it; None where nothing is left."""
    return None if value is None else unicodedata.normalize("NFC", str(value)).strip() or None


def language_of(title: str) -> str:
    """ja where the title holds kana or Han characters, else en where it holds Latin letters, else und."""
    return "ja" if JAPANESE.search(title) else "en" if LATIN.search(title) else "und"


def newest(rows: Iterable[RawListing]) -> datetime | None:
    """The latest created_at that the rows give, in UTC; None where none gives one that can be read."""
    times: Iterator[datetime | None] = (_time_or_none(raw.fields.get("created_at")) for raw in rows)
    return max((time for time in times if time), default=None)


def _check_text(fields: Mapping[str, object]) -> None:
    if MALFORMED in fields:
        raise _RefusedError("row_malformed", str(fields[MALFORMED]))
    for name, value in fields.items():
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and (found := NOT_TEXT.search(text)):
                what = "a NUL character" if found[0] == "\x00" else f"byte 0x{ord(found[0]) & 0xFF:02x}, which is not UTF-8"
                raise _RefusedError("text_invalid", f"{name} holds {what}")


def _required(fields: Mapping[str, object], name: str, reason: str) -> str:
    text = text_of(fields.get(name))
    if text is None or not any(c.isprintable() for c in text):
        raise _RefusedError(reason, f"no {name}")
    return text


def _title(fields: Mapping[str, object], rules: Rules) -> str:
    title = " ".join(_required(fields, "title", "title_missing").split())
    if len(title) > rules.max_title_chars:
        raise _RefusedError("title_too_long", f"{len(title)} characters, limit {rules.max_title_chars}")
    return title


def _category(fields: Mapping[str, object]) -> list[str]:
    given = fields.get("category")
    names = [text_of(name) for name in (given if isinstance(given, list | tuple) else [given])]
    if not names or names[0] is None:
        raise _RefusedError("category_missing", "no root category")
    return [name for name in names if name]


def _price(value: object) -> float | None:
    text = text_of(value)
    if text is None:
        return None
    price = float(text) if NUMBER.fullmatch(text) else math.nan
    if price < 0:
        raise _RefusedError("price_negative", f"{text[:50]!r} is below 0")
    if not 0 < price <= MAX_PRICE:
        raise _RefusedError("price_invalid", f"{text[:50]!r}: a price is a plain number above 0, at most {MAX_PRICE:g}")
    return price


def _currency(value: object) -> str | None:
    text = text_of(value)
    if text is not None and not CURRENCY.fullmatch(text):
        raise _RefusedError("currency_invalid", f"{text[:50]!r}: a currency is three capitals, as in ISO 4217")
    return text


def _time(value: object) -> datetime | None:
    if text_of(value) is None:
        return None
    time = _time_or_none(value)
    if time is None:
        raise _RefusedError("time_invalid", f"{str(value)[:50]!r}: write created_at as 2024-05-31T12:00:00Z, {YEARS[0]} or later")
    return time


def _time_or_none(value: object) -> datetime | None:
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(text_of(value) or "")
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if YEARS[0] <= time.year < YEARS[1] else None


def _status(value: object) -> str | None:
    text = text_of(value)
    if text is not None and text not in STATUSES:
        raise _RefusedError("status_invalid", f"{text[:50]!r} is none of {', '.join(STATUSES)}")
    return text
