"""Are users split between the arms as the weight says? Pure.

A wrong split means that an arm loses users (a crash before it is counted, a cache, a bot), and then no metric can be believed.
"""

import math

import numpy as np
import numpy.typing as npt
from scipy.special import betaln

from components.release.ratio import Floats


def evidence(stable: npt.ArrayLike, canary: npt.ArrayLike, canary_share: float, ratio_users: float) -> Floats:
    """log10 of the odds that the split is another than `canary_share`, from users of each arm; 0 without any.

    A Bayes factor of a Beta around that share, worth `ratio_users` users, against the share itself (Lindon and Malek 2022). While the share
    is right, the chance that it ever reaches 1 / p, at any look, is at most p.
    """
    s, c = np.asarray(stable, dtype=np.float64), np.asarray(canary, dtype=np.float64)
    a, b = ratio_users * canary_share, ratio_users * (1 - canary_share)
    log_odds = betaln(a + c, b + s) - betaln(a, b) - c * math.log(canary_share) - s * math.log1p(-canary_share)
    return np.asarray(log_odds / math.log(10))


def limit(budget: float) -> float:
    """What the evidence has to reach for a mismatch."""
    return -math.log10(budget)
