"""A small sample of `python -m tests.fuzz_pictures`, and what the fuzzer itself promises."""

import numpy as np
import pytest

from tests.fuzz_pictures import Found, fuzz, growth_mib, ingest_batch
from tests.mutations import MUTATIONS, mended, mutated, seeds
from tests.picture_files import encoded, scene

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # pytest has its own filters
REFUSED_BY_NATURE = ("animated GIF", "animated WEBP", "animated PNG", "jpeg and zip", "php in a png text", "page in a gif comment")


@pytest.fixture(scope="module")
def sample() -> Found:
    return fuzz(1200, 20, 400, lambda text: None)


def test_every_broken_file_ends_as_a_row_or_in_quarantine(sample):
    assert sample.faults == []
    assert sample.num_files == 1203 == sample.taken + sum(sample.reasons.values())


def test_the_sample_reaches_both_ends_and_most_reasons(sample):
    assert sample.taken > 120
    assert len(sample.reasons) >= 6
    assert max(sample.seconds) < 2


def test_a_file_of_the_series_is_always_the_same():
    known = list(seeds().values())
    assert [mutated(n, 5, known) for n in range(30)] == [mutated(n, 5, known) for n in range(30)]
    assert len({mutated(n, 5, known) for n in range(30)}) >= 28


def test_every_mutation_changes_files():
    known = list(seeds().values())
    for mutation in MUTATIONS:
        changed = [mutation(data, np.random.default_rng(n), known) != data for n, data in enumerate(known)]
        assert sum(changed) > len(changed) // 2, mutation.__name__


def test_seeds_are_sound_unless_refused_by_nature():
    found = Found()
    ingest_batch({f"seed-{kind}": data for kind, data in seeds().items()}, found)
    assert found.faults == []
    assert sum(found.reasons.values()) == len(REFUSED_BY_NATURE)


def test_checksums_are_mended():
    png = encoded(scene(), "PNG")
    broken = png[:40] + b"\0\0\0\0" + png[44:]
    assert mended(png) == png
    assert mended(broken) not in (png, broken)
    assert mended(b"no png") == b"no png"


def test_growth_compares_the_ends_of_the_run_in_the_median():
    assert growth_mib([50, 90, 95, 100, 100, 100, 180, 100, 100, 101, 101]) == pytest.approx(0.5, abs=1)
    assert growth_mib([float(n) for n in range(43)]) == pytest.approx(30, abs=1)
