"""The codes that clients rely on: written down, and each with its status."""

import re
from pathlib import Path

import pytest

from components.ingest.reasons import PICTURE
from components.serve.problems import KINDS, Refused, body_of

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_page_lists_every_code_with_its_status():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|", (DOCS / "serving.md").read_text(encoding="utf-8"), re.M)
    assert dict(rows) == {code: str(kind.status) for code, kind in KINDS.items()}


@pytest.mark.parametrize("reason", sorted(PICTURE))
def test_every_reason_of_a_bad_picture_is_a_refusal_of_its_own(reason):
    body = body_of(Refused(reason, "why"), "r-1")
    assert (body["status"], body["code"], body["detail"], body["request_id"]) == (422, reason, "why", "r-1")
    assert body["type"].endswith(reason)
