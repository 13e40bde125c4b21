"""What a person does at the gateway's page, in a real browser against a real gateway with two releases."""

import io
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from tests.browser.visitor import visiting
from tests.serve.gateway import running
from tests.serve.small_shop import key_for

REFUSED = "status of 4"
NUM_ITEMS = 24


def photo(seed: int = 0, size: tuple[int, int] = (120, 90)) -> bytes:
    """A JPEG of coloured blocks."""
    blocks = np.random.default_rng(seed).integers(0, 255, (4, 4, 3), np.uint8)
    target = io.BytesIO()
    Image.fromarray(blocks).resize(size, Image.Resampling.NEAREST).save(target, "JPEG")
    return target.getvalue()


def file_of(data: bytes) -> dict[str, object]:
    return {"name": "photo.jpg", "mimeType": "image/jpeg", "buffer": data}


def asked(visit) -> dict[str, list[str]]:
    return parse_qs(urlsplit(visit.page.url).query)


def search(visit, text: str) -> None:
    visit.find("#text").fill(text)
    visit.find("#text").press("Enter")
    expect(visit.find("#results h2")).to_contain_text(text)
    visit.settle()


def items_of(shop, **query) -> list[dict]:
    return shop.client.get("/v1/similar", params={"k": NUM_ITEMS, **query}).json()["items"]


def first_item(shop) -> dict:
    return shop.client.get("/v1/items", params={"limit": 1, "seed": 1}).json()["items"][0]


def test_the_first_visit_shows_items_and_whose_they_are(visit, shop):
    visit.go()
    release = shop.gateway.router.of()
    assert len(visit.item_ids()) == NUM_ITEMS
    expect(visit.find("#release")).to_contain_text(release.release_id[:8])
    expect(visit.find("#release")).to_contain_text(release.fingerprint[:8])
    expect(visit.find(".latency")).to_contain_text("there and back")
    assert all(visit.pictures())


def test_words_find_items_and_the_address_can_be_shared_and_gone_back_from(visit, shop):
    visit.go()
    before = visit.item_ids()
    search(visit, "red mug")
    found = visit.item_ids()
    assert found == [item["item_id"] for item in items_of(shop, text="red mug")]
    assert asked(visit) == {"text": ["red mug"]}
    assert "in the gateway" in visit.find(".latency").inner_text()
    visit.page.reload()
    visit.settle()
    assert visit.item_ids() == found
    expect(visit.find("#text")).to_have_value("red mug")
    visit.page.go_back()
    expect(visit.find("#text")).to_have_value("")
    visit.settle()
    assert visit.item_ids() == before


def test_an_item_leads_to_more_like_it_with_its_photo_and_score(visit, shop):
    visit.go()
    item_id = visit.item_ids()[2]
    item = shop.client.get(f"/v1/items/{item_id}").json()["item"]
    visit.find(".grid a").nth(2).click()
    expect(visit.find("#query h2")).to_have_text(item["title"])
    visit.settle()
    assert visit.item_ids() == [found["item_id"] for found in items_of(shop, item_id=item_id)]
    assert float(visit.find("[role=meter]").get_attribute("aria-valuenow")) == pytest.approx(item["image_score"], abs=1e-4)
    expect(visit.find("#query")).to_contain_text("of the catalogue")
    expect(visit.find("#query h2")).to_be_focused()


def test_what_moves_a_score_is_shown_over_the_photo(visit, shop):
    item = first_item(shop)
    visit.go(f"/?item={item['item_id']}")
    visit.find("#explain").click()
    expect(visit.find(".regions > span")).to_have_count(16)
    told = shop.client.post("/v1/score", json={"item_id": item["item_id"], "explain": True}).json()["explanation"]
    shown = [text.replace("−", "-") for text in visit.find(".regions b").all_inner_texts()]
    assert [float(text) for text in shown] == pytest.approx([100 * value for row in told["regions"]["effect"] for value in row], abs=0.06)
    assert visit.find(".stats dt").all_inner_texts()[0].startswith("Brightness")
    assert asked(visit)["explain"] == ["1"]
    visit.page.keyboard.press("Escape")
    expect(visit.find(".regions")).to_have_count(0)


@pytest.mark.parametrize("way", ["chosen", "dropped", "pasted"])
def test_a_photo_can_be_brought_in(visit, shop, way):
    visit.go()
    data = photo(7)
    if way == "chosen":
        visit.find("#photo").set_input_files(files=[file_of(data)])
    else:
        event = {"dropped": ("DragEvent", "drop", "dataTransfer"), "pasted": ("ClipboardEvent", "paste", "clipboardData")}[way]
        visit.page.evaluate(
            """([kind, name, carrier, bytes]) => {
              const transfer = new DataTransfer();
              transfer.items.add(new File([new Uint8Array(bytes)], "photo.jpg", { type: "image/jpeg" }));
              document.body.dispatchEvent(new window[kind](name, { [carrier]: transfer, bubbles: true, cancelable: true }));
            }""",
            [*event, list(data)],
        )
    expect(visit.find("#query h2")).to_have_text("Your photo")
    visit.settle()
    uploaded = shop.client.post("/v1/similar/upload", files={"picture": ("a.jpg", data)}, data={"k": str(NUM_ITEMS)}).json()
    assert visit.item_ids() == [item["item_id"] for item in uploaded["items"]]
    assert visit.pictures()[1] == 120
    assert float(visit.find("[role=meter]").get_attribute("aria-valuenow")) == pytest.approx(uploaded["query"]["image_score"], abs=1e-4)
    visit.page.reload()
    expect(visit.find("#results")).to_contain_text("The photo is gone")


def test_two_releases_stand_side_by_side_with_their_differences_marked(visit, shop):
    item_id = first_item(shop)["item_id"]
    visit.go(f"/?item={item_id}")
    visit.find("#compare").click()
    expect(visit.find(".sides .grid")).to_have_count(2)
    visit.settle()
    state = asked(visit)
    left, right = ([item["item_id"] for item in items_of(shop, item_id=item_id, release=state[side][0])] for side in ("left", "right"))
    assert left != right
    assert visit.item_ids(".sides section:nth-child(1)") == left
    assert visit.item_ids(".sides section:nth-child(2)") == right
    for side, (here, there) in enumerate(((left, right), (right, left)), 1):
        shown = visit.find(f".sides section:nth-child({side}) .mark").all_inner_texts()
        assert shown == [mark_of(place, there.index(item) if item in there else None) for place, item in enumerate(here)]
    expect(visit.find(".overlap")).to_contain_text(f"{len({*left} & {*right})} of {NUM_ITEMS}")
    assert len(visit.find(".legend li").all()) == 4
    assert visit.find(".scores [role=meter]").count() == 2
    texts = [text.split("vectors ")[1][:8] for text in visit.find(".sides h3").all_inner_texts()]
    assert len(set(texts)) == 2


def mark_of(place: int, there: int | None) -> str:
    if there is None:
        return "◆ only here"
    return "= same" if place == there else f"▲ {there - place}" if there > place else f"▼ {place - there}"


def test_pointing_at_an_item_shows_where_it_stands_on_the_other_side(visit, shop):
    ids = [row["release_id"] for row in shop.client.get("/v1/releases").json()["releases"]]
    visit.go(f"/?text=mug&left={ids[0]}&right={ids[0]}")
    assert set(visit.find(".mark[data-mark]").all_inner_texts()) == {"= same"}
    visit.find(".sides section:nth-child(1) a").nth(3).hover()
    twins = visit.find(".twin")
    assert twins.count() == 2
    assert twins.nth(0).get_attribute("data-item") == twins.nth(1).get_attribute("data-item")


def test_filters_narrow_the_answer_and_can_be_cleared(visit, shop):
    item = first_item(shop)
    visit.go(f"/?item={item['item_id']}")
    visit.find("#filter").click()
    visit.find("#category").fill(item["category"][-1].upper())
    visit.find("#category").press("Tab")
    expect(visit.find("#filter")).to_have_text("Filters (1)")
    visit.find("#max-price").fill(str(item["price"] * 2))
    visit.find("#max-price").press("Tab")
    visit.find("#status").select_option("on_sale")
    expect(visit.find("#filter")).to_have_text("Filters (3)")
    visit.settle()
    wanted = items_of(shop, item_id=item["item_id"], category=item["category"], max_price=item["price"] * 2, status="on_sale")
    assert visit.item_ids() == [found["item_id"] for found in wanted]
    expect(visit.find("#category")).to_have_value(" › ".join(item["category"]))
    visit.find("#clear-filters").click()
    visit.settle()
    assert len(visit.item_ids()) == NUM_ITEMS
    visit.find("#min-price").fill("1e11")
    visit.find("#min-price").press("Tab")
    expect(visit.find("#results")).to_contain_text("Nothing fits")


def test_a_hostile_title_is_only_text(browser, shop):
    hostile = "<img src=x onerror=alert(1)>\"'</a><script>alert(2)</script>" + "\u202eW" * 150
    listing = {"title": hostile, "category": ["<b>bold</b>"], "price": 7, "currency": "JPY"}
    fields = {"picture": ("a.jpg", photo(99))}
    assert shop.client.put("/v1/items/hostile%2F1", json=listing).status_code in (404, 422)  # no picture: not stored
    assert shop.client.put("/v1/items/hostile-1/picture", files=fields, data=listing).json()["status"] == "stored"
    try:
        with visiting(browser, shop.url, size=(360, 780)) as visit:
            visit.go("/?item=hostile-1&explain=1")
            expect(visit.find("#query h2")).to_have_text(hostile)
            assert visit.page.evaluate("document.querySelectorAll('main script, main img[src=x], main b > b').length") == 0
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= 360
    finally:
        shop.client.delete("/v1/items/hostile-1")


def test_a_problem_is_told_with_its_request_and_can_be_tried_again(browser, shop):
    with visiting(browser, shop.url, refused=f"{REFUSED}|ERR_INTERNET_DISCONNECTED") as visit:
        visit.go("/?item=nobody")
        notice = visit.find(".notice.problem")
        expect(notice).to_contain_text("There is no such item")
        expect(notice).to_contain_text("nobody")
        assert len(notice.locator("code").inner_text()) >= 8
        visit.context.set_offline(True)
        visit.find("#text").fill("mug")
        visit.find("#text").press("Enter")
        expect(notice).to_contain_text("cannot be reached")
        visit.context.set_offline(False)
        notice.get_by_role("button", name="Try again").click()
        expect(visit.find(".grid a")).to_have_count(NUM_ITEMS)


def test_a_busy_gateway_is_waited_for(browser, finished, tmp_path):
    little = {"access": {"open_rate_per_s": 1.0, "open_burst": 1}}
    with running(finished, tmp_path, little) as gateway, visiting(browser, gateway.url, refused=REFUSED) as visit:
        visit.page.goto(gateway.url + "/?text=mug")
        expect(visit.find(".notice.busy")).to_contain_text("Trying again in")
        expect(visit.find(".grid a")).to_have_count(NUM_ITEMS)


def test_a_key_is_asked_for_where_one_is_needed_and_kept_in_the_tab_alone(browser, finished, tmp_path):
    key = key_for(tmp_path, "read")
    with running(finished, tmp_path) as gateway, visiting(browser, gateway.url, refused=REFUSED) as visit:
        visit.page.goto(gateway.url)
        dialog = visit.find("#key-dialog")
        expect(dialog).to_be_visible()
        visit.find("#key").fill("vk_abcdefghij_" + "x" * 43)
        visit.find("#key").press("Enter")
        expect(dialog).to_contain_text("not known")
        visit.find("#key").fill(key)
        visit.find("#key").press("Enter")
        expect(visit.find(".grid a")).to_have_count(NUM_ITEMS)
        expect(visit.find(".grid img[src]")).to_have_count(NUM_ITEMS)
        assert all(visit.pictures())
        assert visit.page.evaluate("localStorage.length + document.cookie.length") == 0
        assert key not in visit.page.content()
        visit.find("#forget-key").click()
        expect(dialog).to_be_visible()
        visit.page.keyboard.press("Escape")
        expect(visit.find(".notice.problem")).to_contain_text("An API key is needed")
