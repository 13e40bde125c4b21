import concurrent.futures
import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components import images
from components.errors import BadPicture
from components.images import decode, normalise, open_picture, to_square


def encoded(picture: Image.Image, kind: str = "PNG", **options) -> bytes:
    sink = io.BytesIO()
    picture.save(sink, kind, **options)
    return sink.getvalue()


def halves(width: int = 64, height: int = 48) -> Image.Image:
    """Left half red, right half blue."""
    picture = Image.new("RGB", (width, height), (220, 20, 20))
    picture.paste((20, 20, 220), (width // 2, 0, width, height))
    return picture


def bomb() -> bytes:
    """A PNG of a few bytes that says it has 30,000 x 30,000 px."""
    header = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(1000)))


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "picture_empty"),
        (b"not a picture at all", "picture_wrong_format"),
        (bomb(), "picture_too_many_pixels"),
        (encoded(Image.new("RGB", (1, 1))), "picture_too_small"),
        (encoded(Image.new("RGB", (400, 8))), "picture_too_small"),
        (b"\0" * (images.MAX_PICTURE_BYTES + 1), "picture_too_many_bytes"),
    ],
)
def test_each_bad_picture_has_a_reason(data, reason):
    with pytest.raises(BadPicture) as caught:
        open_picture(data)
    assert caught.value.reason == reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_truncated_picture_is_refused_not_filled_with_grey(kind):
    data = encoded(Image.effect_noise((200, 200), 60).convert("RGB"), kind)
    with pytest.raises(BadPicture) as caught:
        decode(data[: len(data) // 2])
    assert caught.value.reason == "picture_truncated"


def test_a_turned_phone_photo_comes_out_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # turn right by 90 degrees to view
    turned = decode(encoded(halves(), "JPEG", quality=95, exif=exif))
    assert turned.size == (48, 64)
    top, bottom = np.asarray(turned)[8].mean(axis=0), np.asarray(turned)[-8].mean(axis=0)
    assert top[0] > 150 > top[2]
    assert bottom[2] > 150 > bottom[0]


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "RGBA", "LA", "I;16"])
def test_every_mode_becomes_rgb_of_the_same_size(mode):
    source = halves().convert("L") if mode == "I;16" else halves().convert(mode)
    picture = Image.fromarray(np.asarray(source).astype(np.uint16) * 256) if mode == "I;16" else source
    found = decode(encoded(picture, "JPEG" if mode == "CMYK" else "PNG"))
    assert (found.mode, found.size) == ("RGB", (64, 48))
    assert np.asarray(found).std() > 5


def test_transparency_lies_over_white():
    clear = Image.new("RGBA", (32, 32), (200, 0, 0, 0))
    assert np.asarray(decode(encoded(clear))).min() == 255


def test_pixels_are_in_minus_one_to_one_with_channels_first():
    square = to_square(encoded(halves()), 32)
    pixels = normalise(square)
    assert (square.shape, square.dtype) == ((32, 32, 3), np.uint8)
    assert (pixels.shape, pixels.dtype) == ((3, 32, 32), np.float32)
    assert pixels.min() >= -1
    assert pixels.max() <= 1
    np.testing.assert_allclose(normalise(np.stack([square, square]))[1], pixels)
    np.testing.assert_allclose((pixels[0] + 1) * 127.5, square[..., 0], atol=1e-4)


def noisy(width, height):
    """Soft colours, as a photo has them."""
    rng = np.random.default_rng(width)
    return Image.fromarray(rng.integers(0, 255, (24, 24, 3), np.uint8)).resize((width, height), Image.Resampling.BICUBIC)


def psnr(found, wanted):
    """In dB; higher is closer."""
    return 10 * np.log10(255**2 / max(1e-9, np.mean((np.asarray(found).astype(float) - np.asarray(wanted)) ** 2)))


@pytest.mark.parametrize("size", [(900, 700), (1201, 1799), (333, 1111), (512, 512), (120, 1000), (3001, 2003)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_the_fast_decoder_agrees_with_the_plain_one(size, kind):
    """Odd sizes count: a scaled JPEG rounds its sides up, and what it covers must still fill the square."""
    data = encoded(noisy(*size), kind)
    plain = Image.open(io.BytesIO(data)).resize((96, 96), Image.Resampling.BICUBIC)
    assert psnr(to_square(data, 96), plain) > 45


def test_a_large_jpeg_is_decoded_at_a_fraction_of_its_size():
    data = encoded(noisy(2400, 2000), "JPEG")
    assert [decode(data, side).size for side in (96, 224, 500, 1001)] == [(300, 250), (600, 500), (1200, 1000), (2400, 2000)]
    assert decode(data).size == (2400, 2000)


def test_a_square_does_not_depend_on_what_else_was_decoded():
    files = [encoded(noisy(200 + 40 * n, 300), "JPEG") for n in range(8)]
    alone = [to_square(data, 64) for data in files]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda data: to_square(data, 64), files[::-1]))[::-1]
    np.testing.assert_array_equal(alone, together)


def test_the_digest_follows_every_file_that_decides_pixels(tmp_path, monkeypatch):
    edited = tmp_path / "resample.py"
    edited.write_text(Path(images.resample.__file__).read_text() + "# edited")
    before = images.digest()
    monkeypatch.setattr(images.resample, "__file__", str(edited))
    assert images.digest() != before


def test_this_module_loads_no_torch():
    import subprocess
    import sys

    code = "import sys, components.images, components.towers; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
