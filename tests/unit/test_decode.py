"""What is measured on a picture when it comes in."""

import io
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image, ImageDraw, ImageFilter

from components import schema
from components.errors import BadPicture
from components.ingest.admit import Rejection
from components.ingest.decode import Measured, measure, measured, phash_of
from components.objects import FolderStore
from components.picture_stats import sharpness_of, stats_of
from components.work_cache import Pack


def scene(width=120, height=80):
    picture = Image.new("RGB", (width, height), (200, 190, 170))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((width // 6, height // 6, width // 2, height * 3 // 4), fill=(180, 40, 40))
    draw.rectangle((width // 2, height // 2, width * 5 // 6, height * 5 // 6), fill=(30, 60, 120))
    return picture


def encoded(picture, kind="JPEG", **options):
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def turned_by_exif(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(scene(), exif=exif)


def test_width_and_height_are_those_of_the_upright_picture():
    found = [measure(turned_by_exif(orientation)) for orientation in (1, 6, 3)]
    assert [(one.width, one.height) for one in found] == [(120, 80), (80, 120), (120, 80)]


def test_a_large_jpeg_is_measured_scaled_down_and_keeps_its_size():
    found = measure(encoded(scene(1801, 1203)))
    assert (found.width, found.height) == (1801, 1203)


@pytest.mark.parametrize(("mode", "kind"), [("CMYK", "JPEG"), ("L", "PNG"), ("P", "GIF"), ("LA", "PNG"), ("I;16", "PNG"), ("1", "PNG")])
def test_pictures_of_every_mode_are_measured(mode, kind):
    picture = Image.fromarray(np.full((40, 40), 30_000, np.uint16)) if mode == "I;16" else scene().convert(mode)
    found = measure(encoded(picture, kind))
    assert 0 <= found.stats["brightness"] <= 1


def test_one_picture_encoded_twice_has_nearly_one_hash_and_another_picture_a_distant_one():
    same, again = phash_of(scene()), measure(encoded(scene(), quality=40)).phash
    other = phash_of(Image.effect_noise((120, 80), 90).convert("RGB"))
    assert (same ^ again).bit_count() <= 4 < 12 < (same ^ other).bit_count()
    assert 0 <= same < 2**64


def test_each_statistic_follows_what_it_is_named_after():
    crisp, white = stats_of(scene()), stats_of(Image.new("RGB", (50, 50), "white"))
    blurred, dark = stats_of(scene().filter(ImageFilter.GaussianBlur(3))), stats_of(scene().point(lambda v: v // 4))
    assert white == {"brightness": 1.0, "sharpness": -4.0, "contrast": 0.0, "text_share": 0.0}
    assert blurred["sharpness"] < crisp["sharpness"] - 0.5
    assert dark["brightness"] < crisp["brightness"] / 2
    assert dark["contrast"] < crisp["contrast"]


def test_a_page_of_lettering_has_a_higher_text_share_than_a_plain_scene():
    page = Image.new("RGB", (224, 224), "white")
    for line in range(18):
        ImageDraw.Draw(page).text((4, 12 * line), "free shipping, last one, 50 % off", fill="black")
    assert stats_of(page)["text_share"] > 0.3
    assert stats_of(scene())["text_share"] < 0.05


def test_sharpness_is_the_log_of_the_laplacians_variance():
    checker = (np.indices((64, 64)).sum(0) % 2).astype(np.float32)
    assert sharpness_of(checker) == pytest.approx(np.log10((4 * 255) ** 2), abs=0.01)


def test_a_bad_picture_is_named_and_remembered_like_a_good_one(tmp_path):
    pack = Pack(FolderStore(tmp_path), "p")
    good, cut = encoded(scene()), encoded(scene())[:-200]
    first = [measured("a", good, pack), measured("b", cut, pack)]
    pack.flush()
    again = Pack(FolderStore(tmp_path), "p")
    assert [measured("a", b"", again), measured("b", b"", again)] == first
    assert (again.reused, again.recomputed) == (2, 0)
    assert isinstance(first[1], Rejection)
    assert first[1].reason == "picture_truncated"


def test_broken_exif_costs_no_photo(tmp_path):
    """EXIF says that a number follows and text does: Pillow's own turning raises struct.error on it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x0100] = 80
    data = bytearray(encoded(scene(), exif=exif))
    tag = data.index(b"\x01\x00\x00\x04", data.index(b"Exif"))
    data[tag + 3] = 2
    outcome = measured("x", bytes(data), Pack(FolderStore(tmp_path), "p"))
    assert isinstance(outcome, Measured)
    assert (outcome.width, outcome.height, outcome.converted) == (80, 120, ["turned"])


def test_what_is_measured_fits_a_row_of_the_images_table():
    outcome = measure(encoded(scene()))
    row = {"image_id": "a", "data": b"x", **asdict(outcome)}
    table = pa.Table.from_pylist([row], schema.IMAGES)
    assert table.column("width").to_pylist() == [120]


def test_measure_refuses_a_bomb_before_it_is_expanded():
    with pytest.raises(BadPicture, match="picture_too_many_pixels"):
        measure(encoded(Image.new("1", (12_000, 6_000)), "PNG"))
