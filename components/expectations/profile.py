"""What a snapshot of the shop looked like, in numbers small enough to keep: the memory that bands are learnt from."""

from datetime import datetime

from pydantic import Field

from components.contract import Config

OTHER = "(other)"
Shares = dict[str, float]
Quantiles = dict[str, float]


class Prices(Config):
    """Prices of one currency: how many listings name it, and quantiles q05 to q95 in units of the currency."""

    num_listings: int = Field(gt=0)
    quantiles: Quantiles


class Mix(Config):
    """Shares of listings, each adding up to 1: by root category, by whole category path (the smallest as `(other)`), by currency."""

    root: Shares
    leaf: Shares
    currency: Shares


class Profile(Config):
    """One snapshot's profile. Everything but the counts is a share in [0, 1] or a quantile, so that shops of any size compare.

    as_of is the snapshot's own moment and `source` the kind of source it was taken of: different kinds are never compared.
    null_share goes table -> column -> share of rows that are null, blank or an empty list; picture_stats statistic -> quantiles;
    quarantine_share table -> reason -> share of its rows. click_through is None without impressions.
    """

    as_of: datetime
    source: str
    rows: dict[str, int]
    null_share: dict[str, Shares]
    mix: Mix
    prices: dict[str, Prices]
    click_through: float | None
    picture_stats: dict[str, Quantiles]
    quarantine_share: dict[str, Shares]
