"""Prefect as the one that hears of a drift: its events, and the automation that runs a retraining for each."""

from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.events import emit_event
from prefect.events.filters import EventFilter, EventIDFilter
from prefect.exceptions import PrefectHTTPStatusError

from components.errors import StoreFailed
from monitoring.action import EVENT
from monitoring.cases import Case


class Prefect:
    """The server that is configured. `automation` is the name of what runs the retrainings."""

    def __init__(self, automation: str) -> None:
        self.automation = automation

    def deaf(self) -> str:
        """Where no automation of that name is there and enabled."""
        with _asked() as prefect:
            if any(found.enabled for found in prefect.read_automations_by_name(self.automation)):
                return ""
        return f"Prefect has no automation {self.automation!r}: `vitrine drift serve` makes it; `vitrine retrain` does it by hand"

    def has(self, case: Case) -> bool:
        """Whether the event is in Prefect's store, into which it gets some seconds after it was received."""
        with _asked() as prefect:
            return bool(prefect.read_events(EventFilter(id=EventIDFilter(id=[UUID(case.event_id)])), limit=1).events)

    def emit(self, case: Case) -> None:
        """Hands the event to Prefect's own sender, which works in the background."""
        resource = {
            "prefect.resource.id": f"vitrine.release.{case.release_id}",
            "prefect.resource.name": case.release_id[:12],
            "vitrine.cause": case.key,
            "vitrine.window": case.window,
            "vitrine.page": str(case.evidence["page"]),
        }
        segments = [str(one["segment"]) for one in case.evidence["segments"]]
        related = [{"prefect.resource.id": f"vitrine.segment.{one}", "prefect.resource.role": "segment"} for one in segments]
        emit_event(EVENT, resource, related=related, payload={"event_id": case.event_id, **case.evidence}, id=UUID(case.event_id))


@contextmanager
def _asked() -> Iterator[SyncPrefectClient]:
    """Prefect's client. Raises StoreFailed where the server does not answer, or answers with an error."""
    try:
        with get_client(sync_client=True) as prefect:
            yield prefect
    except (httpx.HTTPError, PrefectHTTPStatusError) as error:
        raise StoreFailed(f"Prefect does not answer: {error or type(error).__name__}. See PREFECT_API_URL") from None
