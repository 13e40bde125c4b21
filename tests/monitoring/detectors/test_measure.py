"""All detectors over whole windows: what they promise whatever the window."""

import numpy as np
import pytest

from components.errors import BadData
from monitoring.detectors.measure import Baseline, compare, measure
from monitoring.detectors.whole import Chunk, add_up, fit
from monitoring.extras import Extras
from monitoring.window import ALL
from tests.monitoring.detectors.shop import changed, columns_of, make_config, make_window, taken, with_weight

CFG = make_config()
RNG = np.random.default_rng(5)
EXTRAS = Extras(
    clicked_scores=RNG.beta(3, 2, 200),
    skipped_scores=RNG.beta(2, 2, 400),
    anchor_scores=np.linspace(0, 1, 50),
    anchor_targets=np.linspace(0, 1, 50),
    golden_cosine=np.ones(8),
    probe_neighbours={"m-1": ("m-2", "m-3"), "m-4": ("m-5", "m-6")},
    num_augmented=40,
    num_self_retrieved=38,
    num_upserts=20,
    num_findable=20,
    missing_share={"price": 0.01},
)
NOTHING = Extras()


def found(reference, current, *, of=NOTHING, now=NOTHING, cfg=CFG, seed=0):
    """(detector, segment) -> value."""
    return {(m.detector, m.segment): m.value for m in measure(reference, current, of, now, cfg, seed)}


def effects(reference, current, *, of=NOTHING, now=NOTHING, segment=ALL):
    return {m.detector: m.effect for m in measure(reference, current, of, now, CFG, 0) if m.segment == segment}


def nearly(values, within=1e-4):
    return pytest.approx(values, rel=1e-3, abs=within)


def test_a_window_lies_at_no_distance_from_itself():
    window = make_window(500, seed=1)
    values = found(window, window, of=EXTRAS, now=EXTRAS)
    assert values == nearly(dict.fromkeys(values, 0.0), within=2e-3)
    assert {detector for detector, _ in values} > {"domain_auc", "mmd", "score_psi", "golden", "click_gap", "findable"}


def test_the_order_of_rows_changes_nothing():
    reference, current = make_window(300, seed=1), make_window(500, seed=2)
    shuffled = [taken(window, np.random.default_rng(0).permutation(len(window.weight))) for window in (reference, current)]
    assert found(*shuffled) == nearly(found(reference, current))


def test_a_weight_of_three_is_the_row_three_times():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    times = [np.random.default_rng(n).integers(1, 4, len(window.weight)) for n, window in enumerate((reference, current))]
    both = list(zip((reference, current), times, strict=True))
    weighed = [with_weight(window, counts) for window, counts in both]
    repeated = [taken(window, np.repeat(np.arange(len(counts)), counts)) for window, counts in both]
    values, again = found(*weighed), found(*repeated)
    assert {key: again[key] for key in values} == nearly(values)  # more rows: more segments are large enough


def test_a_weight_on_every_row_alike_changes_nothing():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    assert found(reference, with_weight(current, np.full(400, 7.0))) == nearly(found(reference, current))


def test_the_same_seed_gives_the_same_values():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    assert found(reference, current, seed=3) == found(reference, current, seed=3)
    assert found(reference, current, seed=3) != found(reference, current, seed=4)


def test_a_segment_of_all_rows_is_the_whole():
    reference, current = (make_window(400, seed=n, platform=["ios"] * 400) for n in (1, 2))
    values = found(reference, current)
    of_platform = {detector: value for (detector, segment), value in values.items() if segment == "platform=ios"}
    assert of_platform.pop("segment_share") == 0
    assert of_platform == {detector: values[detector, ALL] for detector in of_platform}
    assert "platform_mix" not in of_platform


def test_sums_over_the_whole_log_take_the_place_of_the_samples():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    baseline = Baseline.of(reference, CFG, 0)
    own = compare(baseline, current, NOTHING, NOTHING).found
    sums = baseline.parts[ALL].sums
    told = compare(baseline, current, NOTHING, NOTHING, whole=(sums, sums)).found
    differ = {(a.detector, a.segment) for a, b in zip(own, told, strict=True) if a.value != b.value}
    assert differ == {("mmd", ALL), ("centroid", ALL), ("reconstruction", ALL)}


def darker(window, by):
    return changed(window, brightness=[value - by for value in columns_of(window)["brightness"]])


def higher(window, by):
    return changed(window, image_score=[min(value + by, 1) for value in columns_of(window)["image_score"]])


def elsewhere(window, by):
    vectors = window.vectors + by * np.eye(window.vectors.shape[1])[0] * 2
    return changed(window, vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def noisier(window, by):
    vectors = window.vectors + by * np.random.default_rng(0).normal(0, 0.5, window.vectors.shape)
    return changed(window, vectors=vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def smaller(window, by):
    return changed(window, **{name: [int(px * (1 - by)) for px in columns_of(window)[name]] for name in ("width", "height")})


def flooded(window, by):
    sellers, num = columns_of(window)["seller_id"], int(by * len(window.weight))
    return changed(window, seller_id=["s-flood"] * num + sellers[num:])


def more_bags(window, by):
    categories, num = columns_of(window)["category"], int(by * len(window.weight))
    return changed(window, category=["Bags"] * num + categories[num:])


def without_language(window, by):
    languages, num = columns_of(window)["title_language"], int(by * len(window.weight))
    return changed(window, title_language=[None] * num + languages[num:])


SHIFTS = {
    "brightness": darker,
    "score_psi": higher,
    "score_ks": higher,
    "score_wasserstein": higher,
    "domain_auc": elsewhere,
    "mmd": elsewhere,
    "centroid": elsewhere,
    "reconstruction": noisier,
    "size": smaller,
    "newcomer_seller": flooded,
    "largest_seller": flooded,
    "category_mix": more_bags,
    "missing_fields": without_language,
}


@pytest.mark.parametrize("detector", SHIFTS)
def test_a_larger_shift_lies_farther(detector):
    reference, current = make_window(400, seed=1), make_window(600, seed=2)
    shift, cfg = SHIFTS[detector], make_config(num_components=8, min_rows=350)
    values = [found(reference, shift(current, by), cfg=cfg)[detector, ALL] for by in (0.0, 0.1, 0.25, 0.5)]
    assert values == sorted(values)
    assert values[-1] > values[0]


def test_effects_are_short_and_for_people():
    reference, current = make_window(400, seed=1), make_window(600, seed=2)
    worse = flooded(without_language(smaller(darker(elsewhere(current, 0.5), 0.2), 0.5), 0.25), 0.12)
    said = effects(reference, worse)
    assert said["brightness"] == "brightness 0.58 -> 0.36"
    assert said["domain_auc"].startswith("AUC .9")
    assert said["size"] == "picture 695 px -> 350 px"
    assert said["missing_fields"] == "title_language missing 0.0 % -> 25 %"
    assert said["newcomer_seller"] == "12 % of rows are of a seller not in the reference"
    assert max(map(len, said.values())) < 80


def test_small_segments_are_left_out_and_told_of():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    current = changed(current, app_version=["9.9.9"] * 200 + columns_of(current)["app_version"][200:])
    compared = compare(Baseline.of(reference, CFG, 0), current, NOTHING, NOTHING)
    assert compared.left_out["app_version=9.9.9"] == "200 rows against 0 in the reference, 30 needed in each"
    assert {m.detector for m in compared.found if m.segment in compared.left_out} == {"segment_share"}
    assert {m.segment for m in compared.found} | set(compared.left_out) == set(reference.segments) | set(current.segments)


def test_a_segment_that_the_reference_has_not_is_seen_by_its_share():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    current = changed(current, app_version=["9.9.9"] * 100 + columns_of(current)["app_version"][100:])
    told = {m.segment: m for m in measure(reference, current, NOTHING, NOTHING, CFG, 0) if m.detector == "segment_share"}
    new = told["app_version=9.9.9"]
    assert (new.value, new.effect) == (pytest.approx(0.25), "share of rows 0.0 % -> 25 %")
    assert (new.num_reference, new.num_current) == (300, 400)
    assert sum(m.value for m in told.values() if m.segment.startswith("platform=")) == pytest.approx(0)


@pytest.mark.parametrize("num_rows", [0, 1, 29])
def test_windows_too_small_have_no_values_and_say_why(num_rows):
    reference, current = make_window(300, seed=1), taken(make_window(400, seed=2), np.arange(num_rows))
    for one, other in ((reference, current), (current, reference), (current, current)):
        compared = compare(Baseline.of(one, CFG, 0), other, NOTHING, NOTHING)
        assert {m.detector for m in compared.found} <= {"neighbour_churn"}
        assert ALL in compared.left_out


def test_the_health_of_the_model_is_told_of_a_window_without_rows():
    empty = taken(make_window(30), np.arange(0))
    assert {m.detector for m in measure(empty, empty, EXTRAS, EXTRAS, CFG, 0)} == {
        "neighbour_churn",
        "anchors",
        "click_gap",
        "golden",
        "self_retrieval",
        "findable",
    }


@pytest.mark.parametrize("dim", [1, 2])
def test_vectors_of_one_number_are_compared_too(dim):
    values = found(make_window(200, dim=dim, seed=1), make_window(300, dim=dim, seed=2))
    assert np.isfinite(list(values.values())).all()
    assert {("domain_auc", ALL), ("mmd", ALL), ("reconstruction", ALL)} <= values.keys()


def test_constant_columns_and_vectors_lie_at_no_distance():
    same = {"brightness": 0.5, "image_score": 0.5, "sharpness": 2.0, "text_share": 0.0, "width": 640, "height": 640}
    words = {"platform": "ios", "category": "Bags", "seller_id": "s-1", "title_language": "ja", "app_version": "1", "quality": "low"}
    constant = {name: [value] * 200 for name, value in (same | words | {"seller_size": "1"}).items()}
    windows = [make_window(200, seed=n, vectors=np.tile(np.eye(16)[0], (200, 1)), **constant) for n in (1, 2)]
    values = found(*windows)
    assert values == nearly(dict.fromkeys(values, 0.0))
    moved = found(windows[0], changed(windows[1], brightness=[0.4] * 200))
    assert moved["brightness", ALL] == pytest.approx(5)


@pytest.mark.parametrize("nothing", [None, float("nan")])
def test_missing_statistics_are_counted_and_break_nothing(nothing):
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    stats = ("image_score", "brightness", "sharpness", "text_share")
    columns = {name: [nothing] * 100 + columns_of(current)[name][100:] for name in stats}
    values = found(reference, changed(current, **columns))
    assert values["missing_fields", ALL] == pytest.approx(0.25)
    assert np.isfinite(list(values.values())).all()


def test_a_column_that_is_missing_altogether_is_told_of_by_no_other_detector():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    gone = {name: [None] * 400 for name in ("brightness", "width", "seller_id", "platform", "title_language", "category")}
    values = found(reference, changed(current, **gone))
    assert values["missing_fields", ALL] == pytest.approx(1)
    assert not {"brightness", "size", "aspect", "newcomer_seller", "category_mix", "platform_mix"} & {name for name, _ in values}
    assert ("mmd", ALL) in values


def test_a_size_of_zero_counts_as_no_size():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    values = found(reference, changed(current, width=[0] * 100 + columns_of(current)["width"][100:]))
    assert np.isfinite(list(values.values())).all()


def test_pictures_that_are_no_items_lack_no_listing():
    """A shopper's own photo has neither seller nor category: more of them is no missing field."""
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    names = ("item_id", "category", "title_language", "seller_id", "seller_size", "quality")
    queries = {name: [None] * 200 + columns_of(current)[name][200:] for name in names}
    assert found(reference, changed(current, **queries))["missing_fields", ALL] == 0


def test_a_browser_lacks_no_version_of_the_app():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    platforms, versions = (columns_of(current)[name] for name in ("platform", "app_version"))
    browsers = [None if platform == "web" else version for platform, version in zip(platforms, versions, strict=True)]
    assert found(reference, changed(current, app_version=browsers))["missing_fields", ALL] == 0


def test_a_field_that_the_reference_lacks_hides_no_other_that_goes_missing():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    reference = changed(reference, platform=[None] * 300)
    values = found(reference, without_language(current, 0.25))
    assert values["missing_fields", ALL] == pytest.approx(0.25)


def test_a_dimension_unknown_to_the_whole_reference_is_compared_with_all_of_it():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    reference = changed(reference, platform=[None] * 300)
    told = {m.segment: m for m in measure(reference, current, NOTHING, NOTHING, CFG, 0) if m.detector == "mmd"}
    assert told["platform=ios"].num_reference == 300
    assert told["platform=ios"].num_current == current.num_rows["platform=ios"]


def test_vectors_that_are_no_numbers_are_left_out():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    vectors = current.vectors.copy()
    vectors[:50] = np.nan
    rest = found(reference, taken(current, np.arange(50, 400)))
    values = found(reference, changed(current, vectors=vectors))
    for detector in ("domain_auc", "mmd", "centroid", "reconstruction"):
        assert values[detector, ALL] == nearly(rest[detector, ALL])


def test_rows_that_stand_for_nothing_are_left_out():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    weight = np.concatenate([[0.0, np.nan, -1.0], np.ones(397)])
    assert found(reference, with_weight(current, weight)) == nearly(found(reference, taken(current, np.arange(3, 400))))


def test_vectors_of_two_models_are_not_compared():
    with pytest.raises(BadData, match="16 values, the window's 8"):
        found(make_window(100, dim=16), make_window(100, dim=8))


def test_hours_shuffled_in_place_of_sellers_need_hours_enough():
    reference, current = make_window(300, seed=1), make_window(400, seed=2)
    by_hour = make_config(block="hour")
    assert found(reference, current, cfg=by_hour)["mmd", ALL] != found(reference, current)["mmd", ALL]
    one_hour = changed(current, ts=columns_of(current)["ts"][:1] * 400)
    assert ("mmd", ALL) not in found(reference, one_hour, cfg=by_hour)


def test_the_log_says_what_was_measured(caplog):
    caplog.set_level("INFO", logger="vitrine")
    found(make_window(300, seed=1), make_window(400, seed=2))
    assert "drift: 400 rows" in caplog.text


def test_a_reference_made_ready_gives_the_same_values_each_time():
    baseline = Baseline.of(make_window(300, seed=1), CFG, 0)
    first, again = (compare(baseline, make_window(400, seed=2), NOTHING, NOTHING).found for _ in range(2))
    assert first == again == measure(make_window(300, seed=1), make_window(400, seed=2), NOTHING, NOTHING, CFG, 0)


def chunks_of(window, num_rows):
    for start in range(0, len(window.weight), num_rows):
        part = taken(window, np.arange(start, min(start + num_rows, len(window.weight))))
        yield Chunk.of(part.rows, part.vectors, part.weight, CFG, 0)


def test_a_window_read_in_chunks_has_the_sums_of_one_read_at_once():
    reference, current = make_window(300, seed=1), with_weight(make_window(400, seed=2), np.linspace(0.5, 2, 400))
    baseline = Baseline.of(reference, CFG, 0)
    space = fit(chunks_of(reference, 70), CFG, 0)
    assert space.coordinates(current.vectors) == pytest.approx(baseline.space.coordinates(current.vectors), abs=1e-3)
    assert space.frequency_DH == pytest.approx(baseline.space.frequency_DH, rel=1e-5)
    whole = add_up(space, chunks_of(reference, 70), CFG), add_up(space, chunks_of(current, 70), CFG)
    told = compare(Baseline.of(reference, CFG, 0, space), current, NOTHING, NOTHING, whole).found
    assert {(m.detector, m.segment): m.value for m in told} == nearly(found(reference, current), within=1e-3)


def test_a_window_without_a_sound_vector_has_no_sums_and_says_so():
    nothing = changed(make_window(40), vectors=np.full((40, 16), np.nan))
    with pytest.raises(BadData, match="no row with a sound vector"):
        fit(chunks_of(nothing, 10), CFG, 0)
    with pytest.raises(BadData, match="no row with a sound vector"):
        add_up(Baseline.of(make_window(40), CFG, 0).space, chunks_of(nothing, 10), CFG)
    assert not {"mmd", "domain_auc", "centroid"} & {detector for detector, _ in found(nothing, make_window(40))}
