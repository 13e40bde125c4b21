"""What to know of each gate that fails, by its section of docs/runbook.md."""

from components.expectations.gate import Advice, by_anchor

ADVICE = by_anchor(
    (
        Advice(
            "table-types",
            "a file written by another version of the code, or by hand.",
            "Run `dvc repro -f ingest`, and look at components/schema.py if it stays.",
        ),
        Advice(
            "too-few-listings",
            "a path that points at a sample, or most rows refused by ingest.",
            "Point ingest.path at the whole catalogue, or look in data/quarantine/listings.parquet for what was refused.",
        ),
        Advice(
            "repeated-ids",
            "two runs mixed in one folder, or a log uploaded twice.",
            "Find the rows that share an id in the source and keep one of each.",
        ),
        Advice(
            "listing-fields",
            "a column mapped wrongly, or shifted by one, in a new export.",
            "Correct the columns in the source, or their mapping under ingest in params.yaml.",
        ),
        Advice(
            "missing-pictures",
            "data/listings and data/images taken from different runs.",
            "Run `dvc repro -f ingest`: it refuses listings without a picture, so these files do not belong together.",
        ),
        Advice(
            "stale-data",
            "an export of listings or of impressions that stopped weeks ago, or a clock that is not in UTC.",
            "Take a newer export of listings or of impressions; check that both clocks are in UTC.",
        ),
        Advice(
            "picture-fields",
            "pictures and their measurements made by different versions of ingest.",
            "Run `dvc repro -f ingest`: it measures each picture, so these files do not belong together.",
        ),
        Advice(
            "near-blank-pictures",
            "an empty placeholder, a failed upload, or a background removal that removed the goods.",
            "Look at the pictures named here; a lost background or an empty placeholder is the usual cause.",
        ),
        Advice(
            "near-duplicate-pictures",
            "one placeholder under many listings.",
            "Look at the listings named here, and take those with a placeholder out of the export.",
        ),
        Advice(
            "impression-fields",
            "a new version of the code that writes the log.",
            "Correct the log's columns, or the code that writes it.",
        ),
        Advice(
            "unknown-items",
            "an export of listings without the deleted ones, or of other days than the log.",
            "Export listings and impressions for the same days, deleted listings included.",
        ),
        Advice(
            "click-through",
            "a log that lost its clicks on the way, one that kept nothing else, or a robot.",
            "Compare with last week's share: such a log teaches the wrong lesson.",
        ),
        Advice(
            "too-much-quarantined",
            "one cause behind most rows: a column mapped wrongly, a folder half copied.",
            "Count the reasons in data/quarantine/, mend the most frequent one at its source.",
        ),
        Advice(
            "volume-moved",
            "an export cut short, a partition missing or taken twice, or a filter that someone changed.",
            "Count the source's own rows for the same days; take a new snapshot once they agree.",
        ),
        Advice(
            "nulls-moved",
            "a column renamed at the source, a form field made optional, or a join that no longer finds its rows.",
            "Look at the columns named here in the source, and at their mapping under ingest in params.yaml.",
        ),
        Advice(
            "mix-moved",
            "an export of part of the shop, a category tree renamed or moved, or a currency relabelled.",
            "Compare the categories on the page with the shop's own; a change that is meant to stay calls for a new history.",
        ),
        Advice(
            "prices-moved",
            "prices in hundredths, in another currency than their label says, or with a decimal sign lost.",
            "Compare a few of the cheapest and dearest listings with the shop's own pages.",
        ),
    )
)
