"""The page's charts as inline SVG, so that it needs no script and no network. Numbers are differences, canary minus stable, in percent."""

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

from components.release.judgement import Row, Verdict
from components.release.report.story import Course, Seen

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 460, 244, 52, 12, 54, 30
LADDER_WIDTH, LADDER_HEIGHT = 940, 190
SIGNS = {Verdict.PASS: "pass", Verdict.FAIL: "fail"}
GLYPHS = {Verdict.PASS: "M-4 0L-1 3L4 -3", Verdict.FAIL: "M-3 -3L3 3M-3 3L3 -3"}


class Frame:
    """Places values in a chart; what lies beyond its range is drawn at its edge."""

    def __init__(self, x_span: tuple[float, float], y_span: tuple[float, float], width: int = WIDTH, height: int = HEIGHT) -> None:
        self.x_span, self.y_span, self.width, self.height = x_span, y_span, width, height
        self.floor, self.right = height - BOTTOM, width - RIGHT

    def x(self, value: float) -> float:
        """Pixels from the left."""
        return round(LEFT + _share(value, self.x_span) * (self.right - LEFT), 1)

    def y(self, value: float) -> float:
        """Pixels from the top."""
        return round(self.floor - _share(value, self.y_span) * (self.floor - TOP), 1)


def _share(value: float, span: tuple[float, float]) -> float:
    return min(max((value - span[0]) / ((span[1] - span[0]) or 1.0), 0.0), 1.0)


def sequential(course: Course) -> Markup:
    """A metric's estimate at every look and its interval at every analysis, rung by rung: it shrinks towards where it lies, and passes once
    it has left the margin behind."""
    frame = Frame((course.seen[0].at_s, course.seen[-1].at_s), _y_span(course.seen))
    rungs = course.rungs
    parts = [_harm(course.seen[-1].row, frame), _grid(frame), *(_rung(rung, frame) for rung in rungs)]
    title = f"{course.metric}, {course.group}"
    return _svg("chart", title, frame, [_text(0, 14, title, "title"), *parts, _seconds(frame)])


def _y_span(seen: Sequence[Seen]) -> tuple[float, float]:
    """From beyond the margin to beyond the later intervals: those of the first looks are cut off, they hold nearly everything."""
    limit, later = 100 * abs(seen[0].row.limit), [one.row for one in seen[len(seen) // 3 :] if one.is_analysis]
    ends = [100 * value for row in later for value in (row.estimate, row.low, row.high) if value is not None]
    return 1.05 * max(min([*ends, -1.6 * limit]), -6 * limit), 1.05 * min(max([*ends, 1.6 * limit]), 9 * limit)


def _harm(row: Row, frame: Frame) -> str:
    """The side of the margin on which no release may be."""
    line = frame.y(100 * row.limit)
    top, bottom = (line, frame.floor) if row.limit < 0 else (TOP, line)
    label = _text(LEFT - 6, line + 4, f"{100 * row.limit:+.3g} %", "harm", "end")
    box = f'<rect class="harm" x="{LEFT}" y="{top}" width="{frame.right - LEFT}" height="{round(max(bottom - top, 0), 1)}"/>'
    return f'{box}<path class="margin" d="M{LEFT} {line}H{frame.right}"/>{label}'


def _grid(frame: Frame) -> str:
    zero = frame.y(0.0)
    lines = f'<path class="axes" d="M{LEFT} {TOP}V{frame.floor}H{frame.right}"/><path class="zero" d="M{LEFT} {zero}H{frame.right}"/>'
    top = _text(LEFT - 6, TOP + 9, f"{frame.y_span[1]:+.0f} %", "label", "end")
    return lines + top + _text(LEFT - 6, zero + 4, "0", "label", "end")


def _rung(rung: Sequence[Seen], frame: Frame) -> str:
    """The looks of one rung: band, estimate, and the last look's verdict."""
    known = [one for one in rung if one.row.estimate is not None]
    first, last = frame.x(rung[0].at_s), frame.x(rung[-1].at_s)
    head = f'<path class="start" d="M{first} {TOP}V{frame.floor}"/>'
    wide = last - first > 52
    head += _text(first + 3, TOP - 15, f"{rung[0].weight_percent} %", "rung") if last - first > 24 else ""
    head += _text(first + 3, TOP - 3, f"{rung[-1].num_users:,} users", "label") if wide else ""
    if not known:
        return head
    tested = [one for one in known if one.is_analysis]
    upper = [(frame.x(one.at_s), frame.y(_end(one.row.high, frame.y_span[1]))) for one in tested]
    lower = [(frame.x(one.at_s), frame.y(_end(one.row.low, frame.y_span[0]))) for one in tested]
    middle = [(frame.x(one.at_s), frame.y(100 * float(one.row.estimate or 0.0))) for one in known]
    band = f'<polygon class="band" points="{_points([*upper, *reversed(lower)])}"/>'
    if len(tested) == 1:
        band = f'<path class="whisker" d="M{upper[0][0]} {upper[0][1]}V{lower[0][1]}"/>'
    edges = f'<polyline class="edge" points="{_points(upper)}"/><polyline class="edge" points="{_points(lower)}"/>'
    return f'{head}{band}{edges}<polyline class="estimate" points="{_points(middle)}"/>{_end_mark(known[-1], middle[-1])}'


def _end(value: float | None, otherwise: float) -> float:
    return otherwise if value is None else 100 * value


def _end_mark(seen: Seen, place: tuple[float, float]) -> str:
    row = seen.row
    ends = ["open" if end is None else f"{100 * end:+.1f}" for end in (row.low, row.high)]
    told = f"{row.metric} at {seen.weight_percent} %: {100 * (row.estimate or 0):+.1f} % [{ends[0]}, {ends[1]}], {row.verdict.value}"
    glyph = GLYPHS.get(row.verdict)
    mark = f'<circle r="{8 if glyph else 3}"/>' + (f'<path d="{glyph}"/>' if glyph else "")
    kind = SIGNS.get(row.verdict, "open")
    return f'<g class="mark {kind}" transform="translate({place[0]} {place[1]})"><title>{escape(told)}</title>{mark}</g>'


def ladder(steps: Mapping[str, Sequence[tuple[float, int]]], rungs: Sequence[int], x_span: tuple[float, float]) -> Markup:
    """The share of each platform's users over time; the rungs stand equally far apart."""
    levels = [0, *rungs]
    frame = Frame(x_span, (0.0, float(len(levels) - 1)), LADDER_WIDTH, LADDER_HEIGHT)
    lines = [
        f'<path class="rail" d="M{LEFT} {frame.y(n)}H{frame.right}"/>{_text(LEFT - 6, frame.y(n) + 4, f"{level} %", "label", "end")}'
        for n, level in enumerate(levels)
    ]
    drawn = [_stairs(name, number, found, levels, frame) for number, (name, found) in enumerate(steps.items())]
    return _svg("ladder", "share of users in the canary, by platform", frame, [*lines, *drawn, _seconds(frame)])


def _stairs(name: str, number: int, found: Sequence[tuple[float, int]], levels: Sequence[int], frame: Frame) -> str:
    """A platform's line, a little beside the others so that none is hidden."""
    aside = 4 * number - 4
    path, last = f"M{frame.x(0)} {frame.y(0) + aside}", frame.x(0)
    for at_s, weight in found:
        last = frame.x(at_s)
        path += f"H{last}V{frame.y(levels.index(weight) if weight in levels else 0) + aside}"
    legend = LEFT + 90 * number
    key = f'<path class="stairs p{number}" d="M{legend} 18h22"/>{_text(legend + 28, 22, name, "label")}'
    return f'<path class="stairs p{number}" d="{path}H{frame.right}"/>{key}'


def _seconds(frame: Frame) -> str:
    low, high = frame.x_span
    step = next((step for step in (5, 10, 15, 30, 60, 120, 300, 600, 1800) if (high - low) / step <= 8), 3600)
    ticks = [value for value in range(0, int(high) + 1, step) if value >= low]
    return "".join(_text(frame.x(value), frame.floor + 16, f"{value} s", "label", "middle") for value in ticks)


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)


def _text(x: float, y: float, text: str, css: str, anchor: str = "start") -> str:
    return f'<text class="{css}" x="{x}" y="{y}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(css: str, title: str, frame: Frame, parts: Sequence[str]) -> Markup:
    head = f'<svg class="{css}" viewBox="0 0 {frame.width} {frame.height}" role="img" aria-label="{escape(title)}">'
    return Markup(f"{head}{''.join(parts)}</svg>")
