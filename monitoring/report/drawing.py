"""The page's charts as inline SVG, so that it needs no script and no network. Equal values give equal text."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 170, 34, 8, 22, 20
NUM_BINS = 24
BEYOND = 1e9  # no score, statistic or side in pixels is as large
STRIP_CELL, STRIP_HEIGHT = 10, 18
LINE_WIDTH, LINE_HEIGHT, LINE_PAD = 720, 130, 7
TIMES_LIMIT = 3.0
TIMES_THRESHOLD = 2.5  # how far beyond the threshold a surprise is drawn; what lies further ends there, with a mark


class Frame:
    """Places values in a chart; what lies beyond its range is drawn at its edge."""

    def __init__(self, low: float, high: float, top: float) -> None:
        self.low, self.high, self.top = low, high, max(top, 1e-9)

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return round(LEFT + _share((value - self.low) / (self.high - self.low)) * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        floor = HEIGHT - BOTTOM
        return round(floor - _share(value / self.top) * (floor - TOP), 1)


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)


def histograms(title: str, before: tuple[np.ndarray, np.ndarray], now: tuple[np.ndarray, np.ndarray]) -> Markup:
    """Two weighted distributions over each other, as shares of their rows: before as an area, now as a line. Both are (values, weights);
    what is no number is left out, and nothing is drawn where either is empty. The outer hundredths are in the first and last bin."""
    (old, old_weight), (new, new_weight) = _finite(*before), _finite(*now)
    if not len(old) or not len(new):
        return Markup("")
    both = np.concatenate([old, new])
    low, high = (float(end) for end in np.quantile(both, (0.005, 0.995)))
    edges = np.linspace(low, high if high - low > 1e-9 * max(1.0, abs(low)) else low + 1.0, NUM_BINS + 1)
    shares = [_binned(values, weight, edges) for values, weight in ((old, old_weight), (new, new_weight))]
    frame = Frame(float(edges[0]), float(edges[-1]), float(max(share.max() for share in shares)))
    area, line = (_outline(share, edges, frame) for share in shares)
    floor = frame.y(0)
    marks = f'<path class="before" d="M{frame.x(edges[0])} {floor}{area}V{floor}Z"/>'
    marks += f'<path class="now" d="M{frame.x(edges[0])} {floor}{line}V{floor}"/>'
    ends = _text(LEFT, HEIGHT - 5, _short(frame.low)) + _text(WIDTH - RIGHT, HEIGHT - 5, _short(frame.high), "end")
    top = _text(LEFT - 4, TOP + 8, f"{100 * frame.top:.0f} %", "end")
    axes = f'<path class="axes" d="M{LEFT} {TOP}V{floor}H{WIDTH - RIGHT}"/>'
    return _svg("chart", title, WIDTH, HEIGHT, [_text(LEFT, 13, title, css="title"), axes, marks, ends, top])


def _finite(values: np.ndarray, weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    kept = (np.abs(values) < BEYOND) & (weight > 0)
    return values[kept], weight[kept]


def _binned(values: np.ndarray, weight: np.ndarray, edges: np.ndarray) -> np.ndarray:
    counts = np.histogram(np.clip(values, edges[0], edges[-1]), edges, weights=weight)[0]
    return np.asarray(counts / max(counts.sum(), 1e-12))


def _outline(share: np.ndarray, edges: np.ndarray, frame: Frame) -> str:
    return "".join(f"V{frame.y(value)}H{frame.x(edge)}" for value, edge in zip(share.tolist(), edges[1:].tolist(), strict=True))


def parts_strip(surprises: Sequence[float], threshold: float) -> Markup:
    """A bar for each part of the window, as high as its surprise; the line is the threshold, and bars beyond it are marked."""
    if not surprises:
        return Markup("")
    width, level = STRIP_CELL * len(surprises), STRIP_HEIGHT * (1 - 1 / TIMES_THRESHOLD)
    bars = "".join(_bar(number, value, threshold) for number, value in enumerate(surprises))
    told = "surprise by part of the window: " + ", ".join(f"{value:.1f}" for value in surprises)
    line = f'<path class="level" d="M0 {level:.1f}H{width}"/>'
    return _svg("strip", told, width, STRIP_HEIGHT, [bars, line], fixed=True)


def _bar(number: int, value: float, threshold: float) -> str:
    height = round(max(_height(value, threshold) * STRIP_HEIGHT, 1.0), 1)
    css = "beyond" if value > threshold else "below"
    return f'<rect class="{css}" x="{number * STRIP_CELL + 1}" y="{STRIP_HEIGHT - height}" width="{STRIP_CELL - 2}" height="{height}"/>'


def _height(value: float, threshold: float) -> float:
    """0 to 1; the threshold lies at 1 / TIMES_THRESHOLD."""
    if not math.isfinite(value):
        return 1.0 if value > 0 else 0.0
    return _share(value / (TIMES_THRESHOLD * max(threshold, 1e-6)))


def surprise_line(surprises: Sequence[float | None], thresholds: Sequence[float | None]) -> Markup:
    """The largest surprise of each past window, oldest first, and the threshold then; None where nothing was judged. The last is marked.

    What lies beyond TIMES_LIMIT thresholds is drawn at the chart's edge, so that one bad day does not flatten the others."""
    known = [_finite_or_none(value) for value in surprises]
    limits = [_finite_or_none(value) for value in thresholds]
    top = _top([value for value in known if value is not None], [value for value in limits if value is not None])
    if top is None:
        return Markup("")

    def place(number: int, value: float | None) -> tuple[float, float] | None:
        x = LINE_PAD + (number + 0.5) / len(known) * (LINE_WIDTH - 2 * LINE_PAD)
        return (
            None if value is None else (round(x, 1), round(LINE_HEIGHT - LINE_PAD - _share(value / top) * (LINE_HEIGHT - 2 * LINE_PAD), 1))
        )

    points = [place(number, value) for number, value in enumerate(known)]
    radius = {len(points) - 1: 5}
    dots = "".join(f'<circle cx="{at[0]}" cy="{at[1]}" r="{radius.get(number, 2)}"/>' for number, at in enumerate(points) if at)
    floor = LINE_HEIGHT - LINE_PAD
    axes = f'<path class="axes" d="M{LINE_PAD} {floor}H{LINE_WIDTH - LINE_PAD}"/>'
    limit = f'<path class="limit" d="{_path([place(number, value) for number, value in enumerate(limits)])}"/>'
    line = f'<path class="line" d="{_path(points)}"/>'
    return _svg("line", "largest surprise of each window, and the threshold", LINE_WIDTH, LINE_HEIGHT, [axes, limit, line, dots])


def _finite_or_none(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _top(known: Sequence[float], limits: Sequence[float]) -> float | None:
    """The value at the upper edge; None where there is nothing to draw."""
    if not known and not limits:
        return None
    highest = max(*known, *limits, 1e-6)
    return min(highest, TIMES_LIMIT * max(limits)) if limits and max(limits) > 0 else highest


def _path(points: Sequence[tuple[float, float] | None]) -> str:
    """A line with gaps where points are missing."""
    path, pen = "", "M"
    for point in points:
        path += "" if point is None else f"{pen}{point[0]} {point[1]}"
        pen = "M" if point is None else "L"
    return path or "M0 0"


def _short(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _text(x: float, y: float, text: str, anchor: str = "start", css: str = "label") -> str:
    return f'<text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(css: str, title: str, width: float, height: float, parts: Sequence[str], fixed: bool = False) -> Markup:
    size = f' width="{width}" height="{height}"' if fixed else ""
    told = f'role="img" aria-label="{escape(title)}"'
    return Markup(f'<svg class="{css}" viewBox="0 0 {width} {height}"{size} {told}>{"".join(parts)}</svg>')
