"""Small drawings as inline SVG, written by hand so that equal numbers are equal bytes and a page needs no script."""

import math
from collections.abc import Sequence

import numpy as np
from markupsafe import Markup, escape

from components.expectations.wording import number

GAUGE_WIDTH, GAUGE_HEIGHT = 200, 18
SPARK_WIDTH, SPARK_HEIGHT = 200, 34
CHART_WIDTH, CHART_HEIGHT = 460, 150
ROW_HEIGHT, NAME_WIDTH, VALUE_WIDTH = 20, 170, 60
EDGE = 6
WIDE_RATIO = 50  # numbers further apart are drawn on a log scale


class _Scale:
    """Places values on [0, width] px; numbers above 0 that lie far apart go on a log scale."""

    def __init__(self, values: Sequence[float], width: float) -> None:
        self.log = min(values) > 0 and max(values) / min(values) > WIDE_RATIO
        low, high = (self._on(v) for v in (min(values), max(values)))
        room = (high - low) * 0.12 or abs(high) * 0.5 or 1.0
        self.low = low if min(values) == 0 else low - room
        self.high, self.width = high + room, width

    def _on(self, value: float) -> float:
        return math.log(value) if self.log else value

    def at(self, value: float) -> float:
        """The place in px, inside the drawing."""
        share = (self._on(value) - self.low) / (self.high - self.low)
        return round(EDGE + min(max(share, 0.0), 1.0) * (self.width - 2 * EDGE), 1)


def gauge(observed: float | None, low: float | None, high: float | None) -> Markup:
    """The observed number as a dot on a line whose allowed part is drawn thick. Empty where nothing was observed."""
    limits = [v for v in (low, high) if v is not None]
    if observed is None or not limits:
        return Markup("")
    least = [0.0] if low is None and min(observed, *limits) >= 0 else []
    scale = _Scale([observed, *limits, *least], GAUGE_WIDTH)
    left = scale.at(low) if low is not None else EDGE
    right = scale.at(high) if high is not None else GAUGE_WIDTH - EDGE
    mid = GAUGE_HEIGHT / 2
    return Markup(
        f'<svg class="gauge" width="{GAUGE_WIDTH}" height="{GAUGE_HEIGHT}" role="presentation">'
        f'<line class="all" x1="{EDGE}" x2="{GAUGE_WIDTH - EDGE}" y1="{mid}" y2="{mid}"/>'
        f'<line class="allowed" x1="{left}" x2="{right}" y1="{mid}" y2="{mid}"/>'
        f'<circle cx="{scale.at(observed)}" cy="{mid}" r="4.5"/></svg>'
    )


def sparkline(past: Sequence[float], observed: float, low: float | None, high: float | None) -> Markup:
    """Past values as a line, the band that was learnt from them behind it, and the observed value as a dot at the right."""
    values = [*past, observed, *(v for v in (low, high) if v is not None)]
    scale = _Scale(values, SPARK_HEIGHT)

    def y(value: float) -> float:
        return round(SPARK_HEIGHT - scale.at(value), 1)

    step = (SPARK_WIDTH - 2 * EDGE) / max(len(past), 1)
    line = " ".join(f"{round(EDGE + n * step, 1)},{y(v)}" for n, v in enumerate([*past, observed]))
    top, bottom = (y(high) if high is not None else 0), (y(low) if low is not None else SPARK_HEIGHT)
    band = f'<rect class="band" x="0" width="{SPARK_WIDTH}" y="{top}" height="{round(bottom - top, 1)}"/>' if high is not None else ""
    return Markup(
        f'<svg class="spark" width="{SPARK_WIDTH}" height="{SPARK_HEIGHT}" role="presentation">{band}<polyline points="{line}"/>'
        f'<circle cx="{round(EDGE + len(past) * step, 1)}" cy="{y(observed)}" r="3.5"/></svg>'
    )


def bars(rows: Sequence[tuple[str, float, float | None]]) -> Markup:
    """A bar a (name, share, share in the past): the past's as a tick where it is known."""
    widest = max((value for _, *shares in rows for value in shares if value is not None), default=0.0) or 1.0
    room = CHART_WIDTH - NAME_WIDTH - VALUE_WIDTH
    drawn = []
    for place, (name, share, past) in enumerate(rows):
        top, width = place * ROW_HEIGHT, round(share / widest * room, 1)
        drawn.append(_text(NAME_WIDTH - 8, top + 14, "end", name if len(name) < 25 else f"{name[:23]}…"))
        drawn.append(f'<rect class="bar" x="{NAME_WIDTH}" y="{top + 4}" width="{width}" height="{ROW_HEIGHT - 8}"/>')
        if past is not None:
            x = round(NAME_WIDTH + past / widest * room, 1)
            drawn.append(f'<line class="past" x1="{x}" x2="{x}" y1="{top + 1}" y2="{top + ROW_HEIGHT - 1}"/>')
        drawn.append(_text(CHART_WIDTH - 2, top + 14, "end", f"{100 * share:.1f} %"))
    return _chart("".join(drawn), len(rows) * ROW_HEIGHT)


def histogram(values: np.ndarray, num_bins: int, *, low: float, high: float, log: bool = False) -> Markup:
    """How many of the values fall in each of num_bins bins from `low` to `high`, of equal width or, with `log`, of equal ratio."""
    edges = np.geomspace(low, high, num_bins + 1) if log else np.linspace(low, high, num_bins + 1)
    counts = np.histogram(np.clip(values, low, high), edges)[0].tolist()
    tallest, wide, floor = max([*counts, 1]), (CHART_WIDTH - 40) / num_bins, CHART_HEIGHT - 20
    boxes = "".join(
        f'<rect class="bar" x="{round(30 + n * wide, 1)}" y="{round(floor - count / tallest * (floor - 14), 1)}"'
        f' width="{round(wide - 1, 1)}" height="{round(count / tallest * (floor - 14), 1)}"/>'
        for n, count in enumerate(counts)
    )
    shown = [(0, "start", edges[0]), (num_bins // 2, "middle", edges[num_bins // 2]), (num_bins, "end", edges[-1])]
    labels = "".join(_text(round(30 + n * wide, 1), CHART_HEIGHT - 4, anchor, number(float(value))) for n, anchor, value in shown)
    return _chart(f"{_text(30, 11, 'start', f'{tallest:,} at most')}{boxes}{labels}", CHART_HEIGHT)


def _chart(marks: str, height: int) -> Markup:
    return Markup(
        f'<svg class="chart" viewBox="0 0 {CHART_WIDTH} {height}" width="{CHART_WIDTH}" height="{height}" role="img">{marks}</svg>'
    )


def _text(x: float, y: float, anchor: str, text: str) -> str:
    return f'<text x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'
