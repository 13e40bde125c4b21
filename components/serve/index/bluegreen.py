"""A new generation beside the one that answers: filled while writes go on, judged before it may answer, and old ones let go."""

import asyncio
import dataclasses
import time
from collections.abc import AsyncIterable, AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.serve.index.config import GateConfig, IndexServeConfig
from components.serve.index.generation import Generation, IndexStore
from components.serve.items import Filters, Hit, Placed
from components.serve.problems import Refused

K = 10
SEED = 7
ID_PAGE = 5000
TIE = 1e-5  # cosines closer than this are one: which of two equal pictures comes first says nothing
ALL = Filters()


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What was seen of a candidate. Those that compare it with the live generation are None where there is none, or nothing in common.

    `missing_share` is of the live generation's items; recall and overlap (Jaccard) of the ten nearest lie in [0, 1], higher is better;
    `latency_ratio` is of the median to the live generation's, lower is better.
    """

    num_items: int
    num_queries: int
    recall_at_10: float
    median_ms: float
    p95_ms: float
    missing_share: float | None = None
    overlap_at_10: float | None = None
    live_median_ms: float | None = None
    live_p95_ms: float | None = None
    latency_ratio: float | None = None


@dataclass(frozen=True)
class Verdict:
    """Why a candidate may not answer, empty where it may; and the figures that this rests on."""

    reasons: tuple[str, ...]
    figures: Mapping[str, float | int | None]

    @property
    def passed(self) -> bool:
        """True where it may answer."""
        return not self.reasons


def judge(figures: Figures, cfg: GateConfig) -> Verdict:
    """Every limit that the figures break, by name, with what was found."""
    found = dataclasses.asdict(figures)
    if not figures.num_items:
        return Verdict(("num_items 0: the candidate is empty",), found)
    at_most = {"missing_share": cfg.max_missing_share, "latency_ratio": cfg.max_latency_ratio, "p95_ms": cfg.max_p95_ms}
    at_least = {"recall_at_10": cfg.min_recall_at_10, "overlap_at_10": cfg.min_overlap_at_10}
    seen = {name: value for name, value in found.items() if value is not None}
    reasons = [f"{name} {seen[name]:.4g} > {limit:g}" for name, limit in at_most.items() if seen.get(name, limit) > limit]
    reasons += [f"{name} {seen[name]:.4g} < {limit:g}" for name, limit in at_least.items() if seen.get(name, limit) < limit]
    return Verdict(tuple(reasons), found)


async def gate(candidate: Generation, live: Generation | None, cfg: IndexServeConfig) -> Verdict:
    """The verdict on a candidate that is to answer in the place of `live`, by searches for items of its own."""
    return judge(await measure(candidate, live, cfg.gate.num_queries), cfg.gate)


async def measure(candidate: Generation, live: Generation | None, num_queries: int) -> Figures:
    """The figures of both, asked in turns, so that whatever else the machine does slows both."""
    queries = await candidate.sample(num_queries, SEED)
    recalls, seconds = [], []
    for query in queries:
        hits, took_s = await _timed(candidate, query)
        recalls.append(recall(hits, await _neighbours(candidate, query, exact=True)))
        seconds.append(took_s)
    figures = Figures(
        num_items=await candidate.count(),
        num_queries=len(queries),
        recall_at_10=float(np.mean(recalls)) if recalls else 0.0,
        median_ms=_ms(seconds, 50),
        p95_ms=_ms(seconds, 95),
    )
    return figures if live is None else await _compared(figures, candidate, live, queries)


async def _compared(figures: Figures, candidate: Generation, live: Generation, queries: Sequence[Placed]) -> Figures:
    overlaps, seconds, live_seconds = [], [], []
    for query in queries:
        there = await live.get(query.item.item_id)
        if there is None:
            continue
        (ours, took_s), (theirs, live_took_s) = await _timed(candidate, query), await _timed(live, there)
        overlaps.append(overlap(ours, theirs))
        seconds.append(took_s)
        live_seconds.append(live_took_s)
    compared = dataclasses.replace(figures, missing_share=await missing_share(candidate, live))
    if not overlaps:
        return compared
    return dataclasses.replace(
        compared,
        overlap_at_10=float(np.mean(overlaps)),
        live_median_ms=_ms(live_seconds, 50),
        live_p95_ms=_ms(live_seconds, 95),
        latency_ratio=_ms(seconds, 50) / _ms(live_seconds, 50),
    )


async def _timed(generation: Generation, query: Placed) -> tuple[list[Hit], float]:
    started = time.perf_counter()
    hits = await _neighbours(generation, query, exact=False)
    return hits, time.perf_counter() - started


async def _neighbours(generation: Generation, query: Placed, *, exact: bool) -> list[Hit]:
    """The ten nearest other items."""
    await asyncio.sleep(0)  # the gate runs beside requests, which come first
    hits = await generation.search(query.vector, K + 1, ALL, fingerprint=generation.about.fingerprint, exact=exact)
    return [hit for hit in hits if hit.item.item_id != query.item.item_id][:K]


def _ms(seconds: Sequence[float], percentile: float) -> float:
    return float(np.percentile(seconds, percentile)) * 1000 if seconds else 0.0


def recall(found: Sequence[Hit], exact: Sequence[Hit]) -> float:
    """The share of the exact neighbours that were found, or others as near as the last of them; 1 where there are none."""
    if not exact:
        return 1.0
    as_near = sum(hit.cosine >= exact[-1].cosine - TIE for hit in found)
    return min(as_near, len(exact)) / len(exact)


def overlap(ours: Sequence[Hit], theirs: Sequence[Hit]) -> float:
    """Jaccard: items in both over items in either; 1 where both are empty."""
    a, b = {hit.item.item_id for hit in ours}, {hit.item.item_id for hit in theirs}
    return len(a & b) / len(a | b) if a | b else 1.0


async def missing_share(candidate: Generation, live: Generation) -> float | None:
    """The share of the live generation's items that the candidate lacks; None where the live one is empty."""
    num_live = num_missing = 0
    ours = _ids(candidate)
    ahead = await anext(ours, None)
    async for item_id in _ids(live):  # both come in one order
        while ahead is not None and ahead < item_id:
            ahead = await anext(ours, None)
        num_live += 1
        num_missing += ahead != item_id
    return num_missing / num_live if num_live else None


async def _ids(generation: Generation) -> AsyncIterator[str]:
    after: str | None = None
    while page := await generation.item_ids(after, ID_PAGE):
        for item_id in page:
            yield item_id
        after = page[-1]


async def build(
    store: IndexStore, name: str, rows: AsyncIterable[Sequence[Placed]], *, release_id: str, fingerprint: str, dim: int
) -> Generation:
    """A complete generation of the rows. Whoever puts to both generations meanwhile wins over the older rows that are filled.

    A build that was cut off goes on where the generation has the same release and space. Raises Refused release_refused where it is
    complete already, or another's.
    """
    there = next((about for about in await store.generations() if about.name == name), None)
    if there is None:
        await store.create(name, release_id=release_id, fingerprint=fingerprint, dim=dim)
    elif there.complete or (there.release_id, there.fingerprint, there.dim) != (release_id, fingerprint, dim):
        raise Refused("release_refused", f"generation {name} is {'complete already' if there.complete else 'of another release or space'}")
    async for some in rows:
        await store.fill(name, some, fingerprint=fingerprint)
    await store.finished(name)
    return await store.generation(name)


async def prune(store: IndexStore, keep: int) -> list[str]:
    """The generations that were dropped: older than the one that answers, and not among the last `keep` that answered before it.

    What is newer stays: it is being built, waits for its turn, or was rolled back from and may be looked at.
    """
    alias, abouts = await store.alias(), await store.generations()
    active = next((about for about in abouts if about.name == alias.active), None)
    if active is None:
        return []
    kept = {active.name, *alias.previous[:keep]}
    old = [one.name for one in abouts if one.name in alias.previous or one.created_at <= active.created_at]
    dropped = [name for name in old if name not in kept]
    for name in dropped:
        await store.drop(name)
    return dropped
