"""What the gateway's routes answer with, as pydantic models for the description of the API.

No answer is checked against them at run time; they are closed, so that a fuzzer finds what they leave out.
"""

import datetime as dt
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from components.serve.wire import Digest

Unit = Field(ge=0, le=1)


class Told(BaseModel):
    """An answer, or a part of one."""

    model_config = ConfigDict(extra="forbid")


class Problem(Told):
    """A refusal, as problem details (RFC 9457). `code` is stable, `detail` is for people; docs/serving.md lists the codes."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    request_id: str
    errors: list[dict[str, str]] = []


class Whose(Told):
    """Common to all that a release answers: which release and vector space, and the time that it took."""

    request_id: str
    release_id: Digest
    fingerprint: str
    latency_ms: float


class ItemTold(Told):
    """A listing. `picture` is the address of its photo, `image_score` lies in [0, 1], higher is better."""

    item_id: str
    title: str
    category: list[str]
    price: float
    currency: str
    status: str
    image_id: Digest
    picture: str
    image_score: float = Unit


class Neighbour(ItemTold):
    """A listing and its cosine to the query, in [-1, 1], higher is more similar."""

    cosine: float = Field(ge=-1, le=1)


class ItemDetails(ItemTold):
    """A listing with all that is kept of it; `width` and `height` are of its photo, in px."""

    description: str | None
    seller_id: str | None
    product_id: str | None
    width: int
    height: int
    created_at: dt.datetime
    updated_at: dt.datetime


class QueryTold(Told):
    """What was asked, with the members that its kind has."""

    kind: Literal["item", "text", "picture"]
    item_id: str | None = None
    text: str | None = None
    image_id: Digest | None = None
    image_score: float | None = None


class SimilarAnswer(Whose):
    """The neighbours, best first."""

    query: QueryTold
    items: list[Neighbour]


class PlacingTold(Told):
    """A statistic of a photo, and the share of the catalogue below it."""

    value: float
    percentile: float | None


class Regions(Told):
    """The photo's score less that without the region, in reading order: positive where the region helps."""

    rows: int
    columns: int
    effect: list[list[float]]


class ExplanationTold(Told):
    """What moves a photo's score."""

    stats: dict[str, PlacingTold]
    regions: Regions


class ScoreAnswer(Whose):
    """The Image Score in [0, 1], and the share of the catalogue's that are lower."""

    image_id: Digest
    image_score: float = Unit
    percentile: float | None
    explanation: ExplanationTold | None = None


class Embedded(Told):
    """One row: a unit vector, and for a picture its id and score; or the problem that it met."""

    vector: list[float] | None = None
    image_id: Digest | None = None
    image_score: float | None = None
    problem: Problem | None = None


class EmbedAnswer(Whose):
    """The rows, in order."""

    results: list[Embedded]


class ItemsAnswer(Whose):
    """Some listings."""

    items: list[ItemTold]


class ItemAnswer(Whose):
    """One listing."""

    item: ItemDetails


class Stored(Told):
    """What became of a listing: `stored`, or `older` where a newer version stood there; or the problem that it met."""

    item_id: str
    status: Literal["stored", "older"] | None = None
    image_id: Digest | None = None
    image_score: float | None = None
    problem: Problem | None = None


class UpsertsAnswer(Whose):
    """What became of each listing, in order."""

    results: list[Stored]


class UpsertAnswer(Whose):
    """What became of the listing."""

    item_id: str
    status: Literal["stored", "older"]
    image_id: Digest
    image_score: float = Unit


class DeleteAnswer(Whose):
    """The listing that is gone."""

    item_id: str
    status: Literal["deleted"]


class ReleaseTold(Told):
    """A release in service. `metrics` are those of its own evaluation."""

    release_id: Digest
    fingerprint: str
    active: bool
    complete: bool
    created_at: dt.datetime
    num_items: int
    promote: bool | None
    metrics: dict[str, Any]


class ReleasesAnswer(Told):
    """Every release in service."""

    active: Digest | None
    releases: list[ReleaseTold]


class LoadAnswer(Told):
    """A release that may now be activated, and what the index gate measured of it."""

    release_id: Digest
    gate: dict[str, Any]


class ActiveAnswer(Told):
    """The release that answers whoever names none."""

    active: Digest


class UnloadAnswer(Told):
    """The release that is out of service."""

    unloaded: Digest


class ReleasedAnswer(Told):
    """A picture that may be tried again."""

    image_id: Digest
    status: Literal["released"]


class LiveAnswer(Told):
    """The process can answer."""

    status: Literal["live"]


class ReadyAnswer(Told):
    """The gateway may be asked; `golden_cosine` is the lowest of its last golden check."""

    status: Literal["ready"]
    release_id: Digest
    fingerprint: str
    golden_cosine: float
