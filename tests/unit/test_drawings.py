"""The page's drawings: what passes is drawn inside its limits, and no number breaks them."""

import re

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from components.expectations.drawings import GAUGE_WIDTH, bars, gauge, histogram, sparkline

numbers = st.floats(-1e12, 1e12)
NUMBER = re.compile(r'\b(?:x|y|cx|cy|x1|x2|y1|y2|width|height)="(-?[\d.]+|nan|inf|-?\d[\d.]*e[+-]?\d+)"')


def ends(drawn):
    """Where the allowed part of a gauge begins and ends, and where its dot is, px."""
    left, right = map(float, re.search(r'class="allowed" x1="([\d.]+)" x2="([\d.]+)"', drawn).groups())
    return left, right, float(re.search(r'cx="([\d.]+)"', drawn)[1])


@given(numbers, st.one_of(st.none(), numbers), st.one_of(st.none(), numbers))
def test_a_dot_lies_on_the_thick_line_exactly_where_the_gate_passes(observed, low, high):
    if low is None and high is None:
        assert gauge(observed, low, high) == ""
        return
    if low is not None and high is not None:
        low, high = sorted((low, high))
    left, right, dot = ends(gauge(observed, low, high))
    assert 0 <= left <= right <= GAUGE_WIDTH
    assert 0 <= dot <= GAUGE_WIDTH
    if (low is None or low <= observed) and (high is None or observed <= high):
        assert left <= dot <= right
    elif high is not None and observed > high:
        assert dot >= right
    else:
        assert dot <= left


def test_a_count_far_above_its_limit_is_drawn_on_a_log_scale():
    _, right, dot = ends(gauge(100_000, 20, None))
    left, _, near = ends(gauge(40, 20, None))
    assert left < near < right
    assert dot < GAUGE_WIDTH


def test_without_an_observation_nothing_is_drawn():
    assert gauge(None, 0.0, 1.0) == ""


@given(st.lists(numbers, max_size=12), numbers, st.one_of(st.none(), numbers), st.one_of(st.none(), numbers))
def test_a_sparkline_is_made_of_finite_numbers(past, observed, low, high):
    drawn = sparkline(past, observed, low, high)
    assert "nan" not in drawn
    assert "inf" not in drawn
    assert all(abs(float(value)) <= 1000 for value in NUMBER.findall(drawn))


@given(st.lists(st.floats(1e-6, 1e12), min_size=1, max_size=50), st.booleans())
def test_a_histogram_counts_every_value(values, log):
    drawn = histogram(np.array(values), 10, low=min(values), high=max(values) * 1.5, log=log)
    assert drawn.count('<rect class="bar"') == 10
    tallest = int(re.search(r">([\d,]+) at most<", drawn)[1].replace(",", ""))
    assert 1 <= tallest <= len(values)


def test_names_in_bars_are_text_and_cut_to_fit():
    drawn = bars([("<b>" + 40 * "x", 0.5, 0.4), ("靴", 0.5, None)])
    assert "<b>" not in drawn
    assert "&lt;b&gt;" in drawn
    assert "…" in drawn
    assert drawn.count('class="past"') == 1
