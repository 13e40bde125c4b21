"""Windows of a small made-up shop, for the detectors' tests and benches."""

import dataclasses
import datetime as dt
from collections import Counter

import numpy as np
import pyarrow as pa

from monitoring.detectors.config import DetectorsConfig
from monitoring.window import ALL, COLUMNS, DIMENSIONS, Window

START = dt.datetime(2026, 3, 2, tzinfo=dt.UTC)
CATEGORIES = ("Bags", "Books", "Dresses", "Games", "Mugs", "Shoes", "Tools", "Toys")
SIZES, QUARTERS = ("1", "2-9", "10+"), ("lowest", "low", "high", "highest")


def make_config(**changes):
    told = {"min_rows": 30, "num_components": 24, "num_folds": 3, "ridge": 0.01, "num_features": 256, "bandwidth_rows": 512}
    told |= {"block": "seller", "num_blocks": 64, "num_permutations": 100, "num_bins": 10}
    return DetectorsConfig.model_validate(told | changes)


def make_window(num_rows=600, *, dim=16, num_items=None, seed=0, of=0, **columns):
    """Rows of items that the pool `of` holds, drawn by `seed`. `columns` replace columns of the rows, or `vectors` and `weight`."""
    pool, rng = np.random.default_rng([of, 1]), np.random.default_rng([seed, 2])
    num_items = num_items or num_rows
    centre = pool.normal(0, 1, (len(CATEGORIES), dim)) * 0.6
    kind = pool.integers(len(CATEGORIES), size=num_items)
    vectors = centre[kind] + pool.normal(0, 1, (num_items, dim)) / np.sqrt(1 + np.arange(dim))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    score, light = pool.beta(2, 2, num_items), pool.beta(5, 4, num_items)
    seller = pool.integers(num_items // 3 + 1, size=num_items)
    item = rng.integers(num_items, size=num_rows)
    ts = [START + dt.timedelta(seconds=float(s)) for s in np.sort(rng.uniform(0, 86400, num_rows))]
    rows = {
        "ts": pa.array(ts, COLUMNS.field("ts").type),
        "request_id": [f"r-{seed}-{n}" for n in range(num_rows)],
        "item_id": [f"m-{of}-{n:06d}" for n in item],
        "image_id": [f"p-{of}-{n:06d}" for n in item],
        "image_score": score[item],
        "brightness": light[item],
        "sharpness": pool.normal(2.1, 0.5, num_items)[item],
        "text_share": (pool.beta(1, 30, num_items))[item],
        "width": pool.choice([480, 640, 1080], num_items)[item],
        "height": pool.choice([480, 640, 1080], num_items)[item],
        "latency_ms": rng.gamma(4, 5, num_rows),
        "platform": rng.choice(["web", "ios", "android"], num_rows, p=[0.4, 0.35, 0.25]),
        "app_version": rng.choice([f"3.{n}.0" for n in range(8)], num_rows),
        "category": np.array(CATEGORIES)[kind[item]],
        "title_language": pool.choice(["ja", "en", "und"], num_items, p=[0.8, 0.17, 0.03])[item],
        "seller_id": [f"s-{n:04d}" for n in seller[item]],
        "seller_size": np.array(SIZES)[seller[item] % 3],
        "quality": np.array(QUARTERS)[np.minimum((score[item] * 4).astype(int), 3)],
    }
    vectors, weight = columns.pop("vectors", vectors[item]), columns.pop("weight", np.ones(num_rows))
    return window_of({**rows, **columns}, vectors, weight)


def window_of(rows, vectors, weight):
    """A window of a table's columns."""
    rows = {name: values if isinstance(values, pa.Array) else as_column(values, COLUMNS.field(name).type) for name, values in rows.items()}
    return window_over(pa.table(rows, schema=COLUMNS), vectors, weight)


def window_over(table, vectors, weight):
    """A window of these rows, with the segments that they hold."""
    counts = Counter({ALL: table.num_rows})
    for dimension in DIMENSIONS:
        counts.update({f"{dimension}={word}": n for word, n in Counter(table[dimension].to_pylist()).items() if word is not None})
    return Window(START, START + dt.timedelta(days=1), "f" * 12, table, vectors.astype(np.float32), np.asarray(weight, float), dict(counts))


def as_column(values, kind):
    values = list(values)
    if pa.types.is_floating(kind) or pa.types.is_integer(kind):
        values = [None if value is None else value.item() if hasattr(value, "item") else value for value in values]
    return pa.array([None if value is None else str(value) for value in values] if pa.types.is_string(kind) else values, kind)


def columns_of(window):
    """The window's columns as lists, to be changed."""
    return {name: window.rows[name].to_pylist() for name in COLUMNS.names}


def changed(window, *, vectors=None, weight=None, **columns):
    """The window with other columns."""
    rows = columns_of(window) | {name: list(values) for name, values in columns.items()}
    return window_of(rows, window.vectors if vectors is None else vectors, window.weight if weight is None else weight)


def taken(window, index):
    """The rows of these numbers, in that order, repeated where they are."""
    return window_over(window.rows.take(pa.array(index)), window.vectors[index], window.weight[index])


def with_weight(window, weight):
    return dataclasses.replace(window, weight=np.asarray(weight, float))
