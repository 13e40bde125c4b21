"""The edge of `index`: served vectors in, a searchable index out."""

import dataclasses

import numpy as np

from components.contract import In, Out, Summary
from components.errors import BadBundle, BadData
from components.neighbours import IndexConfig, build
from components.shards import read_shards

OF_ITEM = ("image_id", "image_score")  # what a gateway must know to serve a vector: which picture it shows, and how good that is


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexSummary(Summary):
    """`kind` is flat (exact) or ivf (approximate)."""

    kind: str
    dim: int
    fingerprint: str


def index(validated_vectors: In, embeddings: In, index: Out, *, cfg: IndexConfig) -> IndexSummary:
    """An index over every embedded item. Raises BadBundle where vectors of two fingerprints are mixed, BadData where there are none.

    `validated_vectors` is not read: it is there so that nothing is indexed before its gates have passed.
    """
    table = read_shards(embeddings, ["item_id", "vector", "fingerprint", *OF_ITEM])
    fingerprints = sorted(set(table["fingerprint"].to_pylist()))
    if not fingerprints:
        raise BadData("index: there is no embedded item; look at reports/ingest.json for what became of the listings")
    if len(fingerprints) > 1:
        raise BadBundle(f"index: vectors of {len(fingerprints)} models lie in one table ({', '.join(fingerprints)}); run `dvc repro embed`")
    vectors = np.stack(table["vector"].to_numpy()).astype(np.float32)
    also = {name: table[name] for name in OF_ITEM}
    kind = build(index, table["item_id"].to_pylist(), vectors, fingerprints[0], cfg, also)
    return IndexSummary(rows_in=len(table), rows_out=len(table), kind=kind, dim=vectors.shape[1], fingerprint=fingerprints[0])
