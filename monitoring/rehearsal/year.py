"""What a simulated year is made of: when items are listed, what is liked, and how that moves with weekdays, weeks and seasons.

Q quiet cards, S sellers, L kinds, P platforms, V app versions.
"""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from components.ingest.shoppers import PLATFORM_SHARES, PLATFORMS
from monitoring.buckets import NEW_DAYS
from monitoring.rehearsal.config import QuietConfig
from monitoring.rehearsal.pool import Pool

YEAR_DAYS = 365.0
ALWAYS = -365.0
ITEMS_A_SITTING = 4
LARGE_SELLER = 20  # does not come from nowhere
FIRST_SHARES, LAST_SHARES = np.array([0.3, 0.27, 0.23, 0.2]), np.array([0.2, 0.23, 0.27, 0.3])  # of APP_VERSIONS, as users update
_YEAR, _WEEK = 1, 2


@dataclass(frozen=True)
class Year:
    """A shop's habits. `listed` (Q,): the day on which an item is listed, ALWAYS where it was before. `seller` (Q,) is its number, `joined`
    (S,) when the seller came, inf for one who is in no quiet card. `popularity` (Q,). Of each kind:
    `season` (L, 2) swing and phase, `weekday` (7, L), `taste` (L, P) of platforms, as factors' logarithms. `brightness` (Q,) standardised.
    """

    seed: int
    start: dt.date
    listed: np.ndarray
    seller: np.ndarray
    joined: np.ndarray
    popularity: np.ndarray
    season: np.ndarray
    weekday: np.ndarray
    taste: np.ndarray
    brightness: np.ndarray

    def date(self, number: int) -> dt.date:
        """The day's date."""
        return self.start + dt.timedelta(days=number)

    def on_sale(self, number: int) -> np.ndarray:
        """(Q,) which items are listed before the day's end."""
        return np.asarray(self.listed < number + 1)

    def num_listings(self, number: int) -> np.ndarray:
        """(S,) how many listings each seller has: when the year began, or for those who came later, now; 0 for those who are new."""
        now, then = (np.bincount(self.seller, on_sale, len(self.joined)) for on_sale in (self.on_sale(number), self.listed <= 0))
        return np.where(self.joined > number - NEW_DAYS, 0, np.where(then > 0, then, now))

    def weights(self, number: int, cfg: QuietConfig) -> np.ndarray:
        """(Q,) how often each item is shown on the day, relative to the others; 0 before it is listed."""
        age = number - self.listed
        fresh = 1 + (cfg.fresh_boost - 1) * ((age < cfg.fresh_days) & (self.listed > 0))
        tilt = np.exp(-cfg.season_brightness * np.cos(2 * np.pi * number / YEAR_DAYS) * self.brightness)
        return np.asarray(np.where(age > -1, self.popularity * fresh * tilt, 0.0))

    def kinds(self, number: int, cfg: QuietConfig) -> np.ndarray:
        """(L,) by what factor each kind is shown more or less than in the mean of the year: season, weekday, and what goes on that week."""
        swing, phase = self.season.T
        week, share = divmod(number, 7)
        trend = (1 - share / 7) * self._week(week, cfg) + share / 7 * self._week(week + 1, cfg)
        season = swing * np.sin(2 * np.pi * (number / YEAR_DAYS + phase))
        return np.asarray(np.exp(season + self.weekday[self.date(number).weekday()] + trend))

    def _week(self, week: int, cfg: QuietConfig) -> np.ndarray:
        return np.random.default_rng([self.seed, _WEEK, week]).normal(0, cfg.week_spread, len(self.season))

    def versions(self, number: int) -> np.ndarray:
        """(V,) shares of the app versions: users update slowly."""
        share = min(1.0, number / YEAR_DAYS)
        return np.asarray((1 - share) * FIRST_SHARES + share * LAST_SHARES)


def new_year(pool: Pool, seed: int, cfg: QuietConfig) -> Year:
    """The year of that seed."""
    rng = np.random.default_rng([seed, _YEAR])
    num_kinds, num_quiet = int(pool.kind.max()) + 1, pool.num_quiet
    seller = pool.seller[:num_quiet]
    listed, joined = _listed(seller, int(pool.seller.max()) + 1, cfg, rng)
    brightness = pool.number_of("brightness")[:num_quiet].astype(np.float64)
    return Year(
        seed=seed,
        start=dt.date.fromisoformat(cfg.start),
        listed=listed,
        seller=seller,
        joined=joined,
        popularity=np.exp(rng.normal(0, cfg.popularity_spread, num_quiet)),
        season=np.stack([np.abs(rng.normal(0, cfg.season, num_kinds)), rng.random(num_kinds)], axis=1),
        weekday=rng.normal(0, cfg.weekday, (7, num_kinds)),
        taste=np.log(PLATFORM_SHARES) + rng.normal(0, cfg.platform_spread, (num_kinds, len(PLATFORMS))),
        brightness=(brightness - brightness.mean()) / max(brightness.std(), 1e-6),
    )


def _listed(seller: np.ndarray, num_sellers: int, cfg: QuietConfig, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(Q,) days of listing, and (S,) days on which sellers came: they list several items in one sitting, the first when they come."""
    comes = (rng.random(num_sellers) < cfg.new_seller_share) & (np.bincount(seller, minlength=num_sellers) < LARGE_SELLER)
    joined = np.where(comes, np.floor(rng.uniform(-NEW_DAYS, YEAR_DAYS, num_sellers)), ALWAYS)
    turn = rng.integers(1 + np.bincount(seller)[seller] // ITEMS_A_SITTING)
    _, sitting = np.unique(seller * len(seller) + turn, return_inverse=True)
    luck = rng.random(sitting.max() + 1)[sitting]
    first = np.maximum(joined[seller], 1.0)
    days = np.floor(first + luck * (YEAR_DAYS - first))
    is_new = comes[seller] | (rng.random(len(seller)) < cfg.new_share)
    listed = np.where(is_new, np.where(comes[seller] & (turn == 0), joined[seller], days), ALWAYS)
    came = np.full(num_sellers, np.inf)
    np.minimum.at(came, seller, listed)
    return listed, came
