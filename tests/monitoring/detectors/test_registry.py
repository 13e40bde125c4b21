"""Every detector is registered with what it needs, and the docs say what each sees."""

import dataclasses

import pytest

from components.contract import bind, read_params
from components.errors import BadParams
from monitoring.detectors.config import DetectorsConfig
from monitoring.detectors.registry import DETECTORS, VECTORS
from monitoring.extras import Extras
from monitoring.measured import Family
from monitoring.window import COLUMNS
from tests.conftest import PROJECT
from tests.monitoring.detectors.shop import make_config


def test_detectors_need_what_windows_and_extras_hold():
    known = {VECTORS, *COLUMNS.names, *(field.name for field in dataclasses.fields(Extras))}
    assert {need for detector in DETECTORS.values() for need in detector.needs} <= known


def test_every_family_has_a_detector():
    assert {detector.family for detector in DETECTORS.values()} == set(Family)


def test_the_docs_name_every_detector_and_no_other():
    section = (PROJECT / "docs/drift.md").read_text(encoding="utf-8").split("\n## Detectors\n")[1].split("\n## ")[0]
    named = {line.split("`")[1] for line in section.splitlines() if line.startswith("| `")}
    assert named == set(DETECTORS)


def test_the_params_hold_what_the_detectors_take():
    params = read_params(PROJECT / "params.yaml")
    assert bind(DetectorsConfig, "detectors", params["monitor"]) == make_config()


def test_an_odd_number_of_features_is_refused():
    with pytest.raises(BadParams, match="num_features must be even"):
        bind(DetectorsConfig, "detectors", {"detectors": make_config().model_dump() | {"num_features": 255}})
