"""Reading a shop's own tables takes the memory of a batch, whatever the size of table, file or row group."""

import os
import subprocess
import sys

import pyarrow as pa
import pytest

from tests.data.events_shop import photo
from tests.data.tables_shop import Shop, listing, put, table

ROWS, BYTES = 900, 100_000
CODE = """
import datetime as dt, sys, tracemalloc
from pathlib import Path
import pyarrow as pa
from components.contract import bind, read_params
from components.ingest.config import IngestConfig
from components.ingest.tables.batches import opened
from components.ingest.tables.columns import listing_columns
from components.ingest.tables.listed import Listed
from tests.data.tables_shop import Shop

shop = Shop(Path(sys.argv[2])).set(tables={"listings": {"picture": "data"}})
listed = Listed(dt.date(2026, 3, 1), {}, Path(sys.argv[2]), 2)
tracemalloc.start()
with opened(Path(sys.argv[1]), listing_columns(shop.cfg.columns, shop.cfg.tables)) as file:
    for num_rows, said in file.batches():
        listed.take(num_rows, said)
assert listed.account.rows_in == int(sys.argv[3])
print(pa.default_memory_pool().max_memory() + tracemalloc.get_traced_memory()[1])
"""


WRITINGS = {"many groups": {"row_group_size": 30}, "one group": {"row_group_size": ROWS, "write_batch_size": 16}}


@pytest.mark.parametrize("how", WRITINGS)
def test_a_table_of_photos_is_never_all_in_memory(tmp_path, how):
    rows = [{**listing(n), "photo": None, "data": os.urandom(BYTES)} for n in range(ROWS)]
    path = put(tmp_path, "large.parquet", table(rows, photo=pa.string()), compression="none", use_dictionary=False, **WRITINGS[how])
    assert path.stat().st_size > ROWS * BYTES
    command = [sys.executable, "-c", CODE, str(path), str(tmp_path), str(ROWS)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    assert int(done.stdout) < ROWS * BYTES / 2


def test_one_photo_in_every_row_is_kept_once(tmp_path):
    """A dictionary of one photo is small on disk and would be large as rows."""
    shop = Shop(tmp_path).set(tables={"listings": {"picture": "data"}})
    rows = table([listing(n, photo=None) for n in range(300)], photo=pa.string())
    one = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array([photo(1) + bytes(200_000)]))
    put(shop.tables, "listings/a.parquet", rows.append_column("data", one))
    summary = shop.take()
    assert (summary.rows_out, summary.num_images) == (300, 1)
