"""How good a ranking is, query by query, and how often a score puts the better of two first.

Q = queries, K = ranks, best first. hit_QK is True where the item at that rank is relevant; ranks that hold no item are no hits.
"""

import numpy as np

METRICS = ("ndcg_at_5", "p_at_1", "p_at_3")


def ndcg_at(k: int, hit_QK: np.ndarray, num_relevant_Q: np.ndarray) -> np.ndarray:
    """float64 (Q,) in [0, 1], higher is better; NaN where nothing is relevant.

    Gain 1 for a hit, discount log2(rank + 1), over the gain of the best ranking there is: min(k, num_relevant) hits first
    (Järvelin and Kekäläinen 2002).
    """
    discount_K = 1.0 / np.log2(np.arange(2, k + 2))
    shown_QK = hit_QK[:, :k]
    gain_Q = shown_QK @ discount_K[: shown_QK.shape[1]]
    ideal_Q = np.concatenate([[np.nan], np.cumsum(discount_K)])[np.minimum(num_relevant_Q, k)]
    return np.asarray(gain_Q / ideal_Q)


def precision_at(k: int, hit_QK: np.ndarray, num_relevant_Q: np.ndarray) -> np.ndarray:
    """float64 (Q,) in [0, 1], higher is better: hits among the first k ranks over k, also where fewer than k items could be
    relevant; NaN where none is."""
    return np.where(num_relevant_Q > 0, hit_QK[:, :k].sum(axis=1) / k, np.nan)


def all_metrics(hit_QK: np.ndarray, num_relevant_Q: np.ndarray) -> np.ndarray:
    """float64 (Q, 3): a column for each of METRICS."""
    columns = (ndcg_at(5, hit_QK, num_relevant_Q), precision_at(1, hit_QK, num_relevant_Q), precision_at(3, hit_QK, num_relevant_Q))
    return np.stack(columns, axis=1)


def ordered_pair_accuracy(better_P: np.ndarray, worse_P: np.ndarray) -> np.ndarray:
    """float64 (P,): 1 where the better item of a pair scores higher, 0.5 where both score the same, 0 otherwise; NaN where a score is
    missing. Its mean is the OPA in [0, 1], higher is better, 0.5 is chance (arXiv 2408.11349)."""
    value_P = np.where(better_P > worse_P, 1.0, np.where(better_P == worse_P, 0.5, 0.0))
    return np.where(np.isnan(better_P) | np.isnan(worse_P), np.nan, value_P)
