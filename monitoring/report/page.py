"""reports/drift/<window>.html: one file that needs nothing else, also no network."""

import os
import tempfile
from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from monitoring.judged import Judgement
from monitoring.report import words
from monitoring.report.config import ReportConfig
from monitoring.report.story import Evidence, story_of

MAX_PAGE_BYTES = 5_000_000


def page_of(judgement: Judgement, evidence: Evidence, cfg: ReportConfig) -> str:
    """The page as HTML, below MAX_PAGE_BYTES; equal values give equal text."""
    return _template().render(story=story_of(judgement, evidence, cfg))


def write_page(judgement: Judgement, evidence: Evidence, cfg: ReportConfig) -> Path:
    """The page's file, in the folder of the config and named after the window. A reader sees a whole page or none."""
    folder = Path(cfg.folder)
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{judgement.span.name}.html"
    handle, partial = tempfile.mkstemp(dir=folder, prefix=".partial-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(page_of(judgement, evidence, cfg).encode("utf-8", "replace"))
        os.chmod(partial, 0o644)
        os.replace(partial, target)
    except BaseException:
        Path(partial).unlink(missing_ok=True)
        raise
    return target


def pages_in(cfg: ReportConfig) -> frozenset[str]:
    """The names of the windows that have a page."""
    return frozenset(path.stem for path in Path(cfg.folder).glob("*.html"))


@lru_cache(maxsize=1)
def _template() -> Template:
    here = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here.filters.update(percent=words.percent, clip=words.clip, words=lambda name: str(name).replace("_", " "))
    return here.get_template("page.html.j2")
