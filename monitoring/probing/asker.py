"""Questions to a gateway over HTTP: no faster than agreed, tried again where that can help, and answered by one release alone."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
import orjson

from components.errors import GatewayFailed, WrongRelease
from monitoring.probing.config import ProbingConfig

AGENT = "vitrine-probe/1"
MAX_ANSWER_BYTES = 4 * 2**20
PASSES = (408, 425, 429)  # and a server's own failures
OTHERS = ("release_unknown", "fingerprint_mismatch")
SHUT = (401, 403)


class Refusal(Exception):
    """The gateway does not answer this question, and would not if it were asked again. `code` is one of docs/serving.md."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code, self.detail = status, code, detail

    @property
    def may_pass(self) -> bool:
        """Whether asking later can help."""
        return self.status in PASSES or self.status >= 500


class Unanswered(Exception):
    """There was no answer, however often it was tried."""


@dataclass(frozen=True)
class Setback:
    """Why a try gave no answer, and after how long the gateway wants to be asked again, where it says so."""

    what: str
    wait_s: float | None = None


def client_of(cfg: ProbingConfig, key: str | None) -> httpx.Client:
    """A client that follows no redirect, so that the key goes nowhere else."""
    logging.getLogger("httpx").setLevel(logging.WARNING)  # else a line a question
    headers = {"user-agent": AGENT, "x-probe": "1"} | ({"authorization": f"Bearer {key}"} if key else {})
    return httpx.Client(base_url=cfg.address, timeout=cfg.timeout_s, headers=headers, follow_redirects=False)


@dataclass
class Asker:
    """Asks one release. `num_requests` counts every try."""

    client: httpx.Client
    release_id: str
    fingerprint: str
    cfg: ProbingConfig
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    num_requests: int = 0
    _began_s: float = field(init=False)
    _next_s: float = field(init=False)

    def __post_init__(self) -> None:
        self._began_s = self._next_s = self.clock()

    def meet(self) -> None:
        """Returns where the gateway's shoppers are answered by this release. Raises WrongRelease, GatewayFailed."""
        try:
            told = self._asked("probe-meet", "GET", "/v1/releases", None)
        except (Refusal, Unanswered) as error:
            raise GatewayFailed(f"{self.cfg.address} cannot be asked: {error}") from None
        rows = {row.get("release_id"): row for row in told.get("releases", ()) if isinstance(row, dict)}
        active = told.get("active")
        if active != self.release_id:
            raise self._stranger(active, rows.get(active, {}).get("fingerprint"))

    def ask(self, request_id: str, path: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        """The release's answer. Raises Refusal, Unanswered; WrongRelease where another one answers; GatewayFailed where nobody will."""
        told = self._asked(request_id, "POST", path, {**body, "release": self.release_id})
        if (told.get("release_id"), told.get("fingerprint")) != (self.release_id, self.fingerprint):
            raise self._stranger(told.get("release_id"), told.get("fingerprint"))
        return told

    def _stranger(self, release_id: object, fingerprint: object) -> WrongRelease:
        found = f"release {str(release_id)[:12]} (fingerprint {fingerprint})" if release_id else "no release"
        return WrongRelease(
            f"{self.cfg.address} answers with {found}, the bundle is release {self.release_id[:12]} (fingerprint {self.fingerprint}): "
            "its answers cannot be held against this bundle. Name the folder of the release that answers there with --bundle"
        )

    def _asked(self, request_id: str, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any]:
        setback = Setback("it was never tried")
        for number in range(self.cfg.max_tries):
            if number:
                self._wait(setback, number)
            outcome = self._try(request_id, method, path, body)
            if not isinstance(outcome, Setback):
                return outcome
            setback = outcome
        raise Unanswered(f"{setback.what}, tried {self.cfg.max_tries} times")

    def _wait(self, setback: Setback, number: int) -> None:
        wait_s = self.cfg.retry_wait_s * 2.0 ** min(number - 1, 30) if setback.wait_s is None else setback.wait_s
        if wait_s > self.cfg.max_wait_s:
            if setback.wait_s is not None:
                raise Unanswered(f"{setback.what}, come back in {wait_s:.0f} s (monitor.probing.max_wait_s is {self.cfg.max_wait_s:g})")
            wait_s = self.cfg.max_wait_s
        self.sleep(wait_s)

    def _try(self, request_id: str, method: str, path: str, body: Mapping[str, Any] | None) -> Mapping[str, Any] | Setback:
        self._pace()
        self.num_requests += 1
        content = None if body is None else orjson.dumps(body)
        headers = {"x-request-id": request_id} | ({} if content is None else {"content-type": "application/json"})
        try:
            with self.client.stream(method, path, content=content, headers=headers) as answer:
                return self._told(answer, self._read(answer))
        except httpx.TransportError as error:
            return Setback(f"no answer ({type(error).__name__})")
        except httpx.HTTPError as error:
            raise GatewayFailed(f"{self.cfg.address} speaks no HTTP that we understand ({type(error).__name__})") from None

    def _pace(self) -> None:
        """Waits for the next row's turn. Raises GatewayFailed once the probing has taken too long."""
        if (now_s := self.clock()) < self._next_s:
            self.sleep(self._next_s - now_s)
        self._next_s = max(now_s, self._next_s) + 1 / self.cfg.rows_per_s
        self._check_time()

    def _check_time(self) -> None:
        if self.clock() - self._began_s > self.cfg.limit_s:
            raise GatewayFailed(f"{self.cfg.address} is too slow: {self.cfg.limit_s:g} s are over (monitor.probing.limit_s)")

    def _read(self, answer: httpx.Response) -> bytes:
        """The body, however slowly it trickles, within the probing's time. Raises GatewayFailed."""
        parts, num_bytes = [], 0
        for part in answer.iter_bytes():
            self._check_time()
            parts.append(part)
            if (num_bytes := num_bytes + len(part)) > MAX_ANSWER_BYTES:
                raise GatewayFailed(f"{self.cfg.address} answers with more than {MAX_ANSWER_BYTES} bytes: is this the gateway?")
        return b"".join(parts)

    def _told(self, answer: httpx.Response, data: bytes) -> Mapping[str, Any] | Setback:
        try:
            told = orjson.loads(data)
        except orjson.JSONDecodeError:
            told = None
        if answer.status_code == 200:
            if not isinstance(told, dict):
                raise GatewayFailed(f"{self.cfg.address} answers with something that is no JSON object: is this the address of a gateway?")
            return told
        refusal = refusal_of(answer.status_code, told if isinstance(told, dict) else {})
        if refusal.may_pass:
            return Setback(f"HTTP {refusal.status} {refusal.code}".rstrip(), _seconds(answer.headers.get("retry-after", "")))
        raise self._final(refusal)

    def _final(self, refusal: Refusal) -> Exception:
        """What a refusal that stays means."""
        if refusal.code in OTHERS:
            return WrongRelease(
                f"{self.cfg.address} has no release {self.release_id[:12]} (fingerprint {self.fingerprint}), which the bundle is: "
                f"{refusal.detail}. Name the folder of the release that answers there with --bundle"
            )
        if refusal.status in SHUT:
            return GatewayFailed(
                f"{self.cfg.address} does not let us ask ({refusal.code}: {refusal.detail}). Make a key with "
                "`vitrine key create --scope read --scope probe` and put it into VITRINE_API_KEY"
            )
        if not refusal.code:
            return GatewayFailed(f"{self.cfg.address} answers HTTP {refusal.status}: is this the address of a gateway?")
        return refusal


def refusal_of(status: int, problem: Mapping[str, Any]) -> Refusal:
    """The refusal that problem details tell of, with an empty code where they tell of none."""
    return Refusal(status, str(problem.get("code", "")), " ".join(str(problem.get("detail", "")).split())[:300])


def _seconds(text: str) -> float | None:
    """Of Retry-After; None where there is none, or a date, which our own gateway never sends."""
    return float(text) if text.isdecimal() and len(text) < 10 else None
