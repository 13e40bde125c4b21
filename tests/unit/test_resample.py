"""The resize of images.to_square against Pillow's, and its promise of equal bytes everywhere."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.resample import BAND, WEIGHT_UNIT, columns_of, rows_of, taps, to_square

SIZES = st.integers(1, 400)


def weights(num_px, length, side):
    """(side, num_px): what each source pixel gives to each target pixel."""
    first, given = taps(num_px, length, side)
    whole = np.zeros((side, num_px + given.shape[1]))
    for row, (start, values) in enumerate(zip(first, given, strict=True)):
        whole[row, start : start + len(values)] = values
    assert not whole[:, num_px:].any()
    return whole[:, :num_px]


def random_picture(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@settings(max_examples=60)
@given(SIZES, SIZES, st.integers(1, 120), st.integers(0, 9))
def test_it_is_pillows_bicubic_but_for_rounding(width, height, side, seed):
    """Pillow rounds after its passes across and down, this one after down and across; middle greys, since both cut off what overshoots."""
    pixels = random_picture(width, height, seed) // 4 + 96
    found = to_square(pixels, (width, height), side).astype(int)
    wanted = np.asarray(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)).astype(int)
    assert np.abs(found - wanted).max() <= 2


@settings(max_examples=60)
@given(SIZES, SIZES, st.integers(1, 120), st.tuples(st.integers(0, 255), st.integers(0, 255), st.integers(0, 255)))
def test_a_flat_colour_stays_that_colour(width, height, side, colour):
    flat = np.full((height, width, 3), colour, np.uint8)
    assert np.unique(to_square(flat, (width, height), side).reshape(-1, 3), axis=0).tolist() == [list(colour)]


@settings(max_examples=60)
@given(st.integers(1, 3000), st.floats(0, 0.99), st.integers(1, 400))
def test_weights_are_whole_units_that_add_up_to_one_and_keep_float32_exact(num_px, cut, side):
    found = weights(num_px, max(num_px - cut, 0.5), side)
    units = found / WEIGHT_UNIT
    assert (units == np.rint(units)).all()
    assert (units.sum(axis=1) == 1 / WEIGHT_UNIT).all()
    assert np.abs(units).sum(axis=1).max() * 255 < 2**24


@settings(max_examples=60)
@given(st.integers(1, 900), st.integers(1, 90))
def test_bands_hold_every_weight_once(num_px, side):
    rows, columns = rows_of(num_px, float(num_px), side), columns_of(num_px, float(num_px), side)
    num_bands, _, span = rows.weights.shape
    down, across = np.zeros((num_bands * BAND, num_px)), np.zeros((3 * num_px, num_bands * BAND * 3))
    for n in range(num_bands):
        down[BAND * n : BAND * n + BAND, rows.starts[n] : rows.starts[n] + span] += rows.weights[n]
        across[columns.starts[n] : columns.starts[n] + 3 * span, 3 * BAND * n : 3 * BAND * (n + 1)] += columns.weights[n]
    wanted = weights(num_px, float(num_px), side)
    np.testing.assert_array_equal(down[:side], wanted)
    np.testing.assert_array_equal(across[:, : 3 * side], np.kron(wanted.T, np.eye(3)))
    assert not down[side:].any()
    assert num_bands * BAND < side + BAND


def test_colours_do_not_mix():
    pixels = random_picture(90, 70)
    whole = to_square(pixels, (90, 70), 32)
    for colour in range(3):
        alone = np.zeros_like(pixels)
        alone[..., colour] = pixels[..., colour]
        np.testing.assert_array_equal(to_square(alone, (90, 70), 32)[..., colour], whole[..., colour])


def test_a_last_pixel_covered_in_part_moves_the_picture_by_that_part():
    """A JPEG of 101 px decoded at half size has 51 px that cover 50.5."""
    ramp = np.repeat(np.linspace(0, 250, 51, dtype=np.uint8)[None, :, None], 51, axis=0).repeat(3, axis=2)
    cut, whole = (to_square(ramp, (extent, 51), 10)[5, :, 0].astype(int) for extent in (50.5, 51))
    assert (cut <= whole).all()
    assert cut[-1] < whole[-1]


def test_order_of_summation_and_threads_change_nothing():
    """In exact arithmetic the products are the same in float64, whose sums are exact by far."""
    pixels = random_picture(800, 600)
    rows, columns = weights(600, 600.0, 64), weights(800, 800.0, 64)
    down = np.clip(np.rint(np.einsum("sh,hwc->swc", rows, pixels.astype(float))), 0, 255)
    wanted = np.clip(np.rint(np.einsum("tw,swc->stc", columns, down)), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(to_square(pixels, (800, 600), 64), wanted)


@pytest.mark.parametrize(("width", "height"), [(20_000, 40), (40, 20_000), (3, 5)])
def test_shapes_that_no_photo_has_work_too(width, height):
    assert to_square(random_picture(width, height), (width, height), 24).shape == (24, 24, 3)


def test_no_thread_is_started_for_a_picture():
    code = (
        "import time, numpy as np\nfrom components.resample import to_square\n"
        "picture = np.zeros((890, 890, 3), np.uint8)\nto_square(picture, (890, 890), 224)\n"
        "time.sleep(0.5)  # OpenBLAS's threads spin for a moment after they are made\n"
        "start, cpu = time.perf_counter(), time.process_time()\n"
        "[to_square(picture, (890, 890), 224) for _ in range(150)]\n"
        "print((time.process_time() - cpu) / (time.perf_counter() - start))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 1.2
