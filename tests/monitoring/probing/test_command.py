"""`vitrine drift probe`, less the program around it."""

import re

import pytest

from components.errors import GatewayFailed
from components.release.gateways import KEY
from flows.probe import probe_at_terminal
from tests.conftest import edit_params
from tests.monitoring.probing.shop import make_shop, serving
from tests.serve.small_shop import key_for


def test_a_probing_at_the_terminal_tells_what_came_of_it_and_fails_where_questions_stay_open(tmp_path, monkeypatch, capsys):
    workspace, state = make_shop(tmp_path / "workspace"), tmp_path / "state"
    edit_params(workspace, {"serve": {"store": str(state / "store")}, "monitor": {"probing": {"rows_per_s": 500.0, "num_anchors": 12}}})
    monkeypatch.chdir(workspace)
    key = key_for(state, "read", "probe")
    with serving(workspace, state) as shop:
        monkeypatch.delenv(KEY, raising=False)
        with pytest.raises(GatewayFailed, match="VITRINE_API_KEY"):
            probe_at_terminal(address=shop.live.url)
        monkeypatch.setenv(KEY, key)
        capsys.readouterr()
        probe_at_terminal(address=f"{shop.live.url}/")
        told = capsys.readouterr().out.splitlines()
    assert [line[:24].strip() for line in told[:4]] == ["golden photos", "anchors", "altered copies, found", "probes' neighbours"]
    assert told[0].endswith("4, cosine 1.0000 at worst")
    assert re.fullmatch(r"9[0-9] requests in \d+ s", told[4]), told[4]
    assert re.fullmatch(r"92 answers in probes/dt=\S+/\d\d-[0-9a-f]{12}\.parquet, 0 of them from before", told[5]), told[5]
    assert key not in "".join(told)
