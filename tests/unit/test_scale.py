"""The Image Score's scale from one training to the next."""

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from components.calibrator import ANCHORS, Calibrator
from components.errors import BadData
from components.score.scale import begin, carry_on, chosen_anchors

BRIGHT, DARK = range(120, 250), range(4, 134)


def photo(level):
    """A flat photo of one brightness, which is all that the heads below look at."""
    sink = io.BytesIO()
    Image.new("RGB", (16, 16), (level, level, level)).save(sink, "PNG")
    return sink.getvalue()


def head(gain, shift):
    """A head that orders photos by brightness, on a scale of its own, as each training has one."""

    def outputs(photos):
        brightness = np.array([np.asarray(Image.open(io.BytesIO(data)))[0, 0, 0] / 255 for data in photos])
        return 1 / (1 + np.exp(-gain * (brightness - shift)))

    return outputs


def begun(folder, levels, outputs):
    folder.mkdir()
    photos = {f"{level:03d}": photo(level) for level in levels}
    return begin(folder, sorted(photos), photos, outputs)


def scores(folder, outputs, levels):
    return Calibrator.read(folder / "calibrator.json")(outputs([photo(level) for level in levels]))


def test_a_photo_keeps_its_score_though_head_and_catalogue_changed(tmp_path):
    """The second training sees darker photos and has another head. Its own ranks would call the best of them very good."""
    first, second = head(4.0, 0.5), head(9.0, 0.3)
    begun(tmp_path / "stable", BRIGHT, first)
    begun(tmp_path / "anew", DARK, second)
    (tmp_path / "carried").mkdir()
    scale = carry_on(tmp_path / "carried", tmp_path / "stable", second, held_out=(), min_share=0.5)
    before = scores(tmp_path / "stable", first, BRIGHT)
    carried = np.abs(scores(tmp_path / "carried", second, BRIGHT) - before)
    anew = np.abs(scores(tmp_path / "anew", second, BRIGHT) - before)
    assert carried.mean() < 0.03 < 0.3 < anew.mean()
    assert np.quantile(carried, 0.95) < 0.06
    assert scale.shift < 0.03


def test_a_head_that_orders_photos_a_little_otherwise_still_spreads_them_as_before(tmp_path):
    """As many photos are above 0.9 as were: a regression would have pulled them all to the middle."""
    begun(tmp_path / "stable", BRIGHT, head(4.0, 0.5))
    noise = dict(zip(map(photo, BRIGHT), np.random.default_rng(0).normal(0, 0.5, len(BRIGHT)), strict=True))

    def other(photos):
        exact = head(4.0, 0.5)(photos)
        return 1 / (1 + np.exp(-np.log(exact / (1 - exact)) - np.array([noise[data] for data in photos])))

    (tmp_path / "next").mkdir()
    scale = carry_on(tmp_path / "next", tmp_path / "stable", other, held_out=(), min_share=0.5)
    before, now = scores(tmp_path / "stable", head(4.0, 0.5), BRIGHT), scores(tmp_path / "next", other, BRIGHT)
    levels = np.linspace(0.05, 0.95, 19)
    assert np.abs(np.quantile(now, levels) - np.quantile(before, levels)).max() < 0.03
    assert scale.shift > 0.08


def test_the_anchors_travel_on_unchanged_however_often(tmp_path):
    begun(tmp_path / "0", BRIGHT, head(4.0, 0.5))
    for generation in range(1, 4):
        (tmp_path / str(generation)).mkdir()
        outputs = head(4.0 + generation, 0.5 - 0.1 * generation)
        carry_on(tmp_path / str(generation), tmp_path / str(generation - 1), outputs, held_out=(), min_share=0.5)
        assert (tmp_path / str(generation) / ANCHORS).read_bytes() == (tmp_path / "0" / ANCHORS).read_bytes()
    before, now = (scores(tmp_path / n, outputs, BRIGHT) for n, outputs in (("0", head(4.0, 0.5)), ("3", outputs)))
    assert np.abs(now - before).mean() < 0.03


def test_the_same_head_on_its_own_anchors_gets_the_same_calibrator(tmp_path):
    begun(tmp_path / "stable", BRIGHT, head(4.0, 0.5))
    (tmp_path / "again").mkdir()
    carry_on(tmp_path / "again", tmp_path / "stable", head(4.0, 0.5), held_out=(), min_share=0.5)
    assert (tmp_path / "again" / "calibrator.json").read_bytes() == (tmp_path / "stable" / "calibrator.json").read_bytes()


def test_anchors_held_out_now_are_not_fitted_to(tmp_path):
    """A head that is wrong about some photos gets the scale of the others where those are held out."""
    begun(tmp_path / "stable", BRIGHT, head(4.0, 0.5))
    asked = []

    def outputs(photos):
        asked.extend(photos)
        return head(4.0, 0.5)(photos)

    (tmp_path / "next").mkdir()
    held_out = {f"{level:03d}" for level in BRIGHT[:40]}
    scale = carry_on(tmp_path / "next", tmp_path / "stable", outputs, held_out, min_share=0.5)
    assert (scale.num_anchors, scale.num_left_out) == (130, 40)
    assert not {photo(level) for level in BRIGHT[:40]} & set(asked)
    assert pq.read_table(tmp_path / "next" / ANCHORS).num_rows == 130


def test_an_anchor_that_can_no_longer_be_decoded_is_left_out_by_name(tmp_path, caplog):
    photos = {"good-0": photo(10), "good-1": photo(200), "broken": b""}
    (tmp_path / "stable").mkdir()
    begin(tmp_path / "stable", sorted(photos), photos, lambda data: np.linspace(0.1, 0.9, len(data)))
    (tmp_path / "next").mkdir()
    scale = carry_on(tmp_path / "next", tmp_path / "stable", head(4.0, 0.5), held_out=(), min_share=0.5)
    assert (scale.num_anchors, scale.num_left_out) == (3, 1)
    assert "anchor broken is left out: picture_empty" in caplog.text


def test_too_few_anchors_stop_the_run_and_say_why(tmp_path):
    begun(tmp_path / "stable", range(10), head(4.0, 0.5))
    (tmp_path / "next").mkdir()
    held_out = {f"{level:03d}" for level in range(6)}
    with pytest.raises(BadData, match=r"4 of its 10 anchors .*score\.min_anchor_share 0\.5.*; 6 are held out now, 0 cannot be decoded"):
        carry_on(tmp_path / "next", tmp_path / "stable", head(4.0, 0.5), held_out, min_share=0.5)


def test_anchors_are_chosen_by_their_ids_alone():
    ids = [f"photo-{n}" for n in range(100)]
    assert chosen_anchors(ids, 10) == chosen_anchors([*reversed(ids), *ids], 10)
    assert len(chosen_anchors(ids, 10)) == 10
    assert chosen_anchors(ids, 10) == chosen_anchors(ids, 20)[:10]
