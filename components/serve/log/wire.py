"""Events as clients send them. The envelope is checked first, then each event for itself: a bad one does not cost the others."""

import datetime as dt
import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    TypeAdapter,
    ValidationError,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from components.ingest.admit import NOT_TEXT, text_of
from components.serve.problems import Refused

MAX_POSITION = 2**31 - 1
MAX_ITEMS = 200  # of one results page
MAX_TOLD = 3  # faults of one event


def _clean(text: str) -> str:
    if NOT_TEXT.search(text):
        raise ValueError("holds a NUL or half of a surrogate pair")
    return text


def _not_blank(text: str) -> str:
    if not text.strip():
        raise ValueError("is blank")
    return text


def _as_text(value: object) -> object:
    if value is not None and not isinstance(value, str):
        raise ValueError("is no text: write a time as 2026-01-31T12:00:00Z")
    return value


Id = Annotated[str, Field(min_length=1, max_length=128), AfterValidator(_clean), AfterValidator(_not_blank)]
EVENT_ID = r"[A-Za-z0-9._:\-]{1,128}"  # no slash: ids that we derive have one
EventId = Annotated[str, Field(pattern=f"^{EVENT_ID}$")]
Query = Annotated[str, Field(min_length=1, max_length=1000), AfterValidator(_clean), AfterValidator(_not_blank)]
Platform = Literal["web", "ios", "android"]
Time = Annotated[AwareDatetime, BeforeValidator(_as_text), Field(strict=False)]


class _Wire(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Shown(_Wire):
    """An item at its position on the page, counted from 0, with the price that it showed."""

    item_id: Id
    position: Annotated[int, Field(ge=0, le=MAX_POSITION)]
    price: Annotated[float, Field(gt=0, le=1e12)]


class Exposure(_Wire):
    """A page, or a further part of one, that was shown: of a search, with its query, or of items similar to source_item_id."""

    type: Literal["exposure"]
    event_id: EventId
    ts: Time | None = None
    request_id: Id
    surface: Literal["search", "similar"]
    platform: Platform
    user_id: Id
    query: Query | None = None
    source_item_id: Id | None = None
    release_id: Id
    items: Annotated[list[Shown], Field(min_length=1, max_length=MAX_ITEMS)]
    simulated: bool | None = None

    @model_validator(mode="after")
    def _is_a_page(self) -> Self:
        asked = {"search": "query", "similar": "source_item_id"}
        for surface, name in asked.items():
            if (self.surface == surface) != (getattr(self, name) is not None):
                raise ValueError("a search has a query and no source_item_id, a page of similar items the other way round")
        for values in ([one.position for one in self.items], [text_of(one.item_id) for one in self.items]):
            if len(set(values)) < len(values):
                raise ValueError("two items at one position, or one item at two: a click could be on either")
        return self


class Act(_Wire):
    """What a person did with an item of a page that an exposure told of."""

    type: Literal["click", "like", "purchase"]
    event_id: EventId
    ts: Time | None = None
    request_id: Id
    item_id: Id
    platform: Platform | None = None
    user_id: Id | None = None
    release_id: Id | None = None


Event = Annotated[Exposure | Act, Field(discriminator="type")]
_EVENT: TypeAdapter[Exposure | Act] = TypeAdapter(Event)


class _EachForItself:
    """Any value for the envelope, while the description shows what an event must be."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        return core_schema.any_schema()

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(_EVENT.core_schema)


class EventsRequest(_Wire):
    """The body of POST /v1/events."""

    events: Annotated[list[Annotated[Any, _EachForItself]], Field(min_length=1)]


class RefusedEvent(_Wire):
    """An event that was not taken. `index` is its place in the request; `event_id` is null where it has none that can be told."""

    index: int
    event_id: str | None
    code: str
    detail: str


class EventsAnswer(_Wire):
    """How many events are new and durable, how many came before, and those that were not taken."""

    accepted: int
    repeated: int
    refused: list[RefusedEvent]


def event_of(value: object) -> Exposure | Act:
    """The event. Raises Refused invalid, which says where it breaks which rule, and repeats nothing of what was sent."""
    try:
        return _EVENT.validate_python(value)
    except ValidationError as error:
        faults = error.errors(include_url=False, include_context=False, include_input=False)
        told = [": ".join(filter(None, (_place(fault), fault["msg"].removeprefix("Value error, ")))) for fault in faults[:MAX_TOLD]]
        more = [f"and {len(faults) - MAX_TOLD} more"] if len(faults) > MAX_TOLD else []
        raise Refused("invalid", "; ".join(told + more)) from None


def _place(fault: Mapping[str, Any]) -> str:
    names = [str(part)[:50] for part in fault["loc"] if part not in ("exposure", "click", "like", "purchase")]
    return ".".join(name.encode("ascii", "backslashreplace").decode() for name in names)


def id_of(value: object) -> str | None:
    """The event_id of something that may be no event."""
    found = value.get("event_id") if isinstance(value, dict) else None
    return found if isinstance(found, str) and re.fullmatch(EVENT_ID, found) else None


def utc(time: dt.datetime) -> dt.datetime:
    """The same moment in UTC."""
    return time.astimezone(dt.UTC)
