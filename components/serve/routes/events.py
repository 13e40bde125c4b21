"""What was shown, clicked, liked and bought: logged for the canary, for drift, and for the next training."""

import datetime as dt

from fastapi import APIRouter, Request

from components.serve.access.caller import charge
from components.serve.access.strict_json import StrictRoute
from components.serve.gateway import Answer, gateway_of
from components.serve.log.wire import EventsAnswer, EventsRequest
from components.serve.problems import Refused

router = APIRouter(prefix="/v1", tags=["events"], route_class=StrictRoute)


@router.post("/events", response_model=EventsAnswer)
async def events(request: Request, asked: EventsRequest) -> Answer:
    """Takes events: those accepted are durable when this answers, those that came before count as repeated, others say why not."""
    gateway = gateway_of(request)
    if len(asked.events) > gateway.cfg.queries.max_events:
        raise Refused("invalid", f"{len(asked.events)} events in one request, at most {gateway.cfg.queries.max_events} are taken")
    charge(request.scope, len(asked.events) - 1)
    taken = await gateway.intake.take(asked, dt.datetime.now(dt.UTC))
    return Answer(taken.model_dump())
