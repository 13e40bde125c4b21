"""May this model be released? Gates read lower bounds; what too few clusters stand behind is named and decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from components.contract import Config
from components.evaluate.bootstrap import Estimate
from components.evaluate.score_table import ScoreTable
from components.evaluate.table import DIFFERENCE, MODEL, Table


class GatesConfig(Config):
    """The encoder must beat each row of `must_beat` by `metric` of `relevance` on `slice`; the image score's OPA must pass `min_opa`."""

    slice: str
    relevance: Literal["category", "product"]
    metric: Literal["ndcg_at_5", "p_at_1", "p_at_3"]
    must_beat: list[str]
    min_opa: float


@dataclass(frozen=True)
class Gate:
    """A bound that an estimate's lower end must lie above. `estimate` is None where nothing could be measured."""

    side: Literal["encoder", "image_score"]
    what: str
    estimate: Estimate | None
    above: float


@dataclass(frozen=True)
class Finding:
    """What a gate found. `reason` starts with its outcome."""

    side: str
    outcome: Literal["passed", "failed", "not decided"]
    reason: str


def gates_of(cfg: GatesConfig, encoder: Table, score: ScoreTable) -> list[Gate]:
    """The gates of the params, with what was measured. The image score is held to true quality where it is known, else to the judge."""
    rows = encoder.get(cfg.slice, {}).get(cfg.relevance, {})
    beaten = [
        Gate(
            "encoder",
            f"{cfg.relevance} {cfg.metric} on {cfg.slice}, model minus {name}",
            rows.get(DIFFERENCE + name, {}).get(cfg.metric),
            0.0,
        )
        for name in cfg.must_beat
    ]
    sides = score.get(cfg.slice, {})
    against = "truth" if "truth" in sides else "judge"
    opa = Gate("image_score", f"image score OPA against {against} on {cfg.slice}", sides.get(against, {}).get(MODEL), cfg.min_opa)
    return [*beaten, opa]


def finding(gate: Gate, min_clusters: int) -> Finding:
    """Passed where the lower bound lies above the gate's, failed where it does not, not decided where too few clusters were seen."""
    e = gate.estimate
    if e is None:
        return Finding(gate.side, "not decided", f"not decided: {gate.what}: nothing to measure it on")
    shown = f"{gate.what}: {e.value:.3f} [{e.low:.3f}, {e.high:.3f}]"
    if e.num_clusters < min_clusters:
        return Finding(gate.side, "not decided", f"not decided: {shown}, {e.num_clusters} clusters of the {min_clusters} it takes")
    if e.low > gate.above:
        return Finding(gate.side, "passed", f"passed: {shown}, lower bound above {gate.above:g} by {e.low - gate.above:.3f}")
    return Finding(gate.side, "failed", f"failed: {shown}, lower bound must lie above {gate.above:g}, short by {gate.above - e.low:.3f}")


def promotion(findings: Sequence[Finding]) -> tuple[bool, list[str]]:
    """Whether the model may be released, and why: no gate failed, and at least one of the encoder's passed."""
    reasons = [f.reason for f in findings]
    if not any(f.side == "encoder" and f.outcome != "not decided" for f in findings):
        reasons.append("failed: no gate of the encoder decided, and a model is never promoted on no evidence")
        return False, reasons
    return all(f.outcome != "failed" for f in findings), reasons
