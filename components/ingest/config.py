"""The `ingest` section of params.yaml, and what it says to each part of the stage."""

import dataclasses
import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from components.contract import Config
from components.ingest import reasons
from components.ingest.admit import Rules
from components.ingest.folder import Columns
from components.ingest.limits import Limits
from components.ingest.market import Share, utc
from components.ingest.tables.config import TablesConfig
from components.ingest.window import Window

Currency = Annotated[str, Field(pattern="^[A-Z]{3}$")]


def _known(shares: dict[str, float]) -> dict[str, float]:
    if problems := [problem for code in shares if (problem := reasons.unknown(code))]:
        raise ValueError("; ".join(problems))
    return shares


class IngestConfig(Config):
    """Where listings come from, what is let in and how it is laid out."""

    source: Literal["simulate", "folder", "events", "parquet"]
    path: str | None
    csv: str
    columns: Columns
    tables: TablesConfig
    currency: Currency
    currencies: list[Currency]
    max_title_chars: int = Field(gt=0)
    max_price: float = Field(gt=0)
    shop_opened: Annotated[str, AfterValidator(utc)]
    retention_days: int | None = Field(gt=0)
    impression_share: Share
    max_quarantine_share: Share
    max_impression_quarantine_share: Share
    max_share_of_reason: Annotated[dict[str, Share], AfterValidator(_known)]
    num_shards: int = Field(gt=0)

    @model_validator(mode="after")
    def _trades_in_its_own_currency(self) -> Self:
        if self.currency not in self.currencies:
            raise ValueError(f"ingest.currencies must hold ingest.currency, {self.currency}")
        return self

    @model_validator(mode="after")
    def _knows_where_photos_are(self) -> Self:
        if not self.columns.image and (self.source == "folder" or (self.source == "parquet" and not self.tables.listings.picture)):
            beside = " or ingest.tables.listings.picture" if self.source == "parquet" else ""
            raise ValueError(f"ingest.columns.image is null: set it{beside} to the column that leads to the photo")
        return self

    @property
    def has_log(self) -> bool:
        """Whether people's clicks are in the source, so that nothing is made up beside them."""
        return self.source == "events" or (self.source == "parquet" and self.tables.impressions.at is not None)

    @property
    def opened(self) -> dt.datetime:
        """`shop_opened` as a time in UTC."""
        return dt.datetime.fromisoformat(self.shop_opened).astimezone(dt.UTC)

    def window(self, as_of: dt.datetime) -> Window:
        """Which rows a run as of then takes."""
        return Window(self.opened, as_of, self.retention_days, self.impression_share)

    def rules(self, as_of: dt.datetime) -> Rules:
        """What a listing must be, as of then."""
        return Rules(
            source=self.source,
            currency=self.currency,
            currencies=frozenset(self.currencies),
            max_title_chars=self.max_title_chars,
            max_price=self.max_price,
            opened=self.opened,
            as_of=as_of,
            complete=self.has_log,
        )

    def upsert_rules(self, as_of: dt.datetime) -> Rules:
        """What a listing must be that is upserted at the gateway, for the source of events to take it later."""
        return dataclasses.replace(self.rules(as_of), source="events", complete=True)

    @property
    def limits(self) -> Limits:
        """How many listings, pictures and files may be turned away."""
        return Limits("ingest.max_quarantine_share", self.max_quarantine_share, self.max_share_of_reason, one_must_be_left=True)

    @property
    def impression_limits(self) -> Limits:
        """How many impressions and clicks may be turned away."""
        return Limits("ingest.max_impression_quarantine_share", self.max_impression_quarantine_share, self.max_share_of_reason)
