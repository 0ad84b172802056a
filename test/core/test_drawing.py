import numpy as np
import pytest

from tracker_core import Box, Estimate, TrackState
from tracker_core.drawing import STATE_COLORS, draw_box, draw_estimate


@pytest.mark.parametrize('state', TrackState)
def test_draws_the_outline_in_the_colour_of_the_state(state):
    image = np.zeros((60, 80, 3), np.uint8)
    drawn = draw_estimate(image, Estimate(Box(20, 30, 30, 20), 0.5, state))
    assert not image.any()
    assert tuple(drawn[30, 20]) == STATE_COLORS[state]
    assert not drawn[40:45, 30:40].any()


def test_lost_is_dashed():
    image = np.zeros((60, 80, 3), np.uint8)
    rows = [
        draw_estimate(image, Estimate(Box(20, 30, 30, 20), 0.5, state))[49, 21:49].any(axis=1)
        for state in (TrackState.TRACKING, TrackState.LOST)
    ]
    assert rows[0].all()
    assert rows[1].any() and not rows[1].all()


@pytest.mark.parametrize('box', [Box(-1e9, 5, 2e9, 10), Box(500, 500, 10, 10), Box(*[np.nan] * 4)])
def test_boxes_beyond_the_image_are_no_error(box):
    canvas = np.zeros((60, 80, 3), np.uint8)
    draw_box(canvas, box, (255, 0, 0))
    draw_estimate(canvas, Estimate(box, 0.1, TrackState.LOST), 'name')
