"""`vitrine drift rehearse` over a finished workspace: what `make demo` ends with."""

import shutil
from pathlib import Path

from tests.conftest import edit_params, run

SMALL = {
    "rehearse": {"num_days": 40, "pool": {"max_items": 140, "num_new": 20, "num_floods": 1, "flood_size": 20, "num_augmented": 40}},
    "rehearsal": {"quiet": {"rows_a_day": 900, "pages_a_day": 60, "num_asked": 40, "bursts_a_day": 0.0}},
}


def test_a_quiet_day_and_a_faulty_day_are_judged_and_drawn_and_nobody_is_told(finished, tmp_path):
    workspace = Path(shutil.copytree(finished, tmp_path / "rehearsed", symlinks=True))
    edit_params(workspace, {"monitor": SMALL})
    said = run(workspace, "vitrine", "drift", "rehearse", "stale_index").stdout
    quiet, faulty = (next(line for line in said.splitlines() if line.startswith(day)) for day in ("2001-02-10", "2001-02-11"))
    assert "drift" in faulty.split("reports/")[0]
    assert "drift" not in quiet.split("reports/")[0]
    assert "2001-02-11: stale index in the whole window" in said
    assert sorted(path.name for path in (workspace / "reports/drift").iterdir()) == ["2001-02-10.html", "2001-02-11.html"]
    assert not (workspace / ".vitrine/drift/metrics").exists(), "Prometheus hears of real windows alone"
    assert not (workspace / ".vitrine/serve/store").exists(), "the gateway's store is not touched"
