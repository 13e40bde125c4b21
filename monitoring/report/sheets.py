"""Contact sheets: what the blamed segment's photos look like now, what they looked like then, and which lie farthest from the reference.

N rows now, R rows of the reference, K photos of a sheet, D values of a vector.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from components.errors import BadPicture
from components.evaluate.pictures import thumbnail
from monitoring.judged import CauseName, Finding, Judgement
from monitoring.pictures import Photos
from monitoring.report import words
from monitoring.window import ALL, Window

MOST_ROWS = 1500
ROUNDS = 8
COLUMNS: Mapping[str, str] = {
    "size": "width",
    "brightness": "brightness",
    "sharpness": "sharpness",
    "text_share": "text_share",
    "score_psi": "image_score",
    "score_ks": "image_score",
    "score_wasserstein": "image_score",
    "mean_image_score": "image_score",
    "mean_brightness": "brightness",
    "mean_sharpness": "sharpness",
    "mean_text_share": "text_share",
    "mean_size": "width",
}
SCORES = ("score_psi", "score_ks", "score_wasserstein", "mean_image_score")
TELLING: Mapping[CauseName, tuple[str, ...]] = {  # numbers whose extremes show what the cause is about
    CauseName.DARKER_PHOTOS: ("brightness", "mean_brightness"),
    CauseName.RESIZE_BUG: ("size", "mean_size", "sharpness", "mean_sharpness"),
    CauseName.INPUT_SHIFT: tuple(name for name, column in COLUMNS.items() if column != "image_score"),
    CauseName.AI_PHOTOS: SCORES,
    CauseName.SCORE_SHIFT: SCORES,
    CauseName.CALIBRATOR: SCORES,
}


@dataclass(frozen=True)
class Photo:
    """A photo of a sheet. `thumbnail` is a data: URI, empty where the photo could not be had or shown, and `why` says so."""

    image_id: str
    caption: str
    thumbnail: str = ""
    why: str = ""


@dataclass(frozen=True)
class Sheet:
    """Photos in reading order, and what they are in a sentence."""

    title: str
    about: str
    photos: tuple[Photo, ...]


@dataclass(frozen=True)
class Picked:
    """Rows of a window that a sheet shows, each with a caption."""

    title: str
    about: str
    window: Window
    rows: tuple[int, ...]
    captions: tuple[str, ...]


def sheets_of(judgement: Judgement, now: Window, reference: Window, photos: Photos, num: int) -> tuple[Sheet, ...]:
    """The sheets of a window: typical photos now and then, the farthest, and the extremes of a number that moved. Without rows, none."""
    picked = [one for one in _picked(judgement, now, reference, num) if one.rows]
    wanted = {image_id for one in picked for image_id in _image_ids(one)}
    found = photos(wanted) if wanted else {}
    shown = {image_id: _shown(image_id, found) for image_id in sorted(wanted)}
    return tuple(_sheet(one, shown) for one in picked)


def segment_of(judgement: Judgement) -> str:
    """What the first cause blames, else the whole shop."""
    segments = judgement.causes[0].segments if judgement.causes else ()
    return segments[0].segment if segments else ALL


def _picked(judgement: Judgement, now: Window, reference: Window, num: int) -> list[Picked]:
    segment = segment_of(judgement)
    where = words.segment(segment)
    rows_N = _rows(now, segment)
    rows_R = _rows(reference, segment)
    rows_R = rows_R if len(rows_R) else _rows(reference, ALL)
    found = [
        _typical("Typical now", f"{where}, a photo from each of its larger groups", now, rows_N, num),
        _typical("Typical then", f"{where} in the release's reference", reference, rows_R, num),
        _farthest(f"{where}, least like anything in the reference", now, rows_N, reference, num),
    ]
    return [*found, *(_extreme(one, now, reference, num) for one in telling(judgement)[:1])]


def telling(judgement: Judgement) -> Sequence[Finding]:
    """Findings of the first cause in numbers that show what it is about, the most surprising first."""
    return [one for cause in judgement.causes[:1] for one in cause.findings if one.measured.detector in TELLING.get(cause.name, ())]


def members(window: Window, segment: str) -> np.ndarray:
    """(N,) which rows are in the segment; none where the window does not know its dimension."""
    known = segment == ALL or segment.partition("=")[0] in window.rows.column_names
    return window.within(segment) if known else np.zeros(window.rows.num_rows, bool)


def _rows(window: Window, segment: str) -> np.ndarray:
    """Rows of the segment that have a picture and a sound vector, at most MOST_ROWS of them, evenly taken."""
    has_picture = np.array([image_id is not None for image_id in window.rows["image_id"].to_pylist()], bool)
    kept = np.flatnonzero(members(window, segment) & has_picture & np.isfinite(window.vectors).all(axis=1) & (window.weight > 0))
    return kept if len(kept) <= MOST_ROWS else kept[np.linspace(0, len(kept) - 1, MOST_ROWS).astype(int)]


def _typical(title: str, about: str, window: Window, rows: np.ndarray, num: int) -> Picked:
    """The row nearest to the middle of each of `num` groups of vectors, the largest group first."""
    groups = _groups(window.vectors[rows], num) if len(rows) else np.zeros(0, int)
    chosen, captions = [], []
    for group, count in sorted(zip(*np.unique(groups, return_counts=True), strict=True), key=lambda one: -int(one[1])):
        members = rows[groups == group]
        middle = window.vectors[members].mean(axis=0)
        chosen.append(int(members[np.argmax(window.vectors[members] @ middle)]))
        captions.append(f"{words.percent(float(count) / len(rows))} of these rows")
    return _distinct(title, about, window, chosen, captions, num)


def _groups(z_ND: np.ndarray, num: int) -> np.ndarray:
    """(N,) the group of each vector: k-means that begins with vectors far from each other. Same vectors, same groups."""
    nearest_N = np.full(len(z_ND), np.inf)
    first = [int(np.argmax(z_ND @ z_ND.mean(axis=0)))]
    while len(first) < min(num, len(z_ND)):
        nearest_N = np.minimum(nearest_N, 1 - z_ND @ z_ND[first[-1]])
        if nearest_N.max() < 1e-6:
            break
        order_N = np.argsort(nearest_N, kind="stable")
        first.append(int(order_N[int(0.9 * (len(order_N) - 1))]))  # far, and no outlier
    centre_KD = z_ND[first]
    for _ in range(ROUNDS):
        group_N = np.argmax(z_ND @ centre_KD.T, axis=1)
        centre_KD = np.stack([z_ND[group_N == k].mean(axis=0) if (group_N == k).any() else centre_KD[k] for k in range(len(first))])
        centre_KD = centre_KD / np.maximum(np.linalg.norm(centre_KD, axis=1, keepdims=True), 1e-12)
    return np.asarray(np.argmax(z_ND @ centre_KD.T, axis=1))


def _farthest(about: str, now: Window, rows: np.ndarray, reference: Window, num: int) -> Picked:
    """Rows whose nearest reference row is farthest away."""
    others = _rows(reference, ALL)
    if not len(rows) or not len(others) or now.vectors.shape[1] != reference.vectors.shape[1]:  # another model's vectors say nothing
        return Picked("Farthest from the reference", about, now, (), ())
    likeness = (now.vectors[rows] @ reference.vectors[others].T).max(axis=1)
    order = np.argsort(likeness, kind="stable")
    captions = [f"cosine {likeness[place]:.2f} to the nearest" for place in order]
    return _distinct("Farthest from the reference", about, now, rows[order].tolist(), captions, num)


def _extreme(finding: Finding, now: Window, reference: Window, num: int) -> Picked:
    """Rows at the end of a number's range towards which it moved, in the finding's segment."""
    column, segment = COLUMNS[finding.measured.detector], finding.measured.segment
    before, values = (_numbers(window, column) for window in (reference, now))
    rows = _rows(now, segment)
    rows = rows[np.isfinite(values[rows])]
    if not len(rows) or not np.isfinite(before).any():
        return Picked("", "", now, (), ())
    falls = np.nanmean(values[rows]) < np.nanmean(before)
    order = np.argsort(values[rows] if falls else -values[rows], kind="stable")
    name = column.replace("_", " ")
    title = f"{'Lowest' if falls else 'Highest'} {name}"
    captions = [f"{name} {words.number(float(values[row]))}" for row in rows[order]]
    return _distinct(title, f"{words.segment(segment)}, where it moved", now, rows[order].tolist(), captions, num)


def _numbers(window: Window, column: str) -> np.ndarray:
    return np.asarray(window.rows[column].to_numpy(zero_copy_only=False), np.float64)


def _distinct(title: str, about: str, window: Window, rows: Sequence[int], captions: Sequence[str], num: int) -> Picked:
    """The first rows of `num` different photos."""
    ids = window.rows["image_id"].to_pylist()
    seen: dict[str, tuple[int, str]] = {}
    for row, caption in zip(rows, captions, strict=True):
        if len(seen) == num:
            break
        seen.setdefault(ids[row], (row, caption))
    return Picked(title, about, window, tuple(row for row, _ in seen.values()), tuple(caption for _, caption in seen.values()))


def _image_ids(picked: Picked) -> list[str]:
    ids = picked.window.rows["image_id"].to_pylist()
    return [ids[row] for row in picked.rows]


def _pairs(picked: Picked) -> list[tuple[str, str]]:
    """Each photo's id, with its caption and its category."""
    category = picked.window.rows["category"].to_pylist()
    told = [f"{caption}, {category[row]}" if category[row] else caption for row, caption in zip(picked.rows, picked.captions, strict=True)]
    return list(zip(_image_ids(picked), told, strict=True))


def _shown(image_id: str, found: Mapping[str, bytes]) -> tuple[str, str]:
    """The thumbnail, and why there is none."""
    if image_id not in found:
        return "", "not in the store"
    try:
        return thumbnail(found[image_id]), ""
    except BadPicture as error:
        return "", f"cannot be shown: {error.reason}"


def _sheet(picked: Picked, shown: Mapping[str, tuple[str, str]]) -> Sheet:
    return Sheet(picked.title, picked.about, tuple(Photo(image_id, caption, *shown[image_id]) for image_id, caption in _pairs(picked)))


def num_absent(sheets: Collection[Sheet]) -> int:
    """How many photos of the sheets are not shown."""
    return sum(not photo.thumbnail for sheet in sheets for photo in sheet.photos)
