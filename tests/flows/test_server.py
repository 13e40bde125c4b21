"""When a Prefect server of our own is started, and how it ends."""

import pytest

from components.errors import BadWorkspace
from flows import server as server_module
from flows.server import at_hand, is_configured, serving


def home_with(tmp_path, text):
    (tmp_path / "profiles.toml").write_text(text)
    return {"PREFECT_HOME": str(tmp_path)}


def test_a_server_is_configured_by_the_environment_or_the_active_profile(tmp_path):
    profiles = 'active = "shop"\n[profiles.shop]\nPREFECT_API_URL = "http://prefect.shop/api"\n[profiles.none]\n'
    assert is_configured({"PREFECT_API_URL": "http://127.0.0.1:4200/api", "PREFECT_HOME": str(tmp_path)})
    assert is_configured(home_with(tmp_path, profiles))
    assert not is_configured(home_with(tmp_path, profiles) | {"PREFECT_PROFILE": "none"})
    assert not is_configured(home_with(tmp_path, 'active = "ephemeral"\n[profiles.ephemeral]\n'))
    assert not is_configured(home_with(tmp_path, "cut sh"))
    assert not is_configured({"PREFECT_HOME": str(tmp_path / "nowhere")})


def test_a_configured_server_is_used_as_it_is(tmp_path):
    environment = {"PREFECT_API_URL": "http://prefect.shop/api", "DO_NOT_TRACK": "0"}
    at_hand(environment, state=tmp_path)
    assert environment["PREFECT_API_URL"] == "http://prefect.shop/api"
    assert environment["DO_NOT_TRACK"] == "0"
    assert environment["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert "PREFECT_HOME" not in environment
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_start_is_told_with_the_place_of_its_log(lone_environment, tmp_path, monkeypatch):
    monkeypatch.setattr(server_module.sys, "executable", "/bin/false")
    environment = lone_environment | {"PREFECT_HOME": str(tmp_path)}
    with pytest.raises(BadWorkspace, match=r"did not start .*see .*server\.log"), serving(environment):
        pytest.fail("it served")
