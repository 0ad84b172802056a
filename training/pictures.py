"""Pictures of what a network sees and answers, for TensorBoard."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from tracker_core import Box
from tracker_core.drawing import draw_box
from training.datasets import Image

#: RGB of the true box and of a predicted one (after Okabe and Ito).
TRUE_COLOR, PREDICTED_COLOR = (86, 180, 233), (240, 228, 66)


def with_boxes(
    image: Image, boxes: Sequence[tuple[NDArray[np.floating], tuple[int, int, int]]]
) -> Image:
    """Copy of an RGB image with boxes (left, top, width, height) in their colours."""
    canvas: Image = np.array(image, order='C')
    for box_ltwh, color in boxes:
        left, top, width, height = map(float, box_ltwh)
        draw_box(canvas, Box(left, top, width, height), color)
    return canvas


def heat_map(
    scores: Tensor, background: Image, stride: float, first: tuple[float, float]
) -> Image:
    """Scores (h, w) as colours over an image: 0 and less is darkest, 1 and more brightest.

    background: RGB image (H, W, 3) that shines through. stride: pixels of it from cell to cell;
    first: x, y of the middle of the first cell. Where there is no cell it is as dark as at 0.
    """
    values = (255 * scores.detach().float().clamp(0, 1)).round().byte().cpu().numpy()
    rows, columns = (
        _nearest(values.shape[axis], background.shape[axis], stride, first[1 - axis])
        for axis in (0, 1)
    )
    # Cell -1 is none.
    grown = np.pad(values, (0, 1))[rows[:, None], columns]
    colours = cv2.applyColorMap(grown, cv2.COLORMAP_VIRIDIS)[..., ::-1]
    return np.asarray(cv2.addWeighted(background, 0.4, np.ascontiguousarray(colours), 0.6, 0))


def _nearest(cells: int, pixels: int, stride: float, first: float) -> NDArray[np.intp]:
    """Cell in whose middle or around it a pixel lies (pixels,); -1 where that is none."""
    found = np.floor((np.arange(pixels) + 0.5 - first) / stride + 0.5).astype(np.intp)
    return np.where((found >= 0) & (found < cells), found, -1)


def sheet(rows: Sequence[Sequence[Image]]) -> Image:
    """Equally large images (h, w, 3), row by row, as one."""
    return np.vstack([np.hstack(list(row)) for row in rows])
