"""The measures of GOT-10k, computed as the got10k toolkit does for the validation part.

Frames of all sequences and repetitions are pooled; the first frame of each does not count, nor do
frames in which the target is hidden or has no box.
"""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.one_pass import Flags, overlaps
from tracker_core.sequence import Boxes

Curve = NDArray[np.float64]
#: 101 overlaps: 0, .01, ... 1.
THRESHOLDS: Curve = np.linspace(0, 1, 101)


@dataclass(frozen=True)
class Got10kScore:
    """Average overlap and success rates, each in [0, 1]."""

    average_overlap: float
    success50: float
    success75: float
    curve: Curve
    """Share of frames above each of `THRESHOLDS`."""


def sequence_overlaps(
    boxes: Boxes, truth: Boxes, visible: Flags | None, image_size: tuple[int, int]
) -> Curve:
    """Overlaps of the frames that count, of boxes cut at the border of the image.

    Rows of nan in `truth` are left out, whatever `visible` says.
    boxes, truth: (N, 4). visible: (N,), all frames where None. image_size: (width, height).
    """
    count = min(len(boxes), len(truth))
    kept = np.ones(count, bool) if visible is None else visible[:count].copy()
    kept &= np.isfinite(truth[:count]).all(axis=1)
    kept[0] = False
    found = overlaps(_clipped(boxes[:count], image_size), _clipped(truth[:count], image_size))
    counted: Curve = found[kept]
    return counted


def score_got10k(per_sequence: List[Curve]) -> Got10kScore:
    """Pool the overlaps of all sequences; ValueError for none."""
    if not per_sequence:
        raise ValueError('no sequence to score')
    pooled = np.concatenate(per_sequence)
    return Got10kScore(
        average_overlap=float(pooled.mean()),
        success50=float((pooled > 0.5).mean()),
        success75=float((pooled > 0.75).mean()),
        curve=(pooled[:, None] > THRESHOLDS).mean(axis=0),
    )


def _clipped(boxes: Boxes, image_size: tuple[int, int]) -> Boxes:
    """Cut boxes as the toolkit does: moving the corner inside does not shorten the side."""
    low = np.clip(boxes[:, :2], 0, image_size)
    return np.concatenate([low, np.clip(boxes[:, 2:], 0, np.array(image_size) - low)], axis=1)
