"""`python -m tests.serve.no_op --port N`: `vitrine serve` with two more routes, behind the same layers: one does nothing, and one all that
GET /v1/similar does but look for anything.
"""

import argparse
import time
from pathlib import Path

from fastapi import APIRouter, Request

from components.serve import app
from components.serve.access.strict_json import StrictRoute
from components.serve.gateway import Answer, answered, gateway_of
from components.serve.items import Hit
from components.serve.routes.address import asked_in
from components.serve.routes.similar import told
from components.serve.wire import SimilarQuery
from flows.serve import serve
from tests.served import made_item

router = APIRouter(prefix="/v1/similar", route_class=StrictRoute)


@router.get("/no-op")
async def no_op() -> Answer:
    """Nothing, said as every route says it."""
    return Answer({"status": "nothing"})


FOUND = [told(Hit(made_item(number), 0.654321, 0.54321)) for number in range(10)]


@router.get("/no-search")
async def no_search(request: Request) -> Answer:
    """The same ten items, whatever was asked."""
    began, asked = time.perf_counter(), asked_in(request, SimilarQuery)
    with gateway_of(request).router.of(asked.release, asked.fingerprint).lease() as served:
        about = {"kind": "item", "item_id": asked.item_id, "image_id": FOUND[0]["image_id"], "image_score": 0.5}
        return answered(request, served, began, {"query": about, "items": FOUND})


class NoOp:
    """What make_app() takes for a module of routes."""

    router = router


def main() -> None:
    """Serves until it is ended."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bundle", type=Path, default=None)
    chosen = parser.parse_args()
    app.ROUTES = (NoOp, *app.ROUTES)  # type: ignore[assignment]  # first, where looking for a route costs least
    serve("127.0.0.1", chosen.port, chosen.bundle)


if __name__ == "__main__":
    main()
