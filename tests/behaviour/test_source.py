"""`vitrine source`: what a person types, what is written, and what is said when it cannot be done."""

import csv
import json
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from typer.testing import CliRunner

from components.contract import bind, read_params
from components.errors import VitrineError
from components.ingest import snapshot as pinned
from components.ingest.config import IngestConfig
from components.ingest.market import MarketConfig
from components.ingest.origin import source_of
from flows.cli import app
from flows.knobs import turn
from tests.conftest import run
from tests.data.test_ingest import photo, row, write_folder

PROJECT = Path(__file__).parents[2]
COLUMNS = read_params(PROJECT / "params.yaml")["ingest"]["columns"]


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder to stand in, with the project's params.yaml set to the simulated market."""
    home = tmp_path / "workspace"
    (home / "data").mkdir(parents=True)
    shutil.copy(PROJECT / "params.yaml", home)
    monkeypatch.chdir(home)
    vitrine("simulate")
    return home


@pytest.fixture
def photos(tmp_path):
    """Four listings with photos in a folder beside the workspace."""
    return write_folder(tmp_path / "photos", [row(n) for n in range(4)], {f"{n}.jpg": photo(n) for n in range(4)})


def vitrine(*arguments):
    done = CliRunner().invoke(app, ["source", *arguments])
    if isinstance(done.exception, VitrineError):
        raise done.exception
    assert done.exit_code == 0, done.output


def knobs():
    params = yaml.safe_load(Path("params.yaml").read_text())
    return params["ingest"]["source"], params["ingest"]["path"], params["evaluate"]["external_vectors"]


def test_a_folder_becomes_the_source_and_simulate_takes_it_back(workspace, photos):
    before = Path("params.yaml").read_bytes(), Path("data/snapshot.json").read_bytes()
    vitrine("folder", "../photos")
    assert knobs() == ("folder", "../photos", [])
    taken = json.loads(Path("data/snapshot.json").read_text())
    assert (taken["as_of"], taken["stable_release"]) == ("2025-11-05T00:00:00Z", None)
    assert taken["source"]["pictures"]["count"] == 4
    changed = [a for a, b in zip(before[0].splitlines(), Path("params.yaml").read_bytes().splitlines(), strict=True) if a != b]
    assert [line.split(b":")[0].strip() for line in changed] == [b"source", b"path"]
    vitrine("simulate")
    assert (Path("params.yaml").read_bytes(), Path("data/snapshot.json").read_bytes()) == before


def test_typing_it_twice_writes_nothing_the_second_time(workspace, photos):
    vitrine("folder", "../photos/")
    before = [Path(name).stat().st_mtime_ns for name in ("params.yaml", "data/snapshot.json")]
    vitrine("folder", "../photos/")
    assert [Path(name).stat().st_mtime_ns for name in ("params.yaml", "data/snapshot.json")] == before
    assert sorted(path.name for path in Path().rglob("*") if path.is_file()) == ["params.yaml", "snapshot.json"]


def test_a_new_photo_changes_the_snapshot_and_an_unlisted_file_does_not(workspace, photos):
    vitrine("folder", "../photos")
    before = Path("data/snapshot.json").read_bytes()
    (photos / "notes.txt").write_text("mine")
    vitrine("folder", "../photos")
    assert Path("data/snapshot.json").read_bytes() == before
    (photos / "2.jpg").write_bytes(photo(7))
    vitrine("folder", "../photos")
    assert Path("data/snapshot.json").read_bytes() != before


def test_vectors_beside_the_csv_become_rows_of_the_evaluation(workspace, photos):
    vectors = pa.table({"item_id": ["i-0"], "vector": pa.array([[0.5, 0.5]], pa.list_(pa.float16(), 2))})
    pq.write_table(vectors, photos / "shop.parquet")
    pq.write_table(vectors.append_column("price", [[1]]), photos / "other.parquet")
    (photos / "broken.parquet").write_bytes(b"PAR1")
    vitrine("folder", "../photos/")
    assert knobs()[2] == ["../photos/shop.parquet"]
    assert list(json.loads(Path("data/snapshot.json").read_text())["source"]["external_vectors"]) == ["shop.parquet"]


def test_without_times_in_the_csv_the_markets_date_counts_as_now(workspace, photos):
    write_folder(photos, [row(n, created_at="") for n in range(4)], {})
    vitrine("folder", "../photos")
    assert pinned.read(Path("data/snapshot.json")).as_of == bind(MarketConfig, "market", read_params()).now


def refusal(*arguments):
    """What is said; and nothing may have been written."""
    before = Path("params.yaml").read_bytes(), Path("data/snapshot.json").read_bytes()
    with pytest.raises(VitrineError) as error:
        vitrine(*arguments)
    assert (Path("params.yaml").read_bytes(), Path("data/snapshot.json").read_bytes()) == before
    return str(error.value)


def test_a_source_that_cannot_be_used_is_refused_and_nothing_is_written(workspace, photos):
    assert refusal("folder", "../nowhere") == "the source folder ../nowhere does not exist"
    assert "is a file; name its folder, and the CSV with --csv" in refusal("folder", "../photos/listings.csv")
    assert "holds no items.csv. CSV files there: listings.csv" in refusal("folder", "../photos", "--csv", "items.csv")
    (photos / "listings.csv").write_text("Id,img,Title,category\n1,1.jpg,x,y\n")
    assert "no column 'item_id'" in (said := refusal("folder", "../photos"))
    assert "Found: 'Id', 'img', 'Title', 'category'. Set ingest.columns.item_id in params.yaml" in said
    (photos / "listings.csv").write_text("item_id,images,title,category\n")
    assert "no column 'image' (nearest: 'images')" in refusal("folder", "../photos")
    (photos / "listings.csv").write_text("item_id;image;title;category\n")
    assert "must be separated by commas" in refusal("folder", "../photos")
    (photos / "listings.csv").write_text("item_id,image,title,title,category\n")
    assert "more than one column 'title'" in refusal("folder", "../photos")
    (photos / "listings.csv").write_text("item_id,image,title,category", encoding="utf-16")
    assert "is UTF-16: save it as UTF-8" in refusal("folder", "../photos")
    (photos / "listings.csv").write_bytes(b"")
    assert "has no header row" in refusal("folder", "../photos")


def test_a_csv_of_another_name_with_a_byte_order_mark_and_other_columns_is_read(workspace, photos):
    turn(Path("params.yaml"), {("ingest", "columns"): COLUMNS | {"image": "photo", "category": ["a", "b", "c"]}})
    with open(photos / "mine.csv", "w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file).writerows([["item_id", "photo", "title", "a", "c"], ["x", "1.jpg", "帽子", "Fashion", "Hats"]])
    vitrine("folder", "../photos", "--csv", "mine.csv")
    run(workspace, "vitrine", "run", "ingest")
    report = json.loads(Path("reports/ingest.json").read_text())
    assert (report["rows_in"], report["rows_out"], "category.b" in report["columns_absent"]) == (1, 1, True)
    listed = pa.concat_tables(pq.read_table(path) for path in sorted(Path("data/listings").iterdir())).to_pylist()
    assert [(one["category"], one["title_language"]) for one in listed] == [(["Fashion", "Hats"], "ja")]
    assert Path("reports/market.png").stat().st_size > 0


def test_params_and_the_committed_snapshot_name_one_source(tmp_path):
    """Else `dvc repro` would fail in a fresh clone."""
    params = read_params(PROJECT / "params.yaml")
    taken = pinned.read(PROJECT / "data" / "snapshot.json")
    source_of(taken, bind(IngestConfig, "ingest", params), bind(MarketConfig, "market", params), tmp_path)


def test_a_file_that_is_no_snapshot_is_named(tmp_path):
    (tmp_path / "snapshot.json").write_text('{"as_of": "2026-01-01T00:00:00Z", "stable_release": null, "source": {"kind": "s3"}}')
    with pytest.raises(VitrineError, match=r"snapshot.json is not a snapshot \(source.*run `vitrine source` with simulate"):
        pinned.read(tmp_path / "snapshot.json")
