"""Bad and odd pictures through ingest: each ends where its code says, with the bytes that came."""

import hashlib
import json
from collections import Counter

import pytest

from components.images import about, to_square
from components.ingest.decode import Measured, measured
from components.objects import FolderStore
from components.work_cache import Pack
from tests.data.test_ingest import Shop, photo, row, write_folder
from tests.picture_files import CONVERTED, REFUSED, encoded, scene


def ingested(folder, files):
    """A shop after ingesting the files, given by item_id; all of them are named .jpg. One plain photo is always among them."""
    named = {"plain-photo": photo(), **files}
    rows = [row(n, item_id=item_id, image=f"{n}.jpg") for n, item_id in enumerate(named)]
    shop = Shop(folder).pin(write_folder(folder / "photos", rows, {f"{n}.jpg": data for n, data in enumerate(named.values())}))
    shop.summary = shop.run()
    return shop


@pytest.fixture(scope="module")
def shop_of_bad_photos(tmp_path_factory):
    files = {f"{code}/{kind}": data for code, kinds in REFUSED.items() for kind, data in kinds.items()}
    return ingested(tmp_path_factory.mktemp("bad"), files)


@pytest.fixture(scope="module")
def shop_of_odd_photos(tmp_path_factory):
    return ingested(tmp_path_factory.mktemp("odd"), {kind: data for kind, (data, _) in CONVERTED.items()})


@pytest.mark.parametrize("code", REFUSED)
def test_bad_photos_are_quarantined_under_their_code_with_their_bytes(shop_of_bad_photos, code):
    kept = {one["key"]: one for one in shop_of_bad_photos.quarantined("images")}
    for kind, data in REFUSED[code].items():
        found = kept[f"{code}/{kind}"]
        assert (found["reason"], found["data"]) == (code, data)
        assert json.loads(found["row"])["image"].endswith(".jpg")
        assert found["detail"]


def test_nothing_else_is_quarantined_and_the_plain_photo_is_taken(shop_of_bad_photos):
    assert len(shop_of_bad_photos.quarantined("images")) == sum(map(len, REFUSED.values()))
    assert [one["item_id"] for one in shop_of_bad_photos.table("listings")] == ["plain-photo"]


@pytest.mark.parametrize("kind", CONVERTED)
def test_odd_photos_are_taken_in_as_they_came(shop_of_odd_photos, kind):
    data, _ = CONVERTED[kind]
    listing = next(one for one in shop_of_odd_photos.table("listings") if one["item_id"] == kind)
    image = next(one for one in shop_of_odd_photos.table("images") if one["image_id"] == listing["image_id"])
    assert (image["data"], image["image_id"]) == (data, hashlib.sha256(data).hexdigest())
    assert (image["width"], image["height"]) == (about(data).width, about(data).height)
    assert to_square(image["data"], 32).shape == (32, 32, 3)
    assert not shop_of_odd_photos.quarantined("images")


def test_the_report_counts_what_was_converted(shop_of_odd_photos):
    codes = Counter(code for codes in dict(CONVERTED.values()).values() for code in codes)
    assert shop_of_odd_photos.summary.converted == dict(sorted(codes.items()))


def test_what_was_converted_is_remembered_in_the_work_cache(tmp_path):
    with_cache = {}
    for run in range(2):
        pack = Pack(FolderStore(tmp_path), "p")
        with_cache[run] = {kind: measured(kind, data if run == 0 else b"", pack) for kind, (data, _) in CONVERTED.items()}
        pack.flush()
    assert with_cache[0] == with_cache[1]
    for kind, (_, codes) in CONVERTED.items():
        found = with_cache[1][kind]
        assert isinstance(found, Measured)
        assert tuple(found.converted) == codes


def test_every_code_stands_in_the_docs(request):
    text = (request.config.rootpath / "docs" / "quarantine.md").read_text(encoding="utf-8")
    codes = {*REFUSED, *(code for _, noted in CONVERTED.values() for code in noted)}
    assert {code for code in codes if f"\n| {code} |" not in text} == set()


def test_a_png_named_jpg_is_fine(tmp_path):
    shop = ingested(tmp_path, {"png": encoded(scene(), "PNG")})
    assert {one["item_id"] for one in shop.table("listings")} == {"plain-photo", "png"}
