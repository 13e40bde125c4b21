"""Every detector by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from monitoring.detectors import embedding, health, inputs, scores
from monitoring.detectors.pair import Found, Pair, percent
from monitoring.measured import Family
from monitoring.window import DIMENSIONS

VECTORS, EXTRAS = "vectors", "extras"


@dataclass(frozen=True)
class Detector:
    """`find` is pure: None where there is nothing to compare. `needs` are columns of the rows, `vectors`, or fields of the extras.

    A detector that is not `per_segment` looks at the whole window alone. A part with fewer than `min_rows` rows is not measured, nor one
    with fewer than monitor.detectors.min_rows; with 0, the detector counts for itself what it needs.
    """

    name: str
    family: Family
    needs: tuple[str, ...]
    per_segment: bool
    min_rows: int
    find: Callable[[Pair], Found | None]


def _number(name: str, column: str, needs: tuple[str, ...], least_spread: float, words: str, show: inputs.Show) -> Detector:
    find = partial(inputs.moved_number, column=column, least_spread=least_spread, name=words, show=show)
    return Detector(name, Family.INPUTS, needs, True, 20, find)


def _mix(name: str, column: str) -> Detector:
    return Detector(name, Family.INPUTS, (column,), True, 20, partial(inputs.mix, column=column))


def _of_extras(name: str, family: Family, needs: tuple[str, ...], find: Callable[[Pair], Found | None]) -> Detector:
    return Detector(name, family, needs, False, 0, find)


def _two(value: float) -> str:
    return f"{value:.2f}"


_ALL = (
    Detector("domain_auc", Family.EMBEDDING, (VECTORS, "item_id"), True, 30, embedding.classifier),
    Detector("mmd", Family.EMBEDDING, (VECTORS, "seller_id"), True, 30, embedding.kernel),
    Detector("centroid", Family.EMBEDDING, (VECTORS,), True, 20, embedding.centroid),
    Detector("reconstruction", Family.EMBEDDING, (VECTORS,), True, 20, embedding.reconstruction),
    _of_extras("neighbour_churn", Family.EMBEDDING, ("probe_neighbours",), embedding.churn),
    Detector("score_psi", Family.SCORE, ("image_score",), True, 30, scores.score_psi),
    Detector("score_ks", Family.SCORE, ("image_score",), True, 20, scores.score_ks),
    Detector("score_wasserstein", Family.SCORE, ("image_score",), True, 20, scores.score_wasserstein),
    _of_extras("anchors", Family.SCORE, ("anchor_scores", "anchor_targets"), scores.anchors),
    _of_extras("click_gap", Family.LABELS, ("clicked_scores", "skipped_scores"), scores.click_gap),
    _number("size", "size", ("width", "height"), 0.1, "picture", lambda log2_side: f"{2**log2_side:.0f} px"),
    _number("aspect", "aspect", ("width", "height"), 0.05, "width over height", lambda log2_ratio: _two(2**log2_ratio)),
    _number("brightness", "brightness", ("brightness",), 0.02, "brightness", _two),
    _number("sharpness", "sharpness", ("sharpness",), 0.05, "sharpness", _two),
    _number("text_share", "text_share", ("text_share",), 0.005, "lettering", percent),
    Detector("missing_fields", Family.INPUTS, ("missing_share",), True, 20, inputs.missing),
    _mix("title_language_mix", "title_language"),
    _mix("category_mix", "category"),
    _mix("platform_mix", "platform"),
    _mix("app_version_mix", "app_version"),
    Detector("segment_share", Family.INPUTS, DIMENSIONS, True, 0, inputs.share),
    Detector("newcomer_seller", Family.INPUTS, ("seller_id",), True, 20, inputs.newcomer),
    Detector("largest_seller", Family.INPUTS, ("seller_id",), True, 20, inputs.concentration),
    _of_extras("golden", Family.HEALTH, ("golden_cosine",), health.golden),
    _of_extras("self_retrieval", Family.HEALTH, ("num_augmented", "num_self_retrieved"), health.self_retrieval),
    _of_extras("findable", Family.HEALTH, ("num_upserts", "num_findable"), health.findable),
)

DETECTORS = {detector.name: detector for detector in _ALL}
