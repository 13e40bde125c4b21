"""The validation page in a real browser that can reach nothing: sound, with a past, and after a failure."""

import json
import subprocess
from datetime import timedelta
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from components.errors import BadData
from tests.browser.test_evaluate_page import FLAGS
from tests.conftest import system_program
from tests.validate_tables import NOW, Shop, set_all


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    """The page of a snapshot like its past, and of one whose clicks were lost."""
    folder = tmp_path_factory.mktemp("pages")
    Shop().validated(folder / "first")
    profile = json.loads((folder / "first" / "profile.json").read_text(encoding="utf-8"))
    past = [{**profile, "as_of": (NOW - timedelta(days=7 * week)).isoformat()} for week in range(1, 9)]
    shop = Shop()
    shop.history = past
    shop.validated(folder / "sound")
    set_all(shop.impressions, clicked=False)
    with pytest.raises(BadData):
        shop.validated(folder / "broken")
    return {"sound": folder / "sound" / "validate.html", "broken": folder / "broken" / "kept" / "validate.html"}


@pytest.fixture(scope="module")
def screenshot(pages, tmp_path_factory):
    """A page as a person sees it, at a given width."""
    chromium, folder = system_program("chromium"), tmp_path_factory.mktemp("chromium")

    def of(name: str, width: int) -> np.ndarray:
        target = folder / f"{name}-{width}.png"
        command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1600", f"--screenshot={target}"]
        subprocess.run([*command, pages[name].as_uri()], check=True, capture_output=True, timeout=60)
        with Image.open(target) as picture:
            return np.asarray(picture.convert("RGB"))

    return of


@pytest.mark.parametrize(("name", "badge"), [("sound", (20, 128, 74)), ("broken", (192, 53, 43))])
def test_the_verdict_is_the_first_thing_seen(screenshot, name, badge):
    pixels = screenshot(name, 1200)
    top = pixels[:120].reshape(-1, 3).astype(int)
    assert (np.abs(top - badge).max(axis=1) < 12).sum() > 300
    assert 0.005 < (pixels.mean(axis=2) < 120).mean() < 0.6


@pytest.mark.parametrize("width", [1200, 500])
def test_the_page_fits_its_window(screenshot, width):
    """What is wider than the window would be cut in the picture: the right edge must be paper."""
    assert screenshot("sound", width)[:, -3:].std() < 12


class Loads(HTMLParser):
    """Everything that a page would have a browser fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag, attrs):
        if tag in ("script", "link", "img", "iframe", "object", "embed") or {"src", "href", "onload"} & {name for name, _ in attrs}:
            self.found.append(tag)


@pytest.mark.parametrize("name", ["sound", "broken"])
def test_the_page_fetches_and_runs_nothing(pages, name):
    text = pages[name].read_text(encoding="utf-8")
    loads = Loads()
    loads.feed(text)
    assert loads.found == []
    assert "url(" not in text
    assert "@import" not in text


def test_what_comes_from_the_data_is_never_markup(tmp_path):
    shop = Shop()
    set_all(shop.listings, category=["<script>alert(1)</script>", "x"])
    shop.validated(tmp_path)
    text = (tmp_path / "validate.html").read_text(encoding="utf-8")
    assert "<script" not in text
    assert "&lt;script&gt;" in text
