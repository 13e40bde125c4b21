"""The description of the API (OpenAPI) with every refusal that an address may answer with, and the keys that it takes."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from components.serve.problems import KINDS
from components.serve.told import Problem

API = "/v1"
ANYWHERE = frozenset({400, 403, 405, 414, 429, 431, 500, 503})
OF_API = frozenset({401, 404, 422, 504})
OF_BODIES = frozenset({408, 413, 415})
CONFLICTS, BY_RELEASE = frozenset({409}), ("/v1/similar", "/v1/score", "/v1/embed", "/v1/releases", "/v1/channel")
KEYS = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key, where the gateway has any"},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
OPEN: dict[str, list[str]] = {}  # a gateway without keys takes requests without one


def describe(app: FastAPI) -> None:
    """Has the app describe its refusals as problem+json, in the place of FastAPI's own 422."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            found = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            app.openapi_schema = _with_refusals(found)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _with_refusals(found: dict[str, Any]) -> dict[str, Any]:
    parts = found.setdefault("components", {})
    models = parts.setdefault("schemas", {})
    for name in ("HTTPValidationError", "ValidationError"):
        models.pop(name, None)
    models["Problem"] = Problem.model_json_schema()
    parts["securitySchemes"] = KEYS
    parts["responses"] = {_name(status): _refusal(status) for status in sorted({kind.status for kind in KINDS.values()})}
    for path, operation in _operations(found):
        for status in sorted(_statuses(path, operation)):
            operation["responses"][str(status)] = {"$ref": f"#/components/responses/{_name(status)}"}
        if path.startswith(API):
            operation["security"] = [{"bearer": []}, {"key": []}, OPEN]
    return found


def _operations(found: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for path, methods in found["paths"].items():
        for operation in methods.values():
            yield path, operation


def _statuses(path: str, operation: dict[str, Any]) -> frozenset[int]:
    bodies = OF_BODIES if "requestBody" in operation else frozenset()
    conflicts = CONFLICTS if path.startswith(BY_RELEASE) else frozenset()
    return ANYWHERE | bodies | conflicts | (OF_API if path.startswith(API) else frozenset())


def _name(status: int) -> str:
    return f"Problem{status}"


def _refusal(status: int) -> dict[str, Any]:
    codes = [f"`{code}`: {kind.title}" for code, kind in KINDS.items() if kind.status == status]
    if status == 422:
        codes.append("and `picture_...`: the reasons of docs/quarantine.md")
    content = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    told: dict[str, Any] = {"description": "; ".join(codes), "content": content}
    if any(kind.status == status for code, kind in KINDS.items() if code in ("overloaded", "not_ready")):
        told["headers"] = {"Retry-After": {"schema": {"type": "integer", "minimum": 1}, "description": "Seconds until it may go better"}}
    return told
