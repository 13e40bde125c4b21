"""What ingest says it did, for reports/ingest.json."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

from components.contract import Summary
from components.ingest.account import Account
from components.ingest.admit import Listing
from components.ingest.catalogue import names_of
from components.ingest.limits import turned_away
from components.shards import shard_paths


@dataclass(frozen=True, kw_only=True)
class IngestSummary(Summary):
    """rows_in, rows_out and rows_quarantined are of listings, `accounts` of every table that came in (see Account).

    What was quarantined is counted by table and reason. columns_absent: mapped columns that the CSV lacks; simulated: columns that
    nobody gave for some row, and `impressions` where some are simulated. converted: pictures by what decoding changes.
    """

    accounts: dict[str, dict[str, int]]
    quarantined: dict[str, int]
    quarantined_impressions: dict[str, int]
    quarantined_clicks: dict[str, int]
    files_set_aside: dict[str, int]
    converted: dict[str, int]
    num_images: int
    num_impressions: int
    num_sellers: int
    columns_absent: list[str]
    simulated: list[str]


def summary_of(
    accounts: Mapping[str, Account],
    catalogue: Sequence[Listing],
    converted: Mapping[str, int],
    impressions: Path,
    quarantine: Path,
    absent: Sequence[str],
) -> IngestSummary:
    """The counts, from what was written."""
    listings = accounts["listings"]
    made_up = {name for listing in catalogue for name in names_of(listing["simulated"])}
    shown = [pq.read_table(path, columns=["simulated"])["simulated"] for path in shard_paths(impressions)]
    return IngestSummary(
        rows_in=listings.rows_in,
        rows_out=listings.rows_out,
        rows_quarantined=listings.quarantined,
        accounts={name: asdict(account) for name, account in accounts.items()},
        quarantined=turned_away(quarantine, "listings", "images").counts,
        quarantined_impressions=turned_away(quarantine, "impressions").counts,
        quarantined_clicks=turned_away(quarantine, "clicks").counts,
        files_set_aside=turned_away(quarantine, "files").counts,
        converted=dict(sorted(converted.items())),
        num_images=len({listing["image_id"] for listing in catalogue}),
        num_impressions=sum(map(len, shown)),
        num_sellers=len({listing["seller_id"] for listing in catalogue} - {None}),
        columns_absent=list(absent),
        simulated=[*sorted(made_up), *(["impressions"] if any(pc.any(column).as_py() for column in shown) else [])],
    )
