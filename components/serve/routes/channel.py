"""The channel record as this gateway goes by it, and what an administrator can do to it without Prefect or Git."""

from fastapi import APIRouter, Request

from components.serve.access.caller import Caller
from components.serve.access.strict_json import StrictRoute
from components.serve.canary.told import ChannelAnswer, RolledBackAnswer
from components.serve.gateway import Answer, caller_of, gateway_of
from components.serve.wire import ReasonBody, RollbackBody

router = APIRouter(prefix="/v1/channel", tags=["releases"], route_class=StrictRoute)


@router.get("", response_model=ChannelAnswer)
async def channel(request: Request) -> Answer:
    """The record, how old it is, and what of it holds here."""
    return Answer(gateway_of(request).canary.told())


@router.post("/rollback", response_model=RolledBackAnswer, responses={202: {"model": RolledBackAnswer}})
async def rollback(request: Request, asked: RollbackBody) -> Answer:
    """Sends back the candidate, or where there is none the stable release: here at once, and at other replicas once they read the record.
    202 where the registry could not be told: it holds here all the same, also after a restart, and is written as soon as it can be."""
    done = await gateway_of(request).canary.roll_back(asked.reason, actor_of(caller_of(request)), asked.release_id)
    return Answer(vars(done), 200 if done.written else 202)


@router.post("/pause", response_model=ChannelAnswer)
async def pause(request: Request, asked: ReasonBody) -> Answer:
    """Nobody climbs any more, until /v1/channel/resume; what fails is returned all the same."""
    canary = gateway_of(request).canary
    await canary.change(lambda edge: edge.change("pause", asked.reason, actor_of(caller_of(request))))
    return Answer(canary.told())


@router.post("/resume", response_model=ChannelAnswer)
async def resume(request: Request, asked: ReasonBody) -> Answer:
    """The ladder goes on."""
    canary = gateway_of(request).canary
    await canary.change(lambda edge: edge.change("resume", asked.reason, actor_of(caller_of(request))))
    return Answer(canary.told())


def actor_of(caller: Caller) -> str:
    """Who did it, as the decision log names them."""
    return f"key {caller.key_id} at a gateway" if caller.key_id else "somebody at a gateway without keys"
