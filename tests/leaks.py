"""Where a planted secret turns up: in files as they lie and unpacked, in Git's objects, in SQLite, in a bucket."""

import base64
import contextlib
import gzip
import io
import itertools
import sqlite3
import subprocess
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

SQLITE, PARQUET, ZIP, GZIP = b"SQLite format 3\0", b"PAR1", b"PK\x03\x04", b"\x1f\x8b"


def forms(secret: str) -> set[bytes]:
    """The bytes that give the secret away: as it is, in hexadecimal, and in base64 wherever it may stand in a longer text.

    A secret of letters and digits looks the same in JSON, in YAML, in an address and in quotes.
    """
    assert secret.isalnum(), "else it would have to be looked for as JSON, YAML and addresses write it"
    raw = secret.encode()
    found = {raw, raw.hex().encode(), raw.hex().upper().encode()}
    for before in range(3):
        whole = base64.b64encode(bytes(before) + raw)
        found.add(whole[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6])  # without the characters that neighbours have a share in
    return found


def holds(data: bytes, secrets: Iterable[str]) -> bool:
    """Whether one of the secrets is in the bytes, or in what they unpack to."""
    wanted = set().union(*map(forms, secrets))
    return any(form in part for part in (data, *unpacked(data)) for form in wanted)


def unpacked(data: bytes) -> Iterator[bytes]:
    """What compressed bytes hold: a table's columns one after the other, an archive's files."""
    with contextlib.suppress(zipfile.BadZipFile, EOFError, OSError, zlib.error):
        if data.startswith(PARQUET) and data.endswith(PARQUET):
            sink = io.BytesIO()
            pq.write_table(pq.read_table(io.BytesIO(data)), sink, compression="none", use_dictionary=False)
            yield sink.getvalue()
        elif data.startswith(ZIP):
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                yield from (archive.read(name) for name in archive.namelist())
        elif data.startswith(GZIP):
            yield gzip.decompress(data)


def in_folder(folder: Path, secrets: Iterable[str]) -> list[str]:
    """The places below the folder that hold one of the secrets, names of files among them."""
    wanted, found = list(secrets), []
    for path in folder.rglob("*"):
        if holds(path.name.encode(), wanted):
            found.append(f"{path}: its name")
        if path.is_file() and not path.is_symlink():
            found += [str(path)] if any(holds(part, wanted) for part in _parts(path)) else []
        elif (path / "HEAD").is_file() and (path / "objects").is_dir():
            found += [f"{path}: an object"] if holds(git_objects(path), wanted) else []
    return found


def _parts(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    yield data
    if data.startswith(SQLITE):
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            yield "\n".join(database.iterdump()).encode()


def git_objects(folder: Path) -> bytes:
    """Every object of a repository, reachable or not, as it was before it was packed."""
    command = ["git", f"--git-dir={folder}", "cat-file", "--batch-all-objects", "--batch"]
    return subprocess.run(command, capture_output=True, check=True).stdout


def in_bucket(client: Any, bucket: str, secrets: Iterable[str]) -> tuple[list[str], int]:
    """The keys of objects that hold one of the secrets, in name, bytes or metadata; and how many objects there are."""
    wanted, found, num = list(secrets), [], 0
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    for one in itertools.chain.from_iterable(page.get("Contents", ()) for page in pages):
        there: Mapping[str, Any] = client.get_object(Bucket=bucket, Key=one["Key"])
        about = f"{one['Key']} {there['Metadata']}".encode()
        found += [one["Key"]] if holds(about, wanted) or holds(there["Body"].read(), wanted) else []
        num += 1
    return found, num
