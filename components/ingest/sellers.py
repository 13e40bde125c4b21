"""Who sells in the simulated market, and how much goes wrong in their photos."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from components.ingest.drawing.backdrops import BACKDROPS
from components.ingest.drawing.defects import DEFECTS, Defect
from components.ingest.drawing.kinds import KINDS

MAX_DEFECTS = 4
NUM_KINDS = 6
_SELLER = 2


@dataclass(frozen=True)
class Seller:
    """A seller's habits. `care` in [0, 1]: the careful spoil fewer photos. Sellers of one circle offer the same products."""

    seller_id: str
    circle: int
    care: float
    backdrops: tuple[str, ...]
    japanese: bool
    kinds: tuple[str, ...]


@lru_cache(maxsize=4096)
def seller_of(number: int, seed: int, sellers_per_circle: int, japanese_share: float) -> Seller:
    """Seller `number`, from 0; circles are consecutive numbers."""
    rng = np.random.default_rng([seed, _SELLER, number])
    return Seller(
        seller_id=f"s-{number:04d}",
        circle=number // sellers_per_circle,
        care=float(rng.beta(1.3, 1.1)),
        backdrops=tuple(BACKDROPS[int(n)] for n in rng.choice(len(BACKDROPS), size=2, replace=False)),
        japanese=bool(rng.random() < japanese_share),
        kinds=tuple(list(KINDS)[int(n)] for n in rng.choice(len(KINDS), size=NUM_KINDS, replace=False)),
    )


def new_defects(care: float, rng: np.random.Generator) -> tuple[Defect, ...]:
    """The defects of one photo, 0 to MAX_DEFECTS of them: about 2.3 from a seller without care, 0.3 from a perfect one."""
    count = min(MAX_DEFECTS, int(rng.poisson(0.3 + 2.1 * (1 - care))))
    names = sorted(int(n) for n in rng.choice(len(DEFECTS), size=count, replace=False))
    return tuple((DEFECTS[n], round(float(rng.uniform(0.15, 1.0)), 4)) for n in names)
