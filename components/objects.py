"""Where bytes are kept by name: a folder today. The interface is an object store's, so that S3 can stand in its place."""

import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class FolderStore:
    """Objects as files below `root`. A reader sees a whole object or none: writes go to a temporary name and are renamed."""

    root: Path

    def get(self, key: str) -> bytes | None:
        """The object's bytes, or None where there is no such object."""
        try:
            return (self.root / key).read_bytes()
        except FileNotFoundError:
            return None

    def put(self, key: str, data: bytes) -> None:
        """Keeps `data` under `key`, replacing what was there in one step."""
        target = self.root / key
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, partial = tempfile.mkstemp(dir=target.parent, prefix=".partial-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, target)
        except BaseException:
            Path(partial).unlink(missing_ok=True)
            raise

    def delete(self, key: str) -> None:
        """Forgets `key`; an unknown key is no error."""
        (self.root / key).unlink(missing_ok=True)

    def keys(self, prefix: str) -> Iterator[str]:
        """Every key in the folder `prefix`, sorted; half-written objects are not listed."""
        folder = self.root / prefix
        if folder.is_dir():
            for path in sorted(folder.iterdir()):
                if path.is_file() and not path.name.startswith(".partial-"):
                    yield f"{prefix}/{path.name}"
