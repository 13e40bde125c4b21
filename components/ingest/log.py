"""The log of a real shop: what was shown and clicked, once it is known which listings came in."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from components.ingest.account import Account
from components.ingest.admit import Listing
from components.ingest.pages import Items
from components.ingest.traffic import Traffic


@dataclass
class Log:
    """`known` are the items that any row of listings names."""

    traffic: Traffic
    known: set[str] = field(default_factory=set)

    def write(self, catalogue: Sequence[Listing], max_price: float, impressions: Path, quarantine: Path) -> None:
        """Writes the impressions of the catalogue's items, and the quarantine of impressions and clicks."""
        listed = pl.Series([str(listing["item_id"]) for listing in catalogue], dtype=pl.String)
        self.traffic.write(Items(listed, pl.Series(sorted(self.known), dtype=pl.String)), max_price, impressions, quarantine)

    @property
    def accounts(self) -> dict[str, Account]:
        """Those of impressions and clicks; filled in by write()."""
        return {"impressions": self.traffic.impressions, "clicks": self.traffic.clicks}
