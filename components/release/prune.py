"""Removes releases that nobody goes by any more, and what was left half-published."""

import datetime as dt
import logging
import re
from collections.abc import Callable, Iterator

from components.errors import BadParams
from components.objects import ObjectStore, Stored
from components.release import published
from components.release.contents import RELEASE_ID

FOLDERS = (published.RELEASES, published.ABOUT)
PART = re.compile(rf"[a-z]+/(?P<release_id>{RELEASE_ID.pattern})(/|\.json\Z)")
MIN_DAYS = 1.0  # a bundle that is being published is named by nobody yet

log = logging.getLogger("vitrine")


def prune(store: ObjectStore, named: Callable[[], set[str]], keep_days: float, now: dt.datetime) -> list[str]:
    """Ids of the releases that were removed. `named` reads which ones must stay, anew for each; what it raises ends this."""
    if not keep_days >= MIN_DAYS:
        raise BadParams(f"releases are kept for {MIN_DAYS:g} day at least, found {keep_days:g}: one may be on its way in")
    before_s = now.timestamp() - keep_days * 86_400
    newest: dict[str, float] = {}
    for release_id, one in _parts(store):
        newest[release_id] = max(newest.get(release_id, 0.0), one.modified_s)
    old = sorted(release_id for release_id, at_s in newest.items() if at_s < before_s)
    removed = [release_id for release_id in old if release_id not in named() and _removed(store, release_id, named)]
    for folder in FOLDERS:
        store.clear_partial(folder, before_s)
    log.info("prune: %d of %d releases removed: %s", len(removed), len(newest), ", ".join(one[:12] for one in removed) or "none")
    return removed


def _parts(store: ObjectStore) -> Iterator[tuple[str, Stored]]:
    for folder in FOLDERS:
        for one in store.stored(folder):
            if found := PART.match(one.key):
                yield found["release_id"], one


def _removed(store: ObjectStore, release_id: str, named: Callable[[], set[str]]) -> bool:
    """Whether it went: its record first, so that nobody can name what is no longer whole. One that was named meanwhile gets it back."""
    key = published.record_key(release_id)
    record = store.read(key)
    store.delete(key)
    stays = True  # also where it cannot be seen whether it was named
    try:
        stays = release_id in named()
    finally:
        if stays and record:
            store.swap(key, record.data, None)
    if stays:
        return False
    for folder in (f"{published.RELEASES}/{release_id}", published.about_key(release_id)):
        for one in list(store.stored(folder)):
            store.delete(one.key)
    return True
