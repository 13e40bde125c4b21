"""The identity of a vector space. Vectors with different fingerprints are never compared."""

import hashlib


def fingerprint(*, encoder: str, preprocessing: str, projection: str, precision: str) -> str:
    """16 hex digits that change with anything that moves vectors: encoder weights, preprocessing, projection, serving precision.

    The first three are sha256 digests; precision is fp32 or int8.
    """
    parts = f"encoder={encoder}\npreprocessing={preprocessing}\nprojection={projection}\nprecision={precision}\n"
    return hashlib.sha256(parts.encode()).hexdigest()[:16]
