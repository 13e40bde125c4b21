"""Whether the gateway lives, whether it may be asked, and its figures."""

from fastapi import APIRouter, Request, Response

from components.serve.access.strict_json import StrictRoute
from components.serve.gateway import Answer, gateway_of
from components.serve.told import LiveAnswer, ReadyAnswer

router = APIRouter(tags=["health"], route_class=StrictRoute)


@router.get("/health/live", response_model=LiveAnswer)
async def live() -> Answer:
    """Answers as long as the process can: restart it where this fails."""
    return Answer({"status": "live"})


@router.get("/health/ready", response_model=ReadyAnswer)
async def ready(request: Request) -> Answer:
    """Answers 200 only after the bundle's digests matched, its golden answers came back over these very routes, and the index found what
    it must; else 503 with what is missing."""
    gateway = gateway_of(request)
    gateway.ready()
    served = gateway.router.of()
    said = {"status": "ready", "release_id": served.release_id, "fingerprint": served.fingerprint}
    return Answer(said | {"golden_cosine": gateway.passed.worst_cosine})


@router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
async def metrics(request: Request) -> Response:
    """Figures for Prometheus."""
    gateway = gateway_of(request)
    await gateway.measure()
    return Response(gateway.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")
