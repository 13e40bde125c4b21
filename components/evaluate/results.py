"""Everything measured, and the verdict that follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.evaluate.config import OWN_ROWS, EvaluateConfig
from components.evaluate.gates import finding, gates_of, promotion, remarks_on
from components.evaluate.score_table import Ordered, ScoreTable, score_json, score_table
from components.evaluate.stable import Stable
from components.evaluate.table import MODEL, Measured, Row, Table, encoder_counts, encoder_table, shares_of


@dataclass(frozen=True)
class Results:
    """Tables as estimates, for the page and the gates, and as JSON, for the report."""

    encoder: Table
    encoder_counts: Mapping[str, Any]
    score: ScoreTable
    score_counts: Mapping[str, Any]
    share_of: Mapping[str, Any]
    stable: Mapping[str, Any]
    promote: bool
    reasons: list[str]

    def encoder_json(self) -> dict[str, Any]:
        """slice -> relevance -> row -> metric -> value, low, high."""
        return {
            name: {
                kind: {row: {metric: e.as_json() for metric, e in metrics.items()} for row, metrics in rows.items()}
                for kind, rows in by_relevance.items()
            }
            for name, by_relevance in self.encoder.items()
        }

    def verdict(self, fingerprint: str) -> dict[str, Any]:
        """What a bundle's manifest says of this model: promote, reasons, and the numbers on all held-out items that matter most."""
        encoder = {kind: {row: m["ndcg_at_5"].as_json() for row, m in rows.items()} for kind, rows in self.encoder["all"].items()}
        score = {against: rows[MODEL].as_json() for against, rows in self.score["all"].items()}
        share_of = {stem: {kind: both["share"] for kind, both in by_slice["all"].items()} for stem, by_slice in self.share_of.items()}
        headline = {"ndcg_at_5": encoder, "image_score_opa": score, "share_of": share_of}
        verdict = {"fingerprint": fingerprint, "promote": self.promote, "reasons": self.reasons, "headline": headline}
        return verdict | {"stable_release": self.stable.get("release")}


def results_of(
    measured: Sequence[Measured],
    sides: Sequence[Ordered],
    rows: Sequence[Row],
    slices: Mapping[str, np.ndarray],
    stable: Stable | None,
    cfg: EvaluateConfig,
) -> Results:
    """The tables of the encoder and of the image score, and what the gates make of them."""
    encoder = encoder_table(measured, slices, num_draws=cfg.num_draws, seed=cfg.seed)
    score = score_table(sides, slices, num_draws=cfg.num_draws, seed=cfg.seed)
    gates = gates_of(cfg.gates, encoder, score, stable=stable is not None)
    promote, reasons = promotion([*(finding(gate, cfg.min_clusters) for gate in gates), *remarks_on(stable, cfg.stable)])
    return Results(
        encoder=encoder,
        encoder_counts=encoder_counts(measured, slices, cfg.min_clusters),
        score=score,
        score_counts=score_json(score, sides, cfg.min_clusters),
        share_of={row.name: shares_of(row.name, measured, slices) for row in rows if row.name not in OWN_ROWS},
        stable=stable.as_json() if stable else {},
        promote=promote,
        reasons=reasons,
    )


def coverage_of(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """How many held-out items each row has a vector for, and their share in [0, 1]."""
    return {
        row.name: {"num_items": int(row.present_N.sum()), "share": float(row.present_N.mean()) if len(row.present_N) else 0.0}
        for row in rows
    }
