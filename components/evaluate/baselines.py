"""What the model is compared with: colours alone, chance, its own start, and vectors made elsewhere."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from components.errors import BadData
from components.evaluate.held_out import read_vectors
from components.evaluate.rankings import Exact
from components.evaluate.table import Row
from components.images import to_square

HISTOGRAM_SIDE_PX = 64
LEVELS_A_CHANNEL = 4
RANDOM_WIDTH = 32


def color_histogram(data: bytes) -> np.ndarray:
    """float32 (64,), unit length: the square roots of the shares of a picture's pixels in 4 x 4 x 4 cells of RGB.

    The root makes the cosine of two histograms their Bhattacharyya coefficient, so that one large background does not decide alone.
    """
    cell_HW3 = to_square(data, HISTOGRAM_SIDE_PX).astype(np.int64) * LEVELS_A_CHANNEL // 256
    cell_HW = cell_HW3 @ np.array([LEVELS_A_CHANNEL**2, LEVELS_A_CHANNEL, 1])
    share_C = np.bincount(cell_HW.ravel(), minlength=LEVELS_A_CHANNEL**3) / cell_HW.size
    return np.asarray(np.sqrt(share_C), np.float32)


def random_row(num_items: int, seed: int) -> Row:
    """A ranking by chance: random directions, so that it runs through the same code as any vectors."""
    vector_ND = np.random.default_rng([seed, 1]).standard_normal((num_items, RANDOM_WIDTH), np.float32)
    vector_ND /= np.linalg.norm(vector_ND, axis=1, keepdims=True)
    return Row("random", vector_ND, Exact(vector_ND), np.ones(num_items, bool))


def row_of(name: str, item_ids: Sequence[str], vector_by_item: Mapping[str, np.ndarray]) -> Row:
    """A row ranked by exact cosine; items without a vector are marked as not present."""
    present_N = np.array([item in vector_by_item for item in item_ids], bool)
    width = len(next(iter(vector_by_item.values()))) if vector_by_item else 1
    vector_ND = np.zeros((len(item_ids), width), np.float32)
    for n, item in enumerate(item_ids):
        if present_N[n]:
            vector_ND[n] = vector_by_item[item]
    return Row(name, vector_ND, Exact(vector_ND), present_N)


def file_row(name: str, path: Path, item_ids: Sequence[str], sha256: str | None = None) -> Row:
    """A row from a parquet file of vectors. Raises BadData where it does not hold what it should, or is not the file of that sha256."""
    vectors = read_vectors(path, item_ids)
    if sha256 and (found := hashlib.sha256(path.read_bytes()).hexdigest()) != sha256:
        raise BadData(
            f"{path} has changed since the snapshot was taken (sha256 {found[:12]}, was {sha256[:12]}): run `vitrine source folder PATH`"
            " again, which takes a new one"
        )
    return row_of(name, item_ids, vectors)
