"""Each kind of bad picture has a code, and each odd but sound one comes out looking right."""

import contextlib
import io
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image, ImageOps

from components import images
from components.containers.jpeg import MAX_TABLE_BYTES
from components.containers.parts import sound_profile
from components.containers.read import parts_of
from components.errors import BadPicture
from components.images import about, decode, to_square
from tests.picture_files import (
    CONVERTED,
    REFUSED,
    chunk,
    deep,
    encoded,
    exif,
    many_scans,
    motion_photo,
    palette_with_transparency,
    plain_cmyk,
    png_of,
    profile,
    scene,
    segment,
    with_chunks,
    with_segments,
    ycck,
)

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest has its own filters
RED, BLUE = (210, 30, 30), (30, 60, 200)
GREY_RED, GREY_BLUE = 84, 67  # their luma


def refusal(data, do=decode):
    with pytest.raises(BadPicture) as caught:
        do(data)
    return caught.value


def colours_of(picture):
    """Mean colour of the ellipse and of the box of scene()."""
    pixels = np.asarray(picture).astype(float)
    return [pixels[30:40, at : at + 10].mean((0, 1)) for at in (24, 65)]


@pytest.mark.parametrize(("code", "kind"), [(code, kind) for code, kinds in REFUSED.items() for kind in kinds])
def test_a_bad_picture_is_refused_under_its_code_at_once(code, kind):
    for do in (decode, about, lambda data: to_square(data, 32)):
        started = time.process_time()
        if code == "picture_truncated" and do is about:
            continue  # a header may be whole where the pixels are not
        assert refusal(REFUSED[code][kind], do).reason == code
        assert time.process_time() - started < 1


@pytest.mark.parametrize("kind", CONVERTED)
def test_an_odd_picture_is_taken_and_what_was_converted_is_noted(kind):
    data, codes = CONVERTED[kind]
    assert about(data).converted == codes
    assert decode(data).mode == "RGB"
    assert to_square(data, 32).shape == (32, 32, 3)


@pytest.mark.parametrize("kind", [kind for kind, (_, codes) in CONVERTED.items() if not {"turned", "alpha", "palette_alpha"} & {*codes}])
def test_colours_survive_every_format_and_conversion(kind):
    data, _ = CONVERTED[kind]
    wanted = (GREY_RED, GREY_BLUE) if "grey" in kind else (RED, BLUE)
    for found, colour in zip(colours_of(decode(data)), wanted, strict=True):
        np.testing.assert_allclose(found, np.broadcast_to(colour, 3), atol=12)


def test_cmyk_is_no_negative_inverted_or_not():
    """Both kinds of Adobe CMYK are stored inverted; YCCK has its inks in YCbCr besides."""
    for data in (encoded(scene().convert("CMYK"), quality=95), ycck(), plain_cmyk()):
        ellipse, box = colours_of(decode(data))
        assert ellipse[0] > 180 > 80 > ellipse[2]
        assert box[2] > 170 > 80 > box[0]


def test_sixteen_bits_keep_their_upper_eight():
    ramp = np.arange(0, 65_536, 16, dtype=np.uint16).reshape(64, 64)
    np.testing.assert_array_equal(np.asarray(decode(png_of(ramp)))[..., 1], ramp >> 8)
    colour = png_of(deep(scene()))
    np.testing.assert_array_equal(np.asarray(decode(colour)), np.asarray(scene()))


def test_clear_parts_of_palettes_and_of_deep_greys_lie_over_white():
    assert np.asarray(decode(palette_with_transparency()))[0, 0].tolist() == [255, 255, 255]
    grey, _ = CONVERTED["16 bit grey, one of it clear"]
    assert np.asarray(decode(grey))[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_way_to_hold_a_camera_comes_out_upright_in_both_functions(orientation, kind):
    """The stored picture is what EXIF says has to be turned to be seen; Pillow's own turning is the reference."""
    made = encoded(scene(), kind, exif=exif(orientation), **({"lossless": True} if kind == "WEBP" else {}))
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(made))).convert("RGB")
    np.testing.assert_array_equal(np.asarray(decode(made)), np.asarray(wanted))
    assert (about(made).width, about(made).height) == wanted.size
    square = np.asarray(wanted.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(to_square(made, 32) - square).max() <= 2


def test_an_orientation_that_is_none_turns_nothing():
    for orientation in (0, 9, 4711):
        data = encoded(scene(), exif=exif(orientation))
        assert (about(data).converted, decode(data).size) == ((), (96, 72))


def test_the_header_of_a_large_png_is_read_without_its_pixels():
    whole = encoded(scene(4000, 3000), "PNG", exif=exif(6))
    assert about(whole[:-2000]) == about(whole)
    with pytest.raises(BadPicture, match="picture_truncated"):
        decode(whole[:-2000])


def test_memory_that_runs_out_is_not_blamed_on_the_picture(monkeypatch):
    def out_of_memory(*_):
        raise MemoryError

    monkeypatch.setattr(Image.Image, "convert", out_of_memory)
    with pytest.raises(MemoryError):
        decode(encoded(scene().convert("L")))


def test_what_a_file_seems_to_be_is_said():
    said = {kind: refusal(data).detail for kind, data in REFUSED["picture_wrong_format"].items()}
    for kind, word in {
        "error page": "HTML",
        "pdf": "PDF",
        "heic": "HEIC",
        "avif": "AVIF",
        "tiff": "TIFF",
        "bmp": "BMP",
        "svg": "SVG",
        "zip": "ZIP",
    }.items():
        assert word in said[kind]
    assert "begins with" in refusal(b"\x01\x02\x03\xff" * 9).detail


def test_a_picture_is_known_by_its_bytes_not_its_name():
    assert {parts_of(encoded(scene(), kind)).kind for kind in ("JPEG", "PNG", "GIF", "WEBP")} == {"JPEG", "PNG", "GIF", "WEBP"}


def test_a_photo_of_two_is_its_first():
    data, _ = CONVERTED["two photos"]
    np.testing.assert_array_equal(np.asarray(decode(data)), np.asarray(decode(parts_of(data).pixels)))
    assert np.asarray(decode(data))[0, 0, 1] in range(186, 195)  # 190 in the first, 181 in the second


def test_an_mpo_whose_table_is_broken_is_still_a_photo():
    data = bytearray(CONVERTED["two photos"][0])
    at = data.index(b"MPF\0") + 4
    data[at : at + 24] = b"\xff" * 24
    assert decode(bytes(data)).size == (96, 72)


def test_a_film_that_happens_to_hold_short_signatures_does_not_make_a_polyglot():
    noise = b"PK\x03\x04\xff\xff MZ #! %PDF <?xml PK\x05\x06 \x1f\x8b\x08 ustar"
    assert decode(motion_photo() + noise).size == (96, 72)


def test_metadata_that_editors_write_does_not_make_a_polyglot():
    xmp = b'<?xpacket begin=""?><x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF/></x:xmpmeta>'
    for data in (
        encoded(scene(), xmp=xmp, icc_profile=profile(), exif=exif(1, "A shirt, <b>new</b>"), comment=b"CREATOR: gd-jpeg v1.0"),
        encoded(scene(), "WEBP", xmp=xmp, icc_profile=profile(), exif=exif(1)),
        with_chunks(
            encoded(scene(), "PNG"), chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp), chunk(b"tEXt", b"Software\0gnome-screenshot")
        ),
        encoded(scene(), "GIF", comment=b"Created with GIMP"),
    ):
        assert decode(data).size == (96, 72)


def test_sound_profiles_are_told_from_broken_ones():
    assert sound_profile(profile())
    for broken in (b"", profile()[:127], profile()[:200], profile()[:36] + b"nope" + profile()[40:]):
        assert not sound_profile(broken)


def test_a_profile_in_many_segments_is_put_together():
    whole = profile()
    halves = [b"ICC_PROFILE\0" + bytes([n + 1, 2]) + part for n, part in enumerate((whole[:200], whole[200:]))]
    data = with_segments(encoded(scene()), *(segment(0xE2, half) for half in reversed(halves)))
    assert parts_of(data).profile == whole
    assert about(data).converted == ()


def test_a_slow_web_photo_with_many_passes_is_still_taken():
    assert decode(many_scans(40)).size == (96, 72)


def test_each_limit_is_where_it_says():
    for size in ((160, 16), (16, 16), (40, 400)):
        assert decode(encoded(Image.new("RGB", size), "PNG")).size == size
    with_all = images.MAX_PICTURE_BYTES - len(encoded(scene()))
    assert decode(encoded(scene()) + bytes(with_all)).size == (96, 72)
    assert refusal(encoded(scene()) + bytes(with_all + 1)).reason == "picture_too_many_bytes"


def test_metadata_in_tables_is_taken_up_to_its_limit():
    """65 bytes of each quantization table count too (T.81, B.2.4.1)."""
    own = 65 * len(Image.open(io.BytesIO(encoded(scene()))).quantization)
    whole, rest = divmod(MAX_TABLE_BYTES - own, 65_000)
    exifs = [segment(0xE1, b"Exif\0\0".ljust(size, b"a")) for size in [65_000] * whole + [rest, rest + 1]]
    assert decode(with_segments(encoded(scene()), *exifs[:-1])).size == (96, 72)
    assert refusal(with_segments(encoded(scene()), *exifs[:-2], exifs[-1])).reason == "picture_bomb"


def test_broken_metadata_warns_nobody(tmp_path):
    """Pillow would say `Tag data larger than file` here, and in a thread nobody can hush it around one call."""
    data = bytearray(encoded(scene(), exif=exif(1, "text")))
    at = data.index(b"\x01\x0e\x00\x02") + 4
    data[at : at + 4] = b"\x7f\xff\xff\xff"
    (tmp_path / "warns.jpg").write_bytes(data)
    code = "import sys; from pathlib import Path; from components import images; images.about(Path(sys.argv[1]).read_bytes())"
    plain = "import sys; from PIL import Image; Image.open(sys.argv[1]).getexif().get(1)"
    said = [
        subprocess.run([sys.executable, "-W", "always", "-c", one, tmp_path / "warns.jpg"], capture_output=True, text=True).stderr
        for one in (code, plain)
    ]
    assert said[0] == "" != said[1]


GIF = encoded(scene(), "GIF")
RESOURCE = b"8BIM\x04\x04" + bytes(6)  # empty
at = 13 + (6 << (GIF[10] & 7))  # behind the colours
SLOW = {
    "a JPEG of fill bytes": encoded(scene())[:-2] + b"\xff" * 31_000_000,
    "a GIF with a long comment": GIF[:at] + b"\x21\xfe" + (b"\xff" + b"a" * 255) * 110_000 + b"\0" + GIF[at:],
    "a JPEG of EXIF": with_segments(encoded(scene()), segment(0xE1, b"Exif\0\0MM\0*" + b"a" * 65_000) * 64),
    "a JPEG of Photoshop's resources": with_segments(encoded(scene()), segment(0xED, b"Photoshop 3.0\0" + RESOURCE * 5000) * 69),
    "a JPEG of tables": with_segments(encoded(scene()), segment(0xDB, (b"\0" + b"\1" * 64) * 1000) * 64),
    "a PNG of texts": with_chunks(encoded(scene(), "PNG"), *[chunk(b"tEXt", b"a\0" + b"b" * 1000)] * 19_000),
}


@pytest.mark.parametrize("kind", SLOW)
def test_no_file_keeps_a_decoder_busy_for_two_seconds(kind):
    """Alone, Pillow needs more for the first: it starts over with every 64 KiB."""
    started = time.process_time()
    with contextlib.suppress(BadPicture):
        to_square(SLOW[kind], 32)
    assert time.process_time() - started < 2
