"""Which photos a page shows."""

import dataclasses
import hashlib
import io

import numpy as np
from PIL import Image

from monitoring.report.sheets import num_absent, sheets_of
from tests.monitoring.report.judged_days import tiny_shop


def drawn(image_ids):
    """A small photo for every id."""
    found = {}
    for image_id in image_ids:
        colour = tuple(hashlib.sha256(image_id.encode()).digest()[:3])
        Image.new("RGB", (64, 64), colour).save(sink := io.BytesIO(), "JPEG")
        found[image_id] = sink.getvalue()
    return found


def sheets(fault, photos=drawn, num=8, **changes):
    """The sheets of a faulty day, by title."""
    judged = tiny_shop().judged(fault)
    now = dataclasses.replace(judged.day.window(), **changes)
    return {sheet.title: sheet for sheet in sheets_of(judged.judgement, now, judged.reference, photos, num)}


def ids(sheet):
    return [photo.image_id for photo in sheet.photos]


def test_a_flood_fills_the_typical_photos_of_the_blamed_segment():
    made = sheets("seller_flood")
    assert sum(name.startswith("flood-") for name in ids(made["Typical now"])) >= 4
    assert not any(name.startswith("flood-") for name in ids(made["Typical then"]))


def test_a_new_kind_lies_farthest_from_the_reference():
    assert all(name.startswith("new-") for name in ids(sheets("new_kind")["Farthest from the reference"]))


def test_darker_photos_are_shown_from_the_darkest_on():
    made = sheets("darker_photos")["Lowest brightness"]
    assert any(name.startswith("darker-") for name in ids(made))
    shown = [float(photo.caption.split()[1].rstrip(",")) for photo in made.photos]
    assert shown == sorted(shown)


def test_no_photo_stands_twice_on_a_sheet_and_sheets_are_bounded():
    for sheet in sheets("seller_flood", num=5).values():
        assert len(set(ids(sheet))) == len(sheet.photos) <= 5


def test_the_largest_group_comes_first():
    told = [float(photo.caption.split()[0]) for photo in sheets("seller_flood")["Typical now"].photos]
    assert told == sorted(told, reverse=True)


def test_the_same_day_shows_the_same_photos():
    assert sheets("ai_photos") == sheets("ai_photos")


def test_photos_that_are_not_there_or_broken_are_told_and_the_others_shown():
    def some(image_ids):
        names = sorted(image_ids)
        return drawn(names[2:]) | {names[1]: b"no picture at all"}

    made = sheets("seller_flood", photos=some)
    told = {photo.why for sheet in made.values() for photo in sheet.photos if not photo.thumbnail}
    assert told <= {"not in the store", "cannot be shown: picture_wrong_format"}
    assert len(told) == 2
    assert num_absent(made.values()) < sum(len(sheet.photos) for sheet in made.values())


def test_vectors_of_another_model_leave_what_needs_no_comparison():
    judged = tiny_shop().judged("seller_flood")
    other = np.ones((judged.day.rows.num_rows, 3), np.float32) / np.sqrt(3, dtype=np.float32)
    made = sheets("seller_flood", vectors=other)
    assert "Farthest from the reference" not in made
    assert "Typical now" in made


def test_a_window_without_rows_has_no_photos_of_now():
    judged = tiny_shop().judged("seller_flood")
    empty = dataclasses.replace(
        judged.day.window(), rows=judged.day.rows.slice(0, 0), vectors=np.zeros((0, 16), np.float32), weight=np.zeros(0, np.float32)
    )
    made = sheets_of(judged.judgement, empty, judged.reference, drawn, 8)
    assert [sheet.title for sheet in made] == ["Typical then"]


def test_rows_without_a_picture_or_with_a_broken_vector_are_passed_over():
    judged = tiny_shop().judged("seller_flood")
    window = judged.day.window()
    vectors = window.vectors.copy()
    vectors[::2] = np.nan
    names = [None if number % 3 else name for number, name in enumerate(window.rows["image_id"].to_pylist())]
    rows = window.rows.set_column(window.rows.column_names.index("image_id"), "image_id", [names])
    for sheet in sheets("seller_flood", vectors=vectors, rows=rows).values():
        assert None not in ids(sheet)
