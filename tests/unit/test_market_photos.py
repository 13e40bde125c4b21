"""Drawn photos: equal parameters give equal pixels, defects show, and true quality is a falling function of their strengths."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from components.ingest.drawing.backdrops import BACKDROPS
from components.ingest.drawing.canvas import Canvas, Pose, lettering
from components.ingest.drawing.defects import DEFECTS, quality_of
from components.ingest.drawing.kinds import KINDS, new_look
from components.ingest.drawing.palette import COLOUR_OF_WORD, COLOURS
from components.ingest.drawing.patterns import PATTERNS
from components.ingest.drawing.photo import Photo, new_pose, take

STRENGTHS = st.dictionaries(st.sampled_from(DEFECTS), st.floats(0, 1))
UPRIGHT = Pose(x=0.5, y=0.5, scale=0.4, angle=0.0, squeeze=1.0, flip=False)


def make_photo(kind: str = "mug", seed: int = 3, **changes: object) -> Photo:
    rng = np.random.default_rng(seed)
    photo = Photo(kind, new_look(KINDS[kind], rng), new_pose(rng), BACKDROPS[seed % 4], (96, 96), (), 85, (seed,))
    return dataclasses.replace(photo, **changes)


def difference(first: Image.Image, second: Image.Image) -> float:
    return float(np.abs(np.asarray(first, float) - np.asarray(second, float)).mean())


def drawn(kind: str, seed: int, knobs: tuple[float, ...] | None = None) -> Canvas:
    look = new_look(KINDS[kind], np.random.default_rng(seed))
    look = dataclasses.replace(look, knobs=knobs or look.knobs)
    canvas = Canvas((96, 96), UPRIGHT, look.rgb)
    KINDS[kind].draw(canvas, look)
    return canvas


def test_there_are_at_least_twelve_kinds_over_four_roots_and_twelve_colours():
    assert len(KINDS) >= 14
    assert len({kind.category[0] for kind in KINDS.values()}) >= 4
    assert len({kind.category for kind in KINDS.values()}) == len(KINDS)
    assert len(COLOURS) >= 12


@given(strengths=STRENGTHS, name=st.sampled_from(DEFECTS), more=st.floats(0.001, 1))
def test_quality_falls_with_every_strength_and_stays_between_0_and_1(strengths, name, more):
    weaker = {**strengths, name: strengths.get(name, 0.0) * (1 - more)}
    stronger = {**strengths, name: weaker[name] + (1 - weaker[name]) * more}
    low, high = quality_of(stronger.items()), quality_of(weaker.items())
    assert 0 <= low <= high <= 1
    assert low < high or stronger[name] - weaker[name] < 1e-9


def test_a_photo_without_defects_has_quality_1_and_the_order_of_defects_is_nothing():
    assert quality_of([]) == 1
    assert quality_of([("blur", 0.5), ("tilt", 0.3)]) == pytest.approx(quality_of([("tilt", 0.3), ("blur", 0.5)]))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_covers_a_fair_part_of_its_box_and_nothing_far_outside(kind):
    for seed in range(4):
        canvas = drawn(kind, seed)
        left, top, right, bottom = (edge / canvas.mask.width for edge in canvas.mask.getbbox())
        assert left > 0.03
        assert top > 0.03
        assert right < 0.97
        assert bottom < 0.97
        assert np.mean(np.asarray(canvas.mask) > 0) > 0.03


@pytest.mark.parametrize("kind", KINDS)
def test_two_products_of_a_kind_differ_in_shape_and_not_only_in_colour(kind):
    small, large = (drawn(kind, 0, knobs=(value,) * 6) for value in (0.1, 0.9))
    assert difference(small.ink, large.ink) > 1


def test_kinds_do_not_look_alike_even_in_one_colour():
    same_knobs = {kind: drawn(kind, 0, knobs=(0.5,) * 6) for kind in KINDS}
    for first, second in ((a, b) for a in KINDS for b in KINDS if a < b):
        apart = difference(same_knobs[first].ink, same_knobs[second].ink) + difference(same_knobs[first].mask, same_knobs[second].mask)
        assert apart > 15, f"{first} looks like {second}"


@pytest.mark.parametrize("pattern", PATTERNS[1:])
def test_patterns_show(pattern):
    plain = make_photo()
    plain = dataclasses.replace(plain, look=dataclasses.replace(plain.look, pattern="plain"))
    patterned = dataclasses.replace(plain, look=dataclasses.replace(plain.look, pattern=pattern))
    assert difference(take(plain), take(patterned)) > 1.5


@pytest.mark.parametrize("flip", [False, True])
def test_lettering_on_a_product_can_be_read_even_where_the_product_is_mirrored(flip):
    shirt = make_photo("t-shirt", pose=dataclasses.replace(UPRIGHT, flip=flip), size=(192, 192))
    bare, printed = (np.asarray(take(with_text(shirt, text)).convert("L"), float) for text in ("", "LUCKY"))
    ink = Image.fromarray((np.abs(printed - bare) > 40).astype(np.uint8) * 255)
    word = lettering("LUCKY", 24)
    seen = np.asarray(ink.crop(ink.getbbox()).resize(word.size), float).ravel()
    as_written, mirrored = (np.asarray(tile, float).ravel() for tile in (word, ImageOps.mirror(word)))
    assert np.corrcoef(seen, as_written)[0, 1] > 0.5 > np.corrcoef(seen, mirrored)[0, 1] + 0.2


def with_text(photo: Photo, text: str) -> Photo:
    return dataclasses.replace(photo, look=dataclasses.replace(photo.look, text=text, pattern="plain"))


def test_equal_parameters_give_equal_pixels_and_the_seed_matters():
    photo = make_photo(defects=(("clutter", 0.7), ("dark", 0.4)))
    assert take(photo).tobytes() == take(photo).tobytes()
    assert take(photo).tobytes() != take(dataclasses.replace(photo, seed=(99,))).tobytes()


@pytest.mark.parametrize("name", sorted(set(DEFECTS) - {"crop"}))
@pytest.mark.parametrize("size", [(96, 96), (72, 96), (96, 72)])
def test_a_stronger_defect_changes_the_photo_more(name, size):
    changes = []
    for strength in (0.15, 0.95):
        pairs = [(make_photo(k, s, size=size), make_photo(k, s, size=size, defects=((name, strength),))) for s, k in enumerate(KINDS)]
        changes.append(np.mean([difference(take(clean), take(spoiled)) for clean, spoiled in pairs]))
    assert 0.3 < changes[0] < changes[1]


def test_a_cropped_product_loses_the_share_that_its_strength_says():
    flat = dataclasses.replace(make_photo("book", 4), size=(160, 120))
    for strength in (0.2, 1.0):
        seen = [visible_share(dataclasses.replace(flat, seed=(seed,), defects=(("crop", strength),))) for seed in range(12)]
        assert seen == pytest.approx([0.9 - 0.4 * strength] * 12, abs=0.1)


def visible_share(photo: Photo) -> float:
    """Share of the product that is in the frame, told by repainting it: pixels that a second colour changes."""
    whole = dataclasses.replace(photo, defects=(), pose=dataclasses.replace(photo.pose, x=0.5, y=0.5, scale=photo.pose.scale * 1.1))
    return painted_pixels(photo) / painted_pixels(whole)


def painted_pixels(photo: Photo) -> int:
    red, blue = (dataclasses.replace(photo.look, pattern="plain", rgb=rgb) for rgb in ((230, 20, 20), (20, 20, 230)))
    first, second = (np.asarray(take(dataclasses.replace(photo, look=look)), float) for look in (red, blue))
    return int((np.abs(first - second).sum(axis=-1) > 60).sum())


def test_colour_words_of_both_languages_name_the_same_colours():
    assert COLOUR_OF_WORD["赤"] == COLOUR_OF_WORD["レッド"] == COLOUR_OF_WORD["red"] == "red"
    assert len(set(COLOUR_OF_WORD.values())) == len(COLOURS)
