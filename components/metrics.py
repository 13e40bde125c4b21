"""How good a ranking is, query by query.

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
