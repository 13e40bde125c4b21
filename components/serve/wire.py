"""What the gateway's routes take, as pydantic models: closed to unknown keys, and bounded in everything."""

import datetime as dt
from typing import Annotated, Literal

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

from components.serve.items import Filters

MAX_ID_CHARS = 128
MAX_DEPTH = 10
SURROGATES = range(0xD800, 0xE000)


def _clean(text: str) -> str:
    """The text, where a database and UTF-8 can hold it."""
    if "\0" in text or any(ord(char) in SURROGATES for char in text):
        raise ValueError("holds a NUL or half of a surrogate pair")
    return text


Text = Annotated[str, AfterValidator(_clean)]
Id = Annotated[Text, Field(min_length=1, max_length=MAX_ID_CHARS)]
Price = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Status = Literal["on_sale", "sold"]  # DELETE is for what is deleted
Name = Annotated[Text, Field(min_length=1, max_length=200)]
Base64 = Annotated[str, Field(min_length=1)]
Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Wire(BaseModel):
    """A body or a set of parameters of a request."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class WireFilters(Wire):
    """`category` is a path from the root; bounds of price are inclusive."""

    # [] is copied for each; of a default_factory FastAPI would have the signature looked up at each request, a quarter of its time
    category: list[Name] = Field(default=[], max_length=MAX_DEPTH)
    min_price: Price | None = None
    max_price: Price | None = None
    status: list[Status] = Field(default=[], max_length=2)

    @property
    def filters(self) -> Filters:
        """As the index takes them."""
        return Filters(tuple(self.category), self.min_price, self.max_price, frozenset(self.status))


class Asked(Wire):
    """Common to all that asks a model: the `release` that is to answer, else the active one, and the `fingerprint` it must have."""

    release: Digest | None = None
    fingerprint: Annotated[str, Field(max_length=64)] | None = None


class Pictured(Asked):
    """A picture in base64, or by URL where that is on."""

    picture_base64: Base64 | None = None
    picture_url: Annotated[Text, Field(max_length=2000)] | None = None


class SimilarQuery(Asked, WireFilters):
    """The address of GET /v1/similar: one of `item_id` and `text`."""

    item_id: Id | None = None
    text: Annotated[Text, Field(min_length=1)] | None = None
    k: int = Field(10, ge=1)


class SimilarBody(Pictured):
    """The body of POST /v1/similar: one of `item_id`, `text`, `picture_base64` and `picture_url`."""

    item_id: Id | None = None
    text: Annotated[Text, Field(min_length=1)] | None = None
    k: int = Field(10, ge=1)
    filters: WireFilters = WireFilters()


class ScoreBody(Pictured):
    """The body of POST /v1/score: one of `item_id`, `picture_base64` and `picture_url`."""

    item_id: Id | None = None
    explain: bool = False


class EmbedInput(Wire):
    """One row of a batch: a picture in base64 or by URL, or a text."""

    picture_base64: Base64 | None = None
    picture_url: Annotated[Text, Field(max_length=2000)] | None = None
    text: Annotated[Text, Field(min_length=1)] | None = None


class EmbedBody(Asked):
    """The body of POST /v1/embed."""

    inputs: list[EmbedInput] = Field(min_length=1)


class ItemFields(Wire):
    """A listing to upsert. Without a picture the item keeps the one that it has; `updated_at` is now unless given, and the newest wins."""

    title: Annotated[Text, Field(min_length=1, max_length=500)]
    category: list[Name] = Field(min_length=1, max_length=MAX_DEPTH)
    price: Price
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    status: Status = "on_sale"
    created_at: AwareDatetime | None = None
    updated_at: AwareDatetime | None = None
    seller_id: Id | None = None
    product_id: Id | None = None
    description: Annotated[Text, Field(max_length=10_000)] | None = None
    app_version: Annotated[Text, Field(max_length=32)] | None = None
    picture_base64: Base64 | None = None
    picture_url: Annotated[Text, Field(max_length=2000)] | None = None


class ItemRow(ItemFields):
    """One listing of a batch."""

    item_id: Id


class ItemsBody(Wire):
    """The body of POST /v1/items."""

    items: list[ItemRow] = Field(min_length=1)


class ReleaseBody(Wire):
    """The body of POST /v1/releases: the digest of a bundle that lies in the releases folder."""

    release_id: Digest


class ReasonBody(Wire):
    """The body of POST /v1/channel/pause and /resume: why, for whoever reads the decision log."""

    reason: Annotated[Text, Field(min_length=1, max_length=1000)]


class RollbackBody(ReasonBody):
    """The body of POST /v1/channel/rollback. Where `release_id` is given, only that release is sent back."""

    release_id: Digest | None = None


def utc(time: dt.datetime) -> dt.datetime:
    """The same moment in UTC."""
    return time.astimezone(dt.UTC)
