"""Where every row that came in went: each counts once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass


@dataclass
class Account:
    """Counts of one table's rows.

    repeated: the same row came before. superseded: a newer row of the item came. held_back: later than as_of, so a later snapshot takes
    it. past_retention: older than ingest.retention_days. not_sampled: not in ingest.impression_share. left_out: sound, but no table
    has a place for it: it belongs to an item in quarantine, is a picture that no listing shows, or a like.
    """

    rows_in: int = 0
    rows_out: int = 0
    quarantined: int = 0
    repeated: int = 0
    superseded: int = 0
    held_back: int = 0
    past_retention: int = 0
    not_sampled: int = 0
    left_out: int = 0

    @property
    def judged(self) -> int:
        """Rows that had to be used or turned away: what a share of quarantined rows is a share of."""
        return self.rows_out + self.quarantined

    @property
    def balanced(self) -> bool:
        """True where every row went to exactly one place."""
        return bool(self.rows_in == sum(count for name, count in asdict(self).items() if name != "rows_in"))


Accounts = Mapping[str, Account]
"""By table: listings, and for a source of events images, impressions and clicks."""
