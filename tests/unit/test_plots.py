"""Drawings for the page: plain SVG whose marks lie where the numbers say."""

import re
import xml.etree.ElementTree as ElementTree

import pytest

from components.evaluate.bootstrap import Estimate
from components.evaluate.page import curves, shown
from components.evaluate.plots import BAR_WIDTH, HEIGHT, WIDTH, histogram, interval_bar, line_chart


def test_a_curve_stays_in_its_frame_and_leaves_missing_points_out():
    chart = line_chart("loss", [0, 1, 2, 3], [4.0, float("nan"), 2.0, 1.0], "epoch")
    points = [tuple(map(float, pair.split(","))) for pair in re.search(r'points="([^"]+)"', chart).group(1).split()]
    assert len(points) == 3
    assert all(0 < x < WIDTH and 0 < y < HEIGHT for x, y in points)
    assert points[0][1] < points[-1][1]  # a loss that falls is drawn falling


def test_titles_are_text_and_never_markup():
    chart = line_chart("<b>loss & more", [0, 1], [0, 1], 'epoch"')
    assert "<b>" not in chart
    assert "<b>loss & more" in "".join(ElementTree.fromstring(chart).itertext())


@pytest.mark.parametrize(("x", "y"), [([1], [2.0]), ([0, 1], [3.0, 3.0])])
def test_a_curve_without_extent_is_still_drawn(x, y):
    assert "nan" not in line_chart("flat", x, y, "epoch")


def test_a_curve_without_points_is_no_drawing():
    assert line_chart("none", [0.0], [float("nan")], "epoch") == ""


def test_the_fullest_bin_is_the_tallest_and_a_score_of_one_has_a_bin():
    boxes = re.findall(r'<rect [^>]*height="([\d.]+)"', histogram("scores", [0.1, 0.1, 0.1, 1.0], 4, "score"))
    assert [float(height) > 0 for height in boxes] == [True, False, False, True]
    assert float(boxes[0]) > float(boxes[3])


def test_an_interval_is_drawn_left_to_right_and_kept_inside_its_scale():
    bar = interval_bar(Estimate(value=0.5, low=-3.0, high=0.6, num_values=1, num_clusters=1), 0.0, 1.0, 0.0, "ours")
    left, dot, right = (
        float(re.search(pattern, bar).group(1)) for pattern in (r'span" x1="([\d.]+)', r'cx="([\d.]+)', r'x2="([\d.]+)" y1="8')
    )
    assert 0 < left < dot < right < BAR_WIDTH


def test_a_number_that_is_not_there_is_a_dash():
    assert shown(None) == "&ndash;"
    assert "[0.400, 0.600]" in shown(Estimate(0.5, 0.4, 0.6, 1, 1))


def test_each_measure_of_a_training_curve_gets_a_chart_for_each_run(tmp_path):
    file = tmp_path / "curve.csv"
    file.write_text("epoch,trunk,train_loss,val_opa\n0,shared,2.5,\n1,shared,1.5,\n0,own,2.0,0.6\n1,own,1.0,0.7\n")
    titles = [re.search(r'aria-label="([^"]+)"', chart).group(1) for chart in curves(file)]
    assert titles == ["shared train_loss", "own train_loss", "own val_opa"]
    file.write_text("epoch,train_loss\n")
    assert curves(file) == []
