"""Clicks become boxes."""

import pytest

from tracker_core import Box
from tracker_ros.clicks import Clicks

FRAME = object()


def click(clicks, x, y, time=0.0, side=0, timeout=10.0):
    return clicks.click(x, y, FRAME, time, side, timeout)


@pytest.mark.parametrize(
    ('first', 'second'),
    [((10, 20), (40, 60)), ((40, 60), (10, 20)), ((10, 60), (40, 20)), ((40, 20), (10, 60))],
)
def test_two_corners_in_any_order(first, second):
    clicks = Clicks()
    assert click(clicks, *first) is None
    assert clicks.first.frame is FRAME
    assert click(clicks, *second) == Box(10, 20, 30, 40)
    assert clicks.first is None


def test_a_single_click_is_the_centre_of_a_square():
    clicks = Clicks()
    assert click(clicks, 50, 40, side=20) == Box(40, 30, 20, 20)
    click(clicks, 10, 20)
    assert click(clicks, 50, 40, side=20) == Box(40, 30, 20, 20)
    assert clicks.first is None


def test_a_late_second_click_is_a_first_one():
    clicks = Clicks()
    click(clicks, 10, 20, time=0.0)
    assert click(clicks, 40, 60, time=11.0) is None
    assert (clicks.first.x, clicks.first.y) == (40, 60)
    assert not clicks.forget_after(10.0, 20.0)
    assert clicks.forget_after(10.0, 22.0)
    assert clicks.first is None


def test_clicks_that_span_no_box_are_refused_and_forgotten():
    clicks = Clicks()
    click(clicks, 10, 20)
    with pytest.raises(ValueError, match=r'span 1\.0 x 80\.0 px only'):
        click(clicks, 11, 100)
    assert click(clicks, 10, 20) is None
    with pytest.raises(ValueError, match=r'span 80\.0 x 1\.0 px only'):
        click(clicks, 90, 19)


@pytest.mark.parametrize('far', [float('nan'), float('inf'), -1e9])
def test_clicks_that_are_nowhere_are_refused(far):
    clicks = Clicks()
    for x, y in ((far, 10), (10, far)):
        with pytest.raises(ValueError, match='not in the image'):
            click(clicks, x, y)
    assert clicks.first is None
