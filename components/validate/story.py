"""What reports/validate.html tells of a snapshot."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import polars as pl
from markupsafe import Markup

from components.expectations.bands import Band, mean_mix
from components.expectations.drawings import bars, histogram
from components.expectations.findings import Finding
from components.expectations.history import HistoryConfig
from components.expectations.inspection import Tables
from components.expectations.page import Refused, Story, Trend
from components.expectations.profile import OTHER, Profile
from components.shards import shard_paths

TITLES = {"volume": "Volume, rows", "null_share": "Empty values", "category_mix": "Distance from the mean mix", "price_quantiles": "Prices"}
SHOWN_CATEGORIES, SHOWN_CURRENCIES, PRICE_BINS = 14, 3, 32
ABOUT = (
    "Gates on listings, pictures and impressions, before anything is split or trained on. Dots are what was found, thick lines what is "
    "allowed."
)


def story_of(
    findings: Sequence[Finding],
    tables: Tables,
    profile: Profile | None,
    past: Sequence[Profile],
    bands: Mapping[str, Sequence[Band]],
    cfg: HistoryConfig,
) -> Story:
    """The page's content. Without a profile, that is where the types are wrong, the gates are all there is."""
    if profile is None:
        return Story("Validation of the data", ABOUT, "validate", {}, findings)
    return Story(
        title="Validation of the data",
        about=ABOUT,
        stage="validate",
        facts=facts_of(profile, len(past)),
        findings=findings,
        trends=[*(Trend(TITLES[kind], telling(found), True) for kind, found in bands.items()), watched(profile, past)],
        trends_note=trends_note(len(past), cfg),
        charts=charts_of(tables["listings"], profile, past),
        refused=refused_of(tables["quarantine"], profile),
    )


def facts_of(profile: Profile, num_past: int) -> dict[str, str]:
    """The counts at the head of the page."""
    facts = {"source": profile.source, "as of": f"{profile.as_of:%Y-%m-%d}"}
    facts |= {table: f"{count:,}" for table, count in profile.rows.items()}
    if profile.click_through is not None:
        facts["click-through"] = f"{profile.click_through:.1%}"
    return facts | {"past snapshots": str(num_past)}


def trends_note(num_past: int, cfg: HistoryConfig) -> str:
    """What the past is good for so far."""
    if num_past < cfg.min_snapshots:
        return (
            f"data/history.json holds {num_past} earlier snapshots of this source; from {cfg.min_snapshots} on, volume, empty values, "
            "category mix and prices are held to bands learnt from them. Each new snapshot adds the last one that passed."
        )
    return f"Bands are learnt from the {num_past} earlier snapshots of this source in data/history.json; see docs/runbook.md#learnt-bands."


def telling(bands: Sequence[Band]) -> list[Band]:
    """The bands that say something: not those of columns that are never empty and were not."""
    return [band for band in bands if band.observed or any(band.past) or abs(band.deviation) > 1]


def watched(profile: Profile, past: Sequence[Profile]) -> Trend:
    """Numbers that are followed and held to no band: click-through, and the median of each picture statistic."""
    bands = []
    if profile.click_through is not None:
        known = [one.click_through for one in past if one.click_through is not None]
        bands.append(_unbounded("click-through", profile.click_through, known))
    for name, quantiles in profile.picture_stats.items():
        known = [one.picture_stats[name]["q50"] for one in past if name in one.picture_stats]
        bands.append(_unbounded(f"pictures: median {name}", quantiles["q50"], known))
    return Trend("Watched, held to nothing", bands if past else [], False)


def _unbounded(name: str, observed: float, past: Sequence[float]) -> Band:
    return Band(name, observed, tuple(past), None, None, 0.0)


def charts_of(listings: Path, profile: Profile, past: Sequence[Profile]) -> dict[str, Markup]:
    """Root categories beside the past's mean, and a histogram of prices for each of the commonest currencies."""
    charts = {}
    if profile.mix.root:
        charts["Root categories" + (", ticks: mean of past snapshots" if past else "")] = category_bars(profile, past)
    common = sorted(profile.prices, key=lambda currency: (-profile.prices[currency].num_listings, currency))[:SHOWN_CURRENCIES]
    for currency in common:
        rows = pl.scan_parquet(shard_paths(listings)).filter(currency=currency).select("price").collect()
        prices = rows["price"].to_numpy()
        if len(prices := prices[(prices > 0) & np.isfinite(prices)]):
            low, high = float(prices.min()), float(prices.max())
            bins = histogram(prices, PRICE_BINS, low=low, high=max(high, low * 1.01), log=True)
            charts[f"Prices in {currency}, {len(prices):,} listings (log scale)"] = bins
    return charts


def category_bars(profile: Profile, past: Sequence[Profile]) -> Markup:
    """The largest root categories, the rest as one bar."""
    known = mean_mix([one.mix.root for one in past]) if past else {}
    shown = [name for name, _ in _largest(profile.mix.root) if name != OTHER][:SHOWN_CATEGORIES]
    rows = [(name, profile.mix.root[name], known.get(name, 0.0) if past else None) for name in shown]
    if len(shown) < len(profile.mix.root):
        left, known_left = (max(1 - sum(mix.get(name, 0.0) for name in shown), 0.0) for mix in (profile.mix.root, known))
        rows.append((OTHER, left, known_left if past else None))
    return bars(rows)


def refused_of(quarantine: Path, profile: Profile) -> list[Refused]:
    """Each reason in quarantine with its rows, the commonest first; the share is None for what is no table of the data."""
    found = []
    for path in sorted(quarantine.glob("*.parquet")):
        counts = dict(pl.read_parquet(path, columns=["reason"])["reason"].value_counts().iter_rows())
        shares = profile.quarantine_share.get(path.stem, {})
        found += [Refused(path.stem, reason, int(count), shares.get(reason)) for reason, count in _largest(counts)]
    return found


def _largest(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: (-pair[1], pair[0]))
