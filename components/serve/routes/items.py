"""Listings: upserted, deleted, and shown."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response, UploadFile

from components.serve.access.caller import charge
from components.serve.access.strict_json import StrictRoute
from components.serve.catalogue import Upserted, each
from components.serve.gateway import Answer, Gateway, answered, caller_of, gateway_of
from components.serve.items import Hit, Placed
from components.serve.observing import is_sampled, observe_upsert
from components.serve.problems import Refused, body_of
from components.serve.routes.similar import told as told_hit
from components.serve.routes.uploads import Multipart, bytes_of
from components.serve.told import DeleteAnswer, ItemAnswer, ItemsAnswer, UpsertAnswer, UpsertsAnswer
from components.serve.wire import Digest, Id, ItemFields, ItemsBody

router = APIRouter(prefix="/v1", tags=["items"], route_class=StrictRoute)


class ItemForm(ItemFields):
    """The form of PUT /v1/items/{item_id}/picture."""

    picture: UploadFile


MEDIA_TYPES = ((b"\xff\xd8\xff", "image/jpeg"), (b"\x89PNG", "image/png"), (b"GIF8", "image/gif"), (b"RIFF", "image/webp"))
DETAILS = ("description", "seller_id", "product_id", "width", "height", "created_at", "updated_at")
A_YEAR = "private, max-age=31536000, immutable"  # a picture's name is its digest


@router.get("/items", response_model=ItemsAnswer)
async def some_items(
    request: Request, limit: Annotated[int, Query(ge=1, le=100)] = 24, seed: Annotated[int, Query(ge=0, le=2**31)] = 0
) -> Answer:
    """A few items at random, to begin with."""
    began = time.perf_counter()
    with gateway_of(request).router.of().lease() as served:
        rows = await served.generation.sample(limit, seed)
        return answered(request, served, began, {"items": [told(row) for row in rows]})


@router.get("/items/{item_id}", response_model=ItemAnswer)
async def item(request: Request, item_id: Id) -> Answer:
    """One item as it stands."""
    began = time.perf_counter()
    with gateway_of(request).router.of().lease() as served:
        row = await served.generation.get(item_id)
        if row is None:
            raise Refused("item_unknown", f"no item {item_id!r}")
        more = {name: getattr(row.item, name) for name in DETAILS}
        return answered(request, served, began, {"item": told(row) | more})


@router.post("/items", response_model=UpsertsAnswer)
async def upsert(request: Request, asked: ItemsBody) -> Answer:
    """Upserts listings: each that is `stored` is durable, embedded, scored and can be found when this answers; others say why not."""
    began, gateway = time.perf_counter(), gateway_of(request)
    gateway.within_batch(len(asked.items))
    charge(request.scope, len(asked.items) - 1)
    with gateway.router.of().lease() as served:
        rows = await each(asked.items, lambda row: gateway.catalogue.upsert(row.item_id, row))
        request_id = caller_of(request).request_id
        results = [
            {"item_id": row.item_id, "problem": body_of(found, request_id)} if isinstance(found, Refused) else stored(found)
            for row, found in zip(asked.items, rows, strict=True)
        ]
        _predict(request, gateway, rows, began)
        return answered(request, served, began, {"results": results})


@router.put("/items/{item_id}", response_model=UpsertAnswer)
async def upsert_one(request: Request, item_id: Id, asked: ItemFields) -> Answer:
    """Upserts one listing."""
    began, gateway = time.perf_counter(), gateway_of(request)
    with gateway.router.of().lease() as served:
        found = await gateway.catalogue.upsert(item_id, asked)
        _predict(request, gateway, [found], began)
        return answered(request, served, began, stored(found))


@router.put("/items/{item_id}/picture", response_model=UpsertAnswer)
async def upload_picture(request: Request, item_id: Id, asked: Annotated[ItemForm, Multipart]) -> Answer:
    """Upserts one listing with an uploaded picture."""
    began, gateway = time.perf_counter(), gateway_of(request)
    with gateway.router.of().lease() as served:
        found = await gateway.catalogue.upsert(item_id, asked, await bytes_of(request, asked.picture))
        _predict(request, gateway, [found], began)
        return answered(request, served, began, stored(found))


@router.delete("/items/{item_id}", response_model=DeleteAnswer)
async def delete(request: Request, item_id: Id) -> Answer:
    """Deletes a listing: it cannot be found any more when this answers."""
    began, gateway = time.perf_counter(), gateway_of(request)
    with gateway.router.of().lease() as served:
        await gateway.catalogue.delete(item_id)
        return answered(request, served, began, {"item_id": item_id, "status": "deleted"})


@router.get("/pictures/{image_id}", response_class=Response, responses={200: {"content": {kind: {} for _, kind in MEDIA_TYPES}}})
async def picture(request: Request, image_id: Digest) -> Response:
    """A photo of the catalogue, as it was sent."""
    gateway = gateway_of(request)
    data = await gateway.asking.photos.get(image_id)
    if data is None:
        raise Refused("image_unknown", f"no picture {image_id[:12]}")
    kind = next((kind for start, kind in MEDIA_TYPES if data.startswith(start)), "application/octet-stream")
    headers = {"cache-control": A_YEAR, "content-security-policy": "sandbox"}
    return Response(data, media_type=kind, headers=headers)


def _predict(request: Request, gateway: Gateway, rows: list[Upserted | Refused], began: float) -> None:
    if is_sampled(request):
        for row in rows:
            if isinstance(row, Upserted) and row.seen:
                observe_upsert(request, gateway.router.of(), row, began)


def told(row: Placed) -> dict[str, Any]:
    """An item as the answer shows it."""
    return {name: value for name, value in told_hit(Hit(row.item, 1.0, row.image_score)).items() if name != "cosine"}


def stored(row: Upserted) -> dict[str, Any]:
    """What became of a listing: `stored`, or `older` where a newer version stood there."""
    item = row.row.item
    status = "stored" if row.newest else "older"
    return {"item_id": item.item_id, "status": status, "image_id": item.image_id, "image_score": round(row.row.image_score, 6)}
