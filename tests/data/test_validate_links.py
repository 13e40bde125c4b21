"""What a failed gate says of itself leads somewhere: every link to the runbook is a section of it, every section of a gate is linked."""

import re

from components.validate.advice import ADVICE
from components.validate_training.advice import ADVICE as TRAINING_ADVICE
from components.validate_vectors.advice import ADVICE as VECTORS_ADVICE
from tests.conftest import PROJECT

EVERY = [*ADVICE.values(), *TRAINING_ADVICE.values(), *VECTORS_ADVICE.values()]


def sections():
    text = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
    return {re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^## (.+)$", text, re.MULTILINE)}


def test_every_link_of_the_code_and_of_the_runbook_leads_to_a_section():
    files = [*(PROJECT / "components").rglob("*.py"), *(PROJECT / "flows").rglob("*.py"), PROJECT / "docs" / "runbook.md"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in files)
    linked = set(re.findall(r"runbook\.md#([a-z0-9-]+)", text)) | set(re.findall(r"\]\(#([a-z0-9-]+)\)", text))
    assert linked >= {"too-few-groups", "no-pairs", "learnt-bands"}
    assert linked | {advice.anchor for advice in EVERY} <= sections()


def test_no_two_gates_share_a_section_by_accident():
    anchors = [advice.anchor for advice in EVERY]
    assert len(anchors) == len(set(anchors))


def test_cause_and_next_step_are_sentences():
    for advice in EVERY:
        assert advice.cause.endswith(".")
        assert advice.next_step.endswith(".")
        assert advice.next_step[0].isupper()


def test_the_runbook_names_only_knobs_that_there_are():
    text = (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8")
    params = (PROJECT / "params.yaml").read_text(encoding="utf-8")
    named = set(re.findall(r"`-?validate(?:_training|_vectors)?(?:\.history)?\.([a-z_]+)`", text))
    assert len(named) > 20
    assert [name for name in sorted(named) if f" {name}:" not in params] == []
