"""Whatever is said of a window, its page is made: properties over judgements of any kind."""

import datetime as dt
import re

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from monitoring.judged import Blame, Calibration, Cause, CauseName, Finding, Judgement, Verdict
from monitoring.measured import Family, Measured
from monitoring.report.drawing import histograms
from monitoring.report.page import MAX_PAGE_BYTES, page_of
from monitoring.report.sheets import Photo, Sheet
from monitoring.report.story import Evidence, PastWindow
from monitoring.span import day_of, hour_of, week_of
from tests.monitoring.report.judged_days import report_config, tiny_shop
from tests.monitoring.report.test_page import outside

DATES = st.dates(dt.date(2020, 1, 1), dt.date(2035, 1, 1))
SPANS = st.one_of(
    DATES.map(day_of),
    DATES.map(week_of),
    DATES.map(lambda date: hour_of(dt.datetime.combine(date, dt.time(5), dt.UTC))),
    DATES.map(lambda date: day_of(date).parts(6)[2]),
)
TEXTS = st.text(max_size=80)
VALUES = st.floats()
MEASURED = st.builds(Measured, TEXTS, st.sampled_from(Family), TEXTS, VALUES, TEXTS, st.integers(0, 10**9), st.integers(0, 10**9))
FINDINGS = st.builds(Finding, MEASURED, VALUES, VALUES, VALUES, st.lists(VALUES, max_size=30).map(tuple), st.booleans())
BLAMES = st.builds(Blame, TEXTS, VALUES)
TIMES = st.datetimes(dt.datetime(2020, 1, 1), dt.datetime(2035, 1, 1), timezones=st.just(dt.UTC))
CAUSES = st.builds(
    Cause,
    st.sampled_from(CauseName),
    st.lists(FINDINGS, max_size=4).map(tuple),
    st.lists(BLAMES, max_size=12).map(tuple),
    st.none() | TIMES,
    TEXTS,
    st.none() | TIMES,
)
JUDGEMENTS = st.builds(
    Judgement,
    SPANS,
    TEXTS,
    TEXTS,
    st.sampled_from(Verdict),
    TEXTS,
    st.integers(0, 10**12),
    st.lists(CAUSES, max_size=9).map(tuple),
    st.lists(FINDINGS, max_size=40).map(tuple),
    st.none() | st.builds(Calibration, st.integers(0, 10**4), st.integers(0, 10**4), VALUES, VALUES, VALUES),
    st.none() | VALUES,
    st.lists(TEXTS, max_size=60).map(tuple),
)
PAST = st.lists(st.builds(PastWindow, TEXTS, st.sampled_from(Verdict), st.none() | VALUES, st.none() | VALUES), max_size=100)
SHEETS = st.lists(st.builds(Sheet, TEXTS, TEXTS, st.lists(st.builds(Photo, TEXTS, TEXTS), max_size=8).map(tuple)), max_size=4)


@given(JUDGEMENTS, PAST, SHEETS, st.booleans())
@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_any_judgement_has_a_small_page_that_needs_nothing_else(judgement, past, sheets, with_rows):
    shop = tiny_shop()
    evidence = Evidence(
        past=past, sheets=sheets, now=shop.reference if with_rows else None, reference=shop.reference if with_rows else None
    )
    page = page_of(judgement, evidence, report_config())
    assert len(page.encode()) < MAX_PAGE_BYTES
    assert outside(page) == []
    assert page.count("<h1>") == 1
    assert page.rstrip().endswith("</html>")


@given(st.lists(VALUES, max_size=40), st.lists(VALUES, max_size=40))
@settings(max_examples=60, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
def test_any_numbers_can_be_drawn(before, now):
    import numpy as np

    drawn = histograms("numbers", *((np.array(values, float), np.ones(len(values))) for values in (before, now)))
    places = [float(place) for place in re.findall(r"[VHM] ?(-?[\d.]+)", drawn)]
    assert all(0 <= place <= 360 for place in places)
