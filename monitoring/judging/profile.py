"""A segment's profile: the means of all its features together, where a shift may be spread over many of them.

T quiet windows before, P parts, F features.
"""

import numpy as np

from monitoring.judging.offs import Deviations, Offs
from monitoring.judging.spread import Spread, medians
from monitoring.judging.steps import PROFILE

OWN = 0.3  # of the correlations' weight stays with each feature alone: T windows tell those of F features only roughly
CUT = 4.0  # spreads, beyond which a window's deviation teaches correlations no more
LEAST_SPREAD = 0.05  # of a size: sizes of quiet windows lie around 1


def profile(offs: Offs, segment: str, at: list[int], least: int, min_parts: int) -> Deviations | None:
    """How far the segment's means stepped together: Mahalanobis' distance of their deviations, each in its own spreads, with shrunk
    correlations, against what that distance was on quiet windows; each of those judged by the others alone. None where fewer than `least`
    windows tell.

    A part lies the same way as far as it does along the direction that tells its window best from quiet ones. A seller's evening moves all
    means a little, so a window lies no farther off than `min_parts` of its parts agree on.
    """
    z_F = offs.off_LK[0, at] / offs.spread_LK[0, at]
    z_TF = offs.off_TLK[:, 0, at] / offs.without_TLK[:, 0, at]
    here_F = np.isfinite(z_F) & (np.isfinite(z_TF).sum(axis=0) >= least)
    known_T = np.isfinite(z_TF[:, here_F]).all(axis=1) & bool(here_F.any())
    if known_T.sum() < least:
        return None
    at, z_F, z_TF = [number for number, here in zip(at, here_F, strict=True) if here], z_F[here_F], z_TF[known_T][:, here_F]
    way_F, way_TF = _ways(_correlations(z_TF)[None], z_F[None])[0], _ways(_correlations_without_each(z_TF), z_TF)
    size_T = np.full(len(known_T), np.nan)
    size_T[known_T] = _sizes(way_TF, z_TF)
    z_T, z = _beyond(size_T, float(_sizes(way_F[None], z_F[None])[0]), least)
    along_TP, along_P = _along(offs, at, way_TF, way_F, known_T, least)
    z_T[known_T] = np.minimum(z_T[known_T], _agreed(along_TP, min_parts))
    z_S = np.minimum([z], _agreed(along_P, min_parts))
    return Deviations(((PROFILE, segment),), *_told(offs, at, least), z_S, z_T[:, None], along_P[:, None])


def _told(offs: Offs, at: list[int], least: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """How long the step is, how long it is usually, and how much that varies; in spreads of single rows."""
    length, length_T = (np.sqrt((off**2).sum(axis=-1)) for off in (offs.off_LK[0, at], offs.off_TLK[:, 0, at]))
    usual = medians(length_T[:, None])
    return np.array([length]), usual, Spread.of(length_T[:, None] - usual, np.full(1, 1e-9), least).whole_S


def _cut(z_TF: np.ndarray) -> np.ndarray:
    return np.asarray(np.clip(z_TF, -CUT, CUT))


def _correlations(z_TF: np.ndarray) -> np.ndarray:
    """(F, F), shrunk to those of features that have nothing to do with each other (Ledoit and Wolf 2004, with a fixed share)."""
    return np.asarray(_shrunk((_cut(z_TF).T @ _cut(z_TF))[None])[0])


def _correlations_without_each(z_TF: np.ndarray) -> np.ndarray:
    """(T, F, F): of all windows but one, for each."""
    cut_TF = _cut(z_TF)
    return _shrunk(cut_TF.T @ cut_TF - cut_TF[:, :, None] * cut_TF[:, None, :])


def _shrunk(products_TFF: np.ndarray) -> np.ndarray:
    scale_TF = np.sqrt(np.maximum(np.einsum("tff->tf", products_TFF), 1e-9))
    correlations_TFF = products_TFF / (scale_TF[:, :, None] * scale_TF[:, None, :])
    return np.asarray((1 - OWN) * correlations_TFF + OWN * np.eye(products_TFF.shape[-1]))


def _ways(correlations_TFF: np.ndarray, z_TF: np.ndarray) -> np.ndarray:
    """(T, F) the direction in which each lies farthest off, for what is usual."""
    return np.asarray(np.linalg.solve(correlations_TFF, z_TF[:, :, None])[:, :, 0])


def _sizes(way_TF: np.ndarray, z_TF: np.ndarray) -> np.ndarray:
    """(T,) Mahalanobis' distances by the root of the number of features: about 1 on quiet windows."""
    return np.asarray(np.sqrt(np.maximum(np.einsum("tf,tf->t", z_TF, way_TF) / z_TF.shape[1], 0.0)))


def _beyond(size_T: np.ndarray, size: float, least: int) -> tuple[np.ndarray, float]:
    """Sizes as spreads beyond the usual one, 0 or more."""
    usual = float(medians(size_T[:, None])[0])
    spread = Spread.of((size_T - usual)[:, None], np.full(1, LEAST_SPREAD), least)
    return np.maximum((size_T - usual) / spread.without_TS[:, 0], 0.0), max((size - usual) / float(spread.whole_S[0]), 0.0)


def _agreed(along_TP: np.ndarray, min_parts: int) -> np.ndarray:
    """(T,) what as many parts agree on, 0 or more, in spreads of the whole: where all of P parts lie off alike, the whole lies off by the
    root of P times as many of its spreads. No limit where there are no such parts at all."""
    num_parts = along_TP.shape[-1]
    if num_parts < min_parts:
        return np.full(along_TP.shape[:-1], np.inf)
    agreed = np.sort(np.nan_to_num(along_TP, nan=0.0), axis=-1)[..., -min_parts]
    return np.asarray(np.maximum(agreed, 0.0) * np.sqrt(num_parts))


def _along(
    offs: Offs, at: list[int], way_TF: np.ndarray, way_F: np.ndarray, known_T: np.ndarray, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """(T, P) and (P,): how far the parts of the known windows, and of the judged one, lie off along their window's way, in the spreads that
    this part of other windows has along it. Features that a part lacks say nothing."""
    off_TPF, off_PF = offs.off_TLK[:, 1:, at] / offs.spread_LK[1:, at], offs.off_LK[1:, at] / offs.spread_LK[1:, at]
    there_TP, there_P = np.isfinite(off_TPF).any(axis=-1), np.isfinite(off_PF).any(axis=-1)
    ways_FW = np.vstack([way_TF, way_F]).T
    along_TPW = np.where(there_TP[:, :, None], np.nan_to_num(off_TPF) @ ways_FW, np.nan)
    flat = along_TPW.reshape(len(along_TPW), -1)
    spread_PW = Spread.of(flat, np.full(flat.shape[1], 1e-9), least).whole_S.reshape(along_TPW.shape[1:])
    own_TP = np.einsum("tpt->tp", along_TPW[known_T][:, :, :-1]) / spread_PW[:, :-1].T
    return own_TP, np.where(there_P, (np.nan_to_num(off_PF) @ way_F) / spread_PW[:, -1], np.nan)
