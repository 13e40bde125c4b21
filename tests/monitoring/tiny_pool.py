"""A pool for tests that need no workspace: vectors in clusters, one a kind, and for each fault cards that lie apart as its photos would."""

from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa

from components.contract import bind, read_params
from components.ingest.market import MarketConfig
from monitoring.config import MonitorConfig
from monitoring.rehearsal.config import FaultsConfig, QuietConfig, RehearsalConfig
from monitoring.rehearsal.pool import AI, CARDS, DARKER, FLOOD, NEW, QUIET, RESIZED, Known, Pool
from tests.conftest import PROJECT

DIM = 16
ROOTS = ("Fashion", "Home", "Hobbies", "Electronics")
NUM_KINDS, NUM_SELLERS, NUM_FLOOD = 12, 60, 30


@cache
def rehearsal() -> RehearsalConfig:
    """The rehearsal's section of params.yaml."""
    return bind(MonitorConfig, "monitor", read_params(PROJECT / "params.yaml")).rehearsal


def quiet(**changes: Any) -> QuietConfig:
    """The quiet year of params.yaml with some knobs changed."""
    return rehearsal().quiet.model_copy(update=changes)


def faults(**changes: Any) -> FaultsConfig:
    """The faults of params.yaml with some sizes changed."""
    return rehearsal().faults.model_copy(update=changes)


def tiny_pool(num_items: int = 360, seed: int = 0) -> Pool:
    """A pool of `num_items` quiet cards with all that the faults need."""
    rng = np.random.default_rng(seed)
    centres, away = rng.normal(size=(NUM_KINDS + 1, DIM)), {part: rng.normal(0, 0.8, DIM) for part in (DARKER, RESIZED, AI)}
    kinds = np.sort(rng.integers(NUM_KINDS, size=num_items))
    rows = [_card(number, int(kind), rng) for number, kind in enumerate(kinds)]
    vectors = [centres[kind] + rng.normal(0, 0.3, DIM) for kind in kinds]
    cards, placed = list(rows), list(vectors)
    for part, looks in (
        (DARKER, {"brightness": 0.3, "image_score": 0.25}),
        (RESIZED, {"width": 48, "height": 48, "sharpness": 1.2}),
        (AI, {"image_score": 0.95, "appeal": 0.35}),
    ):
        cards += [row | looks | {"part": part, "made_of": number, "image_id": f"{part}-{number}"} for number, row in enumerate(rows)]
        placed += [vector + away[part] for vector in vectors]
    for number in range(NUM_FLOOD):
        fresh = {"part": f"{NEW} bicycle", "item_id": f"n-{number}", "image_id": f"new-{number}", "category": ["Hobbies", "Bicycles"]}
        flood = {"part": f"{FLOOD} 0", "item_id": f"f-{number}", "image_id": f"flood-{number}", "seller_id": "s-flood"}
        cards += [rows[number] | fresh, rows[0] | flood]
        placed += [centres[-1] + rng.normal(0, 0.3, DIM), vectors[0] + rng.normal(0, 0.05, DIM)]
    units = np.stack(placed).astype(np.float32)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    return Pool(
        cards=pa.Table.from_pylist(cards, schema=CARDS),
        vectors=units.astype(np.float16).astype(np.float32),
        known=_known(units[:num_items], rng),
        fingerprint="0123456789abcdef",
        release_id="r" * 64,
        quality_edges=(0.3, 0.5, 0.7),
        click=bind(MarketConfig, "market", read_params(PROJECT / "params.yaml")).click,
    )


def _card(number: int, kind: int, rng: np.random.Generator) -> dict[str, Any]:
    japanese = bool(rng.random() < 0.6)
    score = float(rng.beta(2, 2))
    return {
        "part": QUIET,
        "made_of": -1,
        "item_id": f"m-{number:05d}",
        "image_id": f"quiet-{number}",
        "seller_id": f"s-{int(NUM_SELLERS * rng.random() ** 1.4):03d}",
        "title": "椅子" if japanese else "chair",
        "title_language": "ja" if japanese else "en",
        "description": "",
        "category": [ROOTS[kind % len(ROOTS)], f"kind {kind:02d}"],
        "price": 1000.0,
        "currency": "JPY",
        "app_version": "7.1.0",
        "image_score": score,
        "brightness": float(rng.normal(0.6, 0.15)),
        "sharpness": float(rng.normal(2.0, 0.5)),
        "text_share": float(rng.beta(1, 30)),
        "width": 192,
        "height": 192,
        "appeal": score,
    }


def _known(units: np.ndarray, rng: np.random.Generator) -> Known:
    copied = np.sort(rng.permutation(len(units))[:120])
    copies = units[copied] + rng.normal(0, 0.02, (len(copied), DIM)).astype(np.float32)
    targets = rng.random(64).astype(np.float32)
    return Known(targets, targets, np.ones(8, np.float32), copies, copied)
