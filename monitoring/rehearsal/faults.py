"""The injected faults: what each does to a day's rows, how large it is, and the truth about it.

A fault leaves every row that it does not touch as it is in the same day without it. R rows of a day.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from components.calibrator import Calibrator
from components.errors import BadParams
from components.ingest.market import APP_VERSIONS
from components.ingest.shoppers import PLATFORMS
from monitoring.buckets import QUALITIES, SELLER_SIZES, quality_of
from monitoring.rehearsal.config import FaultsConfig
from monitoring.rehearsal.pool import AI, DARKER, FLOOD, NEW, RESIZED, Pool
from monitoring.rehearsal.quiet import Drawn

# The scale of a release that was taught otherwise: it puts most photos a tenth higher, and orders them alike.
OTHER_CALIBRATOR = Calibrator([0.0, 0.2, 0.4, 0.6, 0.8, 1.0], [0.0, 0.32, 0.53, 0.71, 0.87, 1.0])
_CHOICE = 5

Spoil = Callable[[Drawn, np.random.Generator], Drawn]


@dataclass(frozen=True)
class Fault:
    """A fault and the truth about it: the segment that holds the faulty rows, None where all rows are or no row is; and its cause.

    `calibrator` is the scale that answers are on from then on; with `stale`, the index stays as it stood when the fault began.
    """

    name: str
    cause: str
    segment: str | None
    about: str
    spoil: Spoil
    calibrator: Calibrator | None = None
    stale: bool = False


def fault_of(name: str, pool: Pool, seed: int, cfg: FaultsConfig) -> Fault:
    """The fault of that name; the seed chooses which version, category or seller it befalls. Raises BadParams for an unknown name."""
    if name not in FAULTS:
        raise BadParams(f"no fault is called {name!r}; there are: {', '.join(FAULTS)}")
    return FAULTS[name](pool, cfg, np.random.default_rng([seed, _CHOICE]))


def unspoilt(drawn: Drawn, rng: np.random.Generator) -> Drawn:
    """The rows as they are."""
    return drawn


def _darker_photos(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    version, dark = int(rng.integers(len(APP_VERSIONS))), pool.instead(DARKER)

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        return _replaced(drawn, _some(drawn.version == version, cfg.darker, rng), dark)

    name = APP_VERSIONS[version]
    return Fault("darker_photos", "darker_photos", f"app_version={name}", f"photos sent by {name} of the app are half a stop darker", spoil)


def _mix_shift(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    root = _root(pool, rng)

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        inside = drawn.listed & (pool.root[drawn.card] == root)
        if not inside.any():
            return drawn
        count = min(round(cfg.mix * len(drawn)), int((drawn.listed & ~inside).sum()))
        rows = rng.choice(np.flatnonzero(drawn.listed & ~inside), count, replace=False)
        return _with_cards(drawn, rows, drawn.card[rng.choice(np.flatnonzero(inside), count)])

    return Fault("mix_shift", "category_mix", f"category={root}", f"{root} has {cfg.mix:.0%} of all rows more than on other days", spoil)


def _root(pool: Pool, rng: np.random.Generator) -> str:
    """A root category, none of which is most of the shop."""
    names, counts = np.unique(pool.root[: pool.num_quiet], return_counts=True)
    fit = names[counts <= max(counts.min(), pool.num_quiet // 2)]
    return str(fit[int(rng.integers(len(fit)))])


def _new_kind(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    kinds = pool.named(NEW)
    name = list(kinds)[int(rng.integers(len(kinds)))]
    cards = kinds[name]
    root = str(pool.root[cards[0]])

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        rows = np.flatnonzero(_some(drawn.listed & (pool.root[drawn.card] == root), cfg.new_kind, rng))
        return _with_cards(drawn, rows, cards[rng.integers(len(cards), size=len(rows))])

    return Fault("new_kind", "new_kind", f"category={root}", f"{cfg.new_kind:.0%} of {root} is a kind never seen before: {name}", spoil)


def _seller_flood(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    floods = list(pool.named(FLOOD).values())
    cards = floods[int(rng.integers(len(floods)))]

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        rows = np.flatnonzero(_some(drawn.listed, cfg.flood, rng))
        return _with_cards(drawn, rows, cards[rng.integers(len(cards), size=len(rows))])

    about = f"one new seller lists one thing {len(cards)} times and has {cfg.flood:.0%} of all rows"
    return Fault("seller_flood", "seller_flood", f"seller_size={SELLER_SIZES[0]}", about, spoil)


def _ai_photos(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    made = pool.instead(AI)
    quarter = np.bincount(
        quality_of(pool.number_of("image_score")[made], pool.quality_edges)
    ).argmax()  # the best, where the release is fooled

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        return _replaced(drawn, _some(drawn.listed, cfg.ai, rng), made)

    about = f"{cfg.ai:.0%} of the listings show pictures that an image generator made"
    return Fault("ai_photos", "ai_photos", f"quality={QUALITIES[quarter]}", about, spoil)


def _resize_bug(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    name, small = ("ios", "android")[int(rng.integers(2))], pool.instead(RESIZED)

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        return _replaced(drawn, _some(drawn.platform == PLATFORMS.index(name), cfg.resized, rng), small)

    return Fault("resize_bug", "resize_bug", f"platform={name}", f"the uploader on {name} sends its thumbnail for the photo", spoil)


def _calibrator_swap(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        return dataclasses.replace(drawn, faulty=np.ones(len(drawn), bool))

    return Fault("calibrator_swap", "calibrator", None, "scores are on another release's scale", spoil, calibrator=OTHER_CALIBRATOR)


def _title_language(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    broken = (pool.language == "ja") & (rng.random(len(pool.language)) < cfg.titles)

    def spoil(drawn: Drawn, rng: np.random.Generator) -> Drawn:
        hit = drawn.listed & broken[drawn.card]
        return dataclasses.replace(drawn, odd_title=drawn.odd_title | hit, faulty=drawn.faulty | hit)

    about = f"{cfg.titles:.0%} of the Japanese titles arrive as question marks"
    return Fault("title_language", "title_language", "title_language=und", about, spoil)


def _stale_index(pool: Pool, cfg: FaultsConfig, rng: np.random.Generator) -> Fault:
    return Fault("stale_index", "stale_index", None, "the index stays as it stood the day before", unspoilt, stale=True)


FAULTS: Mapping[str, Callable[[Pool, FaultsConfig, np.random.Generator], Fault]] = {
    "darker_photos": _darker_photos,
    "mix_shift": _mix_shift,
    "new_kind": _new_kind,
    "seller_flood": _seller_flood,
    "ai_photos": _ai_photos,
    "resize_bug": _resize_bug,
    "calibrator_swap": _calibrator_swap,
    "title_language": _title_language,
    "stale_index": _stale_index,
}


def _some(candidates: np.ndarray, share: float, rng: np.random.Generator) -> np.ndarray:
    """(R,) which rows are hit: that share of the candidates, each by its own luck."""
    return np.asarray(candidates & (rng.random(len(candidates)) < share))


def _replaced(drawn: Drawn, hit: np.ndarray, instead: np.ndarray) -> Drawn:
    """The hit rows show the card that stands in for theirs."""
    rows = np.flatnonzero(hit)
    return _with_cards(drawn, rows, instead[drawn.card[rows]])


def _with_cards(drawn: Drawn, rows: np.ndarray, cards: np.ndarray) -> Drawn:
    card, faulty = drawn.card.copy(), drawn.faulty.copy()
    card[rows], faulty[rows] = cards, True
    return dataclasses.replace(drawn, card=card, faulty=faulty)
