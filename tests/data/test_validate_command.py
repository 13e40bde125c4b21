"""`vitrine validate`: every gate at a terminal, rows and causes of those that failed, and nothing written."""

import io
import re
import shutil

import pyarrow as pa
import pytest
from rich.console import Console
from typer.testing import CliRunner

from components import schema
from components.contract import contract_of, read_params
from components.expectations.suites import open_context
from components.shards import write_shards
from flows.cli import app
from flows.validate import STAGES, inspected, show
from tests.conftest import PROJECT
from tests.validate_tables import NUM_LISTINGS, Shop, set_all


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml alone."""
    shutil.copy(PROJECT / "params.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def shown(explain=False):
    """Whether all passed, and what was printed, its lines joined."""
    text = io.StringIO()
    fine = show(explain, Console(file=text, width=1000, color_system=None))
    return fine, text.getvalue()


def files(folder):
    return {path.relative_to(folder).as_posix(): path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_before_anything_was_made_it_says_so(workspace):
    fine, text = shown()
    assert fine
    assert "validate: not there yet: listings (data/listings)" in text
    assert "There is nothing to look at yet" in text


def test_every_gate_of_the_tables_that_are_there_is_shown_and_nothing_is_written(workspace):
    Shop().write(workspace / "data")
    before = files(workspace)
    fine, text = shown()
    assert fine
    assert files(workspace) == before
    for gate in ("listings.types", "images.near_blank_share", "impressions.click_through", "quarantine.images_share"):
        assert re.search(rf"^{gate} +[\d.]+ +at .*passed|^{gate} +[\d.]+ +[\d.]+ to [\d.]+ +passed", text, re.MULTILINE), gate
    assert re.search(r"^history\.volume .*not checked +0 of 5 past snapshots", text, re.MULTILINE)
    assert "validate_training: not there yet: splits (data/splits), pairs (data/pairs), labels (data/labels)" in text
    assert "Every gate that decides has passed" in text


def test_tables_half_way_are_looked_at_as_far_as_they_go(workspace):
    Shop().write(workspace / "data")
    rows = [{"item_id": f"m-{n:03d}", "split": "train", "group": f"g-{n}"} for n in range(NUM_LISTINGS - 1)]
    write_shards(workspace / "data" / "splits", pa.Table.from_pylist(rows, schema.SPLITS), schema.SPLITS, 2)
    fine, text = shown()
    assert not fine
    assert re.search(r"^splits\.one_side +0\.025 +at most 0 +failed", text, re.MULTILINE)
    assert "not there yet: pairs (data/pairs), labels (data/labels)" in text
    assert "1 gates failed" in text


def test_explain_prints_five_whole_rows_the_usual_cause_and_the_runbook(workspace):
    shop = Shop()
    for row in shop.listings[10:18]:
        row["title"] = ""
    shop.write(workspace / "data")
    assert "Rows and causes: `vitrine validate --explain`" in shown()[1]
    fine, text = shown(explain=True)
    assert not fine
    story = text[text.index("\nlistings.title:") :]
    assert "share of listings without a title: 0.2, limit at most 0" in story
    rows = re.findall(r"^  (\d)\. (.*)$", story, re.MULTILINE)
    assert [number for number, _ in rows] == ["1", "2", "3", "4", "5"]
    for place, (_, row) in enumerate(rows):
        assert f"item_id='m-{place + 10:03d}'" in row
        assert f"seller_id='s-{(place + 10) % 7}'" in row
        assert "currency='JPY'" in row
        assert "title=''" in row
        assert "title_length=0" in row
        assert "age_days" not in row
    assert "Usual cause: a column mapped wrongly" in story
    assert "See docs/runbook.md#listing-fields." in story


def clicks_lost(shop):
    set_all(shop.impressions, clicked=False)


def pictures_blank(shop):
    set_all(shop.images[7:], 0.4, stats={"brightness": 1.0, "sharpness": -4.0, "contrast": 0.001, "text_share": 0.0})


def much_refused(shop):
    shop.refused["images"] = NUM_LISTINGS


def ids_twice(shop):
    shop.listings.append(shop.listings[3] | {"price": 9.0})


@pytest.mark.parametrize(
    ("damage", "gate", "row"),
    [
        (clicks_lost, "impressions.click_through", r"request_id='req-\d+'.* user_id='u-\d'.* clicked=False"),
        (pictures_blank, "images.near_blank_share", r"image_id='0+[0-9a-f]{1,2}'.*stats=\{'brightness': 1.0.*near_blank=True"),
        (much_refused, "quarantine.images_share", r"key='k'.*reason='title_missing'"),
        (ids_twice, "listings.item_id_unique", r"item_id='m-003'.*price=503"),
    ],
)
def test_a_gate_on_a_whole_table_shows_the_rows_that_pull_it_past_its_limit(workspace, damage, gate, row):
    shop = Shop()
    damage(shop)
    shop.write(workspace / "data")
    _, text = shown(explain=True)
    first = re.search(rf"^{re.escape(gate)}: .*\n  1\. (.*)$", text, re.MULTILINE)
    assert re.search(row, first[1])
    assert "b'not looked at'" not in text


@pytest.mark.parametrize(("damage", "code"), [(None, 0), (clicks_lost, 1)])
def test_the_command_ends_with_1_where_a_gate_failed(workspace, damage, code):
    shop = Shop()
    if damage:
        damage(shop)
    shop.write(workspace / "data")
    assert CliRunner().invoke(app, ["validate"]).exit_code == code


def test_each_stage_that_validates_can_be_asked_without_running_it(workspace):
    for stage in STAGES:
        assert inspected(contract_of(stage), {}, read_params(), open_context(None)) == []
