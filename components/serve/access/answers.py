"""Everything that can go wrong in a FastAPI app, told as problem details (RFC 9457)."""

import json
import logging
import math
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Match

from components.errors import BadPicture
from components.serve.access.exchange import Exchange, Header
from components.serve.access.strict_json import StrictRoute
from components.serve.problems import KINDS, Refused, body_of

METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")
MAX_FAULTS = 8
MAX_PLACE_CHARS = 80
MAX_FAULT_CHARS = 200
MAX_LOG_LINE_CHARS = 500
CHALLENGES = {"key_missing": b'Bearer realm="vitrine"', "key_unknown": b'Bearer realm="vitrine", error="invalid_token"'}
BY_STATUS = {400: "bad_request", 404: "not_found", 405: "method_not_allowed", 413: "body_too_large", 415: "media_type", 422: "invalid"}

log = logging.getLogger("vitrine")


@dataclass(frozen=True)
class Problem:
    """A refusal as it goes over the wire."""

    status: int
    headers: list[Header]
    body: bytes


def problem_of(refused: Refused, request_id: str, more: Mapping[str, Any] | None = None) -> Problem:
    """The refusal as problem+json; `more` are members of its own."""
    body = json.dumps(body_of(refused, request_id) | dict(more or {})).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(body)).encode())]
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(refused.retry_after_s))).encode()))
    if challenge := CHALLENGES.get(refused.code):
        headers.append((b"www-authenticate", challenge))
    return Problem(refused.kind.status, headers, body)


def log_fault(error: BaseException, request_id: str) -> None:
    """Writes the traceback under the request's id. Each line is cut, since an error's own words may hold what the caller sent."""
    lines = "".join(traceback.TracebackException.from_exception(error).format(chain=True)).splitlines()
    log.error("request %s failed\n%s", request_id, "\n".join(line[:MAX_LOG_LINE_CHARS] for line in lines[-60:]))


INTERNAL = "the request could not be answered; the log tells more under its request_id"


def install(app: FastAPI) -> None:
    """Has the app answer with problems alone, and its own routes take strict JSON; an APIRouter needs route_class=StrictRoute."""
    app.router.route_class = StrictRoute
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(BadPicture, _bad_picture)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)


def _answer(request: Request, refused: Refused, more: Mapping[str, Any] | None = None) -> Response:
    if exchange := _exchange(request):
        exchange.code = refused.code
    problem = problem_of(refused, _request_id(request), more)
    headers = {name.decode(): value.decode() for name, value in problem.headers}
    return Response(problem.body, problem.status, headers)


def _exchange(request: Request) -> Exchange | None:
    """None where the app is asked without the layers around it, as its own golden check does."""
    exchange: Exchange | None = getattr(request.state, "exchange", None)
    return exchange


def _request_id(request: Request) -> str:
    exchange = _exchange(request)
    return exchange.request_id if exchange else "none"


async def _refused(request: Request, error: Exception) -> Response:
    return _answer(request, cast(Refused, error))


async def _bad_picture(request: Request, error: Exception) -> Response:
    bad = cast(BadPicture, error)
    return _answer(request, Refused(bad.reason, bad.detail))


async def _fault(request: Request, error: Exception) -> Response:
    log_fault(error, _request_id(request))
    return _answer(request, Refused("internal", INTERNAL))


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong and where, and never what was sent: it may be a picture, or a secret."""
    faults = [_fault_of(fault) for fault in cast(RequestValidationError, error).errors()]
    told = faults[:MAX_FAULTS]
    detail = "; ".join(f"{fault['where']}: {fault['what']}" for fault in told)
    rest = f"; and {len(faults) - len(told)} more" if len(faults) > len(told) else ""
    return _answer(request, Refused("invalid", detail + rest), {"errors": told})


def _fault_of(fault: Mapping[str, Any]) -> dict[str, str]:
    place = ".".join(str(step) for step in fault["loc"])
    printable = "".join(char if char.isprintable() else "?" for char in place[:MAX_PLACE_CHARS])
    return {"where": printable, "what": _words(fault)[:MAX_FAULT_CHARS]}


def _words(fault: Mapping[str, Any]) -> str:
    """Pydantic's message, but for those that quote the input."""
    if fault["type"] in ("union_tag_invalid", "date_from_datetime_parsing", "datetime_from_date_parsing"):
        return str(fault["type"]).replace("_", " ")
    return str(fault["msg"])


async def _http(request: Request, error: Exception) -> Response:
    raised = cast(HTTPException, error)
    if raised.status_code == 404:
        return _answer(request, Refused("not_found", "there is nothing at this address; /openapi.json lists what there is"))
    if raised.status_code == 405:
        return _other_method(request)
    if raised.status_code < 400:
        return Response(status_code=raised.status_code, headers=raised.headers)
    return _answer(request, Refused(_code_of(raised.status_code), str(raised.detail)[:MAX_FAULT_CHARS]))


def _code_of(status: int) -> str:
    known = BY_STATUS.get(status) or next((code for code, kind in KINDS.items() if kind.status == status), None)
    return known or ("bad_request" if status < 500 else "internal")


def _other_method(request: Request) -> Response:
    """405 with the methods that the address takes, which is also what OPTIONS asks for."""
    allowed = ", ".join(sorted(_methods_of(request)))
    if request.method == "OPTIONS":
        return Response(status_code=204, headers={"allow": allowed})
    answer = _answer(request, Refused("method_not_allowed", f"the address takes {allowed}"))
    answer.headers["allow"] = allowed
    return answer


def _methods_of(request: Request) -> set[str]:
    """Of all the routes that share the address; asked one by one, since routes of an included router show nothing of themselves."""
    routes: list[BaseRoute] = request.app.routes
    scopes = {method: {**request.scope, "method": method} for method in METHODS}
    methods = {method for method, scope in scopes.items() if any(route.matches(scope)[0] is Match.FULL for route in routes)}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())
