"""Names as numbers that are the same in any process and in any order of rows: which fold an item is in, and which block a row.

N rows.
"""

import zlib

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from monitoring.detectors.config import DetectorsConfig


def hashed(names: pa.ChunkedArray) -> np.ndarray:
    """(N,) uint64 of the names, equal for equal ones, in any process; null counts as a name."""
    coded = names.combine_chunks().dictionary_encode() if isinstance(names, pa.ChunkedArray) else names.dictionary_encode()
    of_word = np.array([zlib.crc32(word.encode()) for word in coded.dictionary.to_pylist()] + [0], np.uint64)
    place = pc.fill_null(coded.indices, len(of_word) - 1).to_numpy(zero_copy_only=False)
    return np.asarray(of_word[place])


def mixed(hash_N: np.ndarray, seed: int) -> np.ndarray:
    """(N,) the hashes shuffled by `seed`, every bit by all (splitmix64, Steele et al. 2014)."""
    with np.errstate(over="ignore"):
        x = hash_N + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return np.asarray(x ^ (x >> np.uint64(31)))


def blocks(table: pa.Table, cfg: DetectorsConfig, seed: int) -> np.ndarray:
    """(N,) number of each row's block, below num_blocks: its seller's or its hour's; a row without a seller is its item's."""
    if cfg.block == "hour":
        hours = pc.floor_temporal(table["ts"], unit="hour").cast(pa.int64()).fill_null(0).to_numpy().astype(np.uint64)
        return np.asarray((mixed(hours, seed) % np.uint64(cfg.num_blocks)).astype(np.int64))
    names = pc.coalesce(*(table[name] for name in ("seller_id", "item_id", "image_id", "request_id")))
    return np.asarray((mixed(hashed(names), seed) % np.uint64(cfg.num_blocks)).astype(np.int64))
