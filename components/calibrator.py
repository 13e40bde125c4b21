"""The Image Score's scale, frozen to anchors: photos whose scores are meant to stay, so that 0.8 means the same next month."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from components.errors import BadBundle

CALIBRATOR, ANCHORS = "calibrator.json", "anchors.parquet"
NUM_KNOTS = 33
MIN_SLOPE = 0.02


@dataclass(frozen=True)
class Calibrator:
    """A strictly rising piecewise-linear map of the head's output in [0, 1] to the Image Score in [0, 1]."""

    raw: list[float]
    score: list[float]

    def __post_init__(self) -> None:
        x, y = np.array(self.raw), np.array(self.score)
        if len(x) < 2 or len(x) != len(y) or (np.diff(x) <= 0).any() or (np.diff(y) <= 0).any():
            raise BadBundle("the calibrator's knots must rise strictly in both columns; export the bundle again")

    def __call__(self, raw_N: np.ndarray) -> np.ndarray:
        """float32 (N,) in [0, 1], higher is better; orders photos exactly as raw_N does, up to rounding."""
        return np.interp(raw_N.astype(np.float64), self.raw, self.score).astype(np.float32)

    def write(self, path: Path) -> None:
        """Keeps the knots as JSON, with all their digits."""
        path.write_text(json.dumps({"raw": self.raw, "score": self.score}) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> "Calibrator":
        """The calibrator kept at `path`."""
        knots = json.loads(path.read_text(encoding="utf-8"))
        return cls(knots["raw"], knots["score"])


def identity() -> Calibrator:
    """Leaves scores as they are."""
    return Calibrator([0.0, 1.0], [0.0, 1.0])


def mid_ranks(raw: np.ndarray) -> np.ndarray:
    """float64 (N,) in (0, 1): the targets of anchors that have none yet, their place among themselves."""
    order = np.argsort(np.argsort(raw, kind="stable"), kind="stable")
    return np.asarray((order + 0.5) / max(len(raw), 1))


def fit(raw: np.ndarray, target: np.ndarray) -> Calibrator:
    """The rising map that brings anchors' outputs closest to their targets: isotonic regression (Barlow et al. 1972), read off at
    quantiles and mixed with a straight line so that no two scores become one. `raw` and `target` are (N,), both in [0, 1]."""
    if len(raw) < 2 or np.ptp(raw) == 0:
        return identity()
    from sklearn.isotonic import IsotonicRegression

    curve = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(raw, target)
    inner = np.unique(np.quantile(raw, np.linspace(0, 1, NUM_KNOTS)))
    inner = inner[(inner > 0) & (inner < 1)]
    x = np.concatenate([[0.0], inner, [1.0]])
    y = np.concatenate([[0.0], curve.predict(inner), [1.0]])
    y = (1 - MIN_SLOPE) * np.maximum.accumulate(y) + MIN_SLOPE * np.linspace(0, 1, len(x))
    return Calibrator(_floats(x), _floats(y))


def _floats(values: Sequence[float] | np.ndarray) -> list[float]:
    return [float(v) for v in values]
