"""A server on loopback that speaks OpenAI's chat completions with pictures, as strictly as the real one where judges could go wrong."""

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from PIL import Image

KEY = "sk-test-0123456789abcdef"


@dataclass(frozen=True)
class Asked:
    """One request as the server understood it. `body` is the whole of it; pictures are JPEG bytes in the order sent."""

    body: dict[str, Any]
    texts: list[str]
    pictures: list[bytes]

    def brightness(self) -> list[float]:
        """Mean luma of each picture, 0 to 255."""
        return [float(np.asarray(Image.open(io.BytesIO(picture)).convert("L")).mean()) for picture in self.pictures]


@dataclass(frozen=True)
class Reply:
    """What the server sends back: `text` is the body as it is, whatever it is."""

    text: str
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0


def answer(asked: Asked, **changes: Any) -> dict[str, Any]:
    """A sound answer of a judge that likes bright photos."""
    first, second = asked.brightness()
    return {
        "analysis": "The brighter photo shows more.",
        "adjectives": [
            {"photo": "first", "adjective": "bright" if first > second else "dark", "polarity": 1 if first > second else -1},
            {"photo": "second", "adjective": "bright" if second > first else "dark", "polarity": 1 if second > first else -1},
        ],
        "first_score": round(first / 255, 2),
        "second_score": round(second / 255, 2),
        "choice": "first" if first > second else "second",
        **changes,
    }


def completion(content: str | None, *, finish_reason: str = "stop", refusal: str | None = None) -> Reply:
    """A chat completion with that message."""
    message = {"role": "assistant", "content": content, "refusal": refusal}
    choice = {"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": None}
    usage = {"prompt_tokens": 900, "completion_tokens": 120, "total_tokens": 1020}
    body = {"id": "chatcmpl-1", "object": "chat.completion", "created": 0, "model": "loopback", "choices": [choice], "usage": usage}
    return Reply(json.dumps(body))


def failure(status: int, message: str, *, code: str | None = None, **headers: str) -> Reply:
    """An error as the protocol words it. Header names are given with underscores."""
    body = {"error": {"message": message, "type": "error", "param": None, "code": code}}
    return Reply(json.dumps(body), status, {name.replace("_", "-"): value for name, value in headers.items()})


def likes_bright_photos(asked: Asked, number: int) -> Reply:
    """The script of a server that always answers well."""
    return completion(json.dumps(answer(asked)))


Script = Callable[[Asked, int], Reply]


class OpenAiServer:
    """Counts and keeps every request; `script` gets each valid one with its number, from 0, and says what to reply."""

    def __init__(self, script: Script) -> None:
        self.script = script
        self.num_calls = 0
        self.asked: list[Asked] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._http.server_port}/v1"

    def reply(self, path: str, authorization: str, data: bytes) -> Reply:
        """The reply to one request; what the real server would refuse is refused here."""
        with self._lock:
            number, self.num_calls = self.num_calls, self.num_calls + 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            if authorization != f"Bearer {KEY}":
                return failure(401, f"Incorrect API key provided: {authorization.removeprefix('Bearer ')}", code="invalid_api_key")
            if path != "/v1/chat/completions":
                return failure(404, f"no such path: {path}")
            if problem := problem_with(body := json.loads(data)):
                return failure(400, problem)
            asked = understood(body)
            with self._lock:
                self.asked.append(asked)
            reply = self.script(asked, number)
            time.sleep(reply.delay_s)
            return reply
        finally:
            with self._lock:
                self._at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                data = self.rfile.read(int(self.headers["content-length"]))
                reply = server.reply(self.path, self.headers.get("authorization", ""), data)
                sent = reply.text.encode()
                self.send_response(reply.status)
                for name, value in {"content-type": "application/json", "content-length": str(len(sent)), **reply.headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(sent)

            def log_message(self, *args: object) -> None:
                pass

        return Handler

    @contextmanager
    def running(self) -> Iterator["OpenAiServer"]:
        """The server answers inside the block."""
        thread = threading.Thread(target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._http.shutdown()
            self._http.server_close()
            thread.join()


def _parts(body: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [part for part in body["messages"][-1]["content"] if part["type"] == kind]


def understood(body: dict[str, Any]) -> Asked:
    """The request's words and pictures, in the order sent."""
    urls = [part["image_url"]["url"] for part in _parts(body, "image_url")]
    return Asked(body, [part["text"] for part in _parts(body, "text")], [base64.b64decode(url.split(",", 1)[1]) for url in urls])


def problem_with(body: dict[str, Any]) -> str:
    """Why the request is not one of the protocol, or ""."""
    if body.get("response_format", {}).get("type") != "json_schema":
        return "response_format must be json_schema"
    if not body["response_format"]["json_schema"].get("strict"):
        return "json_schema must be strict"
    if loose := loose_objects(body["response_format"]["json_schema"]["schema"]):
        return f"strict needs additionalProperties false and all properties required: {loose}"
    if any(not part["image_url"]["url"].startswith("data:image/jpeg;base64,") for part in _parts(body, "image_url")):
        return "pictures must be data URLs"
    return "" if [m["role"] for m in body["messages"]] == ["system", "user"] else "one system message, then one of the user"


def loose_objects(schema: Any) -> list[str]:
    """Titles of objects in a JSON schema that strict mode would refuse."""
    if isinstance(schema, list):
        return [name for part in schema for name in loose_objects(part)]
    if not isinstance(schema, dict):
        return []
    closed = schema.get("additionalProperties") is False and sorted(schema.get("required", [])) == sorted(schema.get("properties", {}))
    own = [schema.get("title", "?")] if schema.get("type") == "object" and not closed else []
    return own + [name for part in schema.values() for name in loose_objects(part)]
