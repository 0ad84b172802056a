"""The first box, typed or drawn."""

import cv2
import numpy as np
import pytest

from tracker_core import Box
from tracker_core.first_box import ask_for_box, parse_box

FRAME = np.tile(np.uint8([1, 2, 3]), (48, 64, 1))


@pytest.fixture
def display(monkeypatch):
    """Return a function that sets what the user draws, or the error that OpenCV raises."""

    def draws(result):
        def select(title, image):
            assert np.array_equal(image[..., ::-1], FRAME)
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(cv2, 'selectROI', select)
        monkeypatch.setattr(cv2, 'destroyWindow', lambda _: None)

    return draws


@pytest.mark.parametrize('words', [['1', '2', '3', '4'], ['1,2,3,4'], ['1,', '2,', '3,', '4']])
def test_notations(words):
    assert parse_box(words) == Box(1, 2, 3, 4)


@pytest.mark.parametrize('words', [[], ['1,2,3'], ['a', 'b', 'c', 'd'], ['1,2,3,4,5']])
def test_what_is_no_box_is_refused(words):
    with pytest.raises(ValueError, match='LEFT TOP WIDTH HEIGHT'):
        parse_box(words)


def test_drawn_box(display):
    display((5, 6, 7, 8))
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        assert ask_for_box(FRAME, {name: ':0'}) == Box(5, 6, 7, 8)


@pytest.mark.parametrize('drawn', [(0, 0, 0, 0), (5, 6, 7, 0)])
def test_cancelled_drawing(display, drawn):
    display(drawn)
    with pytest.raises(ValueError, match='no box was drawn'):
        ask_for_box(FRAME, {'DISPLAY': ':0'})


def test_opencv_without_windows(display):
    display(cv2.error('not implemented'))
    with pytest.raises(ValueError, match='give --box'):
        ask_for_box(FRAME, {'DISPLAY': ':0'})


def test_no_display():
    with pytest.raises(ValueError, match='no display'):
        ask_for_box(FRAME, {})
