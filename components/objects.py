"""Where bytes are kept by name: a folder, or a bucket of S3 or of anything that speaks its protocol.

Credentials, region and a self-hosted endpoint come from the environment, as for every AWS client: AWS_ACCESS_KEY_ID,
AWS_SECRET_ACCESS_KEY, AWS_ENDPOINT_URL_S3 and so on. None of them is ever written to params.yaml.
"""

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from components.errors import BadParams, StoreFailed

S3 = "s3://"
PARTIAL = ".partial-"
ABANDONED_S = 24 * 3600.0
MISSING = ("NoSuchKey", "404", "NotFound")


@dataclass(frozen=True)
class Stored:
    """One object's name, size, and when it was written or last touched (Unix time)."""

    key: str
    num_bytes: int
    modified_s: float


class ObjectStore(Protocol):
    """Objects by key, such as `embed/0a1b/shard-00000/9c.parquet`. A reader sees a whole object or none."""

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object."""

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key`, replacing what was there in one step."""

    def delete(self, key: str) -> None:
        """Forgets `key`; an unknown key is no error."""

    def touch(self, key: str) -> None:
        """Makes the object count as used now; an unknown key is no error."""

    def stored(self, prefix: str = "") -> Iterator[Stored]:
        """Every object whose key lies below the folder `prefix`, at any depth, sorted by key; half-written ones are not listed."""


def open_store(url: str) -> ObjectStore:
    """The store at `s3://bucket/prefix`, or in the folder that `url` names. Raises BadParams for any other scheme."""
    if url.startswith(S3):
        bucket, _, prefix = url.removeprefix(S3).partition("/")
        if not bucket:
            raise BadParams(f"{url!r} names no bucket: write s3://bucket/prefix")
        return S3Store(bucket, prefix.strip("/"))
    if "://" in url:
        raise BadParams(f"{url!r}: objects are kept in a folder or at s3://bucket/prefix")
    return FolderStore(Path(url))


@dataclass(frozen=True)
class FolderStore:
    """Objects as files below `root`. Writes go to a temporary name, are synced and renamed."""

    root: Path

    def get(self, key: str) -> bytes | None:
        """The file's bytes, or None."""
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Writes the file under a temporary name beside it, then renames it."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=PARTIAL)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException as error:
            Path(partial).unlink(missing_ok=True)
            if isinstance(error, OSError):
                error.filename = error.filename or str(target)  # a write names no file, and a full disk is told by it
            raise

    def delete(self, key: str) -> None:
        """Removes the file, and folders that this leaves empty."""
        path = self.root / key
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.root or not _removed(folder):
                break

    def touch(self, key: str) -> None:
        """Sets the file's time to now."""
        try:
            os.utime(self.root / key)
        except FileNotFoundError:
            return

    def stored(self, prefix: str = "") -> Iterator[Stored]:
        """The files below `prefix`. What a killed writer left for a day is removed on the way."""
        for path in sorted((self.root / prefix).rglob("*")):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue  # another process removed it meanwhile
            if not path.is_file():
                continue
            if not path.name.startswith(PARTIAL):
                yield Stored(path.relative_to(self.root).as_posix(), stat.st_size, stat.st_mtime)
            elif stat.st_mtime < time.time() - ABANDONED_S:
                path.unlink(missing_ok=True)


def _removed(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class S3Store:
    """Objects of one bucket below `prefix`. Raises StoreFailed where the bucket cannot be reached or refuses."""

    bucket: str
    prefix: str
    client: Any = field(default_factory=lambda: _client(), repr=False, compare=False)

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None."""
        with self._named(key):
            try:
                data: bytes = self.client.get_object(Bucket=self.bucket, Key=self._at(key))["Body"].read()
            except self.client.exceptions.ClientError as error:
                if _code(error) in MISSING:
                    return None
                raise
            return data

    def put(self, key: str, data: bytes) -> None:
        """One PUT, which S3 makes visible whole or not at all."""
        with self._named(key):
            self.client.put_object(Bucket=self.bucket, Key=self._at(key), Body=data)

    def delete(self, key: str) -> None:
        """One DELETE."""
        with self._named(key):
            self.client.delete_object(Bucket=self.bucket, Key=self._at(key))

    def touch(self, key: str) -> None:
        """Writes the object again: not every server that speaks S3 renews the time of a copy onto itself."""
        if (data := self.get(key)) is not None:
            self.put(key, data)

    def stored(self, prefix: str = "") -> Iterator[Stored]:
        """The objects below `prefix`, a page of the listing at a time."""
        start = self._at(f"{prefix.rstrip('/')}/") if prefix else self._at("")
        with self._named(prefix):
            for page in self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=start):
                for one in page.get("Contents", ()):
                    key = one["Key"].removeprefix(f"{self.prefix}/") if self.prefix else one["Key"]
                    yield Stored(key, one["Size"], one["LastModified"].timestamp())

    def _at(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise StoreFailed(
                f"{S3}{self.bucket}/{self._at(key)}: {error}. "
                "Check the bucket's name, and AWS_ENDPOINT_URL_S3 and the credentials in the environment"
            ) from None


def _client() -> Any:
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise StoreFailed("s3:// needs boto3: install vitrine[flows]") from None
    retries = {"mode": "standard", "max_attempts": 5}
    return boto3.session.Session().client("s3", config=Config(retries=retries, connect_timeout=10, read_timeout=60))


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
