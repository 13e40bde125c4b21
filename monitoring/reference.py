"""What windows are compared with: a release's own held-out items, as its bundle keeps them. A new release has a new reference.

N rows, D width of a vector, S dimensions.
"""

import datetime as dt
import logging
import tempfile
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from components.bundle import DRIFT_REFERENCE, GOLDEN, INDEX_FOLDER
from components.calibrator import ANCHORS
from components.errors import BadBundle
from components.fingerprint import file_digest
from components.manifest import MANIFEST, verified_manifest
from components.neighbours import ITEMS, NeighbourIndex
from components.objects import ObjectStore
from monitoring.config import MonitorConfig
from monitoring.detectors.measure import Baseline
from monitoring.detectors.sums import Sums
from monitoring.extras import Extras
from monitoring.window import Window
from monitoring.windows.clicks import clicks_of
from monitoring.windows.entries import Owner
from monitoring.windows.held_out import read_held_out
from monitoring.windows.missing import missing_share
from monitoring.windows.scores import Scores

log = logging.getLogger("vitrine")

CLICKS = dt.timedelta(days=7)


@dataclass(frozen=True)
class Reference:
    """A release's held-out items as a window, and what its bundle is known to answer, as its extras.

    `sums` are over every held-out item where the window is a sample of them, else None. `scores` are those of every item of the release's
    own index. `since`: when the release entered service, as of which sellers' sizes are counted; None: they are counted as they are.
    """

    window: Window
    extras: Extras
    baseline: Baseline
    sums: Sums | None
    release_id: str
    fingerprint: str
    quality_edges: tuple[float, float, float]
    scores: Scores
    since: dt.datetime | None
    bundle: Path

    @property
    def owner(self) -> Owner:
        """Whose rows of the log are compared with it."""
        return Owner(self.release_id, self.fingerprint, self.window.vectors.shape[1], self.quality_edges)

    def beside(self, now: Extras) -> Extras:
        """The extras to compare others with: the neighbours of their probes are those in the release's own index."""
        asked = {name: len(found) for name, found in now.probe_neighbours.items() if found}
        return replace(self.extras, probe_neighbours=self._neighbours(asked)) if asked else self.extras

    def _neighbours(self, asked: dict[str, int]) -> dict[str, tuple[str, ...]]:
        """The items nearest to each of those that are in the index, nearest first, itself left out."""
        places = {name: place for place, name in enumerate(self._index.item_ids) if name in asked}
        found = {}
        for name, place in places.items():
            _, near = self._index.search(self._index.vector_of(place)[None], asked[name] + 1)
            others = [self._index.item_ids[other] for other in near[0].tolist() if other not in (place, -1)]
            found[name] = tuple(others[: asked[name]])
        return found

    @cached_property
    def _index(self) -> NeighbourIndex:
        return NeighbourIndex.open(self.bundle / INDEX_FOLDER)


def reference_of(bundle: Path, cfg: MonitorConfig, seed: int, since: dt.datetime | None = None) -> Reference:
    """The reference that the bundle in that folder carries, made ready once for every window of the release.

    Raises BadBundle where the bundle is not whole, was made before bundles carried a reference, or holds no item with a sound vector.
    """
    manifest = verified_manifest(bundle)
    if missing := [name for name in (DRIFT_REFERENCE, GOLDEN, ANCHORS, f"{INDEX_FOLDER}/{ITEMS}") if name not in manifest["files"]]:
        raise BadBundle(
            f"{bundle} has no {', no '.join(missing)}: drift has nothing to be measured against; make the bundle with `dvc repro`"
        )
    held_out = read_held_out(bundle / DRIFT_REFERENCE, str(manifest["fingerprint"]), cfg.windows, cfg.detectors, seed)
    baseline = Baseline.of(held_out.window, cfg.detectors, seed, held_out.space)
    if baseline.space is None:
        raise BadBundle(f"{bundle}/{DRIFT_REFERENCE} has no sound vector: drift has nothing to be measured against; run `dvc repro`")
    log.info("drift: reference of release %s: %d held-out items", file_digest(bundle / MANIFEST)[:12], held_out.window.num_rows["all"])
    return Reference(
        window=held_out.window,
        extras=_extras(bundle, held_out.window),
        baseline=baseline,
        sums=held_out.sums,
        release_id=file_digest(bundle / MANIFEST),
        fingerprint=str(manifest["fingerprint"]),
        quality_edges=held_out.quality_edges,
        scores=_scores(bundle / INDEX_FOLDER / ITEMS),
        since=since,
        bundle=bundle,
    )


def with_clicks(reference: Reference, store: ObjectStore, most: int) -> Reference:
    """The reference with scores of what was clicked, and what was not, on pages of the week before it entered service, whoever ranked
    them: a bundle holds no clicks. At most about `most` places; the same one where `since` is not known. Raises StoreFailed."""
    if reference.since is None:
        return reference
    with tempfile.TemporaryDirectory(prefix="vitrine-clicks-") as scratch:
        start = reference.since - CLICKS
        found = clicks_of(store, start, reference.since, None, (reference.scores,), most, Path(scratch))
    clicked, skipped = found.of(start, reference.since)
    return replace(reference, extras=replace(reference.extras, clicked_scores=clicked, skipped_scores=skipped))


def _extras(bundle: Path, window: Window) -> Extras:
    """What the bundle says that it answers. Anchors are to score as they were told: it is from there that their distance is counted."""
    targets = pq.read_table(bundle / ANCHORS, columns=["target"])["target"].to_numpy().astype(np.float32)
    return Extras(
        anchor_scores=targets,
        anchor_targets=targets,
        golden_cosine=np.ones(pq.read_metadata(bundle / GOLDEN).num_rows, np.float32),
        missing_share=missing_share(window.rows, window.weight),
    )


def _scores(path: Path) -> Scores:
    """Scores of the index's items; none where it was built before it kept them."""
    if "image_score" not in pq.read_schema(path).names:
        return Scores.of(pa.chunked_array([[]], pa.string()), np.zeros(0, np.float32))
    items = pq.read_table(path, columns=["item_id", "image_score"])
    return Scores.of(items["item_id"], items["image_score"].to_numpy())
