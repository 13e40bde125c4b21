"""<window>.html in reports/drift, or in a bucket: one file that needs nothing else, also no network."""

from functools import lru_cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from components.objects import open_store
from monitoring.judged import Judgement
from monitoring.report import words
from monitoring.report.config import ReportConfig
from monitoring.report.story import Evidence, story_of
from monitoring.span import Span

MAX_PAGE_BYTES = 5_000_000
SUFFIX = ".html"


def page_of(judgement: Judgement, evidence: Evidence, cfg: ReportConfig) -> str:
    """The page as HTML, below MAX_PAGE_BYTES; equal values give equal text."""
    return _template().render(story=story_of(judgement, evidence, cfg))


def address_of(span: Span, cfg: ReportConfig) -> str:
    """Where the window's page lies, or would."""
    return f"{cfg.folder.rstrip('/')}/{span.name}{SUFFIX}"


def write_page(judgement: Judgement, evidence: Evidence, cfg: ReportConfig) -> str:
    """The address of the window's page, after it stands there. A reader sees a whole page or none. Raises StoreFailed, OSError."""
    page = page_of(judgement, evidence, cfg).encode("utf-8", "replace")
    open_store(cfg.folder).put(f"{judgement.span.name}{SUFFIX}", page)
    return address_of(judgement.span, cfg)


def pages_in(cfg: ReportConfig) -> frozenset[str]:
    """The names of the windows that have a page."""
    return frozenset(one.key.removesuffix(SUFFIX) for one in open_store(cfg.folder).stored() if one.key.endswith(SUFFIX))


@lru_cache(maxsize=1)
def _template() -> Template:
    here = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    here.filters.update(percent=words.percent, clip=words.clip, words=lambda name: str(name).replace("_", " "))
    return here.get_template("page.html.j2")
