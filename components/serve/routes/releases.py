"""Releases in service: which there are, and for administrators loading, switching and going back."""

from typing import Any

from fastapi import APIRouter, Request

from components.errors import BadBundle
from components.serve.access.strict_json import StrictRoute
from components.serve.gateway import Answer, Gateway, gateway_of
from components.serve.lifecycle import lifecycle_of
from components.serve.problems import Refused
from components.serve.served import Served
from components.serve.told import ActiveAnswer, LoadAnswer, ReleasesAnswer, UnloadAnswer
from components.serve.wire import Digest, ReleaseBody

router = APIRouter(prefix="/v1/releases", tags=["releases"], route_class=StrictRoute)


@router.get("", response_model=ReleasesAnswer)
async def releases(request: Request) -> Answer:
    """Every release in service; `active` answers whoever names none."""
    gateway = gateway_of(request)
    rows = [await told(gateway, served) for served in gateway.router.served.values()]
    return Answer({"active": gateway.router.active, "releases": rows})


@router.post("", response_model=LoadAnswer)
async def load(request: Request, asked: ReleaseBody) -> Answer:
    """Loads a release of the releases folder beside the active one: checked, its generation built and gated; it may then be activated."""
    try:
        report = await lifecycle_of(request).admit(asked.release_id)
    except BadBundle as error:
        raise Refused("release_refused", str(error)) from None
    return Answer({"release_id": asked.release_id, "gate": report})


@router.post("/{release_id}/activate", response_model=ActiveAnswer)
async def activate(request: Request, release_id: Digest) -> Answer:
    """Has a loaded release answer whoever names none. Requests that are being answered end with the one they began with."""
    gateway_of(request).canary.refuse_by_hand()
    await lifecycle_of(request).activate(release_id)
    return Answer({"active": release_id})


@router.post("/rollback", response_model=ActiveAnswer)
async def rollback(request: Request) -> Answer:
    """Has the release that answered before answer again."""
    gateway_of(request).canary.refuse_by_hand()
    return Answer({"active": await lifecycle_of(request).rollback()})


@router.delete("/{release_id}", response_model=UnloadAnswer)
async def unload(request: Request, release_id: Digest) -> Answer:
    """Takes a release that is not active out of service."""
    gateway = gateway_of(request)
    gateway.canary.refuse_unloading(release_id)
    await gateway.router.unload(release_id)
    return Answer({"unloaded": release_id})


async def told(gateway: Gateway, served: Served) -> dict[str, Any]:
    """A release as the answer shows it."""
    about = served.generation.about
    return {
        "release_id": served.release_id,
        "fingerprint": served.fingerprint,
        "active": served.release_id == gateway.router.active,
        "complete": about.complete,
        "created_at": about.created_at,
        "num_items": await served.generation.count(),
        "promote": served.manifest.get("promote"),
        "metrics": served.manifest.get("metrics", {}),
    }
