"""Which cause alarms speak for: a table read from top to bottom. The first signature that fits takes the alarms that follow from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from monitoring.judged import Blame, Cause, CauseName, Finding
from monitoring.judging.blame import by_means, by_shares
from monitoring.judging.offs import Offs
from monitoring.judging.past import dimension_of
from monitoring.measured import Family
from monitoring.window import ALL

UP, DOWN = 1, -1
CLIENT = ("platform", "app_version")
MEANS, SHARES, NOBODY = "means", "shares", "nobody"

PROBED = frozenset({"golden", "anchors", "findable", "self_retrieval", "neighbour_churn"})


@dataclass(frozen=True)
class Sign:
    """An alarm that speaks for a cause: of any of these detectors, on segments of any of these dimensions (`all` is one; none: any), and
    to that side of its forecast (0: either)."""

    detectors: tuple[str, ...]
    dimensions: tuple[str, ...] = ()
    side: int = 0

    def fits(self, finding: Finding) -> bool:
        """Whether the finding is such an alarm."""
        off = finding.measured.value - finding.expected
        return (
            finding.measured.detector in self.detectors
            and (not self.dimensions or dimension_of(finding.measured.segment) in self.dimensions)
            and off * self.side >= 0
        )


@dataclass(frozen=True)
class Signature:
    """A cause is named where every sign has an alarm, and, with `first_in`, the segment that explains most of the steps of the means is of
    those dimensions. It takes every alarm left, or only those of `takes`. `blames` says how its segments are ranked; `dimensions` are
    those whose shares are looked at."""

    cause: CauseName
    signs: tuple[Sign, ...]
    blames: str
    first_in: tuple[str, ...] = ()
    takes: frozenset[str] | None = None
    dimensions: tuple[str, ...] = ()


_SIZE = ("mean_size", "mean_aspect", "size", "aspect")
_LIGHT = ("mean_brightness", "brightness")
_PHOTO = (*_SIZE, *_LIGHT, "mean_sharpness", "sharpness", "mean_text_share", "text_share")
_PLACES = ("mean_missed", "domain_auc", "mmd", "centroid", "reconstruction")
_SPACE = ("profile", *_PLACES)  # a profile holds scores too, and alone says nothing of where vectors lie
_SCORES = ("mean_image_score", "score_psi", "score_ks", "score_wasserstein")
_SELLERS = ("newcomer_seller", "largest_seller")

SIGNATURES = (
    Signature(CauseName.MODEL_CHANGED, (Sign(("golden",)),), NOBODY),
    Signature(CauseName.CALIBRATOR, (Sign(("anchors",)),), NOBODY),
    Signature(CauseName.STALE_INDEX, (Sign(("findable", "self_retrieval", "neighbour_churn"), side=UP),), NOBODY, takes=PROBED),
    Signature(CauseName.SELLER_FLOOD, (Sign(_SELLERS, (ALL,), UP),), SHARES, dimensions=("seller_size",)),
    Signature(CauseName.SELLER_FLOOD, (Sign(("segment_share",), ("seller_size",), UP),), SHARES, dimensions=("seller_size",)),
    Signature(CauseName.TITLE_LANGUAGE, (Sign(("segment_share",), ("title_language",), UP),), SHARES, dimensions=("title_language",)),
    Signature(CauseName.CATEGORY_MIX, (Sign(("segment_share",), ("category",), UP),), SHARES, dimensions=("category",)),
    Signature(CauseName.CLIENT_MIX, (Sign(("segment_share",), CLIENT),), SHARES, dimensions=CLIENT),
    Signature(CauseName.MISSING_FIELDS, (Sign(("missing_fields",), side=UP),), MEANS, takes=frozenset({"missing_fields"})),
    Signature(CauseName.RESIZE_BUG, (Sign(_SIZE),), MEANS, first_in=CLIENT),
    Signature(CauseName.DARKER_PHOTOS, (Sign(("mean_brightness",), side=DOWN),), MEANS, first_in=CLIENT),
    Signature(CauseName.INPUT_SHIFT, (Sign(_PHOTO),), MEANS, first_in=CLIENT),
    Signature(CauseName.AI_PHOTOS, (Sign((*_SPACE, *_PHOTO)), Sign(("mean_image_score",), side=UP)), MEANS, first_in=("quality",)),
    Signature(CauseName.NEW_KIND, (Sign((*_SPACE, *_PHOTO)),), MEANS, first_in=("category",)),
    Signature(CauseName.EMBEDDING_SHIFT, (Sign(_PLACES),), MEANS),
    Signature(CauseName.SCORE_SHIFT, (Sign(_SCORES),), MEANS),
    Signature(CauseName.CLICK_GAP, (Sign(("click_gap",)),), NOBODY),
)
OF_FAMILY = {
    Family.EMBEDDING: CauseName.EMBEDDING_SHIFT,
    Family.SCORE: CauseName.SCORE_SHIFT,
    Family.LABELS: CauseName.CLICK_GAP,
    Family.INPUTS: CauseName.INPUT_SHIFT,
    Family.HEALTH: CauseName.MODEL_CHANGED,
}


def causes_of(alarms: Sequence[Finding], offs: Offs, rows: Mapping[str, float], min_share: float) -> tuple[Cause, ...]:
    """The causes of the alarms, which lie in order of surprise; the first cause takes the most specific. Every alarm is of one cause."""
    found: list[Cause] = []
    left, means = list(alarms), by_means(offs, rows, min_share)
    for signature in SIGNATURES:
        if not left or not _speaks(signature, left, means):
            continue
        taken = [one for one in left if signature.takes is None or one.measured.detector in signature.takes]
        left = [one for one in left if one not in taken]
        found.append(Cause(signature.cause, tuple(taken), _blamed(signature, means, offs)))
    if left:
        found.append(Cause(OF_FAMILY[left[0].measured.family], tuple(left), means))
    return tuple(found)


def _speaks(signature: Signature, alarms: Sequence[Finding], means: tuple[Blame, ...]) -> bool:
    if signature.first_in and (not means or dimension_of(means[0].segment) not in signature.first_in):
        return False
    return all(any(sign.fits(alarm) for alarm in alarms) for sign in signature.signs)


def _blamed(signature: Signature, means: tuple[Blame, ...], offs: Offs) -> tuple[Blame, ...]:
    if signature.blames == NOBODY:
        return ()
    return means if signature.blames == MEANS else by_shares(offs, signature.dimensions)
