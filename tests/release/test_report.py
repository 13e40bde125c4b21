"""The page of releases: what it says of looks, moves and endings, and that it needs nothing but itself."""

import datetime as dt
import itertools
import re
from xml.etree import ElementTree

import pytest

from components.release.judgement import Judgement, Ratio, Row, Verdict
from components.release.report import drawing, story
from components.release.report.page import Story, drawings, write_page
from components.release.report.story import Chapter, Heard, Moved, Photo, Shelf, Timing, courses, headline, steps

BEGAN = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


def after(seconds):
    return BEGAN + dt.timedelta(seconds=seconds)


def make_row(metric="tap_rate", estimate=0.1, half=0.2, verdict=Verdict.NOT_YET, limit=-0.25, better="higher"):
    low, high = (None, None) if estimate is None or half is None else (estimate - half, estimate + half)
    numbers = {"margin_z": 1.0, "fail_z": 1.0, "pass_bound": 2.0, "fail_bound": 3.0, "users_needed": 10}
    return Row(metric, verdict, better, True, 400, 100, 0.5, 0.55, estimate, low, high, limit, **numbers)


def make_heard(at_s, rows, group="web", weight=25, users=100, is_analysis=True, verdict=Verdict.NOT_YET):
    ratio = Ratio(weight / 100, weight / 100, 0.0, 2.0)
    return Heard(after(at_s), Judgement(group, weight, verdict, "a reason", users, 1200, 20, 3, is_analysis, tuple(rows), ratio))


def make_chapter(heard=(), moved=(), **changes):
    told = {"title": "A bad release", "release_id": "b" * 64, "about": "It is bad.", "ending": "rolled back", "reason": "taps fell"}
    return Chapter(**(told | {"heard": heard, "moved": moved} | changes))


def shrinking(group="web", weight=25, start=10, num=8, verdict=Verdict.PASS):
    """Looks a second apart whose interval shrinks, the last with a verdict."""
    last = num - 1
    return [
        make_heard(
            start + n, [make_row(half=0.8 / (n + 1), verdict=verdict if n == last else Verdict.NOT_YET)], group, weight, 100 * (n + 1)
        )
        for n in range(num)
    ]


def page_of(tmp_path, *chapters, **changes):
    target = tmp_path / "reports" / "release.html"
    write_page(target, Story(**({"chapters": chapters, "rungs": [5, 25, 50, 100], "thumbnails": {}} | changes)))
    return target.read_text(encoding="utf-8")


def band_of(svg):
    """The heights of the interval at each analysis, in pixels, in order of time."""
    edges = [
        [tuple(map(float, pair.split(","))) for pair in one.split()] for one in re.findall(r'<polyline class="edge" points="([^"]*)"', svg)
    ]
    return [round(low[1] - high[1], 1) for high, low in zip(*edges, strict=True)]


def test_the_band_of_a_chart_shrinks_as_the_interval_does():
    (course,) = courses(make_chapter(shrinking(num=12)))
    heights = band_of(drawing.sequential(course))
    assert len(heights) == 12
    assert all(a >= b for a, b in itertools.pairwise(heights))
    assert heights[-1] < heights[4] / 2


def test_a_look_that_is_no_analysis_moves_the_line_and_not_the_band():
    heard = [make_heard(n, [make_row()], is_analysis=n % 2 == 0) for n in range(7)]
    (course,) = courses(make_chapter(heard))
    svg = drawing.sequential(course)
    assert len(band_of(svg)) == 4
    line = re.search(r'class="estimate" points="([^"]*)"', svg)
    assert line
    assert len(line[1].split()) == 7


def test_a_new_rung_begins_a_new_band():
    heard = [*shrinking(weight=25), *shrinking(weight=50, start=30)]
    (course,) = courses(make_chapter(heard))
    assert [len(rung) for rung in course.rungs] == [8, 8]
    svg = drawing.sequential(course)
    assert svg.count('class="band"') == 2
    assert "25 %" in svg
    assert "50 %" in svg


def test_a_bound_that_is_open_reaches_the_edge_and_no_data_is_no_line():
    known, unknown = make_row(half=None), make_row(estimate=None)
    open_svg = drawing.sequential(courses(make_chapter([make_heard(n, [known]) for n in range(3)]))[0])
    assert band_of(open_svg) == [drawing.HEIGHT - drawing.TOP - drawing.BOTTOM] * 3
    none_svg = drawing.sequential(courses(make_chapter([make_heard(n, [unknown]) for n in range(3)]))[0])
    assert "estimate" not in none_svg


def test_what_failed_stands_first_and_the_taps_beside_it():
    rows = [make_row("error_share"), make_row("slow_share", verdict=Verdict.FAIL, limit=0.2, better="lower"), make_row("tap_rate")]
    first, rest = headline(courses(make_chapter([make_heard(1, rows), make_heard(2, rows)])))
    assert [one.metric for one in first] == ["slow_share", "tap_rate"]
    assert [one.metric for one in rest] == ["error_share"]


def test_where_guardrails_alone_were_judged_one_of_them_is_shown():
    first, _ = headline(courses(make_chapter([make_heard(1, [make_row("error_share")])])))
    assert [one.metric for one in first] == ["error_share"]


def test_the_soak_at_100_percent_has_no_control_arm_and_no_chart():
    assert courses(make_chapter([make_heard(1, [make_row()], weight=100)])) == []


def test_the_ladder_climbs_and_falls_where_the_moves_say():
    moved = [
        Moved(after(0), "propose", ["web", "ios"], 0, "new", "you"),
        Moved(after(5), "climb", ["web"], 5, "passed", "controller"),
        Moved(after(9), "climb", ["ios"], 5, "passed", "controller"),
        Moved(after(12), "return", ["web"], 0, "shown worse", "controller"),
        Moved(after(13), "pause", ["web"], None, "lunch", "you"),
    ]
    assert steps(make_chapter(moved=moved)) == {"web": [(0.0, 0), (0.0, 0), (5.0, 5), (12.0, 0)], "ios": [(0.0, 0), (0.0, 0), (9.0, 5)]}


def test_a_rollback_by_the_clock():
    timing = Timing(after(10), after(41.5), after(42.25))
    assert (timing.to_boundary_s, timing.to_weightless_s) == (31.5, 0.75)


def test_the_page_says_how_each_release_ended_and_why(tmp_path):
    good = make_chapter(title="A better model", ending="promoted", reason="soak over")
    bad = make_chapter(
        shrinking(), [Moved(after(0), "propose", ["web"], 0, "new", "you")], timings={"web": Timing(after(10), after(41.5), after(42.25))}
    )
    text = page_of(tmp_path, good, bad, notes=["a note"])
    assert re.findall(r'class="badge (\w+)">([^<]*)<', text) == [("yes", "promoted"), ("no", "rolled back")] * 2
    for said in ("soak over", "taps fell", "31.5 s", "0.8 s", "a note", "What decided"):
        assert said in text


def test_the_page_needs_nothing_but_itself(tmp_path):
    shelf = Shelf(Photo("p1", "a mug"), {"stable": [Photo("p1", "one", True, True)], "canary": [Photo("p2", "two", False)]})
    text = page_of(tmp_path, make_chapter(shrinking(), shelves=[shelf]), thumbnails={"p1": "data:image/jpeg;base64,AAAA"})
    assert re.findall(r'(?:src|href|url\()="?([^"#)]+)', text) == ["data:image/jpeg;base64,AAAA"] * 2
    assert "<script" not in text
    assert "http" not in text


def test_texts_from_outside_are_shown_and_not_run(tmp_path):
    evil = "<script>alert(1)</script>"
    shelf = Shelf(Photo("p1", evil), {"stable": [Photo("p1", evil)], "canary": []})
    heard = [make_heard(1, [make_row(f"tap_rate{evil}")], group=evil)]
    moved = [Moved(after(0), "propose", [evil], 0, evil, evil)]
    assert evil not in page_of(tmp_path, make_chapter(heard, moved, shelves=[shelf], reason=evil, about=evil, title=evil))


def test_a_release_of_which_little_is_known_has_a_chapter_too(tmp_path):
    text = page_of(tmp_path, make_chapter(reason="the first release of the channel", ending="promoted"))
    assert "the first release of the channel" in text
    assert "What decided" not in text


def test_equal_stories_are_equal_bytes(tmp_path):
    pages = [page_of(tmp_path / str(n), make_chapter(shrinking())) for n in range(2)]
    assert pages[0] == pages[1]


@pytest.mark.parametrize("heard", [shrinking(), [*shrinking(num=1)], [make_heard(0, [make_row(limit=0.2, better="lower")])]])
def test_every_chart_is_sound_svg_and_stays_inside_its_frame(heard):
    drawn = drawings(make_chapter(heard, [Moved(after(0), "climb", ["web"], 5, "x", "y")]), [5, 100])
    for svg in (drawn["ladder"], *drawn["first"], *drawn["rest"]):
        root = ElementTree.fromstring(svg)
        _, _, width, height = map(float, root.attrib["viewBox"].split())
        for one in root.iter():
            for pair in one.attrib.get("points", "").split():
                x, y = map(float, pair.split(","))
                assert 0 <= x <= width
                assert 0 <= y <= height


def test_a_story_that_never_began_has_no_beginning():
    assert make_chapter().began is None
    assert story.steps(make_chapter()) == {}


def test_a_rung_that_ended_at_its_first_analysis_shows_the_interval_too():
    (course,) = courses(make_chapter([make_heard(1, [make_row()], is_analysis=False), make_heard(2, [make_row()])]))
    assert 'class="whisker"' in drawing.sequential(course)


def test_a_rollback_whose_end_was_not_seen_is_not_told_as_quick(tmp_path):
    text = page_of(tmp_path, make_chapter(timings={"web": Timing(after(10), after(41.5), None)}))
    assert "not seen" in text
    assert "0.0 s" not in text
