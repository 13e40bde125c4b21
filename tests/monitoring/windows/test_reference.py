"""A release's reference: its own held-out items, and what its bundle says that it answers."""

import dataclasses
import datetime as dt
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from components.bundle import DRIFT_REFERENCE
from components.errors import BadBundle
from components.manifest import MANIFEST, write_manifest
from components.objects import FolderStore
from monitoring.buckets import QUALITIES, quality_edges_of
from monitoring.detectors.measure import compare
from monitoring.extras import Extras
from monitoring.reference import reference_of, with_clicks
from monitoring.window import ALL, COLUMNS
from tests.monitoring.tiny_pool import tiny_pool
from tests.monitoring.windows.shop import SEED, START, filled, release, simulated, stream
from tests.monitoring.windows.tiny_bundle import NUM_HELD_OUT, held_out, monitor, windows, write_bundle

POOL = tiny_pool()


def again(folder):
    """Seals a bundle whose files were changed."""
    facts = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).unlink()
    return write_manifest(folder, {name: value for name, value in facts.items() if name not in ("files", "format")})


def test_a_reference_holds_the_held_out_items_of_its_bundle(tmp_path):
    release_id = write_bundle(tmp_path / "bundle", POOL)
    found = reference_of(tmp_path / "bundle", monitor(), SEED)
    told, _ = held_out(POOL, POOL.fingerprint)
    assert (found.release_id, found.fingerprint, found.since) == (release_id, POOL.fingerprint, None)
    assert found.window.rows.schema.equals(COLUMNS)
    assert found.window.rows["item_id"].to_pylist() == told["item_id"].to_pylist()
    assert found.window.rows["category"].to_pylist() == [path[0] for path in told["category"].to_pylist()]
    assert np.array_equal(found.window.vectors, np.stack(told["vector"].to_numpy()).astype(np.float32))
    assert (found.window.weight == 1).all()
    assert found.quality_edges == quality_edges_of(told["image_score"].to_numpy())
    assert found.window.num_rows[ALL] == NUM_HELD_OUT
    for name in QUALITIES:
        assert found.window.num_rows[f"quality={name}"] == found.window.within(f"quality={name}").sum() == NUM_HELD_OUT / 4
    assert found.window.rows["platform"].null_count == found.window.rows["seller_size"].null_count == NUM_HELD_OUT


def test_a_day_like_the_reference_moved_little_and_its_own_items_not_at_all():
    _, reference = release()
    own = compare(reference.baseline, reference.window, reference.extras, reference.extras)
    for one in own.found:
        assert one.value == pytest.approx(0.0, abs=0.05) or one.detector in ("domain_auc", "mmd"), one
    day = simulated()
    names = {one.detector for one in compare(reference.baseline, day.window(), reference.beside(day.extras), day.extras).found}
    assert {"domain_auc", "mmd", "score_ks", "neighbour_churn", "golden", "anchors"} <= names


def test_probes_are_compared_with_the_neighbours_in_the_releases_own_index():
    _, reference = release()
    probe = POOL.cards["item_id"][3].as_py()
    near = np.argsort(-(POOL.vectors[: POOL.num_quiet] @ POOL.vectors[3]), kind="stable")
    told = tuple(POOL.cards["item_id"][int(place)].as_py() for place in near if place != 3)[:4]
    asked = Extras(probe_neighbours={probe: ("a", "b", "c", "d"), "not there": ("a",), "nothing found": ()})
    assert reference.beside(asked).probe_neighbours == {probe: told}
    assert reference.beside(Extras()).probe_neighbours == {}


def test_a_large_reference_is_sampled_and_its_sums_hold_every_item(tmp_path):
    write_bundle(tmp_path / "bundle", POOL)
    cfg = monitor().model_copy(update={"windows": windows(sample_rows=100, segment_rows=10)})
    whole, sampled = reference_of(tmp_path / "bundle", monitor(), SEED), reference_of(tmp_path / "bundle", cfg, SEED)
    assert whole.sums is None
    assert len(sampled.window.weight) < NUM_HELD_OUT
    assert sampled.window.num_rows == whole.window.num_rows
    assert sampled.sums.weight == NUM_HELD_OUT
    assert sampled.sums.mean == pytest.approx(whole.window.vectors.mean(axis=0), abs=1e-5)
    for segment, count in whole.window.num_rows.items():
        assert sampled.window.weight[sampled.window.within(segment)].sum() == pytest.approx(count, rel=1e-5)


def test_clicks_to_compare_with_are_those_of_the_week_before_the_release(tmp_path):
    store, reference = filled(FolderStore(tmp_path)), release()[1]
    found = with_clicks(dataclasses.replace(reference, since=START + dt.timedelta(days=2)), store, 100_000).extras
    days = [stream().day(number).extras for number in range(2)]
    for name in ("clicked_scores", "skipped_scores"):
        told = np.concatenate([getattr(day, name) for day in days])
        assert np.array_equal(np.sort(getattr(found, name)), np.sort(told))
    assert len(with_clicks(reference, store, 100_000).extras.clicked_scores) == 0
    assert with_clicks(dataclasses.replace(reference, since=None), store, 100_000).extras.clicked_scores.size == 0


@pytest.mark.parametrize("name", ["drift_reference.parquet", "golden.parquet", "anchors.parquet"])
def test_a_bundle_without_a_reference_is_refused_by_name(tmp_path, name):
    write_bundle(tmp_path / "bundle", POOL)
    (tmp_path / "bundle" / name).unlink()
    with pytest.raises(BadBundle, match="is missing"):
        reference_of(tmp_path / "bundle", monitor(), SEED)
    again(tmp_path / "bundle")
    with pytest.raises(BadBundle, match=f"has no {name}: drift has nothing to be measured against"):
        reference_of(tmp_path / "bundle", monitor(), SEED)


def test_a_reference_of_another_space_or_without_items_is_refused(tmp_path):
    bundle = tmp_path / "bundle"
    write_bundle(bundle, POOL)
    table, wanted = held_out(POOL, "f" * 16)
    pq.write_table(table, bundle / DRIFT_REFERENCE)
    again(bundle)
    with pytest.raises(BadBundle, match="holds vectors of ffffffffffffffff, the bundle is 0123456789abcdef"):
        reference_of(bundle, monitor(), SEED)
    pq.write_table(wanted.empty_table(), bundle / DRIFT_REFERENCE)
    again(bundle)
    with pytest.raises(BadBundle, match="holds no item with a score"):
        reference_of(bundle, monitor(), SEED)


def test_a_reference_without_a_sound_vector_is_refused(tmp_path):
    bundle = tmp_path / "bundle"
    write_bundle(bundle, POOL)
    table, _ = held_out(POOL, POOL.fingerprint)
    field = table.schema.field("vector")
    nothing = pa.array([[float("nan")] * field.type.list_size] * table.num_rows, field.type)
    pq.write_table(table.set_column(table.column_names.index("vector"), field, nothing), bundle / DRIFT_REFERENCE)
    again(bundle)
    with pytest.raises(BadBundle, match="sound vector"):
        reference_of(bundle, monitor(), SEED)


def test_another_release_has_another_reference(tmp_path):
    found = []
    for seed in range(2):
        write_bundle(tmp_path / str(seed), tiny_pool(seed=seed), fingerprint=f"{seed:016d}")
        found.append(reference_of(tmp_path / str(seed), monitor(), SEED))
    one, other = found
    assert one.release_id != other.release_id
    assert one.fingerprint != other.fingerprint
    assert one.quality_edges != other.quality_edges
    assert not np.array_equal(one.window.vectors, other.window.vectors)
