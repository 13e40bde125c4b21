"""The Image Score of a photo, and what moves it."""

import time
from typing import Annotated, Any

from fastapi import APIRouter, Request, UploadFile

from components.serve.access.caller import charge
from components.serve.access.strict_json import StrictRoute
from components.serve.asking import Query
from components.serve.explain import NUM_ROWS, explanation
from components.serve.gateway import Answer, Gateway, answered, gateway_of, turn_of
from components.serve.observing import is_sampled, observe
from components.serve.problems import Refused
from components.serve.routes.uploads import Multipart, bytes_of
from components.serve.served import Served
from components.serve.told import ScoreAnswer
from components.serve.wire import Asked, Id, ScoreBody

router = APIRouter(prefix="/v1", tags=["image score"], route_class=StrictRoute)


class ScoreForm(Asked):
    """The form of POST /v1/score/upload."""

    picture: UploadFile
    explain: bool = False


@router.post("/score", response_model=ScoreAnswer)
async def score(request: Request, asked: ScoreBody) -> Answer:
    """The Image Score, in [0, 1], of an item's photo or of a picture in base64 or by URL; with `explain`, what moves it."""
    data = await gateway_of(request).asking.bytes_of(asked.picture_base64, asked.picture_url)
    return await answer(request, asked, asked.item_id, data, asked.explain)


@router.post("/score/upload", response_model=ScoreAnswer)
async def score_of_upload(request: Request, asked: Annotated[ScoreForm, Multipart]) -> Answer:
    """The same of an uploaded picture."""
    return await answer(request, asked, None, await bytes_of(request, asked.picture), asked.explain)


async def answer(request: Request, asked: Asked, item_id: Id | None, data: bytes | None, explain: bool) -> Answer:
    """The score by one release."""
    began, gateway = time.perf_counter(), gateway_of(request)
    if explain:
        charge(request.scope, NUM_ROWS - 1)
    sampled = is_sampled(request)

    async def scored(served: Served) -> tuple[Query, dict[str, Any]]:
        query = await gateway.asking.query(served, item_id, None, data, want_stats=sampled or explain)
        found = {name: query.about[name] for name in ("image_id", "image_score")} | {"percentile": await _share_below(served, query.about)}
        if explain:
            found["explanation"] = await _explained(gateway, served, query.about["image_id"], data)
        return query, found

    turn = turn_of(request, asked)
    served, (query, found) = await gateway.canary.arms.ask(turn, began, scored)
    if sampled:
        observe(request, served, query, began)
    return answered(request, served, began, found)


async def _share_below(served: Served, about: dict[str, Any]) -> float | None:
    quantiles = await served.generation.score_quantiles()
    return float((quantiles < about["image_score"]).mean()) if len(quantiles) else None


async def _explained(gateway: Gateway, served: Served, image_id: str, data: bytes | None) -> dict[str, Any]:
    data = data or await gateway.asking.photos.get(image_id)
    if data is None:
        raise Refused("image_unknown", f"the picture {image_id[:12]} is no longer kept, so its score cannot be explained")
    return await explanation(served, gateway.asking.pictures, data)
