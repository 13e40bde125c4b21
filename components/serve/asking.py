"""From what a request names (an item, a text, a picture) to a vector of one release."""

import base64
import binascii
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.serve.items import Placed
from components.serve.photo_store import PhotoStore
from components.serve.pictures.fetch import Fetcher
from components.serve.pictures.seen import Pictures, Seen
from components.serve.problems import Refused
from components.serve.queries import Queries
from components.serve.served import Served


@dataclass(frozen=True)
class Query:
    """What was asked, as the answer repeats it: an item has its `row`, a picture what was `seen` of it."""

    about: dict[str, Any]
    vector: np.ndarray
    row: Placed | None = None
    seen: Seen | None = None


@dataclass(frozen=True)
class Asking:
    """Where queries are looked up: photos that are kept, pictures that come in, URLs that may be fetched."""

    pictures: Pictures
    photos: PhotoStore
    fetcher: Fetcher
    limits: Queries

    async def bytes_of(self, picture_base64: str | None, picture_url: str | None, upload: bytes | None = None) -> bytes | None:
        """The picture's bytes, however it came; None where none was given. Raises Refused."""
        given = [value for value in (picture_base64, picture_url, upload) if value is not None]
        if len(given) > 1:
            raise Refused("invalid", "give one picture: picture_base64 or picture_url")
        if picture_url is not None:
            return await self.fetcher.fetch(picture_url)
        if picture_base64 is None:
            return upload
        if len(picture_base64) > self.limits.max_picture_mib * 2**20 * 4 / 3 + 4:
            raise Refused("picture_too_many_bytes", f"picture_base64 holds more than {self.limits.max_picture_mib} MiB")
        try:
            return base64.b64decode(picture_base64, validate=True)
        except (binascii.Error, ValueError):
            raise Refused("invalid", "picture_base64 is not base64 (RFC 4648, section 4)") from None

    async def query(self, served: Served, item_id: str | None, text: str | None, data: bytes | None, *, want_stats: bool = False) -> Query:
        """The query in the release's space. Raises Refused unless just one is given."""
        if (item_id is None) + (text is None) + (data is None) != 2:
            given = [name for name, value in (("item_id", item_id), ("text", text), ("a picture", data)) if value is not None]
            raise Refused("invalid", f"give one query: item_id, text or a picture; found {' and '.join(given) or 'none'}")
        if item_id is not None:
            return await self.of_item(served, item_id)
        if text is not None:
            return await self.of_text(served, text)
        assert data is not None
        seen = await self.pictures.see(data, [served.inference], want_stats=want_stats)
        vector, score = seen.answers[served.fingerprint]
        return Query({"kind": "picture", "image_id": seen.image_id, "image_score": score}, vector, seen=seen)

    async def of_item(self, served: Served, item_id: str) -> Query:
        """The vector that the index holds of an item. Raises Refused item_unknown."""
        row = await served.generation.get(item_id)
        if row is None:
            raise Refused("item_unknown", f"no item {item_id!r} in release {served.release_id[:12]}")
        about = {"kind": "item", "item_id": item_id, "image_id": row.item.image_id, "image_score": row.image_score}
        return Query(about, row.vector, row)

    async def of_text(self, served: Served, text: str) -> Query:
        """The vector of a text. Raises Refused for one that is empty or too long."""
        return Query({"kind": "text", "text": text}, (await self.texts(served, [text]))[0])

    async def texts(self, served: Served, texts: list[str]) -> np.ndarray:
        """(B, K) vectors of texts. Raises Refused invalid."""
        for text in texts:
            if not text.strip():
                raise Refused("invalid", "the text is empty: say what to look for")
            if len(text) > self.limits.max_text_chars:
                raise Refused("invalid", f"the text has {len(text)} characters, limit {self.limits.max_text_chars}")
        return await served.inference.embed_texts(texts)
