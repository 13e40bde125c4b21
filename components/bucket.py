"""A bucket of S3, or of anything that speaks its protocol, as a store of objects (components/objects.py)."""

import mimetypes
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from components.errors import Conflict, StoreFailed
from components.objects import PATIENT, S3, Calls, Stored, Versioned, check_size, told

PROBE = ".probe/"
MISSING = ("NoSuchKey", "404", "NotFound")
LOST = ("PreconditionFailed", "412", "ConditionalRequestConflict", "409", *MISSING)
UNKNOWN_TO_SERVER = ("NotImplemented", "501")


@dataclass(frozen=True)
class S3Store:
    """Objects of one bucket below `prefix`. Raises StoreFailed where the bucket cannot be reached or refuses."""

    bucket: str
    prefix: str
    client: Any = field(default_factory=lambda: client(PATIENT), repr=False, compare=False)
    proven: threading.Event = field(default_factory=threading.Event, repr=False, compare=False)

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None."""
        found = self.read(key)
        return found.data if found else None

    def put(self, key: str, data: bytes) -> None:
        """One PUT, which S3 makes visible whole or not at all. The type is told, so that browsers show a page."""
        kind = mimetypes.guess_type(key)[0] or "application/octet-stream"
        with self._named(key):
            self.client.put_object(Bucket=self.bucket, Key=self._at(key), Body=data, ContentType=kind)

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
                    yield Stored(key, one["Size"], one["LastModified"].timestamp(), one.get("ETag", ""))

    def read(self, key: str, max_bytes: int | None = None) -> Versioned | None:
        """The object; its version is its ETag. Asked for again where the answer breaks off: boto3 does so only before its first byte."""
        with self._named(key):
            for tried, wait_s in enumerate(waits := _waits(self.client), 1):
                if (found := self._asked(self.client.get_object, key)) is None:
                    return None
                with closing(found["Body"]) as body:  # its own `with` gives the stream below, which does not notice being cut off
                    check_size(self._url(key), found["ContentLength"], max_bytes)
                    try:
                        return Versioned(body.read(), found["ETag"])
                    except _broken_off():
                        if tried == len(waits):
                            raise
                time.sleep(wait_s)
        raise AssertionError("a client that tries nothing")

    def swap(self, key: str, data: bytes, version: str | None) -> str:
        """One conditional PUT. Raises StoreFailed where the server does not honour conditions, which is tried once."""
        from botocore.exceptions import BotoCoreError, ClientError

        self.check_swaps()
        writer = uuid.uuid4().hex
        mark = {"writer": writer, "before": _plain(version)}
        condition = {"IfNoneMatch": "*"} if version is None else {"IfMatch": version}
        with self._named(key):
            try:
                done = self.client.put_object(Bucket=self.bucket, Key=self._at(key), Body=data, Metadata=mark, **condition)
            except (BotoCoreError, ClientError) as error:
                return self._settled(key, mark, error)
        return str(done["ETag"])

    def _settled(self, key: str, mark: dict[str, str], error: Exception) -> str:
        """The version of a write that was made though its answer was lost, so that the client's own second try was refused.

        Raises Conflict where it certainly was not made, else the error itself.
        """
        lost = _code(error) in LOST
        conflict = Conflict(f"{self._url(key)} was changed by another process")
        if lost and not _tries_before(error):
            raise conflict
        there = self._asked(self.client.head_object, key)
        found = _metadata(there) if there else {}
        if there and found.get("writer") == mark["writer"]:
            return str(there["ETag"])
        if lost and found.get("before") == mark["before"]:
            raise conflict  # another took the place of the version that this write was to take
        raise error

    def check_swaps(self) -> None:
        """Raises StoreFailed where the server writes though a condition does not hold: two writers would then undo each other unseen.

        Looked at once a process, with a scratch object.
        """
        if self.proven.is_set():
            return
        key = f"{PROBE}{uuid.uuid4().hex}"
        with self._named(key):
            self._refuses(key, IfNoneMatch="*")
            try:
                honours = self._refuses(key, IfNoneMatch="*") and self._refuses(key, IfMatch=f'"{"0" * 32}"')
            finally:
                self.client.delete_object(Bucket=self.bucket, Key=self._at(key))
        if not honours:
            raise StoreFailed(
                f"{S3}{self.bucket} does not honour conditional writes (If-None-Match, If-Match), so that two processes would undo each "
                "other's changes unseen. Use a server that does (AWS S3, MinIO, R2), or a folder"
            )
        self.proven.set()

    def _refuses(self, key: str, **condition: str) -> bool:
        try:
            self.client.put_object(Bucket=self.bucket, Key=self._at(key), Body=b"", **condition)
        except self.client.exceptions.ClientError as error:
            if _code(error) in UNKNOWN_TO_SERVER:
                return False
            if _code(error) in LOST:
                return True
            raise
        return False

    def upload(self, key: str, path: Path, sha256: str) -> None:
        """One PUT, or parts that S3 joins when all are there. The digest goes along as metadata."""
        with told(path), self._named(key):
            self.client.upload_file(str(path), self.bucket, self._at(key), ExtraArgs={"Metadata": {"sha256": sha256}})

    def download(self, key: str, path: Path, max_bytes: int) -> bool:
        """GETs of parts, each tried again where it breaks off."""
        with told(path), self._named(key):
            if (there := self._asked(self.client.head_object, key)) is None:
                return False
            check_size(self._url(key), there["ContentLength"], max_bytes)
            self.client.download_file(self.bucket, self._at(key), str(path))
        return True

    def sha256(self, key: str) -> str | None:
        """What upload() told of the object."""
        with self._named(key):
            there = self._asked(self.client.head_object, key)
        return _metadata(there).get("sha256", "") if there else None

    def clear_partial(self, prefix: str, before_s: float) -> None:
        """Aborts multipart uploads, whose parts nobody sees and everybody pays for."""
        with self._named(prefix):
            for page in self.client.get_paginator("list_multipart_uploads").paginate(Bucket=self.bucket, Prefix=self._at(prefix)):
                for one in page.get("Uploads", ()):
                    if one["Initiated"].timestamp() < before_s:
                        self.client.abort_multipart_upload(Bucket=self.bucket, Key=one["Key"], UploadId=one["UploadId"])

    def _asked(self, call: Callable[..., Any], key: str) -> Any:
        """The answer to the call about the object, or None where there is none."""
        try:
            return call(Bucket=self.bucket, Key=self._at(key))
        except self.client.exceptions.ClientError as error:
            if _code(error) in MISSING:
                return None
            raise

    def _url(self, key: str) -> str:
        return f"{S3}{self.bucket}/{self._at(key)}"

    def _at(self, key: str) -> str:
        return f"{self.prefix}/{key}" if self.prefix else key

    @contextmanager
    def _named(self, key: str) -> Iterator[None]:
        from boto3.exceptions import Boto3Error
        from botocore.exceptions import BotoCoreError, ClientError
        from s3transfer.exceptions import S3DownloadFailedError  # type: ignore[import-untyped]

        try:
            yield
        except (BotoCoreError, ClientError, Boto3Error, S3DownloadFailedError) as error:
            raise StoreFailed(
                f"{self._url(key)}: {error}. Check the bucket's name, and AWS_ENDPOINT_URL_S3 and the credentials in the environment"
            ) from None


def client(calls: Calls) -> Any:
    """boto3's client. Raises StoreFailed where boto3 is not installed."""
    try:
        import boto3
        from botocore.config import Config
    except ModuleNotFoundError:
        raise StoreFailed("s3:// needs boto3: install vitrine[flows]") from None
    retries = {"mode": "standard", "total_max_attempts": calls.attempts}
    config = Config(retries=retries, connect_timeout=calls.connect_s, read_timeout=calls.read_s)
    made = boto3.session.Session().client("s3", config=config)
    made.meta.events.register_last("before-parameter-build", _unchecked_parts)
    return made


def _unchecked_parts(params: dict[str, Any], **_: object) -> None:
    """Asks for no checksum with a part of an object: some servers send that of the whole. Its length is held all the same."""
    if "Range" in params:
        params.pop("ChecksumMode", None)


def _waits(client: Any) -> list[float]:
    """Seconds to wait after each try, as many as the client makes of a call; unlike, so that many processes do not try at once."""
    return [random.uniform(0.5, 1) * min(0.1 * 2**n, 20.0) for n in range(int(client.meta.config.retries["total_max_attempts"]))]


def _broken_off() -> tuple[type[Exception], ...]:
    """What reading an answer raises where it does not come whole."""
    from botocore.exceptions import FlexibleChecksumError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

    return FlexibleChecksumError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError


def _code(error: Any) -> str:
    response = getattr(error, "response", None) or {}  # a time-out has one, and it is None
    return str(response.get("Error", {}).get("Code", ""))


def _tries_before(error: Any) -> int:
    return int(error.response.get("ResponseMetadata", {}).get("RetryAttempts", 0))


def _metadata(head: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in head["Metadata"].items()}  # some servers write the names as they like


def _plain(version: str | None) -> str:
    return (version or "none").strip('"')
