"""The box that tracking starts from: typed or drawn by the user."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import cv2
import numpy as np

from tracker_core.box import Box
from tracker_core.tracker import Image


def parse_box(numbers: list[str]) -> Box:
    """Parse '10 20 30 40' or '10,20,30,40' given as command-line words; ValueError otherwise."""
    words = ' '.join(numbers).replace(',', ' ').split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != 4:
        raise ValueError(f'--box takes LEFT TOP WIDTH HEIGHT, not {" ".join(numbers)!r}')
    return Box(*values)


def ask_for_box(frame: Image, environment: Mapping[str, str]) -> Box:
    """Let the user draw the target with the mouse; ValueError without a display or a box.

    `environment`: the variables of the process, which tell whether there is a display.
    """
    if sys.platform.startswith('linux') and not (
        environment.get('DISPLAY') or environment.get('WAYLAND_DISPLAY')
    ):
        raise ValueError('no display to draw a box on: give it with --box LEFT TOP WIDTH HEIGHT')
    title = 'Draw the target, then press Enter'
    try:
        selected = cv2.selectROI(title, np.ascontiguousarray(frame[..., ::-1]))
        cv2.destroyWindow(title)
    except cv2.error as error:
        raise ValueError(f'OpenCV cannot open a window ({error.err}): give --box') from None
    if min(selected[2:]) == 0:
        raise ValueError('no box was drawn')
    return Box(*map(float, selected))
