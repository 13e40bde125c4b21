"""Which listings the contact sheet shows, and what is written under them."""

from components.ingest.catalogue import caption, spread
from components.ingest.market import Truth


def listing(number, *category, price=900.0, simulated=()):
    return {"item_id": f"i-{number}", "category": list(category), "price": price, "currency": "JPY", "simulated": list(simulated)}


def test_categories_take_turns_so_that_a_rare_one_is_shown():
    crowd = [listing(n, "Fashion", "Shirts") for n in range(50)]
    chosen = spread([*crowd, listing(50, "Fashion", "Hats"), listing(51, "Home", "Hats")], 4)
    assert [one["category"] for one in chosen] == [["Fashion", "Hats"], ["Fashion", "Shirts"], ["Fashion", "Shirts"], ["Home", "Hats"]]


def test_the_order_of_the_catalogue_does_not_decide_who_is_shown():
    crowd = [listing(n, "Fashion", ("Shirts", "Hats")[n % 2]) for n in range(20)]
    assert spread(crowd, 6) == spread(crowd[::-1], 6)
    assert len(spread(crowd, 60)) == 20


def test_a_caption_tells_the_defects_of_a_drawn_photo_and_no_price_that_was_made_up():
    assert caption(listing(1, "Fashion", "Hats"), Truth("i-1", 0.41, "hat", (("blur", 0.4),))) == "Hats 0.41 blur 0.4"
    assert caption(listing(1, "Fashion", "Hats"), None) == "Hats 900 JPY"
    assert caption(listing(1, "Fashion", "Hats", simulated=["price"]), None) == "Hats"
