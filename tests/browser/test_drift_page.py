"""The page of a window in a real browser that can reach nothing, at a desk and on a phone, by day and by night."""

import base64
import dataclasses
import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from monitoring.changes import changes_of
from monitoring.judged import Verdict
from monitoring.report.page import write_page
from monitoring.report.sheets import Photo, Sheet
from monitoring.report.story import Evidence
from tests.browser.visitor import chromium
from tests.monitoring.report.judged_days import past_days, report_config, tiny_shop, unjudged

PHONE, DESK = (390, 844), (1280, 900)
LONG = "a name that nobody cut, " * 12


def thumbnail(colour):
    """A picture of one colour as a data: URI."""
    Image.new("RGB", (92, 92), colour).save(sink := io.BytesIO(), "JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(sink.getvalue()).decode()


def some_sheets():
    """Three sheets of eight photos, one of which is not there."""
    photos = tuple(Photo(f"p-{number}", f"12 % of these rows, {LONG}", thumbnail("teal")) for number in range(7))
    return [
        Sheet(title, LONG, (*photos, Photo("gone", "gone", "", "not in the store")))
        for title in ("Typical now", "Typical then", "Farthest")
    ]


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """A faulty, a quiet, a calibrating and a broken day."""
    folder, shop = tmp_path_factory.mktemp("drift"), tiny_shop()
    cfg, made = report_config(folder=str(folder)), {}
    faulty, quiet = shop.judged("seller_flood"), shop.judged()
    long = dataclasses.replace(faulty.judgement, reason=f"Since 02:10, {LONG}", problems=(f"{LONG}{'x' * 400}",))
    judged = {
        "faulty": (long, faulty),
        "quiet": (quiet.judgement, quiet),
        "calibrating": (unjudged(quiet, Verdict.CALIBRATING, "9 of 28 quiet days are known."), quiet),
        "broken": (unjudged(quiet, Verdict.BROKEN, "The log is damaged.", ("a.parquet: magic bytes not found",)), quiet),
    }
    for name, (judgement, day) in judged.items():
        changed = changes_of(day.day.window(), {"reference": day.reference, "day before": day.yesterday}, {"a" * 64: 900})
        evidence = Evidence(now=day.day.window(), reference=day.reference, past=past_days(), changes=changed, sheets=some_sheets())
        made[name] = Path(write_page(judgement, evidence, cfg)).rename(folder / f"{name}.html")
    return made


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def opened(browser, pages):
    """Opens a page in a window without any network; what it would have fetched, and its complaints, are kept."""
    contexts = []

    def open_at(name, size=DESK, scheme="light"):
        context = browser.new_context(viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, offline=True)
        contexts.append(context)
        window = context.new_page()
        window.asked, window.errors = [], []
        window.on("request", lambda request: window.asked.append(request.url))
        window.on("pageerror", lambda error: window.errors.append(str(error)))
        window.on("console", lambda message: window.errors.append(message.text))
        window.goto(pages[name].as_uri())
        if folder := os.environ.get("VITRINE_SCREENSHOTS"):
            window.screenshot(path=Path(folder) / f"drift-{name}-{size[0]}-{scheme}.png", full_page=True)
        return window

    yield open_at
    for context in contexts:
        context.close()


@pytest.mark.parametrize("size", [DESK, PHONE])
@pytest.mark.parametrize("name", ["faulty", "quiet", "calibrating", "broken"])
def test_it_does_not_scroll_sideways(opened, name, size):
    window = opened(name, size)
    assert window.evaluate("document.documentElement.scrollWidth") <= size[0]


def test_the_first_screen_of_a_phone_holds_verdict_cause_place_and_next_step(opened):
    window = opened("quiet", PHONE)
    assert bottom(window, "section.lead") < PHONE[1]
    window = opened("faulty", PHONE)
    for name in ("Likely cause", "Where"):
        assert bottom(window, f"dt:text-is('{name}')") < PHONE[1] * 1.35  # with a reason of a dozen lines


def bottom(window, selector):
    """Where the element ends, in px from the top."""
    box = window.locator(selector).first.bounding_box()
    return box["y"] + box["height"]


def test_it_asks_for_nothing_but_itself(opened, pages):
    window = opened("faulty")
    assert [url for url in window.asked if not url.startswith("data:")] == [pages["faulty"].as_uri()]
    assert window.errors == []


def test_every_photo_is_there_and_square(opened):
    boxes = opened("faulty").evaluate("[...document.images].map(one => [one.naturalWidth, one.offsetWidth / one.offsetHeight])")
    assert len(boxes) == 21
    assert min(width for width, _ in boxes) > 0
    assert all(abs(ratio - 1) < 0.05 for _, ratio in boxes)


def test_a_dark_screen_gets_a_dark_page(opened):
    def mean(scheme):
        with Image.open(io.BytesIO(opened("quiet", scheme=scheme).screenshot())) as picture:
            return float(np.asarray(picture.convert("L")).mean())

    assert mean("light") > 190
    assert mean("dark") < 80


def test_the_charts_are_as_wide_as_their_place(opened):
    for size in (DESK, PHONE):
        boxes = opened("faulty", size).evaluate(
            "[...document.querySelectorAll('svg.chart, svg.line')].map(one => one.getBoundingClientRect().width)"
        )
        assert len(boxes) >= 3
        assert all(250 < box < size[0] for box in boxes)


def test_ninety_windows_have_cells_that_a_finger_finds_on_a_phone(opened):
    sizes = opened("faulty", PHONE).evaluate("[...document.querySelectorAll('.cells .cell')].map(one => one.getBoundingClientRect().width)")
    assert len(sizes) == 90
    assert min(sizes) > 15


def test_the_links_at_the_top_lead_to_their_sections(opened):
    window = opened("faulty")
    for address in window.locator("nav a").evaluate_all("links => links.map(one => one.getAttribute('href'))"):
        assert window.locator(address).count() == 1
