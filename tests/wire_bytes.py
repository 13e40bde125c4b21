"""Requests as the bytes that go over the wire, for load and for fuzzing."""

from collections.abc import Mapping

BOUNDARY = "vitrine-load-boundary"


def request(method: str, path: str, body: bytes = b"", kind: str = "application/json", headers: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request to a server on loopback, with a body of that content type."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{name}: {value}" for name, value in (headers or {}).items())]
    if body or method not in ("GET", "DELETE"):
        lines += [f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def upload(method: str, path: str, picture: bytes, fields: Mapping[str, str] | None = None) -> bytes:
    """The bytes of a request with a form that holds a picture."""
    told = [(f'name="{name}"', value.encode()) for name, value in (fields or {}).items()]
    told += [('name="picture"; filename="a.jpg"\r\nContent-Type: image/jpeg', picture)]
    parts = [f"--{BOUNDARY}\r\nContent-Disposition: form-data; {words}\r\n\r\n".encode() + value + b"\r\n" for words, value in told]
    return request(method, path, b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()]), f"multipart/form-data; boundary={BOUNDARY}")
