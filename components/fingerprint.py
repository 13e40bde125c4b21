"""The identity of files and of vector spaces. Vectors with different fingerprints are never compared."""

import hashlib
from pathlib import Path


def fingerprint(*, encoder: str, preprocessing: str, projection: str, precision: str) -> str:
    """16 hex digits that change with anything that moves vectors: encoder weights, preprocessing, projection, serving precision.

    The first three are sha256 digests; precision is fp32 or int8.
    """
    parts = f"encoder={encoder}\npreprocessing={preprocessing}\nprojection={projection}\nprecision={precision}\n"
    return hashlib.sha256(parts.encode()).hexdigest()[:16]


def file_digest(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
