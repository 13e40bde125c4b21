"""Which raw listings become rows. Pure: a listing comes back, or the rejection that says why not."""

import hashlib
import math
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from components.ingest.rows import RawListing, Rejection

STATUSES = ("on_sale", "sold", "deleted")
YEARS = (1970, 2200)
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
CURRENCY = re.compile(r"[A-Z]{3}", re.ASCII)
NOT_TEXT = re.compile("[\x00\ud800-\udfff]")
JAPANESE = re.compile("[\u3005-\u3007\u3041-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f\U00020000-\U0003ffff]")
LATIN = re.compile("[A-Za-z\u00c0-\u024f\u1e00-\u1eff\uff21-\uff3a\uff41-\uff5a]")

Listing = dict[str, object]
"""A row of schema.LISTINGS without its picture. price, currency, created_at, status and app_version are None where nobody gave them."""


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What admission takes from params and the snapshot.

    `source` is for a row that names none, `currency` for a bare price. Times lie between `opened` and `as_of`. Where `complete`, nobody
    fills in what a row leaves open, so price, status and created_at must be given.
    """

    source: str
    currency: str
    currencies: frozenset[str]
    max_title_chars: int
    max_price: float
    opened: datetime
    as_of: datetime
    complete: bool


class _RefusedError(Exception):
    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason)
        self.rejection = Rejection(reason, detail)


@dataclass
class Door:
    """Admits rows in order and remembers the ids that came by: the first row that carries an id has it, admitted or not."""

    rules: Rules
    seen: dict[str, bytes] = field(default_factory=dict)

    def admit(self, raw: RawListing) -> Listing | Rejection:
        """The listing or its rejection, as admit() says; for an id seen before id_duplicate, or id_conflict where the two rows differ."""
        name = text_of(raw.fields.get("item_id"))
        if name is None or raw.fault:
            return admit(raw, self.rules)
        content = _digest(raw)
        first = self.seen.setdefault(name, content)
        if first is content:
            return admit(raw, self.rules)
        if first == content:
            return Rejection("id_duplicate", f"{name!r} came before in a row that says the same")
        return Rejection("id_conflict", f"{name!r} came before in a row that says something else; the first keeps the id")


def _digest(raw: RawListing) -> bytes:
    said = sorted((name, value) for name, value in raw.fields.items() if value is not None)
    return hashlib.sha256(repr((said, raw.picture_name)).encode("utf-8", "backslashreplace")).digest()


def admit(raw: RawListing, rules: Rules) -> Listing | Rejection:
    """The row as schema.LISTINGS wants it, or the first fault in this order: what the source found, text, id, title, category, price,
    currency, time, status."""
    if raw.fault:
        return raw.fault
    try:
        _check_text(raw.fields)
        return {
            "item_id": _required(raw.fields, "item_id", "id_missing"),
            "title": (title := _title(raw.fields, rules)),
            "category": _category(raw.fields),
            "price": (price := _price(raw.fields, rules)),
            "currency": _currency(raw.fields.get("currency"), rules) or (rules.currency if price else None),
            "created_at": _created(raw.fields, rules),
            "status": _status(raw.fields, rules),
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


def newest(rows: Iterable[RawListing], clock: datetime) -> datetime | None:
    """The latest created_at, in UTC, that is not after the clock; None where no row gives one that can be read."""
    times: Iterator[datetime | None] = (time_or_none(raw.fields.get("created_at")) for raw in rows)
    return max((time for time in times if time and time <= clock), default=None)


def misplaced(time: datetime, opened: datetime, latest: datetime) -> Rejection | None:
    """time_before_shop or time_in_future for a time that lies outside; None for one that does not."""
    if time < opened:
        return Rejection("time_before_shop", f"{time.isoformat()} lies before the shop opened ({opened.date()}, ingest.shop_opened)")
    if time > latest:
        return Rejection("time_in_future", f"{time.isoformat()} lies after {latest.isoformat()}, the latest that this row can know of")
    return None


def _check_text(fields: Mapping[str, object]) -> None:
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


def _price(fields: Mapping[str, object], rules: Rules) -> float | None:
    text = text_of(fields.get("price"))
    if text is None:
        _leave_open("price", "price_missing", rules)
        return None
    price = float(text) if NUMBER.fullmatch(text) else math.nan
    if price < 0:
        raise _RefusedError("price_negative", f"{text[:50]!r} is below 0")
    if price == 0:
        raise _RefusedError("price_zero", f"{text[:50]!r}: nothing is sold for nothing")
    if price > rules.max_price:
        raise _RefusedError("price_too_high", f"{text[:50]!r} is above {rules.max_price:g} (ingest.max_price)")
    if math.isnan(price):
        raise _RefusedError("price_invalid", f"{text[:50]!r}: a price is a plain number above 0")
    return price


def _leave_open(name: str, reason: str, rules: Rules) -> None:
    """A value that nobody gave is left to the simulator. Raises _RefusedError where nothing may be made up."""
    if rules.complete:
        raise _RefusedError(reason, f"no {name}")


def _currency(value: object, rules: Rules) -> str | None:
    text = text_of(value)
    if text is not None and not CURRENCY.fullmatch(text):
        raise _RefusedError("currency_invalid", f"{text[:50]!r}: a currency is three capitals, as in ISO 4217")
    if text is not None and text not in rules.currencies:
        traded = ", ".join(sorted(rules.currencies))
        raise _RefusedError("currency_unknown", f"{text!r} is none that the shop trades in: {traded} (ingest.currencies)")
    return text


def _created(fields: Mapping[str, object], rules: Rules) -> datetime | None:
    value = fields.get("created_at")
    if text_of(value) is None:
        _leave_open("created_at", "time_missing", rules)
        return None
    time = time_or_none(value)
    if time is None:
        raise _RefusedError("time_invalid", f"{str(value)[:50]!r}: write created_at as 2024-05-31T12:00:00Z, {YEARS[0]} or later")
    if fault := misplaced(time, rules.opened, rules.as_of):
        raise _RefusedError(fault.reason, f"created_at {fault.detail}")
    return time


def time_or_none(value: object) -> datetime | None:
    """The ISO string or datetime in UTC, which one without a zone is in already; None for anything else, and for years out of range."""
    try:
        time = value if isinstance(value, datetime) else datetime.fromisoformat(text_of(value) or "")
        time = time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return time if YEARS[0] <= time.year < YEARS[1] else None


def _status(fields: Mapping[str, object], rules: Rules) -> str | None:
    text = text_of(fields.get("status"))
    if text is None:
        _leave_open("status", "status_missing", rules)
        return None
    if text not in STATUSES:
        raise _RefusedError("status_invalid", f"{text[:50]!r} is none of {', '.join(STATUSES)}")
    return text
