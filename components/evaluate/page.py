"""reports/evaluate.html: verdict, tables, curves and pictures in one file that needs nothing else."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.evaluate.bootstrap import Estimate
from components.evaluate.plots import histogram, interval_bar, line_chart
from components.evaluate.results import Results
from components.evaluate.strips import Photo, Strip
from components.evaluate.table import DIFFERENCE, MODEL

SCORE_BINS = 25
X_COLUMN = "epoch"


@dataclass(frozen=True)
class Story:
    """Everything the page tells."""

    results: Results
    fingerprint: str
    facts: Mapping[str, str]
    scores: Sequence[float]
    curves: Mapping[str, Path]
    good: Sequence[Strip]
    bad: Sequence[Strip]
    highest: Sequence[Photo]
    lowest: Sequence[Photo]
    thumbnails: Mapping[str, str]


def write_page(path: Path, story: Story) -> None:
    """Writes the page; equal stories give equal bytes."""
    here = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here.filters.update(estimate=shown, bar=bar, plain=_plain)
    charts = {name: curves(file) for name, file in story.curves.items()}
    score_chart = histogram("served image score, held-out photos", story.scores, SCORE_BINS, "image score")
    text = here.get_template("page.html.j2").render(story=story, charts=charts, score_chart=score_chart, DIFFERENCE=DIFFERENCE)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def shown(estimate: Estimate | None) -> Markup:
    """0.533 [0.496, 0.566], or a dash."""
    if estimate is None:
        return Markup("&ndash;")
    return Markup('<b>{:.3f}</b> <span class="ci">[{:.3f}, {:.3f}]</span>').format(estimate.value, estimate.low, estimate.high)


def bar(estimate: Estimate | None, row: str, chance: float = 0.0) -> Markup:
    """The estimate drawn: levels on 0 to 1, differences around 0, green or red where the interval leaves 0 out."""
    if estimate is None:
        return Markup("")
    if not row.startswith(DIFFERENCE):
        return interval_bar(estimate, 0.0, 1.0, chance, "ours" if row == MODEL else "other")
    side = "above" if estimate.low > 0 else "below" if estimate.high < 0 else "same"
    return interval_bar(estimate, -1.0, 1.0, 0.0, side)


def curves(file: Path) -> list[Markup]:
    """A chart over `epoch` for each other numeric column of a training curve, apart for each value of a text column.

    A file without rows gives none.
    """
    with open(file, newline="", encoding="utf-8") as handle:
        rows = list(csv.DictReader(handle))
    numeric = [name for name in (rows[0] if rows else ()) if np.isfinite(_numbers(rows, name)).any()]
    runs: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        runs.setdefault(" ".join(value for name, value in row.items() if name not in numeric and value), []).append(row)
    charts = (
        line_chart(f"{run} {name}".strip(), _numbers(part, X_COLUMN), _numbers(part, name), X_COLUMN)
        for run, part in runs.items()
        for name in numeric
        if name != X_COLUMN
    )
    return [chart for chart in charts if chart]


def _numbers(rows: Sequence[Mapping[str, str]], name: str) -> list[float]:
    return [_number(row.get(name)) for row in rows]


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _plain(name: str) -> str:
    return name.replace(DIFFERENCE, "model − ").replace("_", " ").replace("ndcg at 5", "nDCG@5").replace("p at ", "P@")
