"""What must hold for vectors and scores before an index is built of them: the gates of each suite, with their limits."""

import great_expectations.expectations as gxe

from components.expectations.gate import Gate, between, mean_between, one_of
from components.validate_vectors.advice import ADVICE
from components.validate_vectors.config import ValidateVectorsConfig


def items_gates(cfg: ValidateVectorsConfig, fingerprint: str, num_items: int) -> list[Gate]:
    """Over one row an embedded item. Spread and shares decide nothing below min_items."""
    few = f"{num_items} items, validate_vectors.min_items is {cfg.min_items}" if num_items < cfg.min_items else ""
    low, high = round(1 - cfg.max_norm_error, 9), round(1 + cfg.max_norm_error, 9)
    broken = ADVICE["broken-vectors"]
    return [
        Gate("listed", one_of("listed", [True]), "share of vectors whose item is no listing", ADVICE["vector-coverage"]),
        Gate(
            "own_picture",
            one_of("own_picture", [True]),
            "share of vectors of another picture than the listing's",
            ADVICE["vector-coverage"],
        ),
        Gate(
            "fingerprint",
            one_of("fingerprint", [fingerprint]),
            "share of vectors of another model than the exported one",
            ADVICE["foreign-vectors"],
        ),
        Gate("finite", one_of("finite", [True]), "share of vectors with a value that is not finite", broken),
        Gate("unit_length", between("norm", low, high), f"share of vectors whose length is not 1 within {cfg.max_norm_error:g}", broken),
        Gate("score", between("image_score", 0, 1), "share of image scores outside 0 to 1", broken),
        Gate(
            "identical_share",
            gxe.ExpectColumnMaxToBeBetween(column="identical_share", max_value=cfg.max_identical_share),
            "largest share of items with one vector though their pictures differ",
            ADVICE["identical-vectors"],
            few,
        ),
        Gate(
            "score_spread",
            gxe.ExpectColumnStdevToBeBetween(column="image_score", min_value=cfg.min_score_spread),
            "standard deviation of the image scores",
            ADVICE["flat-scores"],
            few,
        ),
    ]


def coverage_gates() -> list[Gate]:
    """Over one row a listing."""
    return [Gate("one_vector", between("num_vectors", 1, 1), "share of listings without exactly one vector", ADVICE["vector-coverage"])]


def pairs_gates(cfg: ValidateVectorsConfig, num_items: int) -> list[Gate]:
    """Over one row a random pair of items with different pictures."""
    few = f"{num_items} items, validate_vectors.min_items is {cfg.min_items}" if num_items < cfg.min_items else ""
    return [
        Gate(
            "mean_cosine",
            mean_between("cosine", None, cfg.max_mean_cosine),
            "mean cosine of random pairs of different pictures",
            ADVICE["collapsed-vectors"],
            few,
        )
    ]
