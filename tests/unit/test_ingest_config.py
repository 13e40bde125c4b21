"""The `ingest` section of params.yaml: what it refuses, and with which advice."""

from pathlib import Path

import pytest

from components.contract import bind, read_params
from components.errors import BadParams
from components.ingest.config import IngestConfig

PARAMS = read_params(Path(__file__).parents[2] / "params.yaml")


def bound(**changes):
    return bind(IngestConfig, "ingest", {"ingest": PARAMS["ingest"] | changes})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"max_share_of_reason": {"picture_mising": 0.1}}, "'picture_mising' is no reason .*; did you mean 'picture_missing'"),
        ({"max_share_of_reason": {"picture_missing": 1.5}}, "ingest.max_share_of_reason.picture_missing"),
        ({"currencies": ["USD"]}, "ingest.currencies must hold ingest.currency, JPY"),
        ({"shop_opened": "2000-01-01"}, "give the time zone"),
        ({"retention_days": 0}, "ingest.retention_days"),
        ({"impression_share": 1.01}, "ingest.impression_share"),
        ({"source": "event"}, "ingest.source"),
    ],
)
def test_a_knob_that_cannot_be_is_refused_by_name(changes, said):
    with pytest.raises(BadParams, match=said):
        bound(**changes)


def test_retention_and_sample_may_be_switched_off():
    cfg = bound(retention_days=None, impression_share=1.0, max_share_of_reason={"price_zero": 0.0})
    assert cfg.window(cfg.opened).since is None
