"""Every alarm of drift has its section in the runbook, and every section its alarm; every link leads to one."""

import re

import pytest
import yaml

from components.contract import read_params
from monitoring import runbook
from monitoring.judged import CauseName
from tests.conftest import PROJECT

TEXT = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
FIRST = "Drift alarms"


def sections():
    """Drift's sections with their text, by title; the first is about all of them."""
    titles = [part.split("\n", 1) for part in TEXT.split("\n## ")[1:]]
    names = [title for title, _ in titles]
    return dict(titles[names.index(FIRST) :])


def test_every_alarm_has_its_section_and_every_section_its_alarm():
    alarms = [*map(runbook.title_of, CauseName), *runbook.ALERTS.values()]
    assert sorted(sections()) == sorted([FIRST, *alarms])


@pytest.mark.parametrize("title", [*map(runbook.title_of, CauseName), *runbook.ALERTS.values()])
def test_a_section_says_where_to_look_first(title):
    words = sections()[title].split()
    assert "first look" in " ".join(words).lower()
    assert len(words) > 40


def test_alerts_and_sections_name_one_another():
    rules = yaml.safe_load((PROJECT / "monitoring/rules/drift.yml").read_text())
    alerts = {rule["alert"]: rule for group in rules["groups"] for rule in group["rules"]}
    assert set(alerts) == {runbook.DRIFT, runbook.BROKEN, *runbook.ALERTS}
    for alert, title in runbook.ALERTS.items():
        assert alerts[alert]["annotations"]["runbook_url"].endswith(f"#{runbook.anchor_of(title)}")
        assert f"`{alert}`" in sections()[title]
    assert alerts[runbook.BROKEN]["annotations"]["runbook_url"].endswith("#broken-input")


def test_a_causes_link_leads_to_its_section():
    anchors = set(re.findall(r"^## (.+)$", TEXT, re.MULTILINE))
    for cause in CauseName:
        assert runbook.link(runbook.HERE, cause) == f"docs/runbook.md#{cause.value.replace('_', '-')}"
        assert runbook.title_of(cause) in anchors


def test_the_runbook_names_only_knobs_that_there_are():
    params = read_params(PROJECT / "params.yaml")
    named = set(re.findall(r"`((?:monitor|serve)\.[a-z_.]+)`", TEXT[TEXT.index(f"## {FIRST}") :]))
    assert len(named) > 5
    for knob in named:
        here = params
        for key in knob.split("."):
            assert key in here, knob
            here = here[key]


def test_it_names_only_commands_that_there_are():
    from flows.drift_cli import drift

    verbs = {command.name for command in drift.registered_commands}
    named = set(re.findall(r"\bvitrine drift ([a-z-]+)", TEXT + (PROJECT / "docs" / "drift.md").read_text(encoding="utf-8")))
    assert named <= verbs
    assert {"check", "history", "snooze", "accept", "test-fire", "rehearse", "serve"} <= named
