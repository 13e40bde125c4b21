"""reports/release.html: one file that needs nothing else, also no network."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from components.release.report.drawing import ladder, sequential
from components.release.report.story import Chapter, Course, courses, headline, steps

ENDINGS = {"promoted": "yes", "rolled back": "no"}


@dataclass(frozen=True)
class Story:
    """Everything the page tells. `rungs` are those of the ladder, `thumbnails` data: URIs by image_id."""

    chapters: Sequence[Chapter]
    rungs: Sequence[int]
    thumbnails: Mapping[str, str]
    notes: Sequence[str] = ()


def write_page(path: Path, story: Story) -> None:
    """Writes the page; equal stories give equal bytes."""
    here = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here.filters.update(difference=difference, level=level, seconds=seconds)
    drawn = [drawings(chapter, story.rungs) for chapter in story.chapters]
    text = here.get_template("page.html.j2").render(story=story, drawn=drawn, ENDINGS=ENDINGS)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def drawings(chapter: Chapter, rungs: Sequence[int]) -> dict[str, object]:
    """A release's charts: the ladder, the courses that a reader looks at first, and the others."""
    times = [*(one.at for one in chapter.heard), *(one.at for one in chapter.moved)]
    last_s = (max(times) - min(times)).total_seconds() if times else 0.0
    span = (0.0, max(last_s, 1.0))
    first, rest = headline(courses(chapter))
    found = steps(chapter)
    return {
        "ladder": ladder(found, rungs, span) if found else Markup(""),
        "first": [sequential(course) for course in first],
        "rest": [sequential(course) for course in rest],
        "table": [_last(course) for course in (*first, *rest)],
    }


def _last(course: Course) -> dict[str, object]:
    """What the last look on the highest rung said."""
    seen = course.seen[-1]
    return {"group": course.group, "weight_percent": seen.weight_percent, "num_users": seen.num_users, "row": seen.row}


def seconds(value: float | None) -> str:
    """A span of time to a tenth."""
    return "not seen" if value is None else f"{value:.1f} s"


def difference(value: float | None) -> str:
    """A signed percentage; `open` where there is no bound."""
    return "open" if value is None else f"{100 * value:+.2f} %"


def level(value: float | None, metric: str) -> str:
    """A metric's own value: a share as a percentage, a rate per page as it is."""
    if value is None:
        return "–"
    return f"{value:.3f}" if metric.endswith("_rate") else f"{100 * value:.2f} %"
