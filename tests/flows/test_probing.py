"""The probe flow: a gateway that really answers is asked what the stable release knows, which no longer lies in the workspace."""

import shutil

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from components.release.gateways import KEY
from tests.conftest import edit_params
from tests.monitoring.probing.shop import make_shop, serving
from tests.release.rehearsed import varied
from tests.serve.small_shop import key_for


@pytest.fixture
def place(tmp_path, monkeypatch):
    workspace, state = make_shop(tmp_path / "workspace"), tmp_path / "state"
    edit_params(workspace, {"serve": {"store": str(state / "store")}, "monitor": {"probing": {"rows_per_s": 500.0, "num_anchors": 12}}})
    monkeypatch.chdir(workspace)
    monkeypatch.setenv(KEY, key_for(state, "read", "probe"))
    return workspace, state


def go_live(workspace):
    """Makes the workspace's bundle the stable release, and takes it out of the workspace."""
    from flows.channel import Office

    office = Office.open()
    release_id = office.person().publish(varied(workspace / "bundle", workspace.parent / "good"))
    office.person().start(release_id, "the first release", office.cfg)
    return release_id


def test_a_probing_by_the_clock_asks_what_the_stable_release_knows(place, client):
    from flows.probing import probe

    workspace, state = place
    with serving(workspace, state) as shop:
        go_live(workspace)
        shutil.rmtree(workspace / "bundle")
        with temporary_settings({PREFECT_API_URL: str(client.api_url)}):
            ended = probe(address=shop.live.url, return_state=True)
            assert ended.is_completed(), ended.message
            assert "golden photos" in ended.message
            away = probe(address="http://127.0.0.1:9", return_state=True)
    assert away.is_failed()
    assert "GatewayFailed" in away.message
