"""This snapshot beside its past: the bands that each kind of number is held to."""

from collections.abc import Callable, Sequence

import pandas as pd

from components.expectations.bands import Band, mix_band, ratio_band, share_band
from components.expectations.history import HistoryConfig
from components.expectations.profile import Profile
from components.expectations.suites import Suite
from components.validate.gates import PAST_KINDS, past_gates

COLUMNS = ["band", "name", "observed", "low", "high", "deviation"]

Learner = Callable[[Profile, Sequence[Profile], HistoryConfig], list[Band]]


def bands_of(profile: Profile, past: Sequence[Profile], cfg: HistoryConfig) -> dict[str, list[Band]]:
    """Kind -> bands; none of any kind while the past holds fewer than min_snapshots profiles."""
    return {kind: LEARNERS[kind](profile, past, cfg) if len(past) >= cfg.min_snapshots else [] for kind in PAST_KINDS}


def volume_bands(profile: Profile, past: Sequence[Profile], cfg: HistoryConfig) -> list[Band]:
    """A band a table that had rows before: the first log of a shop is no fault."""
    bands = []
    for table, count in sorted(profile.rows.items()):
        before = [float(one.rows[table]) for one in past if one.rows.get(table)]
        if len(before) >= cfg.min_snapshots:
            bands.append(ratio_band(table, float(count), before, cfg.spread_factor, cfg.volume_floor))
    return bands


def null_share_bands(profile: Profile, past: Sequence[Profile], cfg: HistoryConfig) -> list[Band]:
    """A band a column that was there before."""
    bands = []
    for table, shares in sorted(profile.null_share.items()):
        for column, share in sorted(shares.items()):
            before = [one.null_share[table][column] for one in past if column in one.null_share.get(table, {})]
            if len(before) >= cfg.min_snapshots:
                knobs = (cfg.spread_factor, cfg.null_share_floor, cfg.null_share_least, profile.rows[table])
                bands.append(share_band(f"{table}.{column}", share, before, *knobs))
    return bands


def mix_bands(profile: Profile, past: Sequence[Profile], cfg: HistoryConfig) -> list[Band]:
    """A band each for root categories, whole category paths and currencies."""
    mixes = {"root categories": "root", "categories": "leaf", "currencies": "currency"}
    return [
        mix_band(name, getattr(profile.mix, field), [getattr(one.mix, field) for one in past], cfg.mix_factor, cfg.mix_floor)
        for name, field in mixes.items()
    ]


def price_bands(profile: Profile, past: Sequence[Profile], cfg: HistoryConfig) -> list[Band]:
    """A band a quantile of each currency that enough listings name, now and before."""
    bands = []
    for currency, prices in sorted(profile.prices.items()):
        before = [one.prices[currency] for one in past if currency in one.prices and one.prices[currency].num_listings >= cfg.min_priced]
        if len(before) >= cfg.min_snapshots and prices.num_listings >= cfg.min_priced:
            for name, value in sorted(prices.quantiles.items()):
                known = [one.quantiles[name] for one in before]
                bands.append(ratio_band(f"{currency} {name}", value, known, cfg.spread_factor, cfg.price_floor))
    return bands


LEARNERS: dict[str, Learner] = {
    "volume": volume_bands,
    "null_share": null_share_bands,
    "category_mix": mix_bands,
    "price_quantiles": price_bands,
}


def past_suites(bands: dict[str, list[Band]], num_past: int, cfg: HistoryConfig) -> list[Suite]:
    """A suite a kind, which decides where the past is long enough and there is something to compare."""
    few = f"{num_past} of {cfg.min_snapshots} past snapshots" if num_past < cfg.min_snapshots else "nothing to compare with the past"
    return [Suite("history", kind, frame_of(bands[kind]), past_gates(kind, "" if bands[kind] else few), key="band") for kind in bands]


def frame_of(bands: Sequence[Band]) -> pd.DataFrame:
    """One row a band; `band` says it in words."""
    rows = [(str(band), band.name, band.observed, band.low, band.high, band.deviation) for band in bands]
    return pd.DataFrame(rows, columns=COLUMNS).astype(dict.fromkeys(COLUMNS[2:], "float64"))
