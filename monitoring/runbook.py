"""The runbook's sections, by alarm: names are held to docs/runbook.md by a test, both ways."""

from monitoring.judged import CauseName

HERE = "docs/runbook.md"  # in the repository, where nobody said where it can be read

# Alerts of monitoring/rules/drift.yml that are not about a cause, and their sections.
ALERTS = {
    "VitrineDriftNotChecked": "Drift is not checked",
    "VitrineDriftCheckIncomplete": "Drift check incomplete",
    "VitrineDriftTooLittleData": "Too little data",
    "VitrineDriftCalibratingTooLong": "Calibrating too long",
}
DRIFT, BROKEN = "VitrineDrift", "VitrineDriftBrokenInput"


def title_of(cause: CauseName) -> str:
    """`Darker photos`; broken_input is `Broken input`."""
    return cause.words[:1].upper() + cause.words[1:]


def anchor_of(title: str) -> str:
    """What a link to the section ends with: too-little-data."""
    return title.lower().replace(" ", "-")


def link(base: str, cause: CauseName) -> str:
    """The cause's section; `base` is where the runbook is, a path or an address."""
    return f"{base}#{anchor_of(title_of(cause))}"
