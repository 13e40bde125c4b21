"""How the ranks of a training hear from each other how it stands, over a real store."""

import logging
import os
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from components.errors import RankLost, VitrineError
from components.finetune.meeting import STARTED, open_store
from components.finetune.place import Place
from flows.train_node import follow, lead
from tests.ranks import free_port


@pytest.fixture(autouse=True)
def _own_environment():
    before = dict(os.environ)
    yield
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture
def places():
    port = free_port()
    return [Place(rank, 2, 0, "127.0.0.1", port) for rank in (0, 1)]


class Aside(threading.Thread):
    """A call in a thread, whose error is kept."""

    def __init__(self, call: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.call, self.error = call, None
        self.start()

    def run(self) -> None:
        try:
            self.call()
        except BaseException as error:
            self.error = error

    def ended(self) -> BaseException | None:
        self.join(60)
        assert not self.is_alive()
        return self.error


def nothing(_: Any = None) -> None:
    pass


def no_part(_: Any) -> None:
    pytest.fail("there is nothing to take part in")


def test_a_rank_takes_part_once_rank_0_trains_and_leaves_when_its_stage_has_ended(places):
    trains, took_part = threading.Event(), threading.Event()

    def stage() -> str:
        open_store(Place.of(os.environ), 10).set(STARTED, "1")
        trains.set()
        assert took_part.wait(30)
        return "finetune: ran"

    def take_part(place: Place) -> None:
        assert trains.is_set()
        took_part.set()

    leading = Aside(lambda: lead(places[0], 30, stage))
    following = Aside(lambda: follow(places[1], 30, nothing, take_part))
    assert (leading.ended(), following.ended()) == (None, None)
    assert took_part.is_set()


def test_a_rank_that_comes_late_hears_that_there_was_nothing_to_do(places, caplog):
    leading = Aside(lambda: lead(places[0], 60, lambda: "finetune: unchanged"))
    with caplog.at_level(logging.INFO, logger="vitrine"):
        follow(places[1], 30, lambda _: time.sleep(1), no_part)
    assert leading.ended() is None
    assert "rank 1: rank 0 says finetune: unchanged" in caplog.text


def test_a_rank_hears_why_rank_0_failed(places):
    def fail() -> str:
        raise VitrineError("the disk is full")

    leading = Aside(lambda: lead(places[0], 30, fail))
    with pytest.raises(RankLost, match=r"rank 1: rank 0 has failed\. the disk is full"):
        follow(places[1], 30, nothing, no_part)
    assert str(leading.ended()) == "the disk is full"


def test_a_rank_whose_training_fails_lets_rank_0_go(places):
    def fail(_: Place) -> None:
        raise RankLost("my own")

    def stage() -> str:
        open_store(Place.of(os.environ), 10).set(STARTED, "1")
        assert gone.wait(30)
        raise VitrineError("a rank is lost")

    gone, started = threading.Event(), time.monotonic()
    leading = Aside(lambda: lead(places[0], 3600, stage))
    with pytest.raises(RankLost, match="my own"):
        follow(places[1], 30, nothing, fail)
    gone.set()
    assert str(leading.ended()) == "a rank is lost"
    assert time.monotonic() - started < 3600


def test_a_rank_gives_up_on_a_rank_0_that_says_nothing(places):
    stop = threading.Event()

    def stage() -> str:
        stop.wait(30)
        return "finetune: ran"

    leading = Aside(lambda: lead(places[0], 1, stage))
    with pytest.raises(RankLost, match="rank 0 said nothing for 1 s"):
        follow(places[1], 1, nothing, no_part)
    stop.set()
    assert leading.ended() is None


def test_rank_0_waits_for_the_others_no_longer_than_its_time(places, caplog):
    with caplog.at_level(logging.WARNING, logger="vitrine"):
        lead(places[0], 0.5, lambda: "finetune: ran")
    assert "rank 0: 1 of the 1 others have not been heard of for 0.5 s" in caplog.text
