"""The nearest-neighbour index as it is served: built by `index`, opened by `evaluate`, `vitrine similar` and the gateway."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import faiss
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.contract import Config, write_json
from components.errors import BadBundle

INDEX, ITEMS, ABOUT = "index.faiss", "items.parquet", "index.json"
TRAIN_SEED = 7


class IndexConfig(Config):
    """How the index is built. IVF cells are searched `num_probes` at a time; more finds more and costs more."""

    flat_below: int
    num_cells: int
    num_probes: int


@dataclass(frozen=True)
class NeighbourIndex:
    """Unit vectors of one fingerprint, searched by inner product, which is their cosine."""

    faiss_index: faiss.Index
    item_ids: list[str]
    fingerprint: str
    dim: int
    num_probes: int

    @classmethod
    def open(cls, folder: Path) -> "NeighbourIndex":
        """The index kept in a folder. Raises BadBundle where a file is missing or the files disagree."""
        for name in (INDEX, ITEMS, ABOUT):
            if not (folder / name).is_file():
                raise BadBundle(f"{folder} is no index: {name} is missing")
        about = json.loads((folder / ABOUT).read_text(encoding="utf-8"))
        index = faiss.read_index(str(folder / INDEX))
        item_ids = pq.read_table(folder / ITEMS)["item_id"].to_pylist()
        if index.ntotal != len(item_ids) or index.d != about["dim"]:
            raise BadBundle(f"{folder}: {INDEX} holds {index.ntotal} x {index.d}, {ITEMS} {len(item_ids)}, {ABOUT} dim {about['dim']}")
        return cls(index, item_ids, about["fingerprint"], about["dim"], about["num_probes"])

    def search(self, vectors: np.ndarray, k: int, among: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Cosines (Q, k), best first, and row numbers (Q, k) into item_ids; -1 fills up where fewer were found.

        `vectors` is (Q, D) float32 of unit length. `among` restricts the search to those row numbers. Raises BadBundle on another width.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.dim:
            raise BadBundle(f"the index holds vectors of {self.dim} values, the query has shape {vectors.shape}")
        selector = None if among is None else faiss.IDSelectorBatch(among.astype(np.int64))
        if isinstance(self.faiss_index, faiss.IndexIVF):
            params = faiss.SearchParametersIVF(sel=selector, nprobe=self.num_probes)
        else:
            params = faiss.SearchParameters(sel=selector)
        cosines, rows = self.faiss_index.search(np.ascontiguousarray(vectors, np.float32), k, params=params)
        return cosines, rows

    def vector_of(self, row: int) -> np.ndarray:
        """(D,) the vector kept in that row, as the index holds it."""
        vector: np.ndarray = self.faiss_index.reconstruct(int(row))
        return vector


def build(
    folder: Path, item_ids: list[str], vectors: np.ndarray, fingerprint: str, cfg: IndexConfig, also: Mapping[str, pa.Array] | None = None
) -> str:
    """Writes an index over (N, D) unit vectors and returns its kind: exact (flat) below cfg.flat_below items, else inverted file (ivf).

    `also` are columns kept beside the item_ids, such as the image_id that each vector was made of.
    """
    faiss.omp_set_num_threads(1)  # sums in one order: equal vectors give equal bytes
    dim = vectors.shape[1]
    kind = "flat" if len(item_ids) < cfg.flat_below else "ivf"
    index = faiss.IndexFlatIP(dim)
    if kind == "ivf":
        index = faiss.IndexIVFFlat(index, dim, cfg.num_cells, faiss.METRIC_INNER_PRODUCT)
        index.cp.seed = TRAIN_SEED
        index.train(vectors)
        index.make_direct_map()
    index.add(vectors)
    folder.mkdir(parents=True, exist_ok=True)
    faiss.write_index(index, str(folder / INDEX))
    pq.write_table(pa.table({"item_id": pa.array(item_ids, pa.string()), **(also or {})}), folder / ITEMS, compression="zstd")
    about = {"kind": kind, "dim": dim, "num_items": len(item_ids), "fingerprint": fingerprint, "num_probes": cfg.num_probes}
    write_json(folder / ABOUT, about)
    return kind
