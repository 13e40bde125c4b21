"""A snapshot beside its past: what moved too far stops the run, and an old commit judges by what was known then."""

import json
import re
from datetime import timedelta

import pytest

from components.errors import BadData
from tests.validate_tables import NOW, NUM_LISTINGS, Shop, config, findings_on, set_all, validated


def profile_of(shop, folder):
    shop.validated(folder)
    return json.loads((folder / "profile.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """The profile of a sound shop."""
    return profile_of(Shop(), tmp_path_factory.mktemp("sound"))


def past(profile, days=(7, 14, 21, 28, 35), **changes):
    """The sound shop as it was that many days before NOW, its volume wobbling a little."""
    found = []
    for number, day in enumerate(days):
        rows = {table: count + number - 2 for table, count in profile["rows"].items()}
        found.append({**profile, "as_of": (NOW - timedelta(days=day)).isoformat(), "rows": rows, **changes})
    return found


def learning(history):
    shop = Shop()
    shop.history = history
    return shop


def knobs(**changes):
    """The project's own, but for a shop of 40 listings."""
    return {"history": config().history.model_dump() | {"min_priced": 10} | changes}


def test_a_profile_holds_the_tables_in_numbers(profile):
    assert profile["as_of"] == NOW.isoformat().replace("+00:00", "Z")
    assert profile["source"] == "simulate"
    assert profile["rows"] == {"listings": NUM_LISTINGS, "images": NUM_LISTINGS, "impressions": 1200}
    assert profile["null_share"]["listings"]["product_id"] == 1
    assert profile["null_share"]["listings"]["description"] == 1  # blank counts as empty
    assert profile["null_share"]["listings"]["seller_id"] == 0
    assert profile["null_share"]["impressions"]["query"] == 0.25
    assert profile["mix"] == {"root": {"Footwear": 1}, "leaf": {"Footwear > Shoes": 1}, "currency": {"JPY": 1}}
    assert profile["prices"]["JPY"]["num_listings"] == NUM_LISTINGS
    assert profile["prices"]["JPY"]["quantiles"]["q50"] == 519.5
    assert profile["click_through"] == pytest.approx(1 / 15, abs=1e-6)
    assert profile["picture_stats"]["brightness"] == pytest.approx({"q05": 0.6, "q50": 0.6, "q95": 0.6})
    assert profile["quarantine_share"] == {"listings": {}, "images": {}, "impressions": {}}


def test_refused_rows_are_kept_by_reason(tmp_path):
    shop = Shop()
    shop.refused["images"] = 8
    assert profile_of(shop, tmp_path)["quarantine_share"]["images"] == {"title_missing": pytest.approx(8 / 48, abs=1e-6)}
    page = (tmp_path / "validate.html").read_text(encoding="utf-8")
    assert re.search(r"images</td><td><code>title_missing</code></td><td class=\"num\">8</td>\s*<td class=\"num\">16\.67 %", page)


def test_a_snapshot_like_its_past_passes_and_shows_it(tmp_path, profile):
    summary, report = learning(past(profile)).validated(tmp_path, **knobs())
    assert summary.past_snapshots == 5
    assert summary.gates_not_checked == 0
    assert {name: (gate["checked"], gate["success"]) for name, gate in report["history"].items()} == dict.fromkeys(
        ("volume", "null_share", "category_mix", "price_quantiles"), (True, True)
    )
    page = (tmp_path / "validate.html").read_text(encoding="utf-8")
    assert "learnt from the 5 earlier snapshots" in page
    assert page.count('class="spark"') > 10


def halved(shop):
    shop.listings = shop.listings[:24]
    shop.images = shop.images[:24]
    known = {row["item_id"] for row in shop.listings}
    shop.impressions = [row for row in shop.impressions if row["item_id"] in known]


def sellers_lost(shop):
    set_all(shop.listings, 0.5, seller_id=None)


def other_categories(shop):
    set_all(shop.listings, 0.5, category=["Books", "Novels"])


def cents(shop):
    for row in shop.listings:
        row["price"] *= 100


@pytest.mark.parametrize(
    ("damage", "gate", "anchor", "first"),
    [
        (halved, "volume", "volume-moved", "images: 24 (learnt: 26.67 to 60)"),
        (sellers_lost, "null_share", "nulls-moved", "listings.seller_id: 0.5 (learnt: 0 to "),
        (other_categories, "category_mix", "mix-moved", "root categories: 0.5 (learnt: at most 0.05)"),
        (cents, "price_quantiles", "prices-moved", "JPY q05: 50,195 (learnt: 334.6 to 752.9)"),
    ],
)
def test_what_moved_too_far_fails_its_gate_alone_and_is_named_with_its_band(tmp_path, profile, damage, gate, anchor, first):
    shop = learning(past(profile))
    damage(shop)
    failed = {finding.name: str(finding) for finding in findings_on(shop.write(tmp_path), **knobs()) if finding.stops}
    assert failed.keys() == {f"history.{gate}"}
    assert first in failed[f"history.{gate}"]
    assert f"docs/runbook.md#{anchor}" in failed[f"history.{gate}"]


def test_a_snapshot_that_moved_too_far_leaves_no_profile_to_learn_from(tmp_path, profile):
    shop = learning(past(profile))
    halved(shop)
    with pytest.raises(BadData, match=r"(?s)1 of 38 gates of validate failed.*history\.volume"):
        shop.validated(tmp_path, **knobs())
    assert not (tmp_path / "profile.json").exists()


@pytest.mark.parametrize(
    ("history", "why"),
    [
        (lambda profile: past(profile, days=(7, 14)), "2 of 5 past snapshots"),
        (lambda profile: past(profile, days=(7, 14, 21, 28, 0)), "4 of 5 past snapshots"),
        (lambda profile: past(profile, days=(-7, -14, -21, -28, -35)), "0 of 5 past snapshots"),
        (lambda profile: past(profile, source="folder"), "0 of 5 past snapshots"),
    ],
    ids=["short", "its own moment", "the future", "another source"],
)
def test_only_enough_earlier_snapshots_of_the_same_source_decide(tmp_path, profile, history, why):
    shop = learning(history(profile))
    halved(shop)
    learnt = [finding for finding in findings_on(shop.write(tmp_path), **knobs()) if finding.suite == "history"]
    assert {finding.gate.unchecked for finding in learnt} == {why}
    assert not any(finding.stops for finding in learnt)


def test_later_snapshots_change_no_byte_of_an_earlier_ones_outs(tmp_path, profile):
    outs = ("validation.json", "profile.json", "validate.html")
    folder = learning(past(profile)).write(tmp_path)
    validated(folder, **knobs())
    before = [(folder / name).read_bytes() for name in outs]
    later = past(profile, days=(-7, -14), rows={"listings": 9, "images": 9, "impressions": 9})
    learning([*past(profile), *later]).write(tmp_path)
    validated(folder, **knobs())
    assert [(folder / name).read_bytes() for name in outs] == before


def test_a_snapshot_that_is_none_stops_with_what_to_do(tmp_path):
    folder = Shop().write(tmp_path)
    (folder / "snapshot.json").write_text('{"source": "simulate"}')
    with pytest.raises(BadData, match=r"is no snapshot .*vitrine source"):
        validated(folder)
