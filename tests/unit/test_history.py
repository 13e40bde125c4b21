"""The history of profiles: what is kept, what a snapshot may be judged by, and what cannot be read."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.errors import BadData, BadParams
from components.expectations.history import appended, past_of, read_history, remember
from components.expectations.profile import Mix, Profile
from tests.conftest import PROJECT

START = datetime(2025, 1, 6, tzinfo=UTC)


def profile(day, source="simulate", num_listings=100):
    return Profile(
        as_of=START + timedelta(days=day),
        source=source,
        rows={"listings": num_listings},
        null_share={},
        mix=Mix(root={}, leaf={}, currency={}),
        prices={},
        click_through=None,
        picture_stats={},
        quarantine_share={},
    )


profiles = st.builds(profile, st.integers(0, 40), st.sampled_from(["simulate", "folder"]), st.integers(0, 3))


@given(st.lists(profiles, max_size=30), st.integers(1, 6))
def test_a_history_grows_by_time_without_repeats_and_keeps_the_newest_of_each_source(arrivals, keep):
    history = []
    for one in arrivals:
        history = appended(history, one, keep)
    moments = [(one.source, one.as_of) for one in history]
    assert len(set(moments)) == len(moments)
    assert [one.as_of for one in history] == sorted(one.as_of for one in history)
    for source in {one.source for one in arrivals}:
        newest = sorted({one.as_of for one in arrivals if one.source == source})[-keep:]
        assert [one.as_of for one in history if one.source == source][-1:] == newest[-1:]
        assert sum(one.source == source for one in history) <= keep


@given(st.lists(profiles, max_size=12), profiles)
def test_appending_the_same_profile_twice_changes_nothing_more(arrivals, one):
    once = appended(arrivals, one, 50)
    assert appended(once, one, 50) == once
    assert one in once


def test_a_profile_of_the_same_moment_is_replaced_by_the_later_word():
    history = appended([profile(1, num_listings=5), profile(2)], profile(1, num_listings=7), 12)
    assert [(one.as_of.day - START.day, one.rows["listings"]) for one in history] == [(1, 7), (2, 100)]


@given(st.lists(profiles, max_size=20), st.integers(0, 40))
def test_only_earlier_snapshots_of_the_same_source_judge(history, day):
    past = past_of(history, "simulate", START + timedelta(days=day))
    assert all(one.source == "simulate" and one.as_of < START + timedelta(days=day) for one in past)
    assert [one.as_of for one in past] == sorted(one.as_of for one in past)
    left_out = [one for one in history if one not in past]
    assert all(one.source != "simulate" or one.as_of >= START + timedelta(days=day) for one in left_out)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A folder with params.yaml and an empty history."""
    (tmp_path / "params.yaml").write_bytes((PROJECT / "params.yaml").read_bytes())
    (tmp_path / "history.json").write_text("[]\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def keep(workspace, one):
    (workspace / "profile.json").write_text(one.model_dump_json())
    return remember(workspace / "profile.json", workspace / "history.json")


def test_the_last_profile_is_remembered_once(workspace):
    assert keep(workspace, profile(1))
    before = (workspace / "history.json").read_bytes()
    assert not keep(workspace, profile(1))
    assert (workspace / "history.json").read_bytes() == before
    assert keep(workspace, profile(8))
    assert read_history(workspace / "history.json") == [profile(1), profile(8)]
    assert not list(workspace.glob(".*.partial"))


def test_no_more_are_kept_than_params_say(workspace):
    for day in range(20):
        keep(workspace, profile(day))
    assert read_history(workspace / "history.json") == [profile(day) for day in range(8, 20)]


def test_without_a_profile_nothing_is_remembered(workspace):
    assert not remember(workspace / "profile.json", workspace / "history.json")
    assert (workspace / "history.json").read_text() == "[]\n"


def test_a_history_that_is_not_there_yet_is_begun(workspace):
    (workspace / "history.json").unlink()
    assert keep(workspace, profile(1))
    assert read_history(workspace / "history.json") == [profile(1)]


def test_the_history_that_comes_with_the_project_is_empty():
    assert read_history(PROJECT / "data" / "history.json") == []


@pytest.mark.parametrize("text", ["", "{}", '[{"as_of": "2025-01-06T00:00:00Z"}]', "<<<<<<< HEAD\n[]"])
def test_a_history_that_cannot_be_read_stops_with_what_to_do(tmp_path, text):
    (tmp_path / "history.json").write_text(text)
    with pytest.raises(BadData, match=r"is no list of profiles .*git checkout"):
        read_history(tmp_path / "history.json")


def test_a_profile_that_cannot_be_read_leaves_the_history_alone(workspace):
    (workspace / "profile.json").write_text(json.dumps({"rows": 3}))
    with pytest.raises(BadData, match="dvc repro validate"):
        remember(workspace / "profile.json", workspace / "history.json")
    assert (workspace / "history.json").read_text() == "[]\n"


def test_a_history_too_short_for_its_own_bands_is_refused(workspace):
    text = (workspace / "params.yaml").read_text().replace("max_snapshots: 12", "max_snapshots: 4")
    (workspace / "params.yaml").write_text(text)
    with pytest.raises(BadParams, match="no history could reach min_snapshots, 5"):
        keep(workspace, profile(1))
