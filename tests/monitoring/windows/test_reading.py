"""Windows of simulated days that were written as a gateway and a shop write them are the days as they were simulated."""

import datetime as dt
from collections import Counter

import numpy as np
import pytest

from components.objects import FolderStore, open_store
from monitoring.detectors.measure import compare
from monitoring.measuring import measured
from monitoring.reading import read_window
from monitoring.rehearsal.faults import fault_of
from monitoring.rehearsal.stream import Stream
from monitoring.rehearsal.writing import write_days
from monitoring.span import Kind, day_of, hour_of, week_of
from monitoring.window import ALL, COLUMNS, Health
from monitoring.windows.listings import catalogue_of
from tests import moto_s3, s3_server
from tests.monitoring.tiny_pool import faults
from tests.monitoring.windows.shop import DAY, SEED, START, filled, read, release, same, shop, simulated, stream
from tests.monitoring.windows.tiny_bundle import windows


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> FolderStore:
    folder = FolderStore(tmp_path_factory.mktemp("store"))
    filled(folder)
    return folder


def test_a_written_day_is_read_back_as_it_was_simulated(store):
    found, day = read(store), simulated().window()
    assert (found.window.health, found.window.problems) == (Health.SOUND, ())
    assert found.window.rows.schema.equals(COLUMNS)
    assert found.window.rows.equals(day.rows)
    assert found.window.num_rows == day.num_rows
    assert np.array_equal(found.window.vectors, day.vectors)
    assert np.array_equal(found.window.weight, day.weight)
    assert (found.window.start, found.window.end, found.window.fingerprint) == (day.start, day.end, day.fingerprint)
    assert found.whole is None


def test_clicks_probes_and_missing_fields_are_those_of_the_day(store):
    found, told = read(store).extras, simulated().extras
    for name in ("clicked_scores", "skipped_scores"):
        assert np.array_equal(np.sort(getattr(found, name)), np.sort(getattr(told, name)))
    for name in ("anchor_scores", "anchor_targets", "golden_cosine"):
        assert np.array_equal(getattr(found, name), getattr(told, name))
    assert found.probe_neighbours == told.probe_neighbours
    assert found.missing_share == pytest.approx(told.missing_share)
    for name in ("num_augmented", "num_self_retrieved", "num_upserts", "num_findable"):
        assert getattr(found, name) == getattr(told, name)


def test_the_parts_of_a_day_come_from_the_same_reading(store):
    found = read(store)
    assert [part.window.end - part.window.start for part in found.parts] == [dt.timedelta(hours=4)] * 6
    for number, part in enumerate(found.parts):
        told = simulated().window(number, 6)
        assert part.window.rows.equals(told.rows)
        assert part.window.num_rows == told.num_rows
        assert (part.window.start, part.window.end) == (told.start, told.end)
        assert np.array_equal(part.window.vectors, told.vectors)
    assert sum(len(part.extras.clicked_scores) for part in found.parts) == len(found.extras.clicked_scores)
    assert [part.about.span.kind for part in found.parts] == [Kind.PART] * 6


def test_measured_values_are_those_of_the_simulated_day(store):
    reference, day = release()[1], simulated()
    found, told = measured(read(store), reference), compare(reference.baseline, day.window(), reference.beside(day.extras), day.extras)
    values = [{(one.detector, one.segment): one.value for one in side.found} for side in (found, told)]
    assert values[0].keys() == values[1].keys()
    assert {"neighbour_churn", "anchors", "golden", "findable"} <= {name for name, _ in values[0]}
    for key, value in values[0].items():
        assert value == pytest.approx(values[1][key], abs=1e-5), key
    assert found.left_out == told.left_out


def test_a_fault_is_read_as_it_was_simulated(tmp_path):
    pool, _ = release()
    for name in ("title_language", "seller_flood", "darker_photos"):
        store, days = FolderStore(tmp_path / name), Stream(pool, 3, shop(), fault_of(name, pool, 3, faults()), since=2)
        write_days(store, days, range(1, 3))
        found, told = read(store).window, days.day(2).window()
        assert found.rows.equals(told.rows), name
        assert found.num_rows == told.num_rows


def test_an_hour_a_part_and_a_week_are_windows_too(tmp_path):
    store, days = FolderStore(tmp_path), stream()
    write_days(store, days, range(8))
    hour = read(store, hour_of(START + dt.timedelta(days=4, hours=20, minutes=3)))
    part = read(store, day_of(dt.date(2026, 1, 5)).parts(6)[5])
    week = read(store, week_of(dt.date(2026, 1, 7)))
    assert hour.window.num_rows[ALL] == int(read(store, day_of(dt.date(2026, 1, 5))).about.num_by_hour[20])
    assert part.window.rows.equals(days.day(4).window(5, 6).rows)
    assert (hour.parts, part.parts) == ((), ())
    assert [one.window.num_rows[ALL] for one in week.parts] == [*(days.day(number).rows.num_rows for number in range(4, 8)), 0, 0, 0]
    assert sum(one.window.num_rows[ALL] for one in week.parts) == week.window.num_rows[ALL]


def test_a_larger_window_is_sampled_and_measures_about_the_same(store):
    reference = release()[1]
    whole, sampled = read(store), read(store, cfg=windows(sample_rows=400, segment_rows=60))
    assert sampled.window.rows.num_rows < whole.window.rows.num_rows == sampled.about.num_rows
    assert sampled.window.num_rows == whole.window.num_rows
    for segment, count in whole.window.num_rows.items():
        here = sampled.window.within(segment)
        assert here.sum() >= min(60, count)
        assert sampled.window.weight[here].sum() == pytest.approx(count, rel=1e-6)
    values = [{(one.detector, one.segment): one.value for one in measured(side, reference).found} for side in (sampled, whole)]
    for detector in ("centroid", "reconstruction", "mmd"):  # over every row, sampled or not
        assert values[0][detector, ALL] == pytest.approx(values[1][detector, ALL], rel=1e-4)
    for (detector, segment), value in values[0].items():
        if detector == "segment_share":
            assert value == pytest.approx(values[1][detector, segment], abs=1e-6)
    assert values[0]["brightness", ALL] == pytest.approx(values[1]["brightness", ALL], abs=0.1)


def test_parts_of_a_sampled_day_have_their_own_counts_and_sums(store):
    whole, sampled = read(store), read(store, cfg=windows(sample_rows=400, segment_rows=60))
    for mine, theirs in zip(sampled.parts, whole.parts, strict=True):
        assert mine.window.num_rows == theirs.window.num_rows
        assert mine.window.weight.sum() == pytest.approx(theirs.window.num_rows[ALL])
        assert mine.whole is not None
        assert mine.whole[1].weight == theirs.window.num_rows[ALL]
        assert mine.whole[1].mean == pytest.approx(theirs.window.vectors.mean(axis=0), abs=1e-5)


def test_a_bucket_is_read_as_a_folder_is(tmp_path, store, monkeypatch):
    told = read(store)
    for serving, root in ((moto_s3.serving(), "s3://shop/drift"), (s3_server.serving(tmp_path), "s3://shop")):
        with serving as server:
            for name, value in server.environment.items():
                monkeypatch.setenv(name, value)
            found = read(filled(open_store(root)))
        assert same(found.window, told.window)
        assert np.array_equal(found.extras.clicked_scores, told.extras.clicked_scores)
        assert found.window.problems == ()


def test_only_the_largest_values_of_a_dimension_are_segments(store):
    found = read(store, cfg=windows(max_values=2)).window
    versions = Counter(simulated().rows["app_version"].drop_null().to_pylist())
    largest = {name for name, _ in sorted(versions.items(), key=lambda one: (-one[1], one[0]))[:2]}
    assert {name for name in found.num_rows if name.startswith("app_version=")} == {f"app_version={name}" for name in {*largest, "other"}}
    assert found.num_rows["app_version=other"] == sum(count for name, count in versions.items() if name not in largest)
    assert set(found.rows["app_version"].drop_null().to_pylist()) == {*largest, "other"}


def test_a_catalogue_read_once_serves_several_windows(store):
    _, reference = release()
    catalogue = catalogue_of(store, DAY.end, reference.since)
    found = read_window(store, DAY, reference, windows(), SEED, catalogue)
    assert same(found.window, read(store).window)
