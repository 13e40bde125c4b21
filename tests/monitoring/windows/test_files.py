"""How rows are spread over files, in what order, and how often, does not change a window."""

from itertools import pairwise

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from components.objects import FolderStore
from monitoring.window import Health
from tests.monitoring.windows.shop import PREDICTIONS_OF_DAY, day_rows, filled, parquet, read, same, table, with_rows, written
from tests.monitoring.windows.tiny_bundle import windows

SMALL = windows(sample_rows=400, segment_rows=60)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    store = filled(FolderStore(tmp_path_factory.mktemp("store")))
    return {cfg: read(store, cfg=cfg) for cfg in (windows(), SMALL)}


@settings(max_examples=10, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(0, 99), st.sets(st.integers(1, 1000), max_size=5), st.lists(st.integers(0, 5), max_size=2))
def test_neither_order_nor_spreading_nor_repeating_rows_changes_the_window(told, tmp_path_factory, seed, cuts, again):
    rows = day_rows()
    order = np.random.default_rng(seed).permutation(rows.num_rows)
    edges = [0, *sorted(cuts), rows.num_rows]
    tables = [rows.take(pa.array(order[first:end])) for first, end in pairwise(edges)]
    repeated = [tables[number % len(tables)] for number in again]
    store = filled(FolderStore(tmp_path_factory.mktemp("spread")), with_rows(*tables, *repeated))
    for cfg, before in told.items():
        found = read(store, cfg=cfg)
        assert same(found.window, before.window)
        assert found.about.num_repeated == sum(one.num_rows for one in repeated)
        assert found.about.num_rows == before.about.num_rows
        assert found.window.health is Health.SOUND
        if before.whole:
            assert found.whole[1].weight == before.whole[1].weight
            assert found.whole[1].mean == pytest.approx(before.whole[1].mean, abs=1e-6)
            assert found.whole[1].missed == pytest.approx(before.whole[1].missed)


def test_a_file_of_many_row_groups_is_read_as_one_of_one(told, tmp_path):
    files = {key: data for key, data in written().items() if not key.startswith(PREDICTIONS_OF_DAY)}
    files[f"{PREDICTIONS_OF_DAY}/all.parquet"] = parquet(day_rows(), row_group_size=97)
    store = filled(FolderStore(tmp_path), files)
    for cfg, before in told.items():
        assert same(read(store, cfg=cfg).window, before.window)


def test_rows_that_came_late_or_just_after_midnight_are_found_in_other_days_files(told, tmp_path):
    files = dict(written())
    keys = sorted(key for key in files if key.startswith(PREDICTIONS_OF_DAY))
    files["predictions/dt=2026-01-09/late.parquet"] = files.pop(keys[2])
    files["predictions/dt=2026-01-02/early.parquet"] = parquet(day_rows().slice(0, 1))
    files[keys[0]] = parquet(table(files[keys[0]]).slice(1))
    store = filled(FolderStore(tmp_path), files)
    found = read(store)
    assert same(found.window, told[windows()].window)


def test_a_large_file_is_read_from_the_disk(told, tmp_path, monkeypatch):
    monkeypatch.setattr("components.predictions.LARGE_BYTES", 1000)
    assert same(read(filled(FolderStore(tmp_path))).window, told[windows()].window)
