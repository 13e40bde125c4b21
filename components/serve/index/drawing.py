"""Samples that a seed decides, alike in both backends and after a restart."""

import hashlib


def drawn(item_id: str, seed: int) -> str:
    """An item's place in the draw of that seed: the items with the lowest make the sample. PostgreSQL computes the same with md5()."""
    return hashlib.md5(f"{seed}:{item_id}".encode(), usedforsecurity=False).hexdigest()
