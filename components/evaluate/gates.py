"""May this model be released? Gates read lower bounds; what too few clusters stand behind is named and decides nothing."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from components.contract import Config
from components.evaluate.bootstrap import Estimate
from components.evaluate.score_table import ScoreTable
from components.evaluate.stable import Stable, StableConfig
from components.evaluate.table import DIFFERENCE, MODEL, STABLE, Table


class GatesConfig(Config):
    """The encoder must beat each row of `must_beat` by `metric` of `relevance` on `slice`; the image score's OPA must pass `min_opa`.

    Of what the stable release reaches, at most max_loss_to_stable of that metric and max_opa_loss_to_stable of OPA may be lost.
    """

    slice: str
    relevance: Literal["category", "product"]
    metric: Literal["ndcg_at_5", "p_at_1", "p_at_3"]
    must_beat: list[str]
    min_opa: float
    max_loss_to_stable: float = Field(ge=0, le=1)
    max_opa_loss_to_stable: float = Field(ge=0, le=1)


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


def gates_of(cfg: GatesConfig, encoder: Table, score: ScoreTable, *, stable: bool) -> list[Gate]:
    """The gates of the params, with what was measured; those that compare with the stable release only where there is one.

    The image score is held to true quality where it is known, else to the judge.
    """
    rows = encoder.get(cfg.slice, {}).get(cfg.relevance, {})
    sides = score.get(cfg.slice, {})
    against = "truth" if "truth" in sides else "judge"
    metric, opa = f"{cfg.relevance} {cfg.metric} on {cfg.slice}", f"image score OPA against {against} on {cfg.slice}"

    def ahead_of(name: str, above: float) -> Gate:
        return Gate("encoder", f"{metric}, model minus {name}", rows.get(DIFFERENCE + name, {}).get(cfg.metric), above)

    gates = [*(ahead_of(name, 0.0) for name in cfg.must_beat), Gate("image_score", opa, sides.get(against, {}).get(MODEL), cfg.min_opa)]
    if not stable:
        return gates
    opa_gain = sides.get(against, {}).get(DIFFERENCE + STABLE)
    return [
        *gates,
        ahead_of(STABLE, -cfg.max_loss_to_stable),
        Gate("image_score", f"{opa}, model minus {STABLE}", opa_gain, -cfg.max_opa_loss_to_stable),
    ]


def remarks_on(stable: Stable | None, cfg: StableConfig) -> list[Finding]:
    """What a reader must know of the comparison with the stable release. Decides nothing."""
    if stable is None:
        return [Finding(STABLE, "not decided", "not decided: no stable release: only the baselines decide")]
    if not stable.num_unasked:
        return []
    left_out = f"{stable.num_unasked} items that the stable release did not hold out itself are left out of the comparison"
    why = f"its golden photos come back at cosine {stable.golden_cosine:.4f}, below {cfg.min_golden_cosine:g}: preprocessing has changed"
    return [Finding(STABLE, "not decided", f"not decided: {left_out}; {why}")]


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
