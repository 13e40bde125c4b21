"""How the simulated shop lives, quiet and at fault: `monitor.rehearsal` of params.yaml."""

import datetime as dt
from typing import Annotated

from pydantic import AfterValidator, Field

from components.contract import Config

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0, le=1)]
Part = Annotated[float, Field(gt=0, le=1)]


def _day(text: str) -> str:
    dt.date.fromisoformat(text)
    return text


class PoolConfig(Config):
    """What is embedded once: at most `max_items` listings of the workspace with `num_augmented` altered copies; photos of each new kind, of
    each flood. `odd_title_share` of the titles are of no language."""

    max_items: int = Field(ge=100)
    num_new: int = Field(ge=1)
    num_floods: int = Field(ge=1)
    flood_size: int = Field(ge=1)
    num_augmented: int = Field(ge=1)
    odd_title_share: Share


class QuietConfig(Config):
    """A year in which nothing is wrong. Spreads are standard deviations of logarithms: 0.1 is about a tenth up or down.

    `season`, `weekday`, `week_spread`, `day_spread` and `hour_spread` move the shares of product kinds; `season_brightness` is how far the
    mean brightness goes up and down in a year, in standard deviations of single photos. A burst is a seller's evening: `burst_rows` more
    rows, all within three hours. `new_share` of the items is listed during the first year, and all items of the
    `new_seller_share` who come; items younger than `fresh_days` are shown `fresh_boost` times as often.
    """

    start: Annotated[str, AfterValidator(_day)]
    rows_a_day: int = Field(ge=100)
    weekend_volume: float = Field(gt=0)
    volume_spread: Spread
    popularity_spread: float = Field(ge=0)
    season: Spread
    season_brightness: Spread
    weekday: Spread
    week_spread: Spread
    day_spread: Spread
    hour_spread: Spread
    platform_spread: Spread
    bursts_a_day: float = Field(ge=0)
    burst_rows: float = Field(ge=0)
    new_share: Share
    new_seller_share: Share
    fresh_days: float = Field(gt=0)
    fresh_boost: float = Field(ge=1)
    query_share: Share
    pages_a_day: int = Field(ge=1)
    slots: int = Field(ge=2)
    num_probes: int = Field(ge=1)
    num_asked: int = Field(ge=1)
    upserts_a_day: int = Field(ge=1)


class FaultsConfig(Config):
    """How large each fault is: the share of the rows it can befall that it does befall, but for `mix` and `flood`, which are shares of all
    rows."""

    darker: Part
    mix: Part
    new_kind: Part
    flood: Part
    ai: Part
    resized: Part
    titles: Part


class RehearseConfig(Config):
    """`vitrine drift rehearse`: after `num_days` quiet days a quiet and a faulty one are judged. The year starts long ago, so that no real
    window is called as its own are. `pool` is smaller than that of a bench, to be ready within a minute."""

    seed: int = Field(ge=0)
    folder: str
    num_days: int = Field(ge=1)
    start: Annotated[str, AfterValidator(_day)]
    workers: int = Field(ge=1)
    pool: PoolConfig


class RehearsalConfig(Config):
    """Everything that a simulated day is made by."""

    pool: PoolConfig
    quiet: QuietConfig
    faults: FaultsConfig
