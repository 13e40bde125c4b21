"""A vision language model as judge, behind any endpoint that speaks OpenAI's chat completions with pictures."""

import base64
import io
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice
from PIL import Image
from pydantic import ValidationError

from components import stage_log
from components.errors import BadParams, CallLimit, JudgeFailed
from components.images import decode
from components.label import rubric
from components.label.config import LabelConfig
from components.label.judge import Verdict, cannot_judge

log = logging.getLogger("vitrine")

JPEG_QUALITY = 90
MAX_WAIT_S = 60.0
REFUSAL_CODES = ("content_filter", "content_policy_violation")


class Meter:
    """Counts calls before they are sent, and the tokens that answers say they took; both stand in the log of stages. Raises CallLimit
    instead of letting a call pass `max_calls`; safe across threads."""

    def __init__(self, max_calls: int) -> None:
        self.max_calls = max_calls
        self.num_calls = 0
        self.num_told = 0
        self.input_tokens = 0
        self.output_tokens = 0
        self._lock = threading.Lock()

    def take(self) -> None:
        """Counts one call."""
        with self._lock:
            if self.num_calls >= self.max_calls:
                raise CallLimit(f"label.max_calls = {self.max_calls} allows no further call in this run: raise it to go on.")
            self.num_calls += 1
            self._note()

    def hear(self, usage: CompletionUsage | None) -> None:
        """Counts what an answer took; an endpoint may not say."""
        if usage is None:
            return
        with self._lock:
            self.num_told += 1
            self.input_tokens += usage.prompt_tokens
            self.output_tokens += usage.completion_tokens
            self._note()

    def _note(self) -> None:
        counts = {"num_calls": self.num_calls, "input_tokens": self.input_tokens, "output_tokens": self.output_tokens}
        stage_log.note("asked", {**counts, "num_untold": self.num_calls - self.num_told})


@dataclass(frozen=True)
class Setback:
    """Why no answer came. `wait_s` is how long the server asks to be left alone, where it says so."""

    what: str
    may_pass: bool = False
    wait_s: float | None = None


def connect(timeout_s: float) -> openai.OpenAI:
    """A client on OPENAI_BASE_URL with OPENAI_API_KEY. It retries nothing and follows no redirect: every call sent is one we counted.

    Raises BadParams where there is no key.
    """
    if not os.environ.get("OPENAI_API_KEY"):
        raise BadParams("label.judge = openai needs OPENAI_API_KEY in the environment (any text, if your endpoint asks for no key)")
    logging.getLogger("httpx2").setLevel(logging.WARNING)  # a line a call, and the address may hold a secret
    return openai.OpenAI(timeout=timeout_s, max_retries=0, http_client=openai.DefaultHttpxClient(follow_redirects=False))


class OpenAiJudge:
    """Asks `label.model`, retries what may pass, and takes only answers that fit the rubric's schema."""

    rubric = rubric.VERSION
    paid = True

    def __init__(
        self,
        cfg: LabelConfig,
        *,
        connect: Callable[[float], openai.OpenAI] = connect,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.id = cfg.model
        self.meter = Meter(cfg.max_calls)
        self._cfg = cfg
        self._connect = connect
        self._sleep = sleep
        self._lock = threading.Lock()
        self._client: openai.OpenAI | None = None

    def client(self) -> openai.OpenAI:
        """The one client of this run, made at the first question: a run that finds every label in the cache needs no key."""
        with self._lock:
            if self._client is None:
                self._client = self._connect(self._cfg.timeout_s)
            return self._client

    def judge(self, query: str | None, first_picture: bytes, second_picture: bytes) -> Verdict:
        """The model's verdict. After label.max_retries an unusable answer is `cannot_judge`, an endpoint without answers JudgeFailed.

        Raises CallLimit, and BadPicture before anything is sent.
        """
        request = self._request(query, first_picture, second_picture)
        outcome, num_tries = self._ask(request), 1
        while num_tries <= self._cfg.max_retries and may_improve(outcome):
            if isinstance(outcome, Setback):
                planned_s = self._cfg.retry_wait_s * 2 ** (num_tries - 1)
                self._sleep(min(planned_s if outcome.wait_s is None else outcome.wait_s, MAX_WAIT_S))
            outcome, num_tries = self._ask(request), num_tries + 1
        if isinstance(outcome, Setback):
            raise JudgeFailed(f"{outcome.what}. Tried {num_tries} times.")
        return outcome

    def _ask(self, request: dict[str, Any]) -> Verdict | Setback:
        client = self.client()
        self.meter.take()
        try:
            completion = client.chat.completions.create(**request)
        except openai.APIError as error:
            return cannot_judge("refused") if error.code in REFUSAL_CODES else setback_of(error, client)
        except ValueError:  # the client passes on what json says of a broken body
            completion = None
        if isinstance(completion, ChatCompletion):
            self.meter.hear(completion.usage)
        if isinstance(completion, ChatCompletion) and completion.choices:
            return verdict_of(completion.choices[0])
        return Setback(f"{where(client)} answered with something that is no chat completion; check OPENAI_BASE_URL", may_pass=True)

    def _request(self, query: str | None, first_picture: bytes, second_picture: bytes) -> dict[str, Any]:
        content = [
            {"type": "text", "text": rubric.question(query)},
            {"type": "text", "text": "First photo:"},
            _picture_part(first_picture, self._cfg.image_px),
            {"type": "text", "text": "Second photo:"},
            _picture_part(second_picture, self._cfg.image_px),
        ]
        request = {
            "model": self._cfg.model,
            "messages": [{"role": "system", "content": rubric.INSTRUCTIONS}, {"role": "user", "content": content}],
            "response_format": rubric.response_format(),
            "max_completion_tokens": self._cfg.max_answer_tokens,
        }
        return request if self._cfg.temperature is None else {**request, "temperature": self._cfg.temperature}


def _picture_part(picture: bytes, image_px: int) -> dict[str, Any]:
    encoded = base64.b64encode(sent_picture(picture, image_px)).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{encoded}"}}


def sent_picture(picture: bytes, image_px: int) -> bytes:
    """The JPEG that leaves the house: upright, long side at most image_px, pixels only (no EXIF, place, maker or thumbnail)."""
    small = decode(picture, image_px)
    small.thumbnail((image_px, image_px), Image.Resampling.BICUBIC)
    clean = Image.new("RGB", small.size)
    clean.paste(small)
    buffer = io.BytesIO()
    clean.save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def verdict_of(choice: Choice) -> Verdict:
    """The answer as a verdict, or `cannot_judge` with the reason: refused, cut_off or malformed."""
    if choice.finish_reason == "content_filter" or choice.message.refusal:
        return cannot_judge("refused")
    if choice.finish_reason == "length":
        return cannot_judge("cut_off")
    try:
        return rubric.Answer.model_validate_json(choice.message.content or "").verdict()
    except ValidationError:
        return cannot_judge("malformed")


def may_improve(outcome: Verdict | Setback) -> bool:
    """Whether asking again can help."""
    return outcome.may_pass if isinstance(outcome, Setback) else bool(outcome.unusable)


def setback_of(error: openai.APIError, client: openai.OpenAI) -> Setback:
    """What stands in the way, in one line that never holds the key: a server's own words may repeat it.

    It may pass where there was no connection, a time-out, too many requests, or a server's own failure.
    """
    if not isinstance(error, openai.APIStatusError):
        what = f"gave no answer ({type(error).__name__}); check OPENAI_BASE_URL and label.timeout_s"
        return Setback(f"{where(client)} {what}", may_pass=True)
    if error.status_code in (401, 403):
        return Setback(f"{where(client)} refused the key (HTTP {error.status_code}); check OPENAI_API_KEY and OPENAI_BASE_URL")
    said = " ".join(error.message.replace(client.api_key, "[key]").split())[:300]
    what = f"answered HTTP {error.status_code} ({said}); check label.model and the endpoint's limits"
    asked = error.response.headers.get("retry-after", "")
    return Setback(
        f"{where(client)} {what}",
        may_pass=error.status_code in (408, 409, 429) or error.status_code >= 500,
        wait_s=float(asked) if asked.isdecimal() else None,
    )


def where(client: openai.OpenAI) -> str:
    """The endpoint by host and path; an address may hold a password, which is left out."""
    url = urlsplit(str(client.base_url))
    return f"the judge at {url.hostname}:{url.port or url.scheme}{url.path.rstrip('/')}"
