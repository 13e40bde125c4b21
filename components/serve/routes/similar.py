"""Similar items: by item, by text, by picture."""

import asyncio
import time
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Request, UploadFile

from components.serve.access.strict_json import StrictRoute
from components.serve.asking import Query
from components.serve.gateway import Answer, answered, gateway_of, turn_of
from components.serve.items import Filters, Hit
from components.serve.observing import is_sampled, observe
from components.serve.problems import Refused
from components.serve.routes.address import asked_in, described
from components.serve.routes.uploads import Multipart, bytes_of
from components.serve.served import Served
from components.serve.told import SimilarAnswer
from components.serve.wire import Asked, SimilarBody, SimilarQuery


class SimilarForm(SimilarQuery):
    """The form of POST /v1/similar/upload."""

    picture: UploadFile


class Found(NamedTuple):
    """What a release made of a query, and its neighbours, best first."""

    query: Query
    hits: list[Hit]


router = APIRouter(prefix="/v1", tags=["similar items"], route_class=StrictRoute)


@router.get("/similar", response_model=SimilarAnswer, openapi_extra=described(SimilarQuery))
async def similar_to(request: Request) -> Answer:
    """The k items most similar to an item of the catalogue, or to a text."""
    asked = asked_in(request, SimilarQuery)
    return await answer(request, asked, asked.item_id, asked.text, None, asked.k, asked.filters)


@router.post("/similar", response_model=SimilarAnswer)
async def similar(request: Request, asked: SimilarBody) -> Answer:
    """The same, and to a picture in base64 or by URL."""
    data = await gateway_of(request).asking.bytes_of(asked.picture_base64, asked.picture_url)
    return await answer(request, asked, asked.item_id, asked.text, data, asked.k, asked.filters.filters)


@router.post("/similar/upload", response_model=SimilarAnswer)
async def similar_to_upload(request: Request, asked: Annotated[SimilarForm, Multipart]) -> Answer:
    """The same to an uploaded picture."""
    return await answer(request, asked, asked.item_id, asked.text, await bytes_of(request, asked.picture), asked.k, asked.filters)


async def answer(
    request: Request, asked: Asked, item_id: str | None, text: str | None, data: bytes | None, k: int, filters: Filters
) -> Answer:
    """The neighbours of a query, in one release from beginning to end."""
    began, gateway = time.perf_counter(), gateway_of(request)
    if k > gateway.cfg.queries.max_k:
        raise Refused("invalid", f"k is {k}, at most {gateway.cfg.queries.max_k} are given")
    turn, arms = turn_of(request, asked), gateway.canary.arms
    sampled = is_sampled(request)

    async def found_by(served: Served) -> Found:
        query = await gateway.asking.query(served, item_id, text, data, want_stats=sampled)
        exact = text is not None and gateway.cfg.index.exact_texts
        hits = await served.generation.search(query.vector, k + 1, filters, fingerprint=served.fingerprint, exact=exact)
        return Found(query, [hit for hit in hits if hit.item.item_id != item_id][:k])

    def note(status: int, found: Found | None) -> None:
        arms.note(turn, began, status, found.hits if found else ())

    async def hits_by(served: Served) -> list[Hit]:
        return (await found_by(served)).hits

    async def shown_by(served: Served) -> Found:
        found = await found_by(served)
        if served.release_id == gateway.cfg.rehearsal.release:
            await asyncio.sleep(gateway.cfg.rehearsal.late_ms / 1000)
        return found

    served, (query, hits) = await arms.ask(turn, began, shown_by, note)
    if sampled:
        observe(request, served, query, began)
    if not hits:
        gateway.meters.empty.labels(served.release_id[:12]).inc()
    given = answered(request, served, began, {"query": query.about, "items": [told(hit) for hit in hits]})
    given.background = arms.afterwards(turn, hits, hits_by)
    return given


def told(hit: Hit) -> dict[str, Any]:
    """A neighbour as the answer shows it."""
    item = hit.item
    return {
        "item_id": item.item_id,
        "title": item.title,
        "category": item.category,
        "price": item.price,
        "currency": item.currency,
        "status": item.status,
        "image_id": item.image_id,
        "picture": f"/v1/pictures/{item.image_id}",
        "cosine": round(hit.cosine, 6),
        "image_score": round(hit.image_score, 6),
    }
