"""Bodies as the routes may rely on them: of the kind that was announced, and JSON in the strict sense (RFC 8259, I-JSON RFC 7493)."""

import json
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn

from fastapi import Request, Response, params
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from components.serve.problems import Refused

MAX_DIGITS = 40
MAX_FILES = 4
MAX_FIELDS = 64
FORMS = ("multipart/form-data", "application/x-www-form-urlencoded")
Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class BadJson(ValueError):
    """A text that is no strict JSON; says why."""


def _no_constant(word: str) -> NoReturn:
    raise BadJson(f"{word} is no JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if value - value != 0:
        raise BadJson("a number is too large")
    return value


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise BadJson(f"a number has more than {MAX_DIGITS} digits")
    return int(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadJson("an object names a member twice")
    return found


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_float=_finite, parse_int=_whole, parse_constant=_no_constant)


def strict_json(body: bytes) -> Any:
    """The value. Raises BadJson for NaN and Infinity, a member named twice, bytes that are no UTF-8, half a surrogate pair, and nesting
    that is too deep for the parser, besides what is no JSON at all; messages never quote the body.
    """
    try:
        value = DECODER.decode(body.decode("utf-8"))
        if b"\\u" in body:  # escapes are the only way in for half of a pair
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeDecodeError as error:
        raise BadJson(f"it is no UTF-8 at byte {error.start}") from None
    except UnicodeEncodeError:
        raise BadJson("it holds half of a surrogate pair") from None
    except json.JSONDecodeError as error:
        raise BadJson(f"{error.msg} at character {error.pos}") from None
    except RecursionError:
        raise BadJson("it is nested too deeply") from None
    return value


class StrictRequest(Request):
    """A request whose JSON is strict and whose form is small in number of parts."""

    async def json(self) -> Any:
        """The body's value; anything else is a 400."""
        try:
            return strict_json(await self.body())
        except BadJson as error:
            # FastAPI lets through no other type from here
            raise HTTPException(400, f"the body is no sound JSON: {error}") from None

    def form(self) -> Any:  # type: ignore[override]  # FastAPI gives no limits of its own
        """The form; too many parts are a 400."""
        return super().form(max_files=MAX_FILES, max_fields=MAX_FIELDS)


class StrictRoute(APIRoute):
    """A route that refuses a body of another kind than it takes (415), before it is looked at."""

    def get_route_handler(self) -> Handler:
        """The handler, with the checks before it."""
        handler = super().get_route_handler()
        if self.body_field is None:
            return handler
        expects = _is_form if isinstance(self.body_field.field_info, params.Form) else _is_json
        wanted = "multipart/form-data" if expects is _is_form else "application/json"

        async def checked(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if not expects(strict.headers.get("content-type", "")) and await strict.body():
                raise Refused("media_type", f"this address takes {wanted}")
            if strict.headers.get("content-encoding", "identity") != "identity":
                raise Refused("media_type", "a compressed body is not taken")
            return await handler(strict)

        return checked


def _is_json(content_type: str) -> bool:
    kind = content_type.partition(";")[0].strip().lower()
    return kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))


def _is_form(content_type: str) -> bool:
    return content_type.partition(";")[0].strip().lower() in FORMS
