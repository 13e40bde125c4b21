"""Every bad input is said in plain words, and whether a window can still be judged follows from how many rows it costs."""

import datetime as dt

import numpy as np
import pyarrow as pa
import pytest

from components.objects import FolderStore
from components.schema import PREDICTIONS
from monitoring.measuring import measured
from monitoring.span import hour_of
from monitoring.window import ALL, Health
from tests.monitoring.windows.shop import (
    DAY,
    PREDICTIONS_OF_DAY,
    changed,
    day_rows,
    filled,
    first,
    parquet,
    read,
    release,
    same,
    table,
    with_rows,
    written,
)
from tests.monitoring.windows.tiny_bundle import windows

HOUR = dt.timedelta(hours=1)


def files_of_day() -> list[str]:
    """Keys of the day's predictions, four hours each."""
    return sorted(key for key in written() if key.startswith(PREDICTIONS_OF_DAY))


def read_with(tmp_path, files, **cfg):
    return read(filled(FolderStore(tmp_path), files), cfg=windows(**cfg))


def said(found, *words):
    """Whether one of the problems says all of it."""
    return any(all(word in problem for word in words) for problem in found.window.problems)


def without(*keys):
    return {key: data for key, data in written().items() if key not in keys}


def test_a_store_without_anything_holds_too_little(tmp_path):
    found = read_with(tmp_path, {})
    assert found.window.health is Health.TOO_LITTLE
    assert found.window.num_rows == {ALL: 0}
    assert said(found, "0 rows", "at least 100 are needed")
    assert measured(found, release()[1]).found == []


def test_a_missing_day_of_a_busy_log_is_broken_input(tmp_path):
    found = read_with(tmp_path, without(*files_of_day()))
    assert found.window.health is Health.BROKEN
    assert said(found, "no rows at all", "earlier days had about")
    assert [part.window.health for part in found.parts] == [Health.BROKEN] * 6


def test_a_missing_hour_is_broken_input_for_its_own_window(tmp_path):
    store = filled(FolderStore(tmp_path), without(files_of_day()[5]))
    found = read(store, hour_of(DAY.start + 21 * HOUR))
    assert found.window.health is Health.BROKEN
    assert said(found, "no rows at all")


@pytest.mark.parametrize(("number", "health"), [(0, Health.SOUND), (5, Health.BROKEN)])
def test_a_missing_file_is_a_hole_and_what_it_costs_decides(tmp_path, number, health):
    found = read_with(tmp_path, without(files_of_day()[number]), hole_rows=5)
    assert found.window.health is health
    assert said(
        found, f"no rows from 2026-01-03 {4 * number:02d}:00 to {4 * number + 4:02d}:00".replace("24:00", "00:00"), "to be expected"
    )


def test_an_hour_without_rows_in_a_busy_day_is_a_hole(tmp_path):
    rows = day_rows()
    hour = np.array([one.hour for one in rows["ts"].to_pylist()])
    found = read_with(tmp_path, with_rows(rows.filter(pa.array(hour != 14))))
    assert found.window.health is Health.SOUND
    assert said(found, "no rows from 2026-01-03 14:00 to 15:00, where about")


def test_a_quiet_shop_has_no_holes(tmp_path):
    rows = day_rows().filter(pa.array(np.arange(day_rows().num_rows) % 12 == 0))
    rows = rows.filter(pa.array([one.hour >= 6 for one in rows["ts"].to_pylist()]))
    found = read_with(tmp_path, with_rows(rows))
    assert found.window.health is Health.SOUND
    assert found.window.problems == ()
    assert (found.about.num_by_hour == 0).any()


def test_an_empty_file_is_told_of_and_costs_nothing(tmp_path):
    files = dict(written()) | {
        f"{PREDICTIONS_OF_DAY}/none.parquet": parquet(day_rows().slice(0, 0)),
        f"{PREDICTIONS_OF_DAY}/zero.parquet": b"",
    }
    found = read_with(tmp_path, files)
    assert found.window.health is Health.SOUND
    assert said(found, "1 file without rows", "none.parquet")
    assert said(found, "1 file cannot be read (0.0 % of the bytes)", "zero.parquet")
    assert same(found.window, read_with(tmp_path / "sound", written()).window)


def corrupt() -> dict[str, bytes]:
    """The evening's file, spoilt in every way that a log was ever spoilt."""
    data = written()[files_of_day()[5]]
    rows = table(data)
    return {
        "cut": data[: len(data) // 2],
        "no parquet": b"ts,request_id\n" * 1000,
        "hollow": data[: len(data) // 3] + bytes(len(data) // 3) + data[2 * len(data) // 3 :],
        "columns": parquet(rows.drop_columns(["fingerprint"])),
        "types": parquet(rows.set_column(0, "ts", pa.array(["yesterday"] * rows.num_rows))),
        "nulls": parquet(rows.set_column(1, pa.field("request_id", pa.string()), pa.nulls(rows.num_rows, pa.string()))),
    }


@pytest.mark.parametrize("way", sorted(corrupt()))
def test_a_corrupt_file_is_set_aside_and_the_others_are_read(tmp_path, way):
    found = read_with(tmp_path, dict(written()) | {files_of_day()[5]: corrupt()[way]})
    assert found.window.health is Health.BROKEN
    assert said(found, "1 file cannot be read", files_of_day()[5])
    assert found.window.num_rows[ALL] == sum(table(written()[key]).num_rows for key in files_of_day()[:5])
    assert [part.about.num_rows > 0 for part in found.parts] == [True] * 5 + [False]


def test_a_small_corrupt_file_is_a_note(tmp_path):
    found = read_with(tmp_path, dict(written()) | {f"{PREDICTIONS_OF_DAY}/torn.parquet": b"PAR1" + bytes(500)})
    assert found.window.health is Health.SOUND
    assert said(found, "cannot be read", "torn.parquet")


def test_a_duplicated_file_counts_once(tmp_path):
    twice = f"{PREDICTIONS_OF_DAY}/copy.parquet"
    found = read_with(tmp_path, dict(written()) | {twice: written()[files_of_day()[3]]})
    assert found.window.health is Health.SOUND
    assert said(found, "rows came more than once and count once", f"nothing else is in {files_of_day()[3]}")
    assert same(found.window, read_with(tmp_path / "sound", written()).window)


def test_answers_of_one_request_are_no_repetition(tmp_path):
    rows = day_rows()
    batch = changed(rows, first(40, rows), request_id="one-request", route="items")
    found = read_with(tmp_path, with_rows(batch))
    assert found.about.num_repeated == 0
    assert found.window.num_rows[ALL] == rows.num_rows


def test_rows_whose_time_their_file_cannot_know_are_told_of(tmp_path):
    rows = day_rows()
    far = changed(rows, first(400, rows), ts=lambda ts: ts + dt.timedelta(days=40))
    found = read_with(tmp_path, with_rows(far))
    assert found.window.health is Health.BROKEN
    assert said(found, "400 rows", "a time that their file cannot know", "a clock is wrong")
    assert found.window.num_rows[ALL] == rows.num_rows - 400
    few = read_with(tmp_path / "few", with_rows(changed(rows, first(5, rows), ts=dt.datetime(1970, 1, 1, tzinfo=dt.UTC))))
    assert few.window.health is Health.SOUND
    assert said(few, "5 rows", "a clock is wrong")


def test_rows_ahead_of_their_files_day_are_not_taken_for_the_days_that_they_name(tmp_path):
    ahead = changed(day_rows().slice(0, 300), np.ones(300, bool), request_id=lambda name: f"ahead-{name}")
    found = read_with(tmp_path, dict(written()) | {"predictions/dt=2026-01-02/ahead.parquet": parquet(ahead)})
    just_after_midnight = sum(one < DAY.start + dt.timedelta(minutes=10) for one in ahead["ts"].to_pylist())
    assert found.window.num_rows[ALL] == day_rows().num_rows + just_after_midnight


def test_a_clock_that_was_set_back_doubles_an_hour_and_is_told_of(tmp_path):
    rows = day_rows()
    hour = np.array([one.hour for one in rows["ts"].to_pylist()])
    back = changed(rows, hour == 20, ts=lambda ts: ts - HOUR)
    found = read_with(tmp_path, with_rows(back), hole_rows=10)
    assert found.window.health is Health.BROKEN
    assert said(found, "a clock was set back from 2026-01-03 19:", "to 2026-01-03 19:", "two stretches of time lie in one")
    assert said(found, "no rows from 2026-01-03 20:00 to 21:00")
    night = read_with(tmp_path / "night", with_rows(changed(rows, hour == 3, ts=lambda ts: ts - HOUR)), hole_rows=10)
    assert night.window.health is Health.SOUND
    assert said(night, "a clock was set back from 2026-01-03 02:")


@pytest.mark.parametrize("ts", [2**62, -(2**62)])
def test_a_time_that_no_calendar_has_harms_nobody(tmp_path, ts):
    rows, place = day_rows(), np.arange(day_rows().num_rows)
    times = np.where(place == 700, ts, rows["ts"].cast(pa.int64()).to_numpy())
    rows = rows.set_column(0, PREDICTIONS.field("ts"), pa.array(times, PREDICTIONS.field("ts").type))
    files = with_rows(rows) | {"predictions/dt=2026-01-02/odd.parquet": parquet(rows.slice(700, 1))}
    found = read_with(tmp_path, files)
    assert found.window.health is Health.SOUND
    assert found.window.num_rows[ALL] == rows.num_rows - 1
    assert said(found, "1 row", "a clock is wrong")


def test_a_vector_with_a_hole_in_it_is_no_number(tmp_path):
    rows = day_rows()
    found = read_with(tmp_path, with_rows(changed(rows, first(3, rows), vector=lambda vector: [None, *vector[1:]])))
    assert found.about.faults["vectors that are no numbers"] == 3


def test_a_file_in_no_order_of_time_tells_nothing_of_a_clock(tmp_path):
    rows = day_rows().take(pa.array(np.random.default_rng(0).permutation(day_rows().num_rows)))
    few, others = rows.slice(0, 4), rows.slice(4)
    assert read_with(tmp_path, with_rows(few, others)).window.problems == ()


def test_a_gateways_files_tell_of_a_clock_too(tmp_path):
    rows = day_rows()
    early, late = rows.slice(0, 300), rows.slice(300)
    name = "predictions/dt=2026-01-03/gate-{:012d}-{:012d}-0123456789abcdef.parquet"
    files = without(*files_of_day()) | {name.format(1, 1200): parquet(late), name.format(1201, 1500): parquet(early)}
    found = read_with(tmp_path, files)
    assert said(found, "a clock was set back from")
    in_order = without(*files_of_day()) | {name.format(1, 300): parquet(early), name.format(301, 1500): parquet(late)}
    assert read_with(tmp_path / "in-order", in_order).window.problems == ()


def test_a_promotion_inside_the_window_is_no_fault(tmp_path):
    rows = day_rows()
    late = np.arange(rows.num_rows) > 900
    found = read_with(tmp_path, with_rows(changed(rows, late, release_id="9" * 64, fingerprint="f" * 16)))
    assert found.window.health is Health.SOUND
    assert said(found, f"{late.sum()} rows", "are of release 999999999999, and left out here")
    assert found.window.num_rows[ALL] == (~late).sum()
    assert set(found.about.releases.values()) == {late.sum(), (~late).sum()}


def test_a_window_of_another_release_is_not_this_ones(tmp_path):
    rows = day_rows()
    found = read_with(tmp_path, with_rows(changed(rows, np.arange(rows.num_rows) >= 20, release_id="9" * 64, fingerprint="f" * 16)))
    assert found.window.health is Health.TOO_LITTLE
    assert said(found, "20 rows of release", "this window is another release's, 999999999999; judge it against that one's reference")


def test_two_models_under_one_name_are_broken_input(tmp_path):
    rows = day_rows()
    found = read_with(tmp_path, with_rows(changed(rows, first(300, rows), fingerprint="f" * 16)))
    assert found.window.health is Health.BROKEN
    assert said(found, "300 rows", "two models answer under one name")
    few = read_with(tmp_path / "few", with_rows(changed(rows, first(30, rows), fingerprint="f" * 16)))
    assert few.window.health is Health.SOUND
    assert few.window.num_rows[ALL] == rows.num_rows - 30


BAD_VALUES = {
    "vectors of another width": {"vector": [0.6, 0.8]},
    "vectors that are no numbers": {"vector": lambda vector: [float("nan"), *vector[1:]]},
    "vectors that are not of unit length": {"vector": lambda vector: [2 * value for value in vector]},
    "Image Scores outside 0 to 1": {"image_score": 7.5},
}


@pytest.mark.parametrize("what", sorted(BAD_VALUES))
def test_a_field_of_no_use_is_left_out_counted_and_in_masses_breaks_the_window(tmp_path, what):
    rows = day_rows()
    for num, health in ((20, Health.SOUND), (400, Health.BROKEN)):
        found = read_with(tmp_path / str(num), with_rows(changed(rows, first(num, rows), **BAD_VALUES[what])))
        assert found.window.health is health
        assert said(found, f"{what} in {num} rows")
        assert found.about.faults[what] == num
        assert found.window.num_rows[ALL] == rows.num_rows
        left_out = (
            ~np.isfinite(found.window.vectors).all(axis=1) if "vector" in what else found.window.rows["image_score"].is_null().to_numpy()
        )
        assert left_out.sum() == num
        assert measured(found, release()[1]).found


def test_questions_in_words_are_no_photos(tmp_path):
    rows = day_rows()
    texts = changed(rows, first(70, rows), image_id=None, image_score=None, item_id=None)
    found = read_with(tmp_path, with_rows(texts))
    assert (found.about.num_texts, found.window.num_rows[ALL]) == (70, rows.num_rows - 70)
    assert found.window.problems == ()


def test_probes_that_are_absent_are_told_of_where_there_were_some(tmp_path):
    no_probes = {key: data for key, data in written().items() if not key.startswith("probes/dt=2026-01-03")}
    found = read_with(tmp_path, no_probes)
    assert found.window.health is Health.SOUND
    assert said(found, "no probes, though there were some the days before")
    assert len(found.extras.golden_cosine) == 0
    hour = read(FolderStore(tmp_path), hour_of(DAY.start + 21 * HOUR))  # of which nobody knows whether it should have any
    assert hour.window.problems == ()
    never = {key: data for key, data in written().items() if not key.startswith("probes")}
    assert read_with(tmp_path / "never", never).window.problems == ()


def test_probes_listings_and_clicks_that_cannot_be_read_are_told_of(tmp_path):
    spoilt = ("probes/dt=2026-01-03", "events/clicks/dt=2026-01-03")
    files = {key: b"torn" if key.startswith(spoilt) else data for key, data in written().items()}
    found = read_with(tmp_path, files | {"events/listings/dt=2026-01-02/more.parquet": b"torn"})
    assert found.window.health is Health.SOUND
    assert said(found, "3 files of events or probes cannot be read", "events/clicks", "events/listings", "probes/")


def test_a_catalogue_that_cannot_be_read_is_broken_input(tmp_path):
    files = {key: b"torn" if key.startswith("events/listings") else data for key, data in written().items()}
    found = read_with(tmp_path, files)
    assert found.window.health is Health.BROKEN
    assert said(found, "are of items whose listing is not in events/listings")


def test_a_file_that_goes_away_between_the_two_looks_is_told_of(tmp_path):
    class Forgetful(FolderStore):
        """Loses the evening after its first reading."""

        def get(self, key):
            data = super().get(key)
            if key == files_of_day()[5]:
                self.delete(key)
            return data

    store = Forgetful(tmp_path)
    for key, data in written().items():
        store.put(key, data)
    found = read(store)
    assert said(found, "cannot be read", files_of_day()[5], "went away")
    assert found.window.health is Health.BROKEN
    assert found.window.weight.sum() == pytest.approx(found.window.num_rows[ALL])
