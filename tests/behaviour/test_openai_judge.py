"""The paid judge against a server that speaks its protocol: what is sent, what is kept, and what happens when things go wrong."""

import io
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from components import stage_log
from components.errors import BadParams, CallLimit, JudgeFailed
from components.label import rubric
from components.label.openai_judge import OpenAiJudge
from components.objects import FolderStore
from tests.label_tables import Tables, bytes_of, config, many, rows_of
from tests.openai_server import KEY, OpenAiServer, Reply, answer, completion, failure, likes_bright_photos

ONE_PAIR = [("light", "dark", "train", "red lamp")]
LEVELS = {"light": 220, "dark": 60}


def asking(**changes):
    return config(**({"judge": "openai", "model": "loopback-vision", "concurrency": 1, "max_calls": 100, "timeout_s": 20.0} | changes))


@pytest.fixture
def server(monkeypatch):
    with OpenAiServer(likes_bright_photos).running() as running:
        monkeypatch.setenv("OPENAI_API_KEY", KEY)
        monkeypatch.setenv("OPENAI_BASE_URL", running.url)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield running


@pytest.fixture
def pair(tmp_path):
    return Tables(tmp_path, LEVELS, ONE_PAIR)


def test_both_photos_reach_the_judge_in_the_order_shown(server, pair, tmp_path):
    pair.label(tmp_path / "labels", asking())
    dark_first, light_first = server.asked
    assert dark_first.brightness() == pytest.approx([57, 209], abs=2)
    assert light_first.brightness() == pytest.approx([209, 57], abs=2)
    assert dark_first.texts == ["Two photos follow. Search words: 'red lamp'", "First photo:", "Second photo:"]
    kinds = [part["type"] for part in dark_first.body["messages"][1]["content"]]
    assert kinds == ["text", "text", "image_url", "text", "image_url"]


def test_an_answer_becomes_a_row_for_each_order(server, pair, tmp_path):
    summary = pair.label(tmp_path / "labels", asking())
    dark_first, light_first = sorted(rows_of(tmp_path / "labels"), key=lambda row: row["first_item"])
    assert (dark_first["first_item"], dark_first["second_item"], dark_first["choice"]) == ("dark", "light", "second")
    assert (light_first["first_item"], light_first["second_item"], light_first["choice"]) == ("light", "dark", "first")
    assert dark_first["first_score"] < 0.3 < 0.7 < dark_first["second_score"]
    assert dark_first["adjectives"][1] == {"item": "second", "adjective": "bright", "polarity": 1}
    assert {row["judge"] for row in (dark_first, light_first)} == {"loopback-vision"}
    assert {row["rubric"] for row in (dark_first, light_first)} == {rubric.VERSION}
    assert (summary.num_pairs, summary.rows_out, summary.click_agreement_share, summary.order_agreement_share) == (1, 2, 1.0, 1.0)


def test_a_page_without_search_words_is_asked_about_without_them(server, tmp_path):
    Tables(tmp_path, LEVELS, [("light", "dark", "train", None)]).label(tmp_path / "labels", asking())
    assert server.asked[0].texts[0] == "Two photos follow. They were found without search words."


def test_only_small_clean_pixels_leave_the_house(server, tmp_path):
    exif = Image.Exif()
    exif[0x010F] = "SECRET-CAMERA"
    Tables(tmp_path, LEVELS, ONE_PAIR, exif=exif.tobytes()).label(tmp_path / "labels", asking(image_px=64))
    for picture in (picture for asked in server.asked for picture in asked.pictures):
        sent = Image.open(io.BytesIO(picture))
        assert sent.size == (64, 38)  # 80 x 48 with its long side at image_px
        assert not sent.getexif()
        assert b"SECRET-CAMERA" not in picture


def test_after_the_call_limit_the_next_run_asks_only_the_rest(server, tmp_path):
    market, store = many(tmp_path, 6), FolderStore(tmp_path / "cache")
    with pytest.raises(CallLimit, match=r"label\.max_calls = 5 .* 5 of 12 answers are in the work cache"):
        market.label(tmp_path / "labels", asking(max_calls=5), store=store)
    assert server.num_calls == 5
    market.label(tmp_path / "labels", asking(max_calls=7), store=store)
    assert server.num_calls == 12
    assert len({json.dumps(asked.body) for asked in server.asked}) == 12  # nothing was asked twice


def test_outs_are_the_same_whether_the_cache_was_empty_half_full_or_warm(server, tmp_path):
    market, store = many(tmp_path, 5), FolderStore(tmp_path / "cache")
    market.label(tmp_path / "empty", asking())
    with pytest.raises(CallLimit):
        market.label(tmp_path / "half", asking(max_calls=4), store=store)
    market.label(tmp_path / "half", asking(), store=store)
    calls = server.num_calls
    market.label(tmp_path / "warm", asking(max_calls=0), store=store)
    assert server.num_calls == calls
    assert bytes_of(tmp_path / "empty") == bytes_of(tmp_path / "half") == bytes_of(tmp_path / "warm")


def test_knobs_of_operation_change_neither_outs_nor_what_is_kept(server, tmp_path):
    market, store = many(tmp_path, 4), FolderStore(tmp_path / "cache")
    market.label(tmp_path / "one", asking(), store=store)
    changed = asking(concurrency=7, max_calls=9, max_retries=0, timeout_s=3.0, retry_wait_s=1.0)
    market.label(tmp_path / "two", changed, store=store)
    market.label(tmp_path / "three", changed)
    assert server.num_calls == 16
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two") == bytes_of(tmp_path / "three")


@pytest.mark.parametrize("knob", [{"model": "other"}, {"image_px": 80}, {"temperature": 0.7}, {"show_query": False}])
def test_a_knob_that_changes_the_question_asks_again(server, pair, tmp_path, knob):
    store = FolderStore(tmp_path / "cache")
    pair.label(tmp_path / "labels", asking(), store=store)
    pair.label(tmp_path / "labels", asking(**knob), store=store)
    assert server.num_calls == 4


@pytest.mark.parametrize("concurrency", [1, 8])
def test_no_call_passes_the_limit_though_every_answer_is_bad(server, tmp_path, concurrency):
    server.script = lambda asked, number: completion("I would rather not say")
    with pytest.raises(CallLimit):
        many(tmp_path, 9).label(tmp_path / "labels", asking(max_calls=7, max_retries=20, concurrency=concurrency))
    assert server.num_calls == 7


BROKEN = {
    "no JSON": lambda asked: "The first one.",
    "JSON in a fence": lambda asked: f"```json\n{json.dumps(answer(asked))}\n```",
    "a field is missing": lambda asked: json.dumps({k: v for k, v in answer(asked).items() if k != "choice"}),
    "a field too many": lambda asked: json.dumps(answer(asked, mood="good")),
    "a score beyond 1": lambda asked: json.dumps(answer(asked, first_score=7)),
    "a score as text": lambda asked: json.dumps(answer(asked, first_score="0.7")),
    "a choice not offered": lambda asked: json.dumps(answer(asked, choice="third")),
    "polarity 2": lambda asked: json.dumps(answer(asked, adjectives=[{"photo": "first", "adjective": "odd", "polarity": 2}])),
    "nothing": lambda asked: None,
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_an_answer_against_the_schema_is_asked_for_again(server, pair, tmp_path, content):
    server.script = lambda asked, number: completion(content(asked)) if number == 0 else likes_bright_photos(asked, number)
    summary = pair.label(tmp_path / "labels", asking())
    assert server.num_calls == 3
    assert summary.choices == {"first": 1, "second": 1, "tie": 0, "cannot_judge": 0}


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (completion("nonsense"), "malformed"),
        (completion(None, refusal="I cannot help with that"), "refused"),
        (completion("", finish_reason="content_filter"), "refused"),
        (failure(400, "blocked", code="content_policy_violation"), "refused"),
        (completion('{"analysis": "The', finish_reason="length"), "cut_off"),
    ],
)
def test_a_judge_that_never_answers_well_cannot_judge_and_is_not_asked_again(server, pair, tmp_path, reply, reason):
    store = FolderStore(tmp_path / "cache")
    server.script = lambda asked, number: reply
    summary = pair.label(tmp_path / "labels", asking(max_retries=2), store=store)
    assert (server.num_calls, summary.choices["cannot_judge"], summary.unusable) == (6, 2, {reason: 2})
    assert summary.click_agreement_share is None
    assert {row["first_score"] for row in rows_of(tmp_path / "labels")} == {None}
    assert pair.label(tmp_path / "again", asking(max_calls=0), store=store) == summary


@pytest.mark.parametrize("reply", [Reply("<p>welcome</p>", headers={"content-type": "text/html"}), Reply("{}"), Reply("{"), Reply("[]")])
def test_an_address_that_is_no_judge_stops_the_stage_and_leaves_no_label(server, pair, tmp_path, reply):
    store = FolderStore(tmp_path / "cache")
    server.script = lambda asked, number: reply
    with pytest.raises(JudgeFailed, match=r"something that is no chat completion; check OPENAI_BASE_URL\. Tried 3 times\. 0 of 2 answers"):
        pair.label(tmp_path / "labels", asking(), store=store)
    server.script = likes_bright_photos
    assert pair.label(tmp_path / "labels", asking(), store=store).choices["cannot_judge"] == 0


def test_too_many_requests_are_waited_out_as_the_server_asks(server, pair, tmp_path):
    busy = [failure(429, "slow down", retry_after="7"), failure(503, "overloaded")]
    server.script = lambda asked, number: busy[number] if number < 2 else likes_bright_photos(asked, number)
    waits = []
    cfg = asking(retry_wait_s=1.5)
    summary = pair.label(tmp_path / "labels", cfg, judge=OpenAiJudge(cfg, sleep=waits.append))
    assert waits == [7.0, 3.0]  # what Retry-After says, then 1.5 s doubled once
    assert (server.num_calls, summary.choices["cannot_judge"]) == (4, 0)


def test_a_server_that_breaks_down_stops_the_stage_and_keeps_what_was_paid(server, tmp_path):
    market, store = many(tmp_path, 4), FolderStore(tmp_path / "cache")
    server.script = lambda asked, number: likes_bright_photos(asked, number) if number < 3 else failure(500, "out of order")
    with pytest.raises(JudgeFailed, match=r"HTTP 500 \(.*out of order.*\).*Tried 3 times\. 3 of 8 answers are in the work cache"):
        market.label(tmp_path / "labels", asking(), store=store)
    server.script, calls = likes_bright_photos, server.num_calls
    market.label(tmp_path / "labels", asking(), store=store)
    assert server.num_calls == calls + 5


def test_a_server_that_never_comes_back_is_a_time_out(server, pair, tmp_path):
    server.script = lambda asked, number: Reply("{}", delay_s=0.6)
    with pytest.raises(JudgeFailed, match=r"no answer \(APITimeoutError\); check OPENAI_BASE_URL and label\.timeout_s\. Tried 2 times"):
        pair.label(tmp_path / "labels", asking(timeout_s=0.1, max_retries=1))


def test_nobody_at_the_address_is_said_so(pair, tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with pytest.raises(JudgeFailed, match=r"the judge at 127\.0\.0\.1:9/v1 gave no answer \(APIConnectionError\)"):
        pair.label(tmp_path / "labels", asking(max_retries=0))


def test_a_wrong_key_is_named_but_never_shown(server, pair, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-wrong-and-secret")  # the server's own message repeats it
    caplog.set_level(logging.DEBUG, "vitrine")
    with pytest.raises(JudgeFailed, match=r"refused the key \(HTTP 401\); check OPENAI_API_KEY") as caught:
        pair.label(tmp_path / "labels", asking())
    assert server.num_calls == 1  # another try cannot help
    assert "sk-wrong" not in str(caught.value) + caplog.text
    assert caught.value.__cause__ is None


def test_an_error_that_repeats_the_key_is_cleaned(server, pair, tmp_path):
    server.script = lambda asked, number: failure(400, f"no such model for {KEY}")
    with pytest.raises(JudgeFailed, match=r"no such model for \[key\]") as caught:
        pair.label(tmp_path / "labels", asking())
    assert KEY not in str(caught.value)


def test_the_key_is_in_no_file(server, tmp_path):
    many(tmp_path, 3).label(tmp_path / "labels", asking())
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path for path in files if KEY.encode() in path.read_bytes()]


def test_without_a_key_only_a_run_that_finds_every_answer_succeeds(server, pair, tmp_path, monkeypatch):
    store = FolderStore(tmp_path / "cache")
    pair.label(tmp_path / "labels", asking(), store=store)
    monkeypatch.delenv("OPENAI_API_KEY")
    pair.label(tmp_path / "again", asking(), store=store)
    assert bytes_of(tmp_path / "again") == bytes_of(tmp_path / "labels")
    with pytest.raises(BadParams, match="needs OPENAI_API_KEY in the environment"):
        pair.label(tmp_path / "fresh", asking())


def test_a_redirect_is_not_followed_with_the_photos(server, pair, tmp_path):
    server.script = lambda asked, number: Reply("", 307, {"location": f"{server.url}/chat/completions"})
    with pytest.raises(JudgeFailed, match="HTTP 307"):
        pair.label(tmp_path / "labels", asking(max_retries=0))
    assert server.num_calls == 1


def test_as_many_questions_are_in_flight_as_allowed(server, tmp_path):
    server.script = lambda asked, number: Reply(likes_bright_photos(asked, number).text, delay_s=0.05)
    many(tmp_path, 6).label(tmp_path / "labels", asking(concurrency=3))
    assert server.most_at_once == 3


RUN = """
import sys
from pathlib import Path
from components.objects import FolderStore
from tests.behaviour.test_openai_judge import asking
from tests.label_tables import Tables
tables = Tables.__new__(Tables)
tables.folder = Path(sys.argv[1])
tables.label(tables.folder / "labels", asking(concurrency=2), store=FolderStore(tables.folder / "cache"))
"""


def test_a_killed_run_loses_at_most_the_calls_in_flight(server, tmp_path):
    market, root = many(tmp_path, 10), Path(__file__).resolve().parents[2]
    server.script = lambda asked, number: Reply(likes_bright_photos(asked, number).text, delay_s=0.05)
    child = subprocess.Popen([sys.executable, "-c", RUN, str(tmp_path)], cwd=root, env=os.environ | {"PYTHONPATH": str(root)})
    deadline = time.monotonic() + 60
    while server.num_calls < 9 and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL
    time.sleep(0.2)  # what was in flight arrives at the server
    paid = server.num_calls
    market.label(tmp_path / "labels", asking(concurrency=2), store=FolderStore(tmp_path / "cache"))
    assert 20 - paid <= server.num_calls - paid <= 20 - paid + 2


def test_what_a_run_was_charged_for_stands_in_the_log_of_stages(server, pair, tmp_path):
    """Calls and tokens, those of answers that were asked again included; an answer without usage is counted as unknown."""
    stage_log.noted()
    bare = json.loads(completion("no JSON").text)
    del bare["usage"]
    server.script = lambda asked, number: Reply(json.dumps(bare)) if number == 0 else likes_bright_photos(asked, number)
    pair.label(tmp_path / "labels", asking(retry_wait_s=0.0))
    assert stage_log.noted() == {"asked": {"num_calls": 3, "input_tokens": 1800, "output_tokens": 240, "num_untold": 1}}
