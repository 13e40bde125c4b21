"""The page of releases in a real browser that can reach nothing, at a desk and on a phone, by day and by night."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from components.release.judgement import Verdict
from components.release.report.page import Story, write_page
from components.release.report.story import Moved, Photo, Shelf, Timing
from tests.browser.visitor import chromium
from tests.release.test_report import after, make_chapter, shrinking


def thumbnail(colour):
    """A picture of one colour as a data: URI."""
    sink = io.BytesIO()
    Image.new("RGB", (92, 92), colour).save(sink, "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """A story of two releases, with charts, shelves and long sentences."""
    heard = [*shrinking("web"), *shrinking("app", verdict=Verdict.FAIL), *shrinking("web", weight=50, start=30)]
    moved = [
        Moved(after(n), "climb", ["web", "ios", "android"], weight, "shown not worse " * 9, "controller")
        for n, weight in enumerate((5, 25, 50))
    ]
    shelf = Shelf(Photo("red", "a mug"), {arm: [Photo("blue", "a blue mug with a long title", True)] * 7 for arm in ("stable", "canary")})
    timing = Timing(after(10), after(41.5), after(42.25))
    chapters = [make_chapter(heard, moved, shelves=[shelf], timings={"web": timing, "app": timing}), make_chapter(ending="promoted")]
    path = tmp_path_factory.mktemp("page") / "release.html"
    write_page(path, Story(chapters, [5, 25, 50, 100], {"red": thumbnail("red"), "blue": thumbnail("blue")}))
    return path


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, page):
    """Opens the page in a window without any network; what it would have fetched, and its errors, are kept."""
    contexts = []

    def open_at(width, scheme="light"):
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
        contexts.append(context)
        window = context.new_page()
        window.asked, window.errors = [], []
        window.on("request", lambda request: window.asked.append(request.url))
        window.on("pageerror", lambda error: window.errors.append(str(error)))
        window.goto(page.as_uri())
        return window

    yield open_at
    for context in contexts:
        context.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_it_does_not_scroll_sideways(opened, width):
    window = opened(width)
    assert window.evaluate("document.documentElement.scrollWidth") <= width


def test_it_asks_for_nothing_but_itself(opened, page):
    window = opened(1280)
    assert [url for url in window.asked if not url.startswith("data:")] == [page.as_uri()]
    assert window.errors == []


def test_every_photo_is_there(opened):
    window = opened(1280)
    widths = window.evaluate("[...document.images].map(image => image.naturalWidth)")
    assert len(widths) == 15
    assert min(widths) > 0


def test_a_dark_screen_gets_a_dark_page(opened):
    def mean(scheme):
        with Image.open(io.BytesIO(opened(1280, scheme).screenshot())) as picture:
            return float(np.asarray(picture.convert("L")).mean())

    assert mean("light") > 200
    assert mean("dark") < 60


def test_the_charts_are_drawn_and_as_wide_as_their_place(opened):
    for width in (1280, 390):
        boxes = opened(width).evaluate("[...document.querySelectorAll('svg.chart')].map(one => one.getBoundingClientRect().width)")
        assert len([box for box in boxes if box]) >= 2
        assert all(box == 0 or 250 < box < width for box in boxes)  # 0: folded away
