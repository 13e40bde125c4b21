"""Whether a release gives the answers that its bundle demands, asked the way that everybody asks: over the gateway's own routes."""

import base64
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from components.serve.config import GoldenConfig
from components.serve.items import Filters
from components.serve.served import Golden, Served

AT_ONCE = 8
SAMPLED = 4
SELF_COSINE = 0.99  # of an item's vector to itself; an index may keep it in half precision

Ask = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass(frozen=True)
class Passed:
    """A check's outcome: `reasons` name what was wrong, none where the release may serve. `worst_cosine` is over all golden inputs."""

    reasons: tuple[str, ...]
    worst_cosine: float = 1.0
    worst_score_error: float = 0.0

    def __bool__(self) -> bool:
        return not self.reasons


async def check(served: Served, cfg: GoldenConfig, ask: Ask) -> Passed:
    """What became of every golden picture and title, and of a few queries to the index. `ask` posts JSON to one of our routes."""
    reasons, cosine, error = await _embedded(served, cfg, ask)
    return Passed((*reasons, *await _found(served, ask)), cosine, error)


async def _embedded(served: Served, cfg: GoldenConfig, ask: Ask) -> tuple[list[str], float, float]:
    golden = served.golden
    inputs = [{"picture_base64": base64.b64encode(data).decode()} for data in golden.pictures]
    inputs += [{"text": title} for title in golden.titles]
    rows: list[dict[str, Any]] = []
    for start in range(0, len(inputs), AT_ONCE):
        answer = await ask("/v1/embed", {"inputs": inputs[start : start + AT_ONCE], "release": served.release_id})
        rows += answer["results"]
    if failed := [row["problem"] for row in rows if "problem" in row]:
        return [f"{len(failed)} of {len(rows)} golden inputs are refused, first: {failed[0]['code']}: {failed[0]['detail']}"], 0.0, 1.0
    return compare(golden, rows, cfg)


def compare(golden: Golden, rows: Sequence[dict[str, Any]], cfg: GoldenConfig) -> tuple[list[str], float, float]:
    """What is wrong, the lowest cosine and the widest distance of scores, of answers in the order of the golden pictures, then titles."""
    wanted = np.concatenate([golden.vectors, golden.title_vectors])
    found = np.array([row["vector"] for row in rows], np.float32)
    if found.shape != wanted.shape:
        return [f"golden vectors have the shape {found.shape}, the bundle's {wanted.shape}"], 0.0, 1.0
    cosine = float(np.sum(wanted * found, axis=1).min(initial=1.0))
    scores = np.array([row["image_score"] for row in rows[: len(golden.pictures)]], np.float32)
    error = float(np.abs(scores - golden.scores).max(initial=0.0))
    reasons = []
    if not cosine >= cfg.min_cosine:
        reasons.append(f"a golden vector comes back at cosine {cosine:.5f}, below golden.min_cosine {cfg.min_cosine}")
    if not error <= cfg.max_score_error:
        reasons.append(f"a golden image score comes back {error:.4f} off, above golden.max_score_error {cfg.max_score_error}")
    return reasons, cosine, error


async def _found(served: Served, ask: Ask) -> list[str]:
    if not await served.generation.count():
        return ["the index is empty"]
    picture = base64.b64encode(served.golden.pictures[0]).decode() if served.golden.pictures else None
    if picture and not (await ask("/v1/similar", {"picture_base64": picture, "release": served.release_id}))["items"]:
        return ["the index finds nothing for a golden picture"]
    for row in await served.generation.sample(SAMPLED, seed=0):
        hits = await served.generation.search(row.vector, 1, Filters(), fingerprint=served.fingerprint)
        if not hits or hits[0].cosine < SELF_COSINE:
            return [f"the index does not find {row.item.item_id!r} by its own vector"]
    return []
