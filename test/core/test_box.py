import math

import pytest

from tracker_core import Box


def test_edges_and_centre():
    box = Box(10, 20, 30, 40)
    assert (box.right, box.bottom, box.center, box.area) == (40, 60, (25, 40), 1200)
    assert Box.from_center(25, 40, 30, 40) == box


@pytest.mark.parametrize(
    ('other', 'expected'),
    [
        (Box(0, 0, 10, 10), 1.0),
        (Box(5, 0, 10, 10), 50 / 150),
        (Box(10, 0, 10, 10), 0.0),
        (Box(2, 2, 5, 5), 0.25),
        (Box(-50, -50, 10, 10), 0.0),
    ],
)
def test_iou_by_hand(other, expected):
    assert Box(0, 0, 10, 10).iou(other) == pytest.approx(expected)
    assert other.iou(Box(0, 0, 10, 10)) == pytest.approx(expected)


def test_iou_of_equal_boxes_is_never_above_one():
    """Right minus left may be a little more than the width it was made from."""
    box = Box(49.6, 45.0, 0.7, 0.8)
    assert (box.right - box.left) * (box.bottom - box.top) > box.area
    assert box.iou(box) == 1.0


def test_iou_of_empty_boxes_is_zero():
    assert Box(0, 0, 0, 0).iou(Box(0, 0, 0, 0)) == 0.0


def test_is_finite():
    assert Box(0, 0, 1, 1).is_finite()
    assert not Box(0, math.nan, 1, 1).is_finite()
    assert not Box(0, 0, math.inf, 1).is_finite()
