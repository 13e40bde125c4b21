"""A rehearsal of the way from an alert to people: given to Alertmanager itself, and marked as one in every word that anybody reads."""

import datetime as dt
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.errors import StoreFailed
from monitoring import runbook
from monitoring.judged import CauseName
from monitoring.metrics import RoutesConfig

MARK = "REHEARSAL, nothing is wrong"
LASTS = dt.timedelta(minutes=5)
POLL_S = 0.2


@dataclass(frozen=True)
class Held:
    """An alert as Alertmanager has it: who it goes to, whether it is active or suppressed, and by how many silences and other alerts."""

    receivers: tuple[str, ...]
    state: str
    num_silences: int
    num_inhibiting: int

    @property
    def reaches_people(self) -> bool:
        """Whether anybody hears of it."""
        return bool(self.receivers) and self.state != "suppressed"


def rehearsed(cause: CauseName, base: str, who: str, now: dt.datetime) -> dict[str, Any]:
    """The alert that the rule would raise for the cause, as Alertmanager's API takes it, but for the label rehearsal="true".

    It ends by itself. Its labels are those of monitoring/rules, so it is grouped and routed alike, and never together with a real one.
    """
    name = runbook.BROKEN if cause is CauseName.BROKEN_INPUT else runbook.DRIFT
    title, minutes = runbook.title_of(cause).lower(), LASTS // dt.timedelta(minutes=1)
    return {
        "labels": {"alertname": name, "cause": cause.value, "severity": "page", "rehearsal": "true"},
        "annotations": {
            "summary": f"[{MARK}] Drift: {title}",
            "description": f"{MARK}: {who} sent this with `vitrine drift test-fire`. It ends by itself in {minutes} minutes.",
            "page": "",
            "runbook_url": runbook.link(base, cause),
        },
        "startsAt": now.isoformat(),
        "endsAt": (now + LASTS).isoformat(),
    }


def fire(alert: Mapping[str, Any], cfg: RoutesConfig) -> Held:
    """The alert as Alertmanager has it, after it was sent. Raises StoreFailed where Alertmanager cannot be reached, refuses it, or does not
    list it within `timeout_s`."""
    _asked(cfg, "POST", [alert])
    deadline = time.monotonic() + cfg.timeout_s
    while (held := _held(_asked(cfg, "GET"), alert["labels"])) is None:
        if time.monotonic() > deadline:
            raise StoreFailed(f"Alertmanager took the rehearsal, but does not list it after {cfg.timeout_s:g} s: look at its log")
        time.sleep(POLL_S)
    return held


def _held(listed: list[Any], labels: Mapping[str, str]) -> Held | None:
    for one in listed:
        if one["labels"] == labels and one["status"]["state"] != "unprocessed":
            status = one["status"]
            receivers = tuple(receiver["name"] for receiver in one["receivers"])
            return Held(receivers, status["state"], len(status["silencedBy"]), len(status["inhibitedBy"]))
    return None


def _asked(cfg: RoutesConfig, method: str, alerts: list[Mapping[str, Any]] | None = None) -> Any:
    import httpx

    url = f"{cfg.alertmanager.rstrip('/')}/api/v2/alerts"
    asked = {"filter": ['rehearsal="true"']} if alerts is None else None
    try:
        answer = httpx.request(method, url, json=alerts, params=asked, timeout=cfg.timeout_s)
        answer.raise_for_status()
        return answer.json() if alerts is None else None
    except (httpx.HTTPError, ValueError) as error:
        found = str(error) or type(error).__name__
        raise StoreFailed(f"Alertmanager at {url} did not answer as it should: {found}. See monitor.routes.alertmanager") from None
