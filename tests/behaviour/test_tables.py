"""`vitrine source parquet` and `vitrine snapshot` over a shop's own tables: what a person types, what is written and what is said."""

import csv
import json
import os
import signal
import subprocess
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from components.manifest import folder_digest
from components.objects import open_store
from flows.knobs import turn
from tests import faulty_proxy
from tests.conftest import edit_params, environment, make_workspace, run
from tests.data.events_shop import page, photo
from tests.data.tables_shop import COLUMNS, listing, number_of, put, put_photos, put_shop
from tests.data.test_ingest import bytes_of
from tests.data.test_tables_s3 import fetched
from tests.faulty_proxy import Fate

FEW = {"market": {"num_requests": 50, "num_users": 5}}


@pytest.fixture
def workspace(tmp_path):
    """A workspace whose params map the tables beside it."""
    folder = make_workspace(tmp_path / "workspace", {**FEW, "ingest": {"columns": COLUMNS, "max_quarantine_share": 0.5}})
    put_shop(tmp_path / "tables")
    return folder


def taken(workspace):
    return json.loads((workspace / "data/snapshot.json").read_text())


def refused(workspace, *arguments):
    """What it says; it must end with 1 and change nothing."""
    before = {path: path.read_bytes() for path in (workspace / "params.yaml", workspace / "data/snapshot.json")}
    done = run(workspace, "vitrine", *arguments, check=False)
    assert (done.returncode, before) == (1, {path: path.read_bytes() for path in before})
    return done.stderr


def test_tables_become_the_source_and_each_snapshot_says_what_is_new(workspace, tmp_path):
    run(workspace, "vitrine", "source", "parquet", "../tables")
    named = yaml.safe_load((workspace / "params.yaml").read_text())
    assert (named["ingest"]["source"], named["ingest"]["path"], named["evaluate"]["external_vectors"]) == ("parquet", "../tables", [])
    assert taken(workspace)["source"]["kind"] == "parquet"
    assert taken(workspace)["source"]["tables"]["listings"]["files"].keys() == {"listings/part-0.parquet"}
    assert len(taken(workspace)["source"]["pictures"]) == 6
    run(workspace, "dvc", "repro", "ingest")
    assert "nothing is new in the tables in ../tables (1 files, 0.0 MB, 6 photos, 0.0 MB)" in run(workspace, "vitrine", "snapshot").stdout
    put(tmp_path / "tables", "listings/part-1.parquet", [listing(6)])
    put_photos(tmp_path / "tables", [6])
    (tmp_path / "tables/photos/2.jpg").write_bytes(photo(22))
    (tmp_path / "tables/photos/3.jpg").unlink()
    said = run(workspace, "vitrine", "snapshot").stdout
    assert "1 files added (0.0 MB): listings/part-1.parquet" in said
    assert "1 photos added (0.0 MB): photos/6.jpg" in said
    assert "1 photos with other bytes (0.0 MB): photos/2.jpg" in said
    assert "1 photos gone (0.0 MB): photos/3.jpg" in said
    run(workspace, "dvc", "repro", "ingest")
    report = json.loads((workspace / "reports/ingest.json").read_text())
    assert (report["rows_in"], report["rows_out"], report["quarantined"]) == (7, 6, {"picture_missing": 1})
    cache = json.loads((workspace / "runs/stages.jsonl").read_text().splitlines()[-1])["cache"]
    assert (cache["reused"], cache["recomputed"]) == (4, 2)


def test_what_cannot_be_used_is_refused_and_nothing_is_written(workspace, tmp_path):
    assert "the source folder ../nowhere does not exist" in refused(workspace, "source", "parquet", "../nowhere")
    turn(workspace / "params.yaml", {("ingest", "columns"): {**COLUMNS, "title": "nom"} | OTHERS})
    said = refused(workspace, "source", "parquet", "../tables")
    assert "no column 'nom' (nearest: 'name')" in said
    assert "Set ingest.columns.title in params.yaml to the column that holds it" in said


OTHERS = dict.fromkeys(("description", "price", "currency", "status", "app_version"))


def test_as_of_takes_the_rows_until_then(workspace, tmp_path):
    put(tmp_path / "tables", "log/a.parquet", [number_of(row) for row in [*page(1, [0, 1]), *page(2, [2, 3])]])
    edit_params(workspace, {"ingest": {"tables": {"impressions": {"at": "log"}}}})
    run(workspace, "vitrine", "source", "parquet", "../tables")
    assert taken(workspace)["as_of"] == "2026-03-02T12:00:00Z"
    run(workspace, "vitrine", "snapshot", "--as-of", "2026-03-02")
    assert (taken(workspace)["as_of"], taken(workspace)["source"]["written"]) == ("2026-03-02T00:00:00Z", "2026-03-02")
    run(workspace, "vitrine", "run", "ingest")
    assert json.loads((workspace / "reports/ingest.json").read_text())["accounts"]["impressions"]["held_back"] == 4


def test_an_ingest_that_is_killed_fetches_nothing_twice(workspace, tmp_path, s3, monkeypatch):
    port = int(s3.environment["AWS_ENDPOINT_URL_S3"].rpartition(":")[2])
    with faulty_proxy.before(port, lambda method, path: Fate.PASSED) as proxy:
        for name, value in (s3.environment | {"AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{proxy.port}"}).items():
            monkeypatch.setenv(name, value)
        url = f"{s3.url}/{tmp_path.name}"
        for key, data in bytes_of(tmp_path / "tables").items():
            open_store(url).put(key, data)
        run(workspace, "vitrine", "source", "parquet", url)
        (workspace / ".vitrine/downloads").rename(tmp_path / "on the machine that took the snapshot")
        before = len(proxy.seen)
        proxy.choose = lambda method, path: Fate.HUNG if path.endswith("5.jpg") and method == "GET" else Fate.PASSED
        stage = subprocess.Popen(["vitrine", "run", "ingest"], cwd=workspace, env=environment(), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while len(list((workspace / ".vitrine/downloads/objects").glob("??/*"))) < 6 and time.monotonic() < deadline:
            time.sleep(0.05)
        os.kill(stage.pid, signal.SIGKILL)
        stage.wait(30)
        proxy.choose = lambda method, path: Fate.PASSED
        run(workspace, "vitrine", "run", "ingest")
        assert fetched(proxy, before) == {"part-0.parquet": 1, **{f"{n}.jpg": 1 for n in range(6)}}
    secret = s3.environment["AWS_SECRET_ACCESS_KEY"].encode()
    assert [path for path in workspace.rglob("*") if path.is_file() and secret in path.read_bytes()] == []


def test_real_photos_come_in_from_a_table_as_they_do_from_a_csv(tmp_path, photos):
    with open(photos / "listings.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))[::80]
    for row in rows:
        target = tmp_path / "shop" / row["image"]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes((photos / row["image"]).read_bytes())
    with open(tmp_path / "shop/listings.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    blank_is_null = [{name: value or None for name, value in row.items()} for row in rows]
    (tmp_path / "shop/listings").mkdir()
    pq.write_table(pa.Table.from_pylist(blank_is_null), tmp_path / "shop/listings/all.parquet", row_group_size=7)
    outs = []
    for kind in ("folder", "parquet"):
        workspace = make_workspace(tmp_path / kind, FEW)
        run(workspace, "vitrine", "source", kind, "../shop")
        run(workspace, "vitrine", "run", "ingest")
        outs.append([folder_digest(workspace / "data" / name) for name in ("listings", "images", "impressions")])
    assert outs[0] == outs[1]
