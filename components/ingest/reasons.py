"""Every reason code under which ingest turns something away, by what it judges. docs/quarantine.md says what each means."""

import difflib


def _codes(text: str) -> frozenset[str]:
    return frozenset(text.split())


LISTING = _codes(
    """row_malformed text_invalid id_missing id_duplicate id_conflict title_missing title_too_long category_missing
    price_missing price_negative price_zero price_too_high price_invalid currency_invalid currency_unknown
    time_missing time_invalid time_before_shop time_in_future status_missing status_invalid"""
)
PICTURE = _codes(
    """picture_missing picture_outside_folder picture_key_invalid picture_digest_wrong picture_too_many_bytes picture_empty
    picture_wrong_format picture_unreadable picture_bomb picture_too_many_pixels picture_too_small picture_extreme_aspect
    picture_animated picture_polyglot picture_truncated"""
)
IMPRESSION = _codes(
    """surface_unknown platform_unknown question_missing position_invalid position_negative position_repeated request_mixed
    item_repeated item_unknown"""
)
CLICK = _codes("action_unknown click_without_impression")
FILE = _codes("file_unreadable column_missing column_type")

ALL = LISTING | PICTURE | IMPRESSION | CLICK | FILE


def unknown(code: str) -> str | None:
    """Why `code` is no reason, with the nearest that is; None where it is one."""
    if code in ALL:
        return None
    near = difflib.get_close_matches(code, sorted(ALL), n=1, cutoff=0.5)
    return f"{code!r} is no reason of docs/quarantine.md" + (f"; did you mean {near[0]!r}?" if near else "")
