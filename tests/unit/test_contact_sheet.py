"""The contact sheet: whatever the pictures are, a PNG of a reasonable size comes back."""

import io

import numpy as np
from PIL import Image

from components.contact_sheet import contact_sheet


def make_picture(width: int, height: int, colour: tuple[int, int, int] = (200, 30, 30)) -> bytes:
    sink = io.BytesIO()
    Image.new("RGB", (width, height), colour).save(sink, "PNG")
    return sink.getvalue()


def make_noise(side_px: int, seed: int) -> bytes:
    sink = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (side_px, side_px, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(sink, "PNG")
    return sink.getvalue()


def opened(sheet: bytes) -> Image.Image:
    picture = Image.open(io.BytesIO(sheet))
    assert picture.format == "PNG"
    return picture.convert("RGB")


def test_pictures_stand_in_rows_in_reading_order():
    red, blue = make_picture(64, 64), make_picture(64, 64, (20, 20, 220))
    sheet = opened(contact_sheet([(red, "mug 1.00"), (blue, "mug 0.50"), (blue, "")], columns=2, cell_px=80))
    across, down = sheet.width // 2, sheet.height // 2
    assert sheet.getpixel((across // 2, down // 2))[0] > 180
    assert sheet.getpixel((across + across // 2, down // 2))[2] > 180
    assert sheet.getpixel((across // 2, down + down // 2))[2] > 180
    assert min(sheet.getpixel((across + across // 2, down + down // 2))) > 240


def test_a_wide_and_a_tall_picture_keep_their_shape():
    sheet = np.asarray(opened(contact_sheet([(make_picture(400, 40), "wide"), (make_picture(40, 400), "tall")], columns=2, cell_px=100)))
    reddish = (sheet[..., 0] > 150) & (sheet[..., 1] < 90)
    rows, columns = reddish.any(axis=1).sum(), reddish.any(axis=0).sum()
    assert 98 <= rows <= 102
    assert 106 <= columns <= 116


def test_a_broken_picture_and_a_caption_that_is_not_latin_do_no_harm():
    sheet = opened(contact_sheet([(b"not a picture", "壊れた写真 broken"), (b"", "")], columns=5, cell_px=64))
    assert sheet.width < 3 * 64


def test_no_pictures_give_an_empty_sheet():
    assert opened(contact_sheet([], columns=4)).width > 0


def test_a_long_caption_stays_in_its_cell():
    plain = opened(contact_sheet([(make_picture(64, 64), "")], columns=1, cell_px=64))
    wordy = opened(contact_sheet([(make_picture(64, 64), "incomprehensibilities " * 9)], columns=1, cell_px=64))
    assert wordy.size == plain.size


def test_the_file_stays_below_the_limit_even_for_noise():
    pictures = [(make_noise(128, seed), "noise") for seed in range(12)]
    assert len(contact_sheet(pictures, columns=4, max_bytes=120 * 1024)) <= 120 * 1024


def test_the_same_pictures_give_the_same_bytes():
    pictures = [(make_noise(40, 1), "a"), (make_picture(30, 60), "b")]
    assert contact_sheet(pictures, columns=2) == contact_sheet(pictures, columns=2)
