"""Walking picture files that are cut or broken anywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.containers.foreign import hidden, seems_to_be
from components.containers.read import kind_of, parts_of
from tests.mutations import seeds
from tests.picture_files import CONVERTED, animated, encoded, phone_mpo, scene, zipped

STARTS = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\1\0\0WEBP")
PIECES = (
    *(b"\xff", b"\xff\xda", b"\0\0\0\4IDAT", b"\0\0\0\2tEXt", b"iCCP"),
    *(b"!", b"!\xfe", b"!\xf9\4", b",", b";", b"\0", b"ICCP\4\0\0\0", b"ANMF"),
)
BROKEN = st.lists(st.one_of(st.sampled_from(PIECES), st.binary(max_size=9)), max_size=30).map(b"".join)


@given(st.sampled_from(STARTS), BROKEN)
def test_no_bytes_make_a_walk_fail_or_lose_track(start, rest):
    data = start + rest
    parts = parts_of(data)
    assert parts is not None
    assert data.endswith(parts.trailer)
    assert sum(map(len, parts.loose)) <= len(data)
    hidden(data, parts)
    seems_to_be(rest)


@pytest.mark.parametrize("kind", seeds())
def test_a_file_cut_at_any_byte_can_be_walked(kind):
    data = seeds()[kind]
    step = max(1, len(data) // 600)
    for end in (*range(min(len(data), 400)), *range(400, len(data), step)):
        parts = parts_of(data[:end])
        assert parts is None or not parts.trailer or parts.whole


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "WEBP"])
def test_what_follows_the_end_is_the_trailer(kind):
    data = encoded(scene(), kind)
    parts = parts_of(data + b"and more")
    assert (parts.kind, parts.whole, parts.trailer) == (kind, True, b"and more")
    assert parts_of(data).trailer == b""
    assert not parts_of(data[:-3]).whole


def test_frames_and_photos_are_counted_apart():
    assert [parts_of(animated(kind)).frames for kind in ("GIF", "PNG", "WEBP")] == [3, 3, 3]
    assert (parts_of(phone_mpo()).frames, parts_of(phone_mpo()).several) == (1, True)


def test_a_gif_is_left_with_its_first_frame_and_a_png_with_its_pixels():
    frames = parts_of(animated("GIF"))
    assert parts_of(frames.pixels).frames == 1
    told, _ = CONVERTED["profile in png"]
    assert b"iCCP" not in parts_of(told).pixels
    assert parts_of(parts_of(told).pixels).whole


def test_other_formats_are_none_of_the_four():
    assert kind_of(zipped()) is None
    assert parts_of(b"") is None
