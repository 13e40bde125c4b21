"""A shop's own tables broken in every way that ingest names: a clear error or a reason, and nothing is dropped in silence."""

import base64
import os
import pickle
import shutil

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow.parquet import encryption

from components.errors import BadData
from tests.data.events_shop import page
from tests.data.tables_shop import Shop, listing, logged, number_of, put, put_shop, table


@pytest.fixture
def shop(tmp_path):
    """Six sound items in one file, and a place for another file."""
    shop = Shop(tmp_path)
    put_shop(shop.tables)
    return shop


def without(name):
    return [{key: value for key, value in listing(9).items() if key != name}]


def renamed(name, to):
    return [{to if key == name else key: value for key, value in listing(9).items()}]


def twice(name):
    made = table([listing(9)])
    return made.append_column(name, made[name])


def hollow(path):
    data = path.read_bytes()
    path.write_bytes(data[:4] + bytes(len(data) // 3) + data[4 + len(data) // 3 :])


def encrypted(path, *, plaintext_footer):
    class Keys(encryption.KmsClient):
        def __init__(self, config):
            encryption.KmsClient.__init__(self)

        def wrap_key(self, key, name):
            return base64.b64encode(key)

    rows = table([listing(9)])
    config = encryption.EncryptionConfiguration(footer_key="f", column_keys={"c": ["name"]}, plaintext_footer=plaintext_footer)
    factory = encryption.CryptoFactory(Keys)
    properties = factory.file_encryption_properties(encryption.KmsConnectionConfig(), config)
    with pq.ParquetWriter(path, rows.schema, encryption_properties=properties) as writer:
        writer.write_table(rows)


BROKEN = {
    "cut short": (lambda path: path.write_bytes(path.read_bytes()[:-60]), "file_unreadable", "no parquet file, or half of one"),
    "its middle gone": (hollow, "file_unreadable", "no parquet file, or half of one"),
    "empty": (lambda path: path.write_bytes(b""), "file_unreadable", "size is 0 bytes"),
    "no parquet": (lambda path: path.write_bytes(b"id,name\n" * 9), "file_unreadable", "no parquet file, or half of one"),
    "encrypted": (lambda path: encrypted(path, plaintext_footer=False), "file_unreadable", "it is encrypted, and no key is taken"),
    "columns encrypted": (lambda path: encrypted(path, plaintext_footer=True), "file_unreadable", "it is encrypted, and no key is taken"),
    "a column missing": (lambda path: pq.write_table(table(without("name")), path), "column_missing", "no column 'name'"),
    "its first category missing": (
        lambda path: pq.write_table(table(without("c0_name")), path),
        "column_missing",
        "no column 'c0_name' (nearest: 'c1_name')",
    ),
    "a column twice": (lambda path: pq.write_table(twice("name"), path), "column_type", "more than one column 'name'"),
    "a text for a price": (
        lambda path: pq.write_table(table([listing(9, price="900")]), path),
        "column_type",
        "'price' is string, and ingest.columns.price wants a number",
    ),
    "a struct for a title": (
        lambda path: pq.write_table(table([listing(9, name={"en": "x"})]), path),
        "column_type",
        "ingest.columns.title wants text or a whole number",
    ),
    "lists of lists": (
        lambda path: pq.write_table(table([listing(9, c0_name=[["a"]])]), path),
        "column_type",
        "wants text, or a list of texts",
    ),
    "fractions for ids": (lambda path: pq.write_table(table([listing(9, id=1.5)]), path), "column_type", "it holds fractions"),
    "floats beyond what they can tell": (
        lambda path: pq.write_table(table([listing(9, id=1e17)]), path),
        "column_type",
        "too large for their type to be exact",
    ),
    "a number for a time without its unit": (
        lambda path: pq.write_table(table([listing(9, created=1_700_000_000)]), path),
        "column_type",
        "ingest.tables.time_unit says the unit",
    ),
}


@pytest.mark.parametrize("fault", BROKEN)
def test_a_file_that_is_no_table_of_listings_is_set_aside_whole(shop, fault):
    damage, reason, said = BROKEN[fault]
    path = put(shop.tables, "listings/part-9.parquet", [listing(9)])
    damage(path)
    summary = shop.take()
    assert (summary.files_set_aside, summary.rows_in, summary.rows_out) == ({reason: 1}, 6, 6)
    (kept,) = shop.quarantined("files")
    assert (kept["key"], kept["data"]) == ("listings/part-9.parquet", path.read_bytes())
    assert said in kept["detail"]


def test_a_file_that_breaks_in_its_last_row_group_is_not_taken_by_half(shop):
    rows = [listing(n, name="x" * 3000 + str(n)) for n in range(20, 40)]
    path = put(shop.tables, "listings/part-9.parquet", rows, row_group_size=5, compression="none", use_dictionary=False)
    column = pq.ParquetFile(path).metadata.row_group(3).column(2)
    data = bytearray(path.read_bytes())
    data[column.data_page_offset : column.data_page_offset + 40] = bytes(40)
    path.write_bytes(bytes(data))
    summary = shop.take()
    assert (summary.files_set_aside, summary.rows_in) == ({"file_unreadable": 1}, 6)


def test_a_file_of_the_log_is_set_aside_too(shop):
    rows = [{**number_of(row), "ts": "yesterday"} for row in page(2, [0])]
    logged(shop, [number_of(row) for row in page(1, [0, 1])]).set(tables={"impressions": {"at": "log"}})
    put(shop.tables, "log/more.parquet", [{**row, "position": "first"} for row in rows])
    assert shop.take().files_set_aside == {"column_type": 1}
    put(shop.tables, "log/more.parquet", rows)
    assert shop.take("text that is no time").quarantined_impressions == {"time_missing": 1}


def refusal(shop, error=BadData, **pin):
    with pytest.raises(error) as stop:
        shop.pin(**pin)
    return str(stop.value)


def test_where_no_file_is_a_table_nothing_is_pinned_and_the_nearest_column_is_named(shop, caplog):
    put(shop.tables, "listings/part-9.parquet", renamed("name", "nahme"))
    shop.pin()
    assert "listings/part-9.parquet: no column 'name' (nearest: 'nahme'); found: " in caplog.text
    assert "and will be set aside" in caplog.text
    (shop.tables / "listings/part-0.parquet").unlink()
    said = refusal(shop)
    assert said.startswith("no file of listings can be read as a table. First: listings/part-9.parquet: no column 'name'")
    assert "Set ingest.columns.title in params.yaml" in said


def test_what_is_not_there_is_told(shop):
    shutil.move(shop.tables / "listings", shop.tables / "items")
    assert f"{shop.tables} holds no parquet files at listings, there are some at items: set ingest.tables.listings.at" in refusal(shop)
    shutil.rmtree(shop.tables)
    assert refusal(shop) == f"the source folder {shop.tables} does not exist"
    shop.tables.write_text("")
    assert refusal(shop) == f"the source folder {shop.tables} is a file: name its folder"


def test_limits_on_objects_sizes_and_depth_are_told_by_their_knobs(shop):
    assert "holds more than 6 objects (ingest.tables.max_objects)" in refusal(shop.set(tables={"max_objects": 6}))
    shop.set(tables={"max_objects": 100, "max_file_mib": 1})
    path = put(shop.tables, "listings/large.parquet", [listing(9, name=os.urandom(600_000).hex())], compression="none")
    assert f"listings/large.parquet in {shop.tables} has {path.stat().st_size:,} bytes; ingest.tables.max_file_mib is 1" in refusal(shop)
    path.unlink()
    put(shop.tables, "listings/a/b/c.parquet", [listing(9)])
    assert "listings/a/b/c.parquet" in (said := refusal(shop.set(tables={"max_depth": 2})))
    assert "lies 3 folders deep; ingest.tables.max_depth is 2" in said


class Trap:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("extension", ["arrow.py_extension_type", "no.such.type"])
def test_a_type_that_brings_code_along_is_read_as_what_it_stores_and_never_run(shop, extension):
    trap = shop.folder / "sprung"
    told = {"ARROW:extension:name": extension, "ARROW:extension:metadata": pickle.dumps(Trap(str(trap)))}
    rows = table([listing(7), listing(8)])
    number = rows.column_names.index("name")
    put(shop.tables, "listings/part-9.parquet", rows.cast(rows.schema.set(number, rows.schema.field(number).with_metadata(told))))
    shop.take()
    assert not trap.exists()
    assert shop.quarantined("files") == []
    assert shop.quarantined("listings") == []


def test_an_extension_that_arrow_knows_is_read_as_what_it_stores(shop):
    rows = table([listing(0)])
    stored = pa.ExtensionArray.from_storage(pa.json_(), pa.array(["Shirt 0"]))
    put(shop.tables, "listings/part-0.parquet", rows.set_column(rows.column_names.index("name"), "name", stored))
    assert shop.take().rows_out == 1
    assert shop.items()["0"]["title"] == "Shirt 0"
