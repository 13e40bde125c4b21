"""The page as files in memory: what the gateway answers at / and under /page/."""

import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

FILES = Path(__file__).parent / "files"
CONTENT_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


@dataclass(frozen=True)
class PageFile:
    """One file of the page. `etag` is quoted, as the header wants it; it changes with the bytes alone."""

    content_type: str
    data: bytes
    etag: str


@functools.cache
def page_files() -> Mapping[str, PageFile]:
    """The page's files by the path they are answered at: "/" and "/page/NAME". Read once."""
    return MappingProxyType({_path_of(file): _read(file) for file in sorted(FILES.iterdir()) if file.suffix in CONTENT_TYPES})


def _path_of(file: Path) -> str:
    return "/" if file.name == "index.html" else f"/page/{file.name}"


def _read(file: Path) -> PageFile:
    data = file.read_bytes()
    return PageFile(CONTENT_TYPES[file.suffix], data, f'"{hashlib.sha256(data).hexdigest()[:32]}"')
