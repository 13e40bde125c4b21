"""The page for people, and the page of the API's description: files of ours and of Swagger UI, nothing from elsewhere."""

from pathlib import Path

import fastapi_offline
from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

from components.serve.page.assets import page_files
from components.serve.problems import Refused

SWAGGER = Path(fastapi_offline.__file__).parent / "static"
SWAGGER_FILES = ("swagger-ui-bundle.js", "swagger-ui.css", "favicon.png")
DESCRIPTION = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Vitrine: API</title>
<link rel="icon" href="/docs/favicon.png"><link rel="stylesheet" href="/docs/swagger-ui.css"><div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></html>
"""
START = 'SwaggerUIBundle({url: "/openapi.json", dom_id: "#swagger-ui", validatorUrl: null});\n'

router = APIRouter(include_in_schema=False)


@router.get("/")
@router.get("/page/{name}")
async def page(request: Request) -> Response:
    """A file of the page."""
    file = page_files().get(request.url.path)
    if file is None:
        raise Refused("not_found", "the page has no such file")
    headers = {"etag": file.etag, "cache-control": "no-cache"}
    if request.headers.get("if-none-match") == file.etag:
        return Response(status_code=304, headers=headers)
    return Response(file.data, media_type=file.content_type, headers=headers)


@router.get("/docs")
async def description() -> HTMLResponse:
    """The API's description, for people to try it."""
    return HTMLResponse(DESCRIPTION)


@router.get("/docs/start.js")
async def start() -> Response:
    """What opens the description; a file of its own, since the page may run nothing inline."""
    return Response(START, media_type="text/javascript")


@router.get("/docs/{name}")
async def swagger(name: str) -> FileResponse:
    """A file of Swagger UI."""
    if name not in SWAGGER_FILES:
        raise Refused("not_found", "the description has no such file")
    return FileResponse(SWAGGER / name)
