"""What each run of a stage took, a JSON object a line in runs/stages.jsonl: times, memory and the use of the work cache."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_noted: dict[str, Any] = {}

RUNS = Path("runs")
STAGE_LOG = RUNS / "stages.jsonl"


def rows(path: Path = STAGE_LOG) -> list[dict[str, Any]]:
    """The log's rows, oldest first, without those that a kill cut short; none where there is no log."""
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [row for row in map(_row, lines) if row]


def last_cache(stage: str) -> Mapping[str, Any] | None:
    """What the stage's newest row says of the work cache."""
    return next((row["cache"] for row in reversed(rows()) if row.get("stage") == stage and "cache" in row), None)


def note(name: str, value: Any) -> None:
    """Has `value` stand under `name` in the row of the stage that runs in this process, also where it fails."""
    _noted[name] = value


def noted() -> dict[str, Any]:
    """What was noted since the last call."""
    found = dict(_noted)
    _noted.clear()
    return found


def append(row: Mapping[str, Any]) -> None:
    """Adds the row whole or not at all, also where the disk is full."""
    RUNS.mkdir(exist_ok=True)
    size = STAGE_LOG.stat().st_size if STAGE_LOG.exists() else 0
    try:
        with open(STAGE_LOG, "a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
    except OSError as error:
        os.truncate(STAGE_LOG, size)
        error.filename = str(STAGE_LOG)
        raise


def _row(line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except ValueError:
        return {}
    return row if isinstance(row, dict) else {}
