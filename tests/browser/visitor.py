"""A person's browser: Debian's Chromium, driven over its own protocol by playwright, which can reach this machine alone."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from tests.conftest import system_program

FLAGS = ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]
PHONE = (360, 780)
DESK = (1280, 900)
TIMEOUT_MS = 20_000
PICTURES = """() => Promise.all([...document.images]
  .filter((image) => image.getBoundingClientRect().top < innerHeight)
  .map((image) => image.decode().then(() => image.naturalWidth, () => 0)))"""


@dataclass
class Visit:
    """An open page. `complaints` are what the console said, `strayed` the requests that left the gateway."""

    page: Page
    context: BrowserContext
    origin: str
    complaints: list[str] = field(default_factory=list)
    strayed: list[str] = field(default_factory=list)

    def go(self, path: str = "/") -> None:
        """Opens an address of the page and waits for its items or its notice."""
        self.page.goto(self.origin + path)
        self.settle()

    def settle(self) -> None:
        """Returns once nothing is being looked for."""
        expect(self.find("#results")).to_have_attribute("aria-busy", "false")
        expect(self.find(".waiting")).to_have_count(0)

    def find(self, selector: str) -> Locator:
        """The elements of a CSS selector."""
        return self.page.locator(selector)

    def item_ids(self, grid: str = ".grid") -> list[str]:
        """What a grid shows, in order."""
        return [link.get_attribute("data-item") or "" for link in self.find(f"{grid} a").all()]

    def pictures(self) -> list[int]:
        """The widths in px of the pictures in the window, once they are there; 0 for one that cannot be shown."""
        widths: list[int] = self.page.evaluate(PICTURES)
        return widths

    def shoot(self, folder: Path, name: str) -> Path:
        """A picture of the window, in VITRINE_SCREENSHOTS or else in `folder`."""
        target = Path(os.environ.get("VITRINE_SCREENSHOTS") or folder) / f"{name}.png"
        self.pictures()
        self.page.screenshot(path=target)
        return target


@contextmanager
def chromium() -> Iterator[Browser]:
    """The browser, until the block ends."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=system_program("chromium"), args=FLAGS)
        yield browser
        browser.close()


@contextmanager
def visiting(
    browser: Browser, origin: str, *, size: tuple[int, int] = DESK, dark: bool = False, refused: str = "", **settings: object
) -> Iterator[Visit]:
    """A visit with empty storage. At its end nothing may have complained or left the origin; `refused` is a pattern of what may fail."""
    width, height = size
    phone = width < 600
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        is_mobile=phone,
        has_touch=phone,
        **settings,  # type: ignore[arg-type]
    )
    context.set_default_timeout(TIMEOUT_MS)
    visit = Visit(context.new_page(), context, origin)
    listen(visit, refused)
    try:
        yield visit
    finally:
        context.close()
    assert visit.complaints == []
    assert visit.strayed == []


def listen(visit: Visit, refused: str) -> None:
    """Notes what goes wrong on the page."""

    def heard(message) -> None:
        loud = message.type in ("error", "warning")
        if loud and not (refused and re.search(refused, message.text)):
            visit.complaints.append(message.text)

    def asked(request) -> None:
        if not request.url.startswith((visit.origin, "blob:", "data:")):
            visit.strayed.append(request.url)

    visit.page.on("console", heard)
    visit.page.on("pageerror", lambda error: visit.complaints.append(str(error)))
    visit.page.on("dialog", lambda dialog: visit.complaints.append(f"dialog: {dialog.message}"))
    visit.page.on("request", asked)
