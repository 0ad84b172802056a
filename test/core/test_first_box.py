"""The first box, typed or drawn."""

import cv2
import numpy as np
import pytest

from tracker_core import Box
from tracker_core.first_box import ask_for_box, parse_box

FRAME = np.zeros((48, 64, 3), np.uint8)


@pytest.fixture
def display(monkeypatch):
    """Return a function that sets what the user draws, or the error that OpenCV raises."""

    def draws(result):
        def select(title, image):
            assert image.shape == FRAME.shape
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
    assert ask_for_box(FRAME, {'DISPLAY': ':0'}) == Box(5, 6, 7, 8)


def test_cancelled_drawing(display):
    display((0, 0, 0, 0))
    with pytest.raises(ValueError, match='no box was drawn'):
        ask_for_box(FRAME, {'DISPLAY': ':0'})


def test_opencv_without_windows(display):
    display(cv2.error('not implemented'))
    with pytest.raises(ValueError, match='give --box'):
        ask_for_box(FRAME, {'DISPLAY': ':0'})


def test_no_display():
    with pytest.raises(ValueError, match='no display'):
        ask_for_box(FRAME, {})
