"""Draw what a tracker found."""

from __future__ import annotations

import cv2
import numpy as np

from tracker_core.box import Box
from tracker_core.tracker import Estimate, Image, TrackState

#: RGB; told apart with all kinds of colour vision (after Okabe and Ito), bright enough for text.
STATE_COLORS = {
    TrackState.TRACKING: (60, 220, 160),
    TrackState.UNCERTAIN: (240, 228, 66),
    TrackState.LOST: (255, 120, 30),
}
TRUTH_COLOR = (255, 255, 255)


def draw_estimate(image: Image, estimate: Estimate, label: str = '') -> Image:
    """Return a copy of an RGB image with the box, dashed when lost, and a line of text above."""
    canvas: Image = np.array(image, order='C')
    box, color = estimate.box, STATE_COLORS[estimate.state]
    draw_box(canvas, box, color, dashed=estimate.state is TrackState.LOST)
    text = f'{label} {estimate.state.name.lower()} {estimate.confidence:.2f}'.strip()
    corner = (box.left, box.top - 6) if box.is_finite() else (0.0, 0.0)
    draw_text(canvas, text, corner, color)
    return canvas


def draw_box(
    canvas: Image,
    box: Box,
    color: tuple[int, int, int],
    thickness: int = 2,
    *,
    dashed: bool = False,
) -> None:
    """Draw the outline of a box onto `canvas`, RGB in and out; nothing for a box of nan."""
    if not box.is_finite():
        return
    limit = 4 * max(canvas.shape)
    x0, y0, x1, y1 = (
        round(max(-limit, min(limit, value)))
        for value in (box.left, box.top, box.right - 1, box.bottom - 1)
    )
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
    for start, end in zip(corners, corners[1:] + corners[:1], strict=True):
        pieces = max(2, round(np.hypot(*np.subtract(end, start)) / 14)) if dashed else 1
        points = np.linspace(start, end, 2 * pieces).round().astype(int).tolist()
        for a, b in zip(points[::2], points[1::2], strict=True):
            cv2.line(canvas, a, b, color, thickness, cv2.LINE_AA)


def draw_text(
    canvas: Image,
    text: str,
    corner: tuple[float, float],
    color: tuple[int, int, int],
    scale: float = 0.5,
) -> None:
    """Write outlined text with its lower left corner at (x, y), moved so that it stays inside."""
    font = cv2.FONT_HERSHEY_SIMPLEX
    (width, height), _ = cv2.getTextSize(text, font, scale, 1)
    x = min(max(corner[0], 2), max(canvas.shape[1] - width - 2, 2))
    y = min(max(corner[1], height + 2), canvas.shape[0] - 4)
    at = (round(x), round(y))
    cv2.putText(canvas, text, at, font, scale, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(canvas, text, at, font, scale, color, 1, cv2.LINE_AA)
