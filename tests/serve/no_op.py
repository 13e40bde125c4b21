"""`python -m tests.serve.no_op --port N`: `vitrine serve` with one more route, which does nothing, behind the same layers."""

import argparse
from pathlib import Path

from fastapi import APIRouter

from components.serve import app
from components.serve.access.strict_json import StrictRoute
from components.serve.gateway import Answer
from flows.serve import serve

router = APIRouter(prefix="/v1/similar", route_class=StrictRoute)


@router.get("/no-op")
async def no_op() -> Answer:
    """Nothing, said as every route says it."""
    return Answer({"status": "nothing"})


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
