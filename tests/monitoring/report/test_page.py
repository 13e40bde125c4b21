"""What the page of a window says, and that nothing in the data can make it say anything else."""

import dataclasses
import datetime as dt
import re
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import boto3
import pytest

from components.contract import bind
from components.errors import BadParams
from monitoring.changes import changes_of
from monitoring.detectors.registry import DETECTORS
from monitoring.judged import Blame, CauseName, Verdict
from monitoring.judging.steps import STEPS
from monitoring.report import words
from monitoring.report.config import ReportConfig
from monitoring.report.page import MAX_PAGE_BYTES, page_of, pages_in, write_page
from monitoring.report.sheets import COLUMNS, Photo, Sheet
from monitoring.report.story import SECTIONS, Evidence
from monitoring.runbook import anchor_of, link
from tests import moto_s3
from tests.conftest import PROJECT
from tests.monitoring.report.judged_days import past_days, report_config, tiny_shop, unjudged

ADDRESS = re.compile(r"""\b(?:src|href|action|data|poster|srcset|xlink:href)\s*=\s*["']?([^"'>\s]*)""")
HERE = re.compile(r"data:image/jpeg;base64,[\w+/=]+|#[a-z]+|[\w.-]+\.html")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{ 7 * 7 }}"


@pytest.fixture(scope="module")
def faulty():
    return tiny_shop().judged("darker_photos")


@pytest.fixture(scope="module")
def calm():
    return tiny_shop().judged()


def evidence_of(judged, **changes):
    """All that a page can show, without photos."""
    changed = changes_of(
        judged.day.window(), {"reference": judged.reference, "day before": judged.yesterday}, {"abc": 900}, {"title_missing": 3}
    )
    made = Evidence(now=judged.day.window(), reference=judged.reference, past=past_days(), changes=changed)
    return dataclasses.replace(made, **changes)


def text_of(page):
    """What a person reads, in order."""
    body = re.sub(r"<style>.*?</style>|<svg.*?</svg>", " ", page, flags=re.S)
    return unescape(" ".join(re.sub(r"<[^>]+>", " ", body).split()))


def outside(page):
    """Every address in the page's tags that is not in the page or beside it, and every tag that could fetch something."""
    tags = re.findall(r"<[^>]*>", page)
    found = [address for tag in tags for address in ADDRESS.findall(re.sub(r'(title|alt|aria-label|data-name|content)="[^"]*"', "", tag))]
    return [address for address in found if not HERE.fullmatch(address)] + re.findall(
        r"<(?:script|iframe|object|embed|link)\b|url\(|@import", page
    )


class Read(HTMLParser):
    """What a browser makes of a page: tags with their attributes' names, and the text of the heading."""

    def __init__(self):
        super().__init__()
        self.found, self.heading, self.inside = [], "", ""

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, [name for name, _ in attrs]))
        self.inside = tag

    def handle_data(self, data):
        self.heading += data if self.inside == "h1" else ""


def lead_of(page):
    """The first screen."""
    return text_of(page[page.index('<section class="lead') : page.index("<nav>")])


def test_the_first_screen_says_verdict_how_sure_why_where_and_what_to_do(faulty):
    lead = lead_of(page_of(faulty.judgement, evidence_of(faulty), report_config()))
    segment = faulty.judgement.causes[0].segments[0].segment
    assert lead.startswith("▲ drift Wednesday 21 January 2026 Since midnight, photos sent by ")
    assert "A quiet shop looks like this once in 12,000 days." in lead
    assert "By its own 91 days of history, this shop is paged for nothing 0.4 times a quarter (at most 1.2)." in lead
    assert f"Darker photos. {words.ADVICE[CauseName.DARKER_PHOTOS].means}" in lead
    assert f"app version {segment.partition('=')[2]} , which explains 83 % of the shift" in lead
    assert words.ADVICE[CauseName.DARKER_PHOTOS].first in lead
    assert lead.endswith("docs/runbook.md#darker-photos")


def test_a_quiet_day_has_nothing_to_do(calm):
    lead = lead_of(page_of(calm.judgement, evidence_of(calm), report_config()))
    assert lead.startswith("· quiet Wednesday 21 January 2026 Nothing is unusual for a day like this.")
    assert lead.endswith("Do first Nothing.")


def test_the_runbook_is_linked_where_it_can_be_read(faulty):
    at = "https://git.example/vitrine/blob/main/docs/runbook.md"
    assert f'href="{at}#darker-photos"' in page_of(faulty.judgement, evidence_of(faulty), report_config(runbook_url=at))
    broken = unjudged(faulty, Verdict.BROKEN, "Two vector spaces are in one window.")
    assert f'href="{at}#broken-input"' in page_of(broken, Evidence(), report_config(runbook_url=at))


@pytest.mark.parametrize(
    ("verdict", "reason", "section"),
    [
        (Verdict.CALIBRATING, "9 of 28 quiet days are known; 19 more are needed.", "calibrating-too-long"),
        (Verdict.TOO_LITTLE, "214 rows, and 1,000 are needed.", "too-little-data"),
        (Verdict.BROKEN, "predictions/dt=2026-01-21/a.parquet is no file of predictions.", "broken-input"),
    ],
)
def test_what_was_not_judged_says_so_first_and_what_is_missing(calm, verdict, reason, section):
    lead = lead_of(page_of(unjudged(calm, verdict, reason), evidence_of(calm), report_config()))
    assert lead.startswith(f"{words.LOOKS[verdict].glyph} {verdict} Wednesday 21 January 2026 {reason}")
    assert "What this means" in lead
    assert lead.endswith(f"docs/runbook.md#{section}")
    assert "once in" not in lead


def test_problems_of_the_input_stand_before_all_else(calm):
    judgement = unjudged(calm, Verdict.BROKEN, "The log is damaged.", ("a.parquet: magic bytes not found", "b.parquet is empty"))
    page = page_of(judgement, evidence_of(calm), report_config())
    assert page.index('id="problems"') < page.index('id="changed"')
    assert "a.parquet: magic bytes not found" in page


def test_a_snooze_is_shown_with_its_reason_and_end(faulty):
    cause = dataclasses.replace(
        faulty.judgement.causes[0], snoozed_until=dt.datetime(2026, 1, 25, 8, tzinfo=dt.UTC), snooze_reason="7.2.3 is rolled back"
    )
    lead = lead_of(page_of(dataclasses.replace(faulty.judgement, causes=(cause,)), evidence_of(faulty), report_config()))
    assert "Snoozed until 25 Jan 2026, 08:00 UTC: 7.2.3 is rolled back" in lead


def test_a_cause_that_goes_on_says_since_when(faulty):
    cause = dataclasses.replace(faulty.judgement.causes[0], since=dt.datetime(2026, 1, 19, tzinfo=dt.UTC))
    judgement = dataclasses.replace(faulty.judgement, causes=(cause,))
    assert "Since 19 Jan 2026, 00:00 UTC, in every window from then on" in lead_of(page_of(judgement, evidence_of(faulty), report_config()))
    begun = dataclasses.replace(judgement, causes=(dataclasses.replace(cause, since=judgement.span.start),))
    assert "from then on" not in lead_of(page_of(begun, evidence_of(faulty), report_config()))


def test_the_reason_is_read_as_a_sentence(faulty):
    judgement = dataclasses.replace(faulty.judgement, reason="darker photos in app_version=7.1.0: brightness 0.52 -> 0.44")
    assert "<h1>Darker photos in app_version=7.1.0: brightness 0.52 → 0.44</h1>" in page_of(judgement, Evidence(), report_config())


def test_segments_are_ranked_with_their_share_as_a_bar(faulty):
    page = page_of(faulty.judgement, evidence_of(faulty), report_config())
    assert re.findall(r'<i style="width:([\d.]+)%">', page) == ["83.0", "31.0", "12.0"]


def test_ninety_windows_are_told_apart_without_colour_and_lead_to_their_pages(faulty):
    past = past_days()
    page = page_of(faulty.judgement, evidence_of(faulty, past=past, pages={past[3].name, past[61].name, "2026-01-21"}), report_config())
    strip = page[page.index('<div class="days">') : page.index('<p class="legend">')]
    cells = re.findall(r'<(a|span) class="cell (\w+)( this)?"(?: href="([^"]+)")? title="([^"]+)">(.)</', strip)
    assert len(cells) == 90
    assert cells[-1][2]
    assert cells[-1][4].startswith("2026-01-21: drift")
    hrefs = [href for _, _, _, href, *_ in cells if href]
    assert hrefs == [f"{past[3].name}.html", f"{past[61].name}.html"]  # the last is this page itself
    glyphs = {(css, glyph) for _, css, _, _, _, glyph in cells}
    assert {"▲", "!", "·", "○", "–", "✕"} == {glyph for _, glyph in glyphs}


def test_the_table_begins_with_what_calls_somebody_and_is_bounded(faulty):
    page = page_of(faulty.judgement, evidence_of(faulty), report_config(num_series=10))
    rows = re.findall(r'<tr class="(alarming|beyond|)"><td class="mark">', page)
    assert len(rows) == 10
    assert rows[0] == "alarming"
    assert rows == sorted(rows, key=lambda kind: kind != "alarming")
    assert f"{len(faulty.judgement.findings) - 10:,} less surprising ones are not shown" in page


def test_each_part_of_the_window_has_its_bar(faulty):
    page = page_of(faulty.judgement, evidence_of(faulty), report_config(num_series=1))
    strip = re.search(r'<svg class="strip".*?</svg>', page)
    assert strip is not None
    assert strip[0].count("<rect") == 6


def test_what_changed_stands_beside_the_reference_and_the_day_before(faulty):
    text = text_of(page_of(faulty.judgement, evidence_of(faulty), report_config()))
    changed = text[text.index("What changed Rows") :]
    assert "day before" in changed
    assert "Releases abc 900 rows" in changed
    assert "title_missing: 3" in changed
    assert "Sellers that grew most" in changed


def test_nothing_in_the_data_becomes_html(faulty):
    evil_blame = (Blame(f"category={EVIL}", 0.9),)
    findings = tuple(
        dataclasses.replace(one, measured=dataclasses.replace(one.measured, segment=f"category={EVIL}", effect=EVIL, detector=EVIL))
        for one in faulty.judgement.findings[:5]
    )
    cause = dataclasses.replace(faulty.judgement.causes[0], segments=evil_blame, findings=findings, snooze_reason=EVIL)
    cause = dataclasses.replace(cause, snoozed_until=dt.datetime(2026, 2, 1, tzinfo=dt.UTC))
    judgement = dataclasses.replace(
        faulty.judgement, reason=EVIL, release_id=EVIL, fingerprint=EVIL, problems=(EVIL,), causes=(cause,), findings=findings
    )
    changed = evidence_of(faulty).changes
    sellers = tuple(dataclasses.replace(one, seller_id=EVIL) for one in changed.sellers)
    mixes = tuple(
        dataclasses.replace(mix, shares=tuple(dataclasses.replace(one, value=EVIL) for one in mix.shares)) for mix in changed.mixes
    )
    changed = dataclasses.replace(changed, sellers=sellers, mixes=mixes, releases={EVIL: 3}, refused={EVIL: 4})
    sheet = Sheet(EVIL, EVIL, (Photo(EVIL, EVIL, "", EVIL),))
    past = [dataclasses.replace(one, name=f"{one.name}{EVIL}") for one in past_days(5)]
    page = page_of(judgement, evidence_of(faulty, changes=changed, sheets=[sheet], past=past), report_config())
    read = Read()
    read.feed(page)
    assert EVIL not in page
    assert not {"script", "img"} & {tag for tag, _ in read.found}
    assert not [name for _, names in read.found for name in names if name.startswith("on")]
    assert EVIL in read.heading  # shown as it is, and not run


def test_photos_that_are_not_there_are_told(faulty):
    sheet = Sheet("Typical now", "", (Photo("a", "one", "data:image/jpeg;base64,AAAA"), Photo("b", "two", "", "not in the store")))
    page = page_of(faulty.judgement, evidence_of(faulty, sheets=[sheet]), report_config())
    assert "1 of 2 photos could not be shown" in page
    assert "not in the store" in page


def test_control_characters_and_endless_lines_are_tamed():
    assert words.clip("a\x00b\u202ec\nd") == "a b c d"
    assert len(words.clip("x" * 5000)) == 300


def test_a_page_is_written_whole_under_its_windows_name(faulty, tmp_path):
    cfg = report_config(folder=str(tmp_path / "drift"))
    path = Path(write_page(faulty.judgement, evidence_of(faulty), cfg))
    assert path == tmp_path / "drift" / "2026-01-21.html"
    assert path.stat().st_size < MAX_PAGE_BYTES
    assert [one.name for one in path.parent.iterdir()] == [path.name]
    assert pages_in(cfg) == {"2026-01-21"}
    assert path.read_text(encoding="utf-8") == page_of(faulty.judgement, evidence_of(faulty), cfg)


def test_a_page_in_a_bucket_is_one_that_browsers_show(faulty, monkeypatch):
    cfg = report_config(folder=f"s3://{moto_s3.BUCKET}/drift")
    with moto_s3.serving() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        assert write_page(faulty.judgement, evidence_of(faulty), cfg) == f"s3://{moto_s3.BUCKET}/drift/2026-01-21.html"
        assert pages_in(cfg) == {"2026-01-21"}
        stored = boto3.client("s3").get_object(Bucket=moto_s3.BUCKET, Key="drift/2026-01-21.html")
        page = stored["Body"].read().decode()
    assert stored["ContentType"] == "text/html"
    assert page == page_of(faulty.judgement, evidence_of(faulty), cfg)


def test_the_page_asks_for_nothing_from_outside(faulty):
    page = page_of(faulty.judgement, evidence_of(faulty), report_config())
    assert outside(page) == []
    assert "http:" not in page.replace("http://www.w3.org", "")
    assert "https:" not in page


def test_every_cause_has_advice_and_every_detector_words():
    assert set(words.ADVICE) == set(CauseName)
    assert {*DETECTORS, *STEPS} <= set(words.DETECTORS)
    assert set(COLUMNS) <= set(words.DETECTORS)
    assert set(words.LOOKS) == set(Verdict)
    assert len({look.glyph for look in words.LOOKS.values()}) == len(Verdict)


def test_a_runbook_url_that_is_no_web_address_is_refused():
    told = report_config().model_dump() | {"runbook_url": "javascript:alert(1)"}
    with pytest.raises(BadParams, match=r"monitor\.report\.runbook_url"):
        bind(ReportConfig, "monitor.report", {"monitor.report": told})


@pytest.mark.parametrize(
    ("once", "told"),
    [
        (None, ""),
        (1.2, "on most days"),
        (2.6, "once in 3 days"),
        (12_400.0, "once in 12,000 days"),
        (36_525.0, "less than once in a hundred years"),
        (float("inf"), "less than once in a hundred years"),
        (float("nan"), ""),
    ],
)
def test_how_rare_a_day_is_stands_in_words(once, told):
    assert told in words.rarity(once)


def test_every_section_that_a_page_names_is_in_the_runbook():
    headings = re.findall(r"^#{2,4} (.+)$", (PROJECT / "docs" / "runbook.md").read_text(encoding="utf-8"), flags=re.M)
    anchors = {re.sub(r"[^\w -]", "", heading).lower().replace(" ", "-") for heading in headings}
    named = {link("", cause).removeprefix("#") for cause in CauseName} | {anchor_of(title) for title in SECTIONS.values()}
    assert named <= anchors
