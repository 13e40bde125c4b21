"""What the faults do to photos, on drawn ones; and a pool made of a finished workspace."""

import functools
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from components.contract import read_params
from components.images import decode
from components.ingest.drawing.defects import quality_of
from components.picture_stats import stats_of
from monitoring.rehearsal import photos
from monitoring.rehearsal.faults import FAULTS, fault_of
from monitoring.rehearsal.kinds import NEW_KINDS, photo_of
from monitoring.rehearsal.making import pool_of
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.stream import Stream
from tests.monitoring.tiny_pool import faults, quiet, rehearsal


def photo(side: int = 192) -> bytes:
    """A photo of an umbrella."""
    return photo_of(NEW_KINDS["umbrella"], (), side, np.random.default_rng(0))[0]


def stats(data: bytes) -> dict[str, float]:
    """Its statistics, as ingest and gateway measure them."""
    return stats_of(decode(data))


def test_a_darker_photo_has_half_a_stop_less_light_and_the_same_size():
    before, after = photo(), photos.darker(photo())
    assert stats(after)["brightness"] == pytest.approx(0.67 * stats(before)["brightness"], rel=0.05)
    assert decode(after).size == decode(before).size


@pytest.mark.parametrize("size", [(192, 144), (144, 192), (1200, 900), (20, 40)])
def test_a_badly_resized_photo_is_a_small_square(size: tuple[int, int]):
    Image.new("RGB", size, "red").save(sink := io.BytesIO(), "JPEG")
    side = max(16, min(size) // 3)
    assert decode(photos.badly_resized(sink.getvalue())).size == (side, side)


def test_a_generated_photo_has_no_grain_and_richer_colours():
    rng = np.random.default_rng(1)
    pixels = np.asarray(decode(photo()), np.float32) + rng.normal(0, 12, (192, 192, 3))
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(sink := io.BytesIO(), "PNG")
    before, after = (decode(data) for data in (sink.getvalue(), photos.ai_made(sink.getvalue())))
    grain = [np.median(np.abs(np.diff(np.asarray(one.convert("L"), np.float32), axis=1))) for one in (before, after)]
    assert grain[1] < 0.6 * grain[0]
    assert np.asarray(after.convert("HSV"))[..., 1].mean() > np.asarray(before.convert("HSV"))[..., 1].mean()


def test_a_thing_listed_again_is_another_file_and_nearly_the_same_photo():
    rng, first = np.random.default_rng(2), photo()
    again = [photos.listed_again(first, rng) for _ in range(6)]
    assert len({first, *again}) == 7
    assert all(abs(stats(one)["brightness"] - stats(first)["brightness"]) < 0.1 for one in again)


@pytest.mark.parametrize("alter", [photos.darker, photos.badly_resized, photos.ai_made])
def test_altering_a_photo_twice_gives_the_same_bytes(alter: Callable[[bytes], bytes]):
    assert alter(photo()) == alter(photo())


@pytest.mark.parametrize("name", NEW_KINDS)
def test_a_new_kind_is_drawn_in_as_many_looks_as_there_are_products(name: str):
    rng = np.random.default_rng(3)
    drawn = [photo_of(NEW_KINDS[name], (("blur", 0.3),), 96, rng)[0] for _ in range(5)]
    assert len(set(drawn)) == 5
    assert quality_of((("blur", 0.3),)) < 1
    assert all(stats(one)["contrast"] > 0.02 for one in drawn)


Make = Callable[[], Pool]


@pytest.fixture(scope="module")
def make(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Make:
    """Gives the pool of the finished workspace, always from one cache."""
    params = read_params(finished / "params.yaml")
    params["paths"] = {name: str(finished / path) for name, path in params["paths"].items()}
    cfg = rehearsal().pool.model_copy(update={"max_items": 100, "num_new": 10, "flood_size": 10, "num_augmented": 40})
    return functools.partial(pool_of, params, cfg, tmp_path_factory.mktemp("pool"))


@pytest.fixture(scope="module")
def made(make: Make) -> Pool:
    """The pool, made the first time."""
    return make()


def test_a_pool_of_a_finished_workspace_answers_as_its_bundle(made: Pool):
    assert made.num_quiet == 100
    assert len(made.named("new")) == 3
    assert len(made.named("flood")) == 4
    assert np.allclose(np.linalg.norm(made.vectors, axis=1), 1, atol=0.002)
    assert made.known.golden_cosine.min() > 0.999
    light = made.number_of("brightness")
    assert (light[made.instead("darker")] < light[: made.num_quiet]).all()


def test_a_pool_is_made_once_and_keeps_its_pictures(made: Pool, make: Make):
    ids = made.cards["image_id"].to_pylist()[::37]
    assert all(decode(data) for data in made.pictures(ids).values())
    assert set(made.pictures(ids)) == set(ids)
    assert made.pictures_at is not None
    written = made.pictures_at.stat().st_mtime_ns
    again = make()
    assert again.cards.equals(made.cards)
    assert made.pictures_at.stat().st_mtime_ns == written


def test_every_fault_plays_over_a_pool_of_a_finished_workspace(made: Pool):
    for name in FAULTS:
        day = Stream(made, 1, quiet(rows_a_day=500), fault_of(name, made, 1, faults()), since=3).day(3)
        assert day.rows.num_rows > 300
        assert day.drawn.faulty.any() == (name != "stale_index")
