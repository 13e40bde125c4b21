"""Pictures that are refused unseen: for administrators to look at, and to let go."""

from fastapi import APIRouter, Request

from components.serve.access.strict_json import StrictRoute
from components.serve.gateway import Answer, gateway_of
from components.serve.problems import Refused
from components.serve.told import ReleasedAnswer
from components.serve.wire import Digest

router = APIRouter(prefix="/v1/quarantine", tags=["quarantine"], route_class=StrictRoute)


@router.post("/{image_id}/release", response_model=ReleasedAnswer)
async def release(request: Request, image_id: Digest) -> Answer:
    """Lets a picture be tried again."""
    gateway = gateway_of(request)
    if not await gateway.asking.pictures.register.release(image_id):
        raise Refused("image_unknown", f"{image_id[:12]} is not in quarantine")
    return Answer({"image_id": image_id, "status": "released"})
