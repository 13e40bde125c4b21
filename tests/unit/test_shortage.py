"""What a full disk and a full memory look like to a stage, whichever library meets them."""

import errno
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from components import shortage
from components.errors import BadData, DiskFull, JudgeFailed
from tests.small_disk import small_disk

PARAMS = {"embed": {"batch_size": 32, "threads": 2}, "ingest": {"num_shards": 8}}
MANY = 300_000


def arrow(path):
    import pyarrow as pa

    from components.shards import write_table

    values = np.random.default_rng(0).random(MANY)
    write_table(path, pa.table({"value": values}), pa.schema([("value", pa.float64())]))


def weights(path):
    import safetensors.torch
    import torch

    safetensors.torch.save_file({"weight": torch.rand(MANY)}, path)


def neighbours(path):
    import faiss

    index = faiss.IndexFlatIP(16)
    index.add(np.random.default_rng(0).random((MANY // 16, 16), np.float32))
    faiss.write_index(index, str(path))


def picture(path):
    from PIL import Image

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (700, 700, 3), np.uint8)).save(path, "PNG")


def frame(path):
    import polars as pl

    pl.DataFrame({"value": np.random.default_rng(0).random(MANY)}).write_parquet(path)


def text(path):
    path.write_text(json.dumps(list(range(MANY))))


def stored(path):
    from components.objects import FolderStore

    FolderStore(path.parent).put(path.name, bytes(MANY * 4))


@pytest.fixture(scope="module")
def full_disk(tmp_path_factory):
    with small_disk(tmp_path_factory.mktemp("full") / "disk", size_mib=1) as disk:
        disk.fill(leave_bytes=200_000)
        yield disk


def error_of(act, *arguments):
    try:
        act(*arguments)
    except Exception as error:
        return error
    pytest.fail("it did not fail")


@pytest.mark.parametrize("write", [arrow, weights, neighbours, picture, frame, text, stored])
def test_every_library_that_meets_a_full_disk_is_understood(full_disk, write, tmp_path):
    write(tmp_path / "fits")
    error = error_of(write, full_disk.folder / "out")
    (full_disk.folder / "out").unlink(missing_ok=True)
    assert isinstance(shortage.explained(error, "embed", tmp_path, PARAMS), DiskFull), repr(error)


def test_a_full_disk_is_told_with_the_stage_the_file_the_room_and_what_to_do(full_disk, monkeypatch):
    monkeypatch.chdir(full_disk.folder)
    unfinished = Path(".vitrine/tmp/embed")
    unfinished.mkdir(parents=True)
    with pytest.raises(DiskFull) as told, shortage.told("embed", unfinished, PARAMS):
        text(unfinished / "shard-00003.parquet")
    said = str(told.value)
    assert said.startswith("embed: the disk is full. It was writing .vitrine/tmp/embed/shard-00003.parquet, with 0.")
    assert f"0.0 of 1.0 MB are free on {full_disk.folder}." in said
    assert "docs/runbook.md#disk-full" in said


def test_the_file_that_the_error_names_is_the_one_told(tmp_path):
    error = OSError(errno.ENOSPC, "No space left on device", str(tmp_path / "cache" / "label" / "k.parquet"))
    assert f"It was writing {tmp_path}/cache/label/k.parquet" in str(shortage.explained(error, "label", tmp_path / "none", PARAMS))


def test_a_used_up_quota_is_told_as_one(tmp_path):
    error = OSError(errno.EDQUOT, "Disk quota exceeded")
    assert "embed: the quota is used up" in str(shortage.explained(error, "embed", tmp_path, PARAMS))


def test_a_full_disk_behind_another_error_is_found(tmp_path):
    def fail():
        try:
            raise OSError(errno.ENOSPC, "No space left on device")
        except OSError:
            raise RuntimeError("could not save") from None

    assert isinstance(shortage.explained(error_of(fail), "embed", tmp_path, PARAMS), DiskFull)


OTHERS = [BadData("a gate"), ValueError("a number"), FileNotFoundError(errno.ENOENT, "None"), JudgeFailed("the model is out of memory")]


@pytest.mark.parametrize("error", OTHERS)
def test_any_other_error_stays_what_it_is(error, tmp_path):
    with pytest.raises(type(error)) as met, shortage.told("embed", tmp_path, PARAMS):
        raise error
    assert met.value is error


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_no_memory_is_told_with_the_knobs_that_lower_it(error, tmp_path):
    said = str(shortage.explained(error, "embed", tmp_path, PARAMS))
    assert said.startswith("embed: out of memory at ")
    assert "lower embed.batch_size (now 32) or raise ingest.num_shards (now 8; " in said
    assert "docs/runbook.md#out-of-memory" in said


HUNGRY = """
import resource, sys
from pathlib import Path
import numpy as np, pyarrow as pa, torch
from components import shortage
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
eat = {"python": lambda: bytearray(8 << 30), "numpy": lambda: np.ones(1 << 30), "torch": lambda: torch.ones(1 << 31),
       "pyarrow": lambda: pa.allocate_buffer(8 << 30)}[sys.argv[1]]
with shortage.told("embed", Path("none"), {"embed": {"batch_size": 32}}):
    eat()
"""


@pytest.mark.parametrize("library", ["python", "numpy", "torch", "pyarrow"])
def test_every_library_that_meets_the_end_of_memory_is_understood(library):
    done = subprocess.run([sys.executable, "-c", HUNGRY, library], capture_output=True, text=True)
    assert "components.errors.OutOfMemory: embed: out of memory at " in done.stderr
    assert done.returncode == 1
