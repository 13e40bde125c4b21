"""What a snapshot holds that the one before did not, in words."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from components.ingest.files import event_file
from components.ingest.snapshot import EventsDigest, FileDigest, FolderDigest, SimulatedDigest, Snapshot, TablesDigest

SHOWN = 5


@dataclass(frozen=True)
class News:
    """Lines to print, and warnings to print after them."""

    lines: tuple[str, ...]
    warnings: tuple[str, ...]


def described(taken: Snapshot) -> str:
    """The source in a few words."""
    source = taken.source
    if isinstance(source, SimulatedDigest):
        return "the simulated market"
    if isinstance(source, EventsDigest):
        return f"the events in {source.path} ({len(source.files):,} files, {_mb(file.bytes for file in source.files.values())})"
    if isinstance(source, TablesDigest):
        files, photos = _files(source), source.pictures.values()
        told = f", {len(photos):,} photos, {_mb(photo.bytes for photo in photos)}" if photos else ""
        return f"the tables in {source.path} ({len(files):,} files, {_mb(file.bytes for file in files.values())}{told})"
    return f"{source.path} ({source.pictures.count:,} pictures, {_mb([source.pictures.bytes])})"


def _files(source: TablesDigest) -> dict[str, FileDigest]:
    return {key: digest for table in source.tables.values() for key, digest in table.files.items()}


def _mb(sizes: Iterable[int]) -> str:
    return f"{sum(sizes) / 1e6:,.1f} MB"


def news_of(before: Snapshot | None, after: Snapshot) -> News:
    """What is new. A file whose bytes are others than they were is a warning: events are written once."""
    if before == after:
        return News((f"nothing is new in {described(after)}, as of {_time(after)}",), ())
    lines = [f"{described(after)}, as of {_time(after)}{f' (was {_time(before)})' if before and _time(before) != _time(after) else ''}"]
    lines += _source_news(before, after)
    if (was := before and before.stable_release) != after.stable_release:
        lines.append(f"stable release: {after.stable_release} (was {was or 'none'})")
    return News(tuple(lines), tuple(_warnings(before, after)))


def _time(taken: Snapshot) -> str:
    return taken.as_of.isoformat().replace("+00:00", "Z")


def _source_news(before: Snapshot | None, after: Snapshot) -> Iterator[str]:
    was, now = before and before.source, after.source
    if isinstance(was, EventsDigest) and isinstance(now, EventsDigest) and was.path == now.path:
        if added := sorted(now.files.keys() - was.files.keys()):
            yield f"{len(added):,} files added ({_mb(now.files[name].bytes for name in added)}){_first(added)}"
        if gone := _gone(was, now):
            yield f"{len(gone):,} files gone ({_mb(was.files[name].bytes for name in gone)}){_first(gone)}"
        if past := was.files.keys() - now.files.keys() - set(gone):
            yield f"{len(past):,} files are past ingest.retention_days"
    elif isinstance(was, FolderDigest) and isinstance(now, FolderDigest) and (was.path, was.csv) == (now.path, now.csv):
        yield from _folder_news(was, now)
    elif isinstance(was, TablesDigest) and isinstance(now, TablesDigest) and was.path == now.path:
        yield from _objects_news("files", _files(was), _files(now))
        yield from _objects_news("photos", was.pictures, now.pictures)
    elif before and described(before) != described(after):
        yield f"the source was {described(before)}"


def _objects_news(noun: str, was: Mapping[str, FileDigest], now: Mapping[str, FileDigest]) -> Iterator[str]:
    """What tables are made of may be written again: other bytes are news, and no warning."""
    kinds = {
        "added": sorted(now.keys() - was.keys()),
        "with other bytes": sorted(key for key in now.keys() & was.keys() if now[key] != was[key]),
        "gone": sorted(was.keys() - now.keys()),
    }
    for what, keys in kinds.items():
        if keys:
            yield f"{len(keys):,} {noun} {what} ({_mb((now.get(key) or was[key]).bytes for key in keys)}){_first(keys)}"


def _folder_news(was: FolderDigest, now: FolderDigest) -> Iterator[str]:
    if was.csv_sha256 != now.csv_sha256:
        yield f"{now.csv} has other bytes"
    if was.pictures != now.pictures:
        yield f"pictures: {now.pictures.count:,} of {_mb([now.pictures.bytes])}, were {was.pictures.count:,} of {_mb([was.pictures.bytes])}"
    if was.external_vectors != now.external_vectors:
        yield f"external vectors: {', '.join(now.external_vectors) or 'none'}"


def _gone(was: EventsDigest, now: EventsDigest) -> list[str]:
    """Files that are there no more, but for those that the window left behind."""

    def is_past(name: str) -> bool:
        file = event_file(name)
        return bool(file and now.since and file.table in ("impressions", "clicks") and file.day < now.since)

    return sorted(name for name in was.files.keys() - now.files.keys() if not is_past(name))


def _first(names: list[str]) -> str:
    return f": {', '.join(names[:SHOWN])}{', ...' if len(names) > SHOWN else ''}" if names else ""


def _warnings(before: Snapshot | None, after: Snapshot) -> Iterator[str]:
    was, now = before and before.source, after.source
    if isinstance(was, EventsDigest) and isinstance(now, EventsDigest) and was.path == now.path:
        changed = sorted(name for name in now.files.keys() & was.files.keys() if now.files[name] != was.files[name])
        if changed:
            what = "files have other bytes than when they were pinned, so earlier runs cannot be made again"
            yield f"{len(changed):,} {what}{_first(changed)}"
