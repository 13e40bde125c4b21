"""The gateway's page for whoever has no mouse, a small window, another scheme of colours, or a voice in place of a screen."""

import itertools

import pytest
from playwright.sync_api import expect

from tests.browser.visitor import DESK, PHONE, visiting

MIN_TAP_PX = 44
MIN_CONTRAST = 4.5

CONTRASTS = """() => {
  const channel = (value) => (value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4);
  const rgba = (text) => { const [r, g, b, a = 1] = text.match(/[\\d.]+/g).map(Number); return { rgb: [r, g, b], a }; };
  const luminance = (rgb) => { const [r, g, b] = rgb.map((one) => channel(one / 255)); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const { rgb, a } = rgba(getComputedStyle(at).backgroundColor);
      if (a > 0.7) return rgb;
    }
    return null;
  };
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const found = [];
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    const seen = texts.currentNode.data.trim() && element.checkVisibility({ opacityProperty: true });
    if (!seen || element.closest(".unseen, [disabled]")) continue;
    const [ink, paper] = [luminance(rgba(getComputedStyle(element).color).rgb), luminance(behind(element))];
    found.push([(Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05), texts.currentNode.data.trim().slice(0, 40)]);
  }
  return found;
}"""

TARGETS = """() => [...document.querySelectorAll('a[href], button, input, select, summary')]
  .filter((one) => one.checkVisibility() && !one.closest('.unseen, .skip') && !one.classList.contains('unseen'))
  .map((one) => [one.getBoundingClientRect().width, one.getBoundingClientRect().height, one.outerHTML.slice(0, 80)])"""

HEADINGS = (
    "() => [...document.querySelectorAll('h1, h2, h3, h4')].filter((one) => one.checkVisibility()).map((one) => Number(one.tagName[1]))"
)


@pytest.fixture(scope="module")
def addresses(shop):
    """Every kind of page: the catalogue, words, an item with its explanation, two releases, a problem, nothing found."""
    item = shop.client.get("/v1/items", params={"limit": 1, "seed": 1}).json()["items"][0]["item_id"]
    left, right = (row["release_id"] for row in shop.client.get("/v1/releases").json()["releases"])
    return {
        "catalogue": "/",
        "words": "/?text=red+mug",
        "item": f"/?item={item}&explain=1",
        "compared": f"/?item={item}&explain=1&left={left}&right={right}",
        "problem": "/?item=nobody",
        "nothing": "/?text=mug&min=1e11",
    }


KINDS = ("catalogue", "words", "item", "compared", "problem", "nothing")


@pytest.fixture(params=KINDS)
def address(request, addresses):
    return addresses[request.param]


def focused(visit) -> str:
    return visit.page.evaluate("document.activeElement.id || document.activeElement.dataset.item || document.activeElement.tagName")


def test_the_page_is_usable_by_keyboard_alone(visit):
    keys = visit.page.keyboard
    visit.go()
    keys.press("/")
    assert focused(visit) == "text"
    keys.type("red mug")
    keys.press("Enter")
    expect(visit.find("#results h2")).to_contain_text("red mug")
    visit.settle()
    stops = []
    for _ in range(5):
        keys.press("Tab")
        stops.append(focused(visit))
    items = visit.item_ids()
    assert stops == ["photo", stops[1], "filter", "compare", items[0]]
    assert visit.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    per_row = visit.page.evaluate("getComputedStyle(document.querySelector('.grid')).gridTemplateColumns.split(' ').length")
    for key, place in (("ArrowRight", 1), ("ArrowDown", 1 + per_row), ("ArrowLeft", per_row), ("ArrowUp", 0), ("End", 23), ("Home", 0)):
        keys.press(key)
        assert focused(visit) == items[place], key
    keys.press("ArrowRight")
    keys.press("Space")
    expect(visit.find("#query h2")).to_be_focused()
    visit.settle()
    keys.press("Tab")
    assert focused(visit) == "explain"
    keys.press("Enter")
    expect(visit.find(".regions > span")).to_have_count(16)
    assert focused(visit) == "explain"
    keys.press("Escape")
    expect(visit.find(".regions")).to_have_count(0)


def test_the_grid_is_one_stop_of_the_tab_key(visit):
    visit.go("/?text=mug")
    stops = visit.page.evaluate("[...document.querySelectorAll('.grid a')].map((link) => link.tabIndex)")
    assert stops == [0] + [-1] * 23


def test_filters_open_and_close_by_keyboard(visit):
    visit.go()
    visit.find("#filter").press("Enter")
    expect(visit.find("#filters")).to_be_visible()
    visit.find("#category").press("Escape")
    expect(visit.find("#filters")).to_be_hidden()
    assert focused(visit) == "filter"


def test_what_was_found_is_said(visit):
    visit.go("/?text=mug")
    expect(visit.find("#said")).to_contain_text("24 similar items for “mug”")
    assert visit.find("#said").get_attribute("aria-live") == "polite"


def test_every_control_and_picture_has_a_name_and_headings_skip_no_level(browser, shop, address):
    with visiting(browser, shop.url, refused="status of 4") as visit:
        visit.go(address)
        nodes = visit.context.new_cdp_session(visit.page).send("Accessibility.getFullAXTree")["nodes"]
        roles = ("button", "link", "textbox", "searchbox", "combobox", "spinbutton", "meter", "img", "image")
        named = [(n["role"]["value"], n.get("name", {}).get("value", "")) for n in nodes if not n.get("ignored") and n.get("role")]
        controls = [(role, name) for role, name in named if role in roles]
        assert len(controls) >= 7
        assert [role for role, name in controls if not name.strip()] == []
        levels = visit.page.evaluate(HEADINGS)
        assert levels[0] == 1
        assert levels.count(1) == 1
        assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
@pytest.mark.parametrize("kind", KINDS)
def test_text_stands_out_nothing_is_cut_off_and_fingers_have_room(browser, shop, addresses, kind, size, dark, tmp_path):
    with visiting(browser, shop.url, size=size, dark=dark, refused="status of 4") as visit:
        visit.go(addresses[kind])
        picture = visit.shoot(tmp_path, f"page-{kind}-{'desk' if size == DESK else 'phone'}-{'dark' if dark else 'light'}")
        assert picture.stat().st_size > 10_000
        visit.find("#filter").click()
        found = visit.page.evaluate(CONTRASTS)
        assert len(found) > 8
        assert [text for ratio, text in found if ratio < MIN_CONTRAST] == []
        assert visit.page.evaluate("document.documentElement.scrollWidth") <= size[0]
        assert [target for target in visit.page.evaluate(TARGETS) if min(target[:2]) < MIN_TAP_PX] == []


def test_nothing_moves_for_whoever_asked_for_that(browser, shop):
    with visiting(browser, shop.url, reduced_motion="reduce") as visit:
        visit.page.add_init_script("window.moved = 0; document.addEventListener('animationstart', () => (window.moved += 1), true)")
        visit.go("/?text=mug")
        visit.find(".grid a").first.hover()
        assert visit.page.evaluate("window.moved + document.getAnimations().length") == 0
