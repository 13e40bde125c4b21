"""Small drawings as inline SVG, written by hand so that equal numbers are equal bytes and the page needs no script."""

from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from components.evaluate.bootstrap import Estimate

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 300, 170, 46, 10, 26, 22
BAR_WIDTH, BAR_HEIGHT = 190, 16


def interval_bar(estimate: Estimate, low: float, high: float, chance: float, css: str) -> Markup:
    """A dot with its interval on a scale from `low` to `high`, with a dotted line at `chance`."""
    left, dot, right, even = (_on_scale(v, low, high) for v in (estimate.low, estimate.value, estimate.high, chance))
    mark = f'<line class="even" x1="{even}" x2="{even}" y1="0" y2="{BAR_HEIGHT}"/>'
    mid = BAR_HEIGHT / 2
    return Markup(
        f'<svg class="bar {escape(css)}" width="{BAR_WIDTH}" height="{BAR_HEIGHT}" role="presentation">{mark}'
        f'<line class="span" x1="{left}" x2="{right}" y1="{mid}" y2="{mid}"/><circle cx="{dot}" cy="{mid}" r="4"/></svg>'
    )


def _on_scale(value: float, low: float, high: float) -> float:
    share = (value - low) / (high - low) if high > low else 0.5
    return round(6 + min(max(share, 0.0), 1.0) * (BAR_WIDTH - 12), 1)


def line_chart(title: str, x: Sequence[float], y: Sequence[float], x_name: str) -> Markup:
    """One curve, with the range of x below it and the range of y at its left. Missing points are left out."""
    points = [(a, b) for a, b in zip(x, y, strict=True) if np.isfinite(a) and np.isfinite(b)]
    if not points:
        return Markup("")
    xs, ys = zip(*points, strict=True)
    place = _Frame(min(xs), max(xs), min(ys), max(ys))
    line = " ".join(f"{place.x(a)},{place.y(b)}" for a, b in points)
    dots = "".join(f'<circle cx="{place.x(a)}" cy="{place.y(b)}" r="2"/>' for a, b in points) if len(points) < 60 else ""
    return _chart(title, f'<polyline points="{line}"/>{dots}', place, x_name)


def histogram(title: str, values: Sequence[float], num_bins: int, x_name: str) -> Markup:
    """How many of `values`, which lie in [0, 1], fall in each of num_bins equal bins."""
    counts = np.histogram(values, bins=num_bins, range=(0.0, 1.0))[0]
    place = _Frame(0.0, 1.0, 0.0, float(max(counts.max(), 1)))
    boxes = (
        f'<rect x="{place.x(n / num_bins)}" y="{place.y(c)}" width="{round((WIDTH - LEFT - RIGHT) / num_bins - 1, 1)}"'
        f' height="{round(HEIGHT - BOTTOM - place.y(c), 1)}"/>'
        for n, c in enumerate(counts.tolist())
    )
    return _chart(title, "".join(boxes), place, x_name)


class _Frame:
    """Places values in the chart; a range without extent is drawn in the middle."""

    def __init__(self, x_low: float, x_high: float, y_low: float, y_high: float) -> None:
        self.x_low, self.x_high, self.y_low, self.y_high = x_low, x_high, y_low, y_high

    def x(self, value: float) -> float:
        share = (value - self.x_low) / (self.x_high - self.x_low) if self.x_high > self.x_low else 0.5
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 1)

    def y(self, value: float) -> float:
        share = (value - self.y_low) / (self.y_high - self.y_low) if self.y_high > self.y_low else 0.5
        return round(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), 1)


def _chart(title: str, marks: str, place: _Frame, x_name: str) -> Markup:
    floor, ceiling = HEIGHT - BOTTOM, TOP
    texts = (
        _text(LEFT, 14, "start", title, "title"),
        _text(LEFT - 5, floor, "end", f"{place.y_low:.4g}"),
        _text(LEFT - 5, ceiling + 8, "end", f"{place.y_high:.4g}"),
        _text(LEFT, HEIGHT - 6, "start", f"{place.x_low:.4g}"),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle", x_name),
        _text(WIDTH - RIGHT, HEIGHT - 6, "end", f"{place.x_high:.4g}"),
    )
    axes = f'<path class="axes" d="M{LEFT} {ceiling}V{floor}H{WIDTH - RIGHT}"/>'
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}{axes}{marks}{''.join(texts)}</svg>")


def _text(x: float, y: float, anchor: str, text: str, css: str = "label") -> str:
    return f'<text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
