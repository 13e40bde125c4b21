"""The section monitor.verdict of params.yaml: what is refused, and in which words."""

import pytest

from components.contract import bind, read_params
from components.errors import BadParams
from monitoring.detectors.registry import DETECTORS
from monitoring.judging.config import VerdictConfig
from monitoring.judging.steps import STEPS
from tests.conftest import PROJECT
from tests.monitoring.judging.days import make_config


def bound(**changes):
    section = read_params(PROJECT / "params.yaml")["monitor"]["verdict"] | changes
    return bind(VerdictConfig, "verdict", {"verdict": section})


def effects(**changes):
    return {name: effect for name, effect in (make_config().min_effect | changes).items() if effect is not None}


def test_every_detector_has_a_least_effect_in_its_own_unit():
    assert {name.partition("/")[0] for name in make_config().min_effect} == {*DETECTORS, *STEPS}


def test_a_dimension_may_have_its_own():
    cfg = make_config()
    assert cfg.effect_of("segment_share", "app_version=7.1.0") > cfg.effect_of("segment_share", "category=Shoes")
    assert cfg.effect_of("segment_share", "all") == cfg.min_effect["segment_share"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"min_effect": effects(mmd=None)}, "every detector needs one; missing: mmd"),
        ({"min_effect": effects(brightnes=0.1)}, "brightnes.*no detector is called so.*did you mean 'brightness'"),
        ({"min_effect": effects(**{"mmd/colour": 0.1})}, "mmd/colour.*nor one in a dimension.*dimensions: platform"),
        ({"min_effect": effects(mmd=0.0)}, "greater than 0"),
        ({"min_parts": 0}, "greater than or equal to 1"),
        ({"min_share": 1.0}, "less than 1"),
        ({"max_snooze_day": 3}, "did you mean 'max_snooze_days'"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(changes, words: str):
    with pytest.raises(BadParams, match=words):
        bound(**changes)
