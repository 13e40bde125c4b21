"""One day's rows in which nothing is wrong. Q quiet cards, L kinds, H hours, R rows."""

import datetime as dt
from dataclasses import dataclass

import numpy as np

from components.ingest.market import APP_VERSIONS
from components.ingest.shoppers import PLATFORMS
from monitoring.rehearsal.config import QuietConfig
from monitoring.rehearsal.pool import Pool
from monitoring.rehearsal.year import Year

HOURS = 24
HOUR_US = 3_600_000_000
WEEKEND = 5
BURST_HOURS = 3
VERSION_CONCENTRATION = 2000.0
LATENCY_MS, LATENCY_SPREAD = 12.0, 0.4
BUSY = np.array([2, 1, 1, 1, 1, 2, 3, 5, 6, 6, 6, 6, 7, 7, 6, 6, 6, 7, 8, 10, 11, 11, 9, 5], float)  # rows by hour, relative
NO_VERSION = -1  # browsers have none
_DAY = 3


@dataclass(frozen=True)
class Drawn:
    """R rows in order of time. `card` is the picture's row in the pool; `listed` says whether it is an item's, else a shopper's query;
    `platform` and `version` are numbers of PLATFORMS and APP_VERSIONS; `odd_title` marks titles that lost their language on the way.
    `faulty` is the truth: which rows the fault touched."""

    card: np.ndarray
    ts_us: np.ndarray
    listed: np.ndarray
    platform: np.ndarray
    version: np.ndarray
    latency_ms: np.ndarray
    odd_title: np.ndarray
    faulty: np.ndarray

    def __len__(self) -> int:
        return len(self.card)


def drawn(pool: Pool, year: Year, number: int, cfg: QuietConfig) -> Drawn:
    """Day `number` of the year, from 0. Same year and number, same rows."""
    rng = np.random.default_rng([year.seed, _DAY, number])
    weight_Q = year.weights(number, cfg)
    hour_R, kind_R = _hours_and_kinds(pool, year, number, weight_Q, cfg, rng)
    card_R = _cards(pool.kind, weight_Q, kind_R, rng)
    card_R, hour_R = _bursts(pool, year.on_sale(number), card_R, hour_R, cfg, rng)
    ts_R = midnight_us(year.date(number)) + np.minimum(((hour_R + rng.random(len(hour_R))) * HOUR_US).astype(np.int64), HOURS * HOUR_US - 1)
    order = np.argsort(ts_R, kind="stable")
    card_R, num_rows = card_R[order], len(order)
    platform_R = _platforms(year.taste + rng.normal(0, cfg.day_spread, len(PLATFORMS)), pool.kind[card_R], rng)
    return Drawn(
        card=card_R,
        ts_us=ts_R[order],
        listed=rng.random(num_rows) >= cfg.query_share * rng.gamma(4.0, 0.25),
        platform=platform_R,
        version=_versions(year.versions(number), platform_R, rng),
        latency_ms=(LATENCY_MS * np.exp(rng.normal(0, LATENCY_SPREAD, num_rows))).astype(np.float32),
        odd_title=np.zeros(num_rows, bool),
        faulty=np.zeros(num_rows, bool),
    )


def midnight_us(day: dt.date) -> int:
    """When the day begins in UTC, in microseconds of Unix time."""
    return (day - dt.date(1970, 1, 1)).days * HOURS * HOUR_US


def _volume(weekday: int, cfg: QuietConfig, rng: np.random.Generator) -> int:
    """Rows of the day: more at weekends, and a mean of rows_a_day over the week."""
    mean = (WEEKEND + (7 - WEEKEND) * cfg.weekend_volume) / 7
    busy = (cfg.weekend_volume if weekday >= WEEKEND else 1.0) / mean
    return max(1, round(cfg.rows_a_day * busy * float(np.exp(rng.normal(0, cfg.volume_spread)))))


def _hours_and_kinds(
    pool: Pool, year: Year, number: int, weight_Q: np.ndarray, cfg: QuietConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """(R,) hour and kind of each row. The shares are luck too, by day and by hour: counts spread more than a multinomial's."""
    num_kinds = len(year.season)
    share_L = np.bincount(pool.kind, weight_Q, num_kinds) * year.kinds(number, cfg) * _luck(cfg.day_spread, (num_kinds,), rng)
    share_HL = BUSY[:, None] * share_L * _luck(cfg.hour_spread, (HOURS, 1), rng) * _luck(cfg.hour_spread, (HOURS, num_kinds), rng)
    count = rng.multinomial(_volume(year.date(number).weekday(), cfg, rng), share_HL.ravel() / share_HL.sum())
    cell_R = np.repeat(np.arange(share_HL.size), count)
    return cell_R // num_kinds, cell_R % num_kinds


def _luck(spread: float, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return np.asarray(np.exp(rng.normal(0, spread, shape)))


def _cards(kind_Q: np.ndarray, weight_Q: np.ndarray, kind_R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """(R,) a card of each row's kind, by weight. The cards lie in order of kind."""
    upto = np.concatenate([[0.0], np.cumsum(weight_Q)])
    starts = np.searchsorted(kind_Q, np.arange(kind_Q[-1] + 2))
    low, high = upto[starts[kind_R]], upto[starts[kind_R + 1]]
    found = np.searchsorted(upto, low + rng.random(len(kind_R)) * (high - low), side="right") - 1
    return np.asarray(np.minimum(found, starts[kind_R + 1] - 1))


def _bursts(
    pool: Pool, on_sale_Q: np.ndarray, card_R: np.ndarray, hour_R: np.ndarray, cfg: QuietConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """The rows after some sellers had their evening: their items stand in rows that others had, within a few hours."""
    card_R, hour_R, items = card_R.copy(), hour_R.copy(), np.flatnonzero(on_sale_Q)
    for _ in range(int(rng.poisson(cfg.bursts_a_day))):
        own = items[pool.seller[items] == pool.seller[items[int(rng.integers(len(items)))]]]
        rows = rng.integers(len(card_R), size=round(float(rng.exponential(cfg.burst_rows))))
        card_R[rows] = own[rng.integers(len(own), size=len(rows))]
        hour_R[rows] = int(rng.integers(HOURS - BURST_HOURS + 1)) + rng.integers(BURST_HOURS, size=len(rows))
    return card_R, hour_R


def _platforms(taste_LP: np.ndarray, kind_R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    share_LP = np.exp(taste_LP)
    upto_LP = np.cumsum(share_LP / share_LP.sum(axis=1, keepdims=True), axis=1)
    return np.asarray((rng.random(len(kind_R))[:, None] > upto_LP[kind_R, :-1]).sum(axis=1))


def _versions(share_V: np.ndarray, platform_R: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    upto_V = np.cumsum(rng.dirichlet(VERSION_CONCENTRATION * share_V))
    version_R = np.minimum(np.searchsorted(upto_V, rng.random(len(platform_R))), len(APP_VERSIONS) - 1)
    return np.where(platform_R == PLATFORMS.index("web"), NO_VERSION, version_R)
