"""The evaluation page in a real browser that can reach nothing."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.conftest import system_program

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def screenshot(finished, tmp_path_factory):
    """The page's top as a person sees it, at two widths."""
    chromium, folder = system_program("chromium"), tmp_path_factory.mktemp("chromium")

    def of(width: int) -> np.ndarray:
        target = folder / f"{width}.png"
        page = Path(finished / "reports" / "evaluate.html").as_uri()
        command = [chromium, *FLAGS, f"--user-data-dir={folder / 'profile'}", f"--window-size={width},1600", f"--screenshot={target}", page]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        with Image.open(target) as picture:
            return np.asarray(picture.convert("RGB"))

    return of


@pytest.mark.parametrize("width", [1280, 500])
def test_the_page_shows_text_and_pictures_without_any_network(screenshot, width):
    pixels = screenshot(width)
    assert pixels.shape[1] == width
    colours = len(np.unique(pixels.reshape(-1, 3)[::7], axis=0))
    assert colours > 500  # a blank or text-only page has a few shades
    dark = (pixels.mean(axis=2) < 120).mean()
    assert 0.005 < dark < 0.6


def test_the_page_does_not_scroll_sideways_on_a_phone(screenshot):
    """What is wider than the window would be cut in the picture: the right edge must be paper."""
    edge = screenshot(500)[:, -3:]
    assert edge.std() < 60
