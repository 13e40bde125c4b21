"""The stage that lets data in: every row of the source ends as a listing with its photo, or in quarantine with a reason."""

from collections.abc import Callable, Mapping
from pathlib import Path

from components import schema
from components.contract import In, Out, code_digest
from components.errors import BadData, BadPicture
from components.ingest import quarantine as kept_out
from components.ingest import snapshot as pinned
from components.ingest.account import Account
from components.ingest.admit import Listing
from components.ingest.catalogue import catalogue_of, completed, item_of, sheet_of, truth_table
from components.ingest.config import IngestConfig
from components.ingest.intake import Intake, Shelves, take_in
from components.ingest.limits import Limits, stop_on, turned_away
from components.ingest.market import MarketConfig
from components.ingest.origin import source_of
from components.ingest.quarantine import Rejected
from components.ingest.report import IngestSummary, summary_of
from components.ingest.sent import WRONG_DIGEST
from components.ingest.shoppers import browse
from components.ingest.source import Source
from components.ingest.tables.downloads import HERE
from components.objects import ObjectStore
from components.shards import write_shards
from components.stage_log import RUNS
from components.work_cache import WorkCache, default_store


def ingest(
    snapshot: In,
    listings: Out,
    images: Out,
    impressions: Out,
    quarantine: Out,
    truth: Out,
    market_sheet: Out,
    *,
    cfg: IngestConfig,
    market: MarketConfig,
    store: ObjectStore | None = None,
    downloads: Path = HERE,
    kept: Path = RUNS / "ingest-quarantine",
) -> IngestSummary:
    """Turn the source that the snapshot pins into tables; what cannot be used is quarantined with a reason and counted.

    Raises BadData where the source is not what the snapshot says, or too much was turned away (a copy is then in `kept`).
    """
    taken = pinned.read(snapshot)
    source = source_of(taken, cfg, market, listings.parent, downloads)
    market = market.model_copy(update={"as_of": taken.as_of.isoformat()})
    cache = WorkCache(store or default_store(), "ingest", {"code": code_digest("ingest")})
    intake = take_in(source, cfg.rules(taken.as_of), Shelves(listings, images, cfg.num_shards, _completing(source, market)), cache)
    accounts = keep_out(source, intake, quarantine)
    stop_on_listings(accounts, source, cfg.limits, quarantine, kept)
    catalogue = catalogue_of(listings)
    truths = {listing["item_id"]: source.truth(str(listing["item_id"])) for listing in catalogue}
    if source.log:
        source.log.write(catalogue, cfg.max_price, impressions, quarantine)
        stop_on_log(accounts, cfg.impression_limits, quarantine, kept)
    else:
        seen = browse([item_of(listing, truths[listing["item_id"]]) for listing in catalogue], market)
        write_shards(impressions, seen, schema.IMPRESSIONS, cfg.num_shards, key="request_id")
    write_shards(truth, truth_table(truths.values()), schema.TRUTH, cfg.num_shards)
    market_sheet.write_bytes(sheet_of(catalogue, truths, lambda item_id: source.picture(intake.picture_names[item_id])))
    return summary_of(accounts, catalogue, intake.converted, impressions, quarantine, source.columns_absent())


def _completing(source: Source, market: MarketConfig) -> Callable[[Listing], Listing]:
    """What fills in the values that nobody gave: nothing does so over a real log."""
    return (lambda listing: listing) if source.log else (lambda listing: completed(listing, market))


def keep_out(source: Source, intake: Intake, quarantine: Path) -> Mapping[str, Account]:
    """The accounts of the tables that came in, after what was turned away is written."""

    def picture_of(one: Rejected) -> bytes | None:
        try:
            return source.picture(one.raw.picture_name)
        except BadPicture:
            return None

    kept_out.write(quarantine, [*intake.rejected, *source.wrong_pictures()], picture_of)
    source.write_set_aside(quarantine / "files.parquet")
    return source.accounts(intake.account, len(intake.image_ids))


def stop_on_listings(accounts: Mapping[str, Account], source: Source, limits: Limits, quarantine: Path, kept: Path) -> None:
    """Raises BadData, with a copy of quarantine in `kept`, where files, listings or pictures passed their limits, or nothing came in."""
    if source.num_files:
        stop_on("files", source.num_files, turned_away(quarantine, "files"), limits, quarantine, kept)
    if not accounts["listings"].judged:
        raise BadData("the source has no rows: a CSV needs at least one line below its header, events and tables a listing until as_of")
    turned, wrong = turned_away(quarantine, "listings", "images").parted(WRONG_DIGEST)
    stop_on("listings", accounts["listings"].judged, turned, limits, quarantine, kept)
    if "images" in accounts:
        stop_on("pictures", accounts["images"].rows_in, wrong, limits, quarantine, kept)


def stop_on_log(accounts: Mapping[str, Account], limits: Limits, quarantine: Path, kept: Path) -> None:
    """Raises BadData, with a copy of quarantine in `kept`, where impressions or clicks passed their limits."""
    for table in ("impressions", "clicks"):
        stop_on(table, accounts[table].judged, turned_away(quarantine, table), limits, quarantine, kept)
