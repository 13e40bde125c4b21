"""From an answer to a row of the prediction log."""

import datetime as dt
import time
from collections.abc import Mapping
from typing import Any

from fastapi import Request

from components.serve.asking import Query
from components.serve.catalogue import Upserted
from components.serve.gateway import caller_of, gateway_of
from components.serve.items import Item
from components.serve.log.predictions import Prediction
from components.serve.served import Served

STATS = ("brightness", "sharpness", "text_share")


def is_sampled(request: Request) -> bool:
    """Whether the request is in the sample that the prediction log keeps; a probe never is."""
    caller = caller_of(request)
    return not caller.is_probe and gateway_of(request).predictions.should(caller.request_id)


def observe(request: Request, served: Served, query: Query, began: float) -> None:
    """Logs what the release made of a query, where the request is in the sample."""
    about: dict[str, Any] = {"vector": query.vector, "image_id": query.about.get("image_id"), "image_score": query.about.get("image_score")}
    if query.seen:
        about |= {"width": query.seen.width, "height": query.seen.height} | _stats(query.seen.stats)
    elif query.row:
        about |= {"item_id": query.row.item.item_id} | _of_item(query.row.item)
    _add(request, served, began, about)


def observe_upsert(request: Request, served: Served, upserted: Upserted, began: float) -> None:
    """Logs what the release made of a listing's new picture."""
    row = upserted.row
    about = {"item_id": row.item.item_id, "image_id": row.item.image_id, "vector": row.vector, "image_score": row.image_score}
    _add(request, served, began, about | _of_item(row.item))


def _add(request: Request, served: Served, began: float, about: Mapping[str, Any]) -> None:
    caller, route = caller_of(request), request.url.path.removeprefix("/v1/").partition("/")[0]
    gateway_of(request).predictions.add(
        Prediction(
            ts=dt.datetime.now(dt.UTC),
            request_id=caller.request_id,
            route=route,
            release_id=served.release_id,
            fingerprint=served.fingerprint,
            latency_ms=(time.perf_counter() - began) * 1000,
            platform=caller.platform,
            app_version=caller.app_version,
            **about,
        )
    )


def _of_item(item: Item) -> dict[str, Any]:
    return {"width": item.width, "height": item.height} | _stats(item.stats)


def _stats(stats: Mapping[str, float] | None) -> dict[str, float]:
    return {name: stats[name] for name in STATS} if stats else {}
