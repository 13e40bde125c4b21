"""Vectors for whoever keeps an index of their own."""

import time
from typing import Any

import numpy as np
from fastapi import APIRouter, Request

from components.serve.access.caller import charge
from components.serve.access.strict_json import StrictRoute
from components.serve.catalogue import each
from components.serve.gateway import Answer, Gateway, answered, caller_of, gateway_of
from components.serve.problems import Refused, body_of
from components.serve.served import Served
from components.serve.told import EmbedAnswer
from components.serve.wire import EmbedBody, EmbedInput

router = APIRouter(prefix="/v1", tags=["embeddings"], route_class=StrictRoute)


@router.post("/embed", response_model=EmbedAnswer)
async def embed(request: Request, asked: EmbedBody) -> Answer:
    """A unit vector for each picture or text, in order; a row that is refused says why and leaves the others alone."""
    began, gateway = time.perf_counter(), gateway_of(request)
    gateway.within_batch(len(asked.inputs))
    charge(request.scope, len(asked.inputs) - 1)
    with gateway.router.of(asked.release, asked.fingerprint).lease() as served:
        rows = await each(asked.inputs, lambda one: _row(gateway, served, one))
        request_id = caller_of(request).request_id
        told = [{"problem": body_of(row, request_id)} if isinstance(row, Refused) else row for row in rows]
        return answered(request, served, began, {"results": told})


async def _row(gateway: Gateway, served: Served, one: EmbedInput) -> dict[str, Any]:
    data = await gateway.asking.bytes_of(one.picture_base64, one.picture_url)
    query = await gateway.asking.query(served, None, one.text, data)
    return {"vector": query.vector.astype(np.float32)} | {k: v for k, v in query.about.items() if k in ("image_id", "image_score")}
