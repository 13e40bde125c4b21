"""How numbers, segments, detectors and causes are called on the page."""

import datetime as dt
import math
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.judged import CauseName, Verdict
from monitoring.window import ALL

MAX_CHARS = 300
DECADES = 3
CENTURY_DAYS = 36_500
DETECTORS: Mapping[str, str] = {
    "domain_auc": "photos, as a classifier tells them apart",
    "mmd": "photos, as a distribution",
    "centroid": "photos in the mean",
    "reconstruction": "photos of a kind that is not known",
    "neighbour_churn": "neighbours of the probe items",
    "score_psi": "Image Score, by bins",
    "score_ks": "Image Score, largest gap",
    "score_wasserstein": "Image Score, how far it moved",
    "anchors": "Image Score of the anchor photos",
    "click_gap": "Image Score, clicked against skipped",
    "size": "size of pictures",
    "aspect": "shape of pictures",
    "brightness": "brightness",
    "sharpness": "sharpness",
    "text_share": "lettering on pictures",
    "missing_fields": "missing fields",
    "title_language_mix": "mix of title languages",
    "category_mix": "mix of categories",
    "platform_mix": "mix of platforms",
    "app_version_mix": "mix of app versions",
    "segment_share": "share of all rows",
    "newcomer_seller": "largest seller nobody knew",
    "largest_seller": "largest seller",
    "golden": "golden answers",
    "self_retrieval": "altered copies that find their item",
    "findable": "new items that are found",
    "mean_image_score": "Image Score in the mean, beside recent windows",
    "mean_brightness": "brightness in the mean, beside recent windows",
    "mean_sharpness": "sharpness in the mean, beside recent windows",
    "mean_text_share": "lettering in the mean, beside recent windows",
    "mean_size": "size of pictures in the mean, beside recent windows",
    "mean_aspect": "shape of pictures in the mean, beside recent windows",
    "mean_vector": "photos in the mean, beside recent windows",
    "profile": "all means together, beside recent windows",
    "mean_missed": "photos of a kind that is not known, beside recent windows",
}


@dataclass(frozen=True)
class Look:
    """How a verdict is shown: its word, its CSS class, and a glyph, so that colour is never all that tells."""

    word: str
    css: str
    glyph: str


LOOKS: Mapping[Verdict, Look] = {
    Verdict.QUIET: Look("quiet", "quiet", "·"),
    Verdict.WATCH: Look("watch", "watch", "!"),
    Verdict.DRIFT: Look("drift", "drift", "▲"),
    Verdict.CALIBRATING: Look("calibrating", "wait", "○"),
    Verdict.TOO_LITTLE: Look("too little data", "wait", "–"),
    Verdict.BROKEN: Look("broken input", "broken", "✕"),
}


@dataclass(frozen=True)
class Advice:
    """What a cause usually is, and the first thing to do about it."""

    means: str
    first: str


ADVICE: Mapping[CauseName, Advice] = {
    CauseName.DARKER_PHOTOS: Advice(
        "Photos have other light than this segment's photos usually have.",
        "Open the photos below. If one version of the app is to blame, ask its team what changed in its camera or upload.",
    ),
    CauseName.RESIZE_BUG: Advice(
        "Pictures are smaller or blurrier than they were, at the same content: an uploader sends another size.",
        "Compare width and height of new uploads from this segment with last week's, and ask the uploader's team for its last change.",
    ),
    CauseName.INPUT_SHIFT: Advice(
        "Something measurable about the pictures moved, and it is none of the known faults.",
        "Look at which numbers moved in the table, then at the photos of this segment.",
    ),
    CauseName.CATEGORY_MIX: Advice(
        "A category has another share of the rows than it ever had. The photos inside it may be as ever.",
        "Ask whether a campaign, an import or a crawler began; if it is meant to stay, plan a new reference.",
    ),
    CauseName.CLIENT_MIX: Advice(
        "Platforms or versions of the app have other shares of the rows.",
        "Ask whether a version was rolled out or a client stopped: a share that fell to nothing is an outage.",
    ),
    CauseName.TITLE_LANGUAGE: Advice(
        "Titles are in another language than before, or in none at all.",
        "Read five new titles of this segment: question marks or boxes say that an encoding broke on the way.",
    ),
    CauseName.MISSING_FIELDS: Advice(
        "Rows lack a field that they used to have.",
        "Find the field in the table, then the form or the join that fills it.",
    ),
    CauseName.SELLER_FLOOD: Advice(
        "One seller has far more of the rows than any seller had.",
        "Open the seller's listings: copies of one photo are spam, a new large shop is good news.",
    ),
    CauseName.NEW_KIND: Advice(
        "Photos show things that the model was not taught on.",
        "Look at the farthest photos below: if they are a new kind of product, label some and retrain.",
    ),
    CauseName.AI_PHOTOS: Advice(
        "Pictures look generated: smooth, rich in colour, and scored higher than shoppers click them.",
        "Look at the photos below for pictures that no camera took, and find who uploads them.",
    ),
    CauseName.EMBEDDING_SHIFT: Advice(
        "Photos lie elsewhere in the vector space, and no input that is measured explains it.",
        "Compare the photos below, now and then, and say in one word what is new.",
    ),
    CauseName.CALIBRATOR: Advice(
        "Image Scores are on another scale: the anchor photos, which never change, are scored otherwise.",
        "Compare the calibrator of the release in service with that of its bundle, and roll back if they differ.",
    ),
    CauseName.SCORE_SHIFT: Advice(
        "Image Scores are distributed otherwise, while the anchor photos are scored as ever.",
        "Look at the histograms and at the photos: better or worse photos are no fault of the model.",
    ),
    CauseName.CLICK_GAP: Advice(
        "The score says less about what people click than it did.",
        "Look for pictures that score high and are not clicked; if there is no reason, retrain on newer clicks.",
    ),
    CauseName.STALE_INDEX: Advice(
        "Items written lately are not found by their own photo: the index stands still.",
        "Look at the index's generation and its last write in the gateway's metrics, then restart its writer.",
    ),
    CauseName.MODEL_CHANGED: Advice(
        "Golden photos get other vectors than the release was published with.",
        "Compare the release in service with the channel record, and roll back to the last one whose golden answers are right.",
    ),
    CauseName.BROKEN_INPUT: Advice(
        "What the gateway logged cannot be judged. Nothing is known about drift in this window.",
        "Read the problems of the input below, mend the log or its way here, then check this window again.",
    ),
}


def detector(name: str) -> str:
    """What the detector looks at, in words."""
    return DETECTORS.get(name, name.replace("_", " "))


def segment(name: str) -> str:
    """`app version 7.1.0`, or `the whole shop`."""
    if name == ALL:
        return "the whole shop"
    dimension, _, value = name.partition("=")
    return f"{dimension.replace('_', ' ')} {value}".strip()


def clip(text: object, limit: int = MAX_CHARS) -> str:
    """One line of at most `limit` characters that can be shown, whatever the text holds."""
    shown = "".join(" " if unicodedata.category(letter).startswith("C") else letter for letter in str(text))
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def sentence(text: str) -> str:
    """As it stands at the top of a page: one line, with a capital where it begins with a plain word, and arrows as arrows."""
    shown = arrows(clip(text))
    return shown[:1].upper() + shown[1:] if shown.split(" ")[0].strip(",;:").isalpha() else shown


def arrows(text: str) -> str:
    """`0.52 → 0.44` for what the detectors write as `0.52 -> 0.44`."""
    return text.replace("->", "→")


def number(value: float | None) -> str:
    """To three digits: 0.0123, 1.23, 12,300; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    if value == 0:
        return "0"
    if abs(value) >= 10**DECADES:
        return f"{float(f'{value:.3g}'):,.0f}"
    return f"{value:#.3g}".rstrip(".") if abs(value) >= 1e-4 else f"{value:.1e}"


def percent(share: float | None) -> str:
    """`12 %`, and `1.2 %` below ten."""
    if share is None or not math.isfinite(share):
        return "–"
    return f"{100 * share:.0f} %" if abs(share) >= 0.0995 else f"{100 * share:.1f} %"


def times(value: float) -> str:
    """How often in a quarter: `0.4`, `2.0`, `12`; a dash where that is no number."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.0f}" if abs(value) >= 9.95 else f"{value:.1f}"


def rarity(once_in_days: float | None) -> str:
    """How often a quiet shop looks like this, as a sentence; empty where that is not known."""
    if once_in_days is None or math.isnan(once_in_days):
        return ""
    if once_in_days < 2:
        return "A quiet shop looks like this on most days."
    if once_in_days >= CENTURY_DAYS:
        return "A quiet shop looks like this less than once in a hundred years."
    return f"A quiet shop looks like this once in {float(f'{once_in_days:.2g}'):,.0f} days."


def moment(at: dt.datetime) -> str:
    """`4 Mar 2026, 08:00 UTC`."""
    return f"{at.day} {at:%b %Y, %H:%M} UTC"


def stretch(start: dt.datetime, end: dt.datetime) -> str:
    """`Wednesday 4 March 2026`, with hours unless it is whole days, `2 March to 8 March 2026` where it is several."""
    last = end - dt.timedelta(microseconds=1)
    if start.time() == end.time() == dt.time():
        if last.date() == start.date():
            return f"{start:%A} {start.day} {start:%B %Y}"
        return f"{start.day} {start:%B} to {last.day} {last:%B %Y}"
    return f"{start:%A} {start.day} {start:%B %Y}, {start:%H:%M} to {end:%H:%M} UTC"
