"""`ingest.tables` in params.yaml: where a shop's own tables lie, and what their columns and words are called."""

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import pyarrow as pa
from pydantic import AfterValidator, Field, model_validator

from components import schema
from components.contract import Config

Words = dict[str, dict[str, str]]
LISTING_TEXTS = ("title", "description", "seller_id", "product_id", "source", "currency", "status", "app_version")


def _zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("no time zone of the IANA list, such as UTC or Asia/Tokyo") from None
    return name


def _place(name: str) -> str:
    plain = name.strip("/")
    if not plain or any(part == ".." for part in plain.split("/")):
        raise ValueError("name a folder or file below ingest.path, or . for all of it")
    return plain.removeprefix("./")


Place = Annotated[str, AfterValidator(_place)]


class ListingsTable(Config):
    """The table of listings. Its columns are mapped by `ingest.columns`, as a CSV's are."""

    at: Place
    picture: str | None
    updated_at: str | None
    category_separator: str | None = Field(min_length=1)
    words: Words
    fixed: dict[str, str]

    @model_validator(mode="after")
    def _speaks_of_its_own_columns(self) -> Self:
        _check_columns("listings", LISTING_TEXTS, self.words, self.fixed)
        return self


class ImpressionColumns(Config):
    """Which column of a shop's own log holds which of schema.EVENTS["impressions"]; null where there is none."""

    request_id: str | None
    ts: str | None
    surface: str | None
    platform: str | None
    user_id: str | None
    query: str | None
    source_item_id: str | None
    item_id: str | None
    price: str | None
    release_id: str | None
    position: str | None
    clicked: str | None
    purchased: str | None
    simulated: str | None


class ClickColumns(Config):
    """Which column of a shop's own log holds which of schema.EVENTS["clicks"]."""

    request_id: str | None
    item_id: str | None
    ts: str | None
    action: str | None


class _LogTable(Config):
    at: Place | None
    words: Words
    fixed: dict[str, str]

    def _check(self, table: str, columns: Config) -> None:
        wanted = schema.EVENTS[table]
        _check_columns(table, [field.name for field in wanted if pa.types.is_string(field.type)], self.words, self.fixed)
        for field in wanted if self.at else ():
            if not field.nullable and getattr(columns, field.name) is None and field.name not in self.fixed:
                raise ValueError(f"{table}.columns.{field.name} is null: map it, or say in {table}.fixed what it would hold")


class ImpressionsTable(_LogTable):
    """What was shown; `at` is null where nobody logged it."""

    columns: ImpressionColumns

    @model_validator(mode="after")
    def _has_what_it_must(self) -> Self:
        self._check("impressions", self.columns)
        return self


class ClicksTable(_LogTable):
    """What was clicked and bought; `at` is null where the impressions say it, or nobody does."""

    columns: ClickColumns

    @model_validator(mode="after")
    def _has_what_it_must(self) -> Self:
        self._check("clicks", self.columns)
        return self


class TablesConfig(Config):
    """A shop's own tables, and how much of them is read."""

    listings: ListingsTable
    impressions: ImpressionsTable
    clicks: ClicksTable
    time_zone: Annotated[str, AfterValidator(_zone)]
    time_unit: Literal["s", "ms", "us", "ns"] | None
    max_objects: int = Field(gt=0)
    max_file_mib: int = Field(gt=0)
    max_depth: int = Field(ge=0)

    @model_validator(mode="after")
    def _clicks_are_on_something(self) -> Self:
        if self.clicks.at and not self.impressions.at:
            raise ValueError("clicks.at is set and impressions.at is null: a click is joined to its impression, so give both")
        return self

    @property
    def places(self) -> dict[str, str]:
        """By table, the folder or file below the source in which it lies."""
        there = {"listings": self.listings.at, "impressions": self.impressions.at, "clicks": self.clicks.at}
        return {table: at for table, at in there.items() if at is not None}


def _check_columns(table: str, texts: list[str] | tuple[str, ...], words: Words, fixed: dict[str, str]) -> None:
    for knob, names in (("words", words), ("fixed", fixed)):
        if unknown := sorted(set(names) - set(texts)):
            raise ValueError(f"{table}.{knob} names {unknown[0]!r}; it may name {', '.join(texts)}")
