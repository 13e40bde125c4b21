"""The stage that lets data in: every row of the source ends as a listing with its photo, or in quarantine with a reason."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa
from pydantic import Field

from components import schema
from components.contact_sheet import contact_sheet
from components.contract import RUNS, Config, In, Out, Summary, code_digest
from components.errors import BadData, BadPicture
from components.ingest import quarantine as kept_out
from components.ingest import snapshot as pinned
from components.ingest.admit import Listing, Rules
from components.ingest.catalogue import caption, completed, item_of, names_of, spread, truth_table
from components.ingest.folder import Columns, Folder
from components.ingest.intake import Intake, take_in
from components.ingest.market import MarketConfig, Truth
from components.ingest.quarantine import Rejected
from components.ingest.shoppers import browse
from components.ingest.snapshot import FolderDigest, Snapshot
from components.ingest.source import FolderSource, SimulatedSource, Source
from components.objects import FolderStore
from components.shards import WorkCache, default_store, write_shards

SHEET_ITEMS, SHEET_COLUMNS = 60, 10


class IngestConfig(Config):
    """Where listings come from, what is let in and how it is laid out."""

    source: Literal["simulate", "folder"]
    path: str | None
    csv: str
    columns: Columns
    currency: str = Field(pattern="^[A-Z]{3}$")
    max_title_chars: int = Field(gt=0)
    max_quarantine_share: float = Field(ge=0, le=1)
    num_shards: int = Field(gt=0)


@dataclass(frozen=True, kw_only=True)
class IngestSummary(Summary):
    """Rows are listings. columns_absent: mapped columns that the CSV lacks; simulated: columns that the
    simulator filled in for some row, and `impressions`, which have no other origin yet."""

    quarantined: dict[str, int]
    num_images: int
    num_impressions: int
    num_sellers: int
    columns_absent: list[str]
    simulated: list[str]


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
    store: FolderStore | None = None,
    kept: Path = RUNS / "ingest-quarantine",
) -> IngestSummary:
    """Turn the source that the snapshot pins into tables; what cannot be used is quarantined with a reason and counted.

    Raises BadData where the source is not what the snapshot says, or too much was turned away (a copy is then in `kept`).
    """
    taken = pinned.read(snapshot)
    source = source_of(taken, cfg, market, listings.parent)
    market = market.model_copy(update={"as_of": taken.as_of.isoformat()})
    cache = WorkCache(store or default_store(), "ingest", (code_digest("ingest"),))
    intake = take_in(source, Rules(cfg.max_title_chars, cfg.source, cfg.currency), images, cfg.num_shards, cache)
    keep_out(intake, source, cfg.max_quarantine_share, quarantine, kept)
    catalogue = [completed(listing, market) for listing in intake.listings]
    truths = [source.truth(str(listing["item_id"])) for listing in catalogue]
    seen = browse([item_of(listing, true) for listing, true in zip(catalogue, truths, strict=True)], market)
    write_shards(listings, pa.Table.from_pylist(catalogue, schema.LISTINGS), schema.LISTINGS, cfg.num_shards)
    write_shards(truth, truth_table(truths), schema.TRUTH, cfg.num_shards)
    write_shards(impressions, seen, schema.IMPRESSIONS, cfg.num_shards, key="request_id")
    market_sheet.write_bytes(sheet_of(catalogue, truths, lambda item_id: source.picture(intake.picture_names[item_id])))
    return summary_of(intake, catalogue, seen.num_rows, source.columns_absent())


def source_of(taken: Snapshot, cfg: IngestConfig, market: MarketConfig, scratch: Path) -> Source:
    """The source that the snapshot names, which must be the one that params name. Raises BadData where the two are apart."""
    if isinstance(taken.source, FolderDigest):
        found, wanted = ("folder", taken.source.path, taken.source.csv), (cfg.source, cfg.path, cfg.csv)
        if found == wanted:
            return FolderSource(Folder(Path(taken.source.path), taken.source.csv, cfg.columns), taken.source)
        raise BadData(f"the snapshot is of {_say(found)}, params.yaml names {_say(wanted)}: {pinned.AGAIN}")
    if cfg.source != "simulate":
        raise BadData(f"the snapshot is of the simulated market, params.yaml names {_say((cfg.source, cfg.path, cfg.csv))}: {pinned.AGAIN}")
    if market.now != taken.as_of:
        raise BadData(f"market.as_of is {market.as_of}, the snapshot has {taken.as_of.isoformat()}: run `vitrine source simulate`")
    return SimulatedSource(market, scratch)


def _say(source: tuple[str, str | None, str]) -> str:
    kind, path, csv = source
    return "the simulated market" if kind == "simulate" else f"the folder {path} with {csv}"


def keep_out(intake: Intake, source: Source, max_share: float, quarantine: Path, kept: Path) -> None:
    """Writes the quarantine. Raises BadData, with a copy in `kept`, where more than max_share of the rows are in it, or all."""

    def picture_of(one: Rejected) -> bytes | None:
        try:
            return source.picture(one.raw.picture_name)
        except BadPicture:
            return None

    if not intake.rows_in:
        raise BadData("the source has no rows: a CSV needs at least one line below its header")
    if len(intake.rejected) > max_share * intake.rows_in or not intake.listings:
        kept_out.write(kept, intake.rejected, picture_of)
        raise kept_out.too_many(intake.rejected, intake.rows_in, max_share, kept)
    kept_out.write(quarantine, intake.rejected, picture_of)


def sheet_of(catalogue: Sequence[Listing], truths: Sequence[Truth | None], picture_of: Callable[[str], bytes]) -> bytes:
    """PNG of about 60 listings, the leaf categories taking turns."""
    known = {str(listing["item_id"]): true for listing, true in zip(catalogue, truths, strict=True)}
    chosen = [(str(listing["item_id"]), listing) for listing in spread(catalogue, SHEET_ITEMS)]
    return contact_sheet([(picture_of(item_id), caption(listing, known[item_id])) for item_id, listing in chosen], SHEET_COLUMNS)


def summary_of(intake: Intake, catalogue: Sequence[Listing], num_impressions: int, absent: Sequence[str]) -> IngestSummary:
    """The counts of reports/ingest.json."""
    made_up = {name for listing in catalogue for name in names_of(listing["simulated"])}
    return IngestSummary(
        rows_in=intake.rows_in,
        rows_out=len(catalogue),
        rows_quarantined=len(intake.rejected),
        quarantined=kept_out.counts(intake.rejected),
        num_images=len({listing["image_id"] for listing in catalogue}),
        num_impressions=num_impressions,
        num_sellers=len({listing["seller_id"] for listing in catalogue} - {None}),
        columns_absent=list(absent),
        simulated=[*sorted(made_up), "impressions"],
    )
