"""One linear map from the trunk's width to the served width, for both towers."""

import numpy as np


def fit_projection(vectors_ND: np.ndarray, dim: int) -> np.ndarray:
    """float32 (D, K): the K directions that keep most of the vectors' length, strongest first; K = min(dim, D).

    Principal components without centring, so that inner products between the towers are kept too; the sign of each is fixed, so that
    equal vectors give equal bytes.
    """
    second_DD = vectors_ND.astype(np.float64).T @ vectors_ND.astype(np.float64)
    values, directions = np.linalg.eigh(second_DD)
    chosen = directions[:, np.argsort(-values, kind="stable")[: min(dim, vectors_ND.shape[1])]]
    signs = np.sign(chosen[np.abs(chosen).argmax(axis=0), np.arange(chosen.shape[1])])
    projection: np.ndarray = (chosen * signs).astype(np.float32)
    return projection


def kept_share(vectors_ND: np.ndarray, projection_DK: np.ndarray) -> float:
    """Share of the vectors' squared length that the projection keeps, in [0, 1]."""
    if not len(vectors_ND):
        return 1.0
    return float(np.square(vectors_ND @ projection_DK).sum() / np.square(vectors_ND).sum())
