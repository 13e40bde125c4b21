"""The judge without a network: blind to order, moved by real faults, the same bytes whatever the cache holds."""

import csv
import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter

from components.contract import bind, read_params
from components.errors import BadPicture
from components.images import decode, to_square
from components.ingest.market import MarketConfig, simulate
from components.label.heuristic import FAULTS, HeuristicJudge, Notebook, adjectives_of, photo_score
from components.label.photo import measure
from components.objects import FolderStore
from components.work_cache import Pack
from tests.label_tables import Tables, bytes_of, config, many, rows_of

CFG = config()
PX = read_params()["label"]["image_px"]


def jpeg(picture, quality=92):
    sink = io.BytesIO()
    picture.save(sink, "JPEG", quality=quality)
    return sink.getvalue()


def vase():
    """A sound photo: a blue vase with a red band, upright in the middle of a pale wall."""
    picture = Image.new("RGB", (240, 240), (226, 222, 214))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((82, 60, 158, 196), fill=(40, 70, 160), outline=(16, 24, 60), width=3)
    draw.rectangle((82, 110, 158, 134), fill=(190, 40, 40))
    draw.rectangle((100, 42, 140, 60), fill=(60, 90, 180), outline=(16, 24, 60), width=3)
    return picture


def cluttered(picture):
    draw, rng = ImageDraw.Draw(picture), np.random.default_rng(3)
    for x, y in [(8, 10), (190, 14), (12, 180), (186, 186), (96, 204), (10, 96), (192, 100)]:
        draw.ellipse((x, y, x + 42, y + 34), fill=tuple(rng.integers(0, 256, 3).tolist()), outline=(0, 0, 0), width=2)
    return picture


SPOILED = {
    "blurred": lambda p: p.filter(ImageFilter.GaussianBlur(5)),
    "dark": lambda p: ImageEnhance.Brightness(p).enhance(0.3),
    "washed out": lambda p: Image.blend(p, Image.new("RGB", p.size, (250, 250, 248)), 0.85),
    "cut off": lambda p: p.crop((100, 0, 240, 140)).resize(p.size, Image.Resampling.BICUBIC),
    "far off the middle": lambda p: p.transform(p.size, Image.Transform.AFFINE, (1, 0, 75, 0, 1, 40), fillcolor=(226, 222, 214)),
    "tilted": lambda p: p.rotate(25, Image.Resampling.BICUBIC, fillcolor=(226, 222, 214)),
    "cluttered": cluttered,
}


def look(picture):
    return measure(to_square(jpeg(picture), PX))


def judge_in(folder, tie_margin=CFG.tie_margin):
    return HeuristicJudge(Notebook(Pack(FolderStore(folder), "pictures"), PX), tie_margin)


@pytest.fixture(scope="module")
def shared_judge(tmp_path_factory):
    return judge_in(tmp_path_factory.mktemp("notebook"))


@pytest.mark.parametrize("spoil", SPOILED.values(), ids=SPOILED)
def test_a_spoiled_photo_loses_to_the_sound_one_in_both_orders(shared_judge, spoil):
    sound, spoiled = jpeg(vase()), jpeg(spoil(vase()))
    assert shared_judge.judge(None, sound, spoiled).choice == "first"
    assert shared_judge.judge(None, spoiled, sound).choice == "second"


@pytest.mark.parametrize(("fault", "word"), [("blurred", "blurry"), ("dark", "dark"), ("cluttered", "cluttered"), ("tilted", "tilted")])
def test_the_fault_is_said_in_a_word_that_the_sound_photo_does_not_get(fault, word):
    sound, spoiled = (
        {(a.adjective, a.polarity) for a in adjectives_of(look(picture), "first")} for picture in (vase(), SPOILED[fault](vase()))
    )
    assert (word, -1) in spoiled
    assert (word, -1) not in sound
    assert {polarity for _, polarity in sound} == {1}


def noise(seed, strength):
    rng = np.random.default_rng(seed)
    picture = np.asarray(vase(), np.float32) * rng.uniform(0.3, 1.2) + rng.normal(0, strength, (240, 240, 1))
    return jpeg(Image.fromarray(picture.clip(0, 255).astype(np.uint8)))


@settings(max_examples=30)
@given(st.integers(0, 9), st.integers(0, 9), st.sampled_from([0.0, 20.0, 90.0]), st.sampled_from(["lamp", None]))
def test_the_order_shown_cannot_matter(shared_judge, first, second, strength, query):
    one, other = noise(first, strength), noise(second, 5.0)
    verdict = shared_judge.judge(query, one, other)
    assert shared_judge.judge(query, other, one).choice == verdict.swapped().choice
    assert shared_judge.judge(None, other, one).swapped().first_score == verdict.first_score
    assert set(shared_judge.judge(query, other, one).swapped().adjectives) == set(verdict.adjectives)


@given(st.integers(0, 2**32), st.sampled_from([64, 112, 224]))
@settings(max_examples=20)
def test_any_pixels_get_a_score_between_0_and_1(seed, side_px):
    rng = np.random.default_rng(seed)
    flat = np.full((side_px, side_px, 3), rng.integers(0, 256), np.uint8)
    for pixels in (flat, rng.integers(0, 256, (side_px, side_px, 3)).astype(np.uint8)):
        assert 0 <= photo_score(measure(pixels)) <= 1


def test_scores_within_the_margin_are_a_tie(tmp_path):
    sound, nearly = jpeg(vase()), jpeg(vase(), quality=88)
    assert judge_in(tmp_path, 0.02).judge(None, sound, nearly).choice == "tie"
    assert judge_in(tmp_path, 0.9).judge(None, sound, jpeg(SPOILED["dark"](vase()))).choice == "tie"


def test_no_two_faults_share_a_word():
    words = [word for fault in FAULTS for word in (fault.adjective, fault.opposite) if word]
    assert len(words) == len(set(words))


def test_a_picture_is_measured_once_and_remembered_by_the_next_run(tmp_path):
    sound, dark = jpeg(vase()), jpeg(SPOILED["dark"](vase()))
    first = judge_in(tmp_path)
    verdicts = [first.judge(None, sound, dark), first.judge(None, sound, dark)]
    assert first.notebook.pack.recomputed == 2
    first.notebook.pack.flush()
    second = judge_in(tmp_path)
    assert [second.judge(None, sound, dark)] * 2 == verdicts
    assert (second.notebook.pack.recomputed, second.notebook.pack.reused) == (0, 2)


def test_an_unreadable_picture_is_a_bad_picture(shared_judge):
    with pytest.raises(BadPicture, match="picture_wrong_format"):
        shared_judge.judge(None, jpeg(vase()), b"no picture")


def market(num_listings, seed):
    """True quality and score of each readable photo of a simulated market."""
    section = read_params()["market"] | {"num_listings": num_listings, "seed": seed}
    for raw, truth in simulate(bind(MarketConfig, "market", {"market": section})):
        try:
            yield truth.quality, photo_score(measure(to_square(raw.picture or b"", PX)))
        except BadPicture:
            continue


def test_on_a_market_of_known_quality_the_better_photo_usually_scores_higher():
    quality, score = np.array(list(market(220, seed=11))).T
    better, worse = np.nonzero(quality[:, None] > quality[None, :] + 1e-9)
    assert len(better) > 10_000
    assert (score[better] > score[worse]).mean() > 0.75  # 0.5 is chance; 0.82 on markets of a thousand


def test_a_spoiled_copy_of_a_real_photo_scores_lower(photos):
    with open(photos / "listings.csv", encoding="utf-8", newline="") as file:
        names = [row["image"] for row in csv.DictReader(file)][::160]
    pictures = [decode((photos / name).read_bytes()) for name in names]
    faults = [SPOILED[name] for name in ("blurred", "dark", "washed out")]
    lower = [photo_score(look(spoil(picture))) < photo_score(look(picture)) for picture in pictures for spoil in faults]
    assert len(lower) >= 60
    assert np.mean(lower) > 0.9


def test_every_row_names_the_judge_and_both_orders_agree(tmp_path):
    summary = many(tmp_path, 6).label(tmp_path / "labels", CFG)
    rows = rows_of(tmp_path / "labels")
    assert {(row["judge"], row["rubric"]) for row in rows} == {("heuristic-1", "measures-1")}
    assert (summary.rows_in, summary.rows_out, summary.num_pairs, summary.order_agreement_share) == (6, 12, 6, 1.0)
    assert summary.pairs_by_split == {"train": 2, "val": 2, "test": 2}
    assert {(row["first_item"], row["second_item"]) for row in rows} == {(row["second_item"], row["first_item"]) for row in rows}


def test_outs_are_the_same_whether_the_cache_was_empty_half_full_or_warm(tmp_path):
    market, store = many(tmp_path, 8), FolderStore(tmp_path / "cache")
    market.label(tmp_path / "fewer", config(max_pairs=3), store=store)
    outs = [market.label(tmp_path / name, CFG, store=store) for name in ("half", "warm")]
    outs.append(market.label(tmp_path / "empty", CFG))
    assert outs[0] == outs[1] == outs[2]
    assert bytes_of(tmp_path / "half") == bytes_of(tmp_path / "warm") == bytes_of(tmp_path / "empty")
    assert len(list((tmp_path / "cache").rglob("*.parquet"))) == 4  # pictures and pairs: the first run's, then the rest


def test_no_pairs_give_no_labels_and_no_error(tmp_path):
    summary = Tables(tmp_path, {"a": 200, "b": 90}, []).label(tmp_path / "labels", CFG)
    assert (summary.rows_out, summary.click_agreement_share, summary.health.ks_p_value) == (0, None, None)
    assert len(bytes_of(tmp_path / "labels")) == 3
    assert rows_of(tmp_path / "labels") == []


def test_items_with_the_same_picture_are_counted_and_left_out(tmp_path):
    pairs = [("a", "b", "train", None), ("a", "c", "train", None)]
    summary = Tables(tmp_path, {"a": 200, "b": 200, "c": 90}, pairs).label(tmp_path / "labels", CFG)
    assert (summary.num_pairs, summary.num_same_picture) == (1, 1)
