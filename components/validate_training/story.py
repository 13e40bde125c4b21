"""What reports/validate_training.html tells of splits, pairs and labels."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from markupsafe import Markup

from components.expectations.drawings import bars, histogram
from components.expectations.findings import Finding
from components.expectations.inspection import Tables
from components.expectations.page import Story
from components.expectations.tables import num_rows
from components.shards import shard_paths

ABOUT = "Gates on what both models learn from, before anything is trained. Dots are what was found, thick lines what is allowed."
SCORE_BINS = 25


def story_of(findings: Sequence[Finding], tables: Tables, readable: bool) -> Story:
    """The page's content; where the types are wrong, the gates are all there is."""
    return Story(
        title="Validation of splits, pairs and labels",
        about=ABOUT,
        stage="validate_training",
        facts={name: f"{num_rows(tables[name]):,}" for name in ("listings", "pairs", "labels")},
        findings=findings,
        charts=charts_of(tables) if readable else {},
    )


def charts_of(tables: Tables) -> dict[str, Markup]:
    """Listings and pairs by side, what the judge chose, and the scores it gave."""
    splits, pairs, labels = (pl.scan_parquet(shard_paths(tables[name])) for name in ("splits", "pairs", "labels"))
    charts = {
        "Listings by side": shares_of(splits, "split"),
        "Pairs by side": shares_of(pairs, "split"),
        "What the judge chose": shares_of(labels, "choice"),
    }
    scores = labels.select(pl.concat([pl.col("first_score"), pl.col("second_score")]).drop_nulls()).collect().to_series().to_numpy()
    if len(scores):
        charts[f"The judge's scores, {len(scores):,}"] = histogram(scores.astype(np.float64), SCORE_BINS, low=0.0, high=1.0)
    return {title: chart for title, chart in charts.items() if chart}


def shares_of(rows: pl.LazyFrame, column: str) -> Markup:
    """A bar a value of the column, the commonest first. Empty without rows."""
    counts = sorted(rows.group_by(column).agg(pl.len()).collect().iter_rows(), key=lambda pair: (-pair[1], pair[0]))
    total = sum(count for _, count in counts)
    return bars([(name, count / total, None) for name, count in counts]) if counts else Markup("")
