"""Every way in which the gateway refuses, as RFC 9457 problem details with a stable code."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from components.errors import VitrineError


@dataclass(frozen=True)
class Kind:
    """An HTTP status and a title in words."""

    status: int
    title: str


KINDS: Mapping[str, Kind] = {
    "bad_request": Kind(400, "The request cannot be understood"),
    "key_missing": Kind(401, "An API key is needed"),
    "key_unknown": Kind(401, "The API key is not known"),
    "scope_missing": Kind(403, "The API key may not do this"),
    "origin_refused": Kind(403, "The request comes from another site"),
    "not_found": Kind(404, "There is nothing at this address"),
    "item_unknown": Kind(404, "There is no such item"),
    "image_unknown": Kind(404, "There is no such picture"),
    "release_unknown": Kind(404, "There is no such release"),
    "method_not_allowed": Kind(405, "The address does not take this method"),
    "body_too_slow": Kind(408, "The request's body did not come in time"),
    "fingerprint_mismatch": Kind(409, "The vectors are of another model"),
    "release_refused": Kind(409, "The release cannot be served"),
    "nothing_to_roll_back": Kind(409, "There is no generation to go back to"),
    "channel_decides": Kind(409, "The channel record decides which release answers"),
    "channel_conflict": Kind(409, "The channel record does not allow this"),
    "body_too_large": Kind(413, "The request's body is too large"),
    "url_too_long": Kind(414, "The address is too long"),
    "media_type": Kind(415, "The body is of a kind that is not taken"),
    "invalid": Kind(422, "The request breaks a rule"),
    "time_in_future": Kind(422, "The time lies ahead of our clock"),
    "time_too_old": Kind(422, "The time lies too far back"),
    "picture_quarantined": Kind(422, "The picture did harm before and is not tried again"),
    "picture_too_slow": Kind(422, "The picture takes too long to decode"),
    "picture_poisonous": Kind(422, "The picture broke what worked on it"),
    "picture_url_off": Kind(422, "Pictures by URL are switched off"),
    "picture_url_refused": Kind(422, "The picture's URL is not allowed"),
    "picture_url_failed": Kind(422, "The picture could not be fetched"),
    "headers_too_large": Kind(431, "The request's headers are too large"),
    "rate_limited": Kind(429, "The API key has used up its rate"),
    "overloaded": Kind(429, "The gateway has more work than it can take"),
    "internal": Kind(500, "Something went wrong here"),
    "not_ready": Kind(503, "The gateway is not ready"),
    "inference_failed": Kind(503, "The model cannot be reached"),
    "index_failed": Kind(503, "The index cannot be reached"),
    "registry_failed": Kind(503, "The registry cannot be reached"),
    "log_failed": Kind(503, "The event log cannot be written"),
    "too_slow": Kind(504, "The answer took too long"),
}


class Refused(VitrineError):
    """A request that is not answered, or a row of one. `code` is one of KINDS, or a reason of docs/quarantine.md that begins with picture_.

    `retry_after_s` says when it may go better.
    """

    def __init__(self, code: str, detail: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(f"{code}: {detail}")
        self.code = code
        self.detail = detail
        self.retry_after_s = retry_after_s

    @property
    def kind(self) -> Kind:
        """Its status and title; every reason of a bad picture is a 422."""
        return KINDS[self.code] if self.code in KINDS else Kind(422, "The picture cannot be used")


def body_of(refused: Refused, request_id: str) -> dict[str, Any]:
    """The problem as JSON (RFC 9457): type, title, status, detail, and our members code and request_id."""
    kind = refused.kind
    body = {"type": f"urn:vitrine:problem:{refused.code}", "title": kind.title, "status": kind.status, "detail": refused.detail}
    return body | {"code": refused.code, "request_id": request_id}
