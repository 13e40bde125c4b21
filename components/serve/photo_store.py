"""The catalogue's photos in the object store, each once, by the sha256 of its bytes."""

import asyncio
import hashlib
from dataclasses import dataclass

from components.objects import ObjectStore


@dataclass(frozen=True)
class PhotoStore:
    """Photos under pictures/<first two digits>/<image_id>."""

    store: ObjectStore

    async def put(self, image_id: str, data: bytes) -> None:
        """Keeps the photo; durable when this returns."""
        await asyncio.to_thread(self.store.put, _key(image_id), data)

    async def get(self, image_id: str) -> bytes | None:
        """The photo's bytes, or None where it was never kept or is not what it is named."""
        return await asyncio.to_thread(kept_photo, self.store, image_id)


def kept_photo(store: ObjectStore, image_id: str) -> bytes | None:
    """The photo's bytes, or None where it was never kept or is not what it is named."""
    data = store.get(_key(image_id))
    return data if data is not None and hashlib.sha256(data).hexdigest() == image_id else None


def _key(image_id: str) -> str:
    return f"pictures/{image_id[:2]}/{image_id}"
