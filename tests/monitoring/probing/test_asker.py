"""How a gateway is asked: its pace, its patience, and what it takes for an answer. Nobody listens: a function answers."""

import httpx
import pytest

from components.errors import GatewayFailed, WrongRelease
from monitoring.probing.asker import AGENT, Asker, Refusal, Unanswered, client_of
from tests.monitoring.probing.shop import probing

RELEASE, FINGERPRINT = "a" * 64, "f1"
SOUND = {"release_id": RELEASE, "fingerprint": FINGERPRINT}


class Time:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 0.0, []

    def clock(self):
        return self.now

    def sleep(self, seconds):
        self.slept.append(round(seconds, 6))
        self.now += seconds


def asker(*answers, **changes):
    """Of a gateway that gives these answers one after the other, and the last one again and again. Also its time, and what it was asked."""
    asked, left = [], list(answers)

    def answer(request):
        asked.append(request)
        return left.pop(0) if len(left) > 1 else left[0]

    cfg = probing(address="http://shop.example", **{"rows_per_s": 1000.0, "retry_wait_s": 1.0, **changes})
    time, client = Time(), httpx.Client(transport=httpx.MockTransport(answer), base_url=cfg.address)
    return Asker(client, RELEASE, FINGERPRINT, cfg, time.clock, time.sleep), time, asked


def sound(**more):
    return httpx.Response(200, json=SOUND | more)


def problem(status, code="", wait=None):
    headers = {} if wait is None else {"retry-after": str(wait)}
    return httpx.Response(status, json={"status": status, "code": code, "detail": "so it is"}, headers=headers)


def test_the_release_is_named_in_each_question_and_the_request_can_be_recognised():
    one, _, asked = asker(sound(items=[]))
    assert one.ask("probe-1", "/v1/similar", {"item_id": "i"})["items"] == []
    assert (asked[0].headers["x-request-id"], asked[0].method) == ("probe-1", "POST")
    assert asked[0].read() == b'{"item_id":"i","release":"' + RELEASE.encode() + b'"}'
    with client_of(probing(), "vk_secret") as client:
        assert (client.headers["user-agent"], client.headers["x-probe"], client.headers["authorization"]) == (
            AGENT,
            "1",
            "Bearer vk_secret",
        )
        assert not client.follow_redirects


def test_rows_are_asked_no_faster_than_agreed():
    one, time, _ = asker(sound(), rows_per_s=4.0)
    for number in range(9):
        one.ask(str(number), "/v1/score", {})
    assert time.now == pytest.approx(2.0)


def test_a_gateway_says_when_it_is_to_be_asked_again():
    one, time, asked = asker(problem(429, "rate_limited", 7), problem(503, "not_ready", 5), sound())
    one.ask("1", "/v1/score", {})
    assert (time.slept, len(asked), one.num_requests) == ([7.0, 5.0], 3, 3)


def test_a_gateway_that_does_not_say_when_is_given_ever_more_time_up_to_a_bound():
    one, time, _ = asker(problem(500, "internal"), max_tries=6, max_wait_s=5.0)
    with pytest.raises(Unanswered, match="HTTP 500 internal, tried 6 times"):
        one.ask("1", "/v1/score", {})
    assert time.slept == [1.0, 2.0, 4.0, 5.0, 5.0]


def test_a_gateway_that_wants_to_be_left_alone_for_longer_than_we_wait_is():
    one, time, asked = asker(problem(503, "not_ready", 3600), max_wait_s=30.0)
    with pytest.raises(Unanswered, match=r"come back in 3600 s \(monitor.probing.max_wait_s is 30\)"):
        one.ask("1", "/v1/score", {})
    assert (time.slept, len(asked)) == ([], 1)


@pytest.mark.parametrize("wait", ["soon", "Wed, 21 Oct 2026 07:28:00 GMT", "-5", "9" * 400])
def test_a_time_to_come_back_that_is_no_number_of_seconds_is_not_followed(wait):
    one, time, _ = asker(problem(503, "not_ready", wait), sound())
    one.ask("1", "/v1/score", {})
    assert time.slept == [1.0]


@pytest.mark.parametrize("other", [{"release_id": "b" * 64}, {"fingerprint": "f2"}, {"release_id": None}])
def test_an_answer_of_another_release_is_refused_by_name(other):
    one, _, _ = asker(httpx.Response(200, json=SOUND | other))
    with pytest.raises(WrongRelease, match=f"the bundle is release {RELEASE[:12]}"):
        one.ask("1", "/v1/score", {})


def test_a_release_that_is_loaded_and_answers_nobody_is_not_met():
    rows = [{"release_id": RELEASE, "fingerprint": FINGERPRINT}, {"release_id": "b" * 64, "fingerprint": "f2"}]
    one, _, asked = asker(httpx.Response(200, json={"active": "b" * 64, "releases": rows}))
    with pytest.raises(WrongRelease, match=rf"release {'b' * 12} \(fingerprint f2\)"):
        one.meet()
    assert asked[0].url.path == "/v1/releases"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (httpx.Response(200, text="<p>Welcome</p>"), "no JSON object"),
        (httpx.Response(200, json=[1]), "no JSON object"),
        (httpx.Response(200, content=b"[" * 5_000_000), "more than 4194304 bytes"),
        (httpx.Response(302, headers={"location": "http://elsewhere.example/"}), "HTTP 302: is this the address of a gateway"),
        (httpx.Response(404, text="nginx"), "HTTP 404: is this the address of a gateway"),
        (problem(403, "scope_missing"), "vitrine key create --scope read --scope probe"),
    ],
)
def test_what_is_no_gateway_or_lets_nobody_ask_ends_the_probing(answer, words):
    one, time, asked = asker(answer)
    with pytest.raises(GatewayFailed, match=words):
        one.ask("1", "/v1/score", {})
    assert (len(asked), time.slept) == (1, [])


def test_a_refusal_that_stays_is_not_asked_again():
    one, _, asked = asker(problem(404, "item_unknown"))
    with pytest.raises(Refusal) as refusal:
        one.ask("1", "/v1/similar", {})
    assert (refusal.value.code, refusal.value.may_pass, len(asked)) == ("item_unknown", False, 1)


def test_a_gateway_that_takes_too_long_in_all_is_given_up():
    one, time, asked = asker(sound(), rows_per_s=1.0, limit_s=10.0)
    for number in range(11):
        one.ask(str(number), "/v1/score", {})
    with pytest.raises(GatewayFailed, match="is too slow: 10 s are over"):
        one.ask("late", "/v1/score", {})
    assert (time.now, len(asked)) == (11.0, 11)
