"""Which share of a window's rows lacks a field that a sound row may lack."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from components.ingest.admit import language_of

OPTIONAL = ("item_id", "app_version", "category", "title_language", "seller_id")
NO_LANGUAGE = language_of("")


def missing_share(rows: pa.Table, weight: np.ndarray) -> dict[str, float]:
    """Share of the rows, 0 to 1, that lack each field, each row counted as often as it stands for. A title of no language lacks one."""
    total = max(float(weight.sum()), 1e-9)
    lost = {name: pc.is_null(rows[name]).to_numpy() for name in OPTIONAL}
    lost["title_language"] = lost["title_language"] | pc.fill_null(pc.equal(rows["title_language"], NO_LANGUAGE), False).to_numpy()
    return {name: float(weight @ lacks) / total for name, lacks in lost.items()}
