"""What makes a sequence hard, computed from its annotation (definitions of OTB and LaSOT)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.dataset import BenchmarkSequence

#: Name -> definition, for readers of a report.
DEFINITIONS = {
    'scale variation': 'area below a quarter or above four times that of the first frame',
    'aspect change': 'width / height below half or above twice that of the first frame',
    'fast motion': 'centre moves by more than 20 px between frames',
    'low resolution': 'fewer than 400 px in some frame',
    'absence': 'hidden or out of view in some frame',
}


def sequence_attributes(sequence: BenchmarkSequence) -> tuple[str, ...]:
    """Published attributes of a sequence, then those of `DEFINITIONS` that hold."""
    truth = sequence.truth
    area = truth[:, 2] * truth[:, 3]
    centers = truth[:, :2] + truth[:, 2:] / 2
    motion = np.linalg.norm(np.diff(centers, axis=0), axis=1)
    absent = np.isnan(truth).any(axis=1)
    if sequence.visible is not None:
        absent |= ~sequence.visible
    holds = {
        'scale variation': _leaves_range(np.sqrt(area / area[0]), 2),
        'aspect change': _leaves_range(truth[:, 2] / truth[:, 3] * truth[0, 3] / truth[0, 2], 2),
        'fast motion': bool((motion > 20).any()),
        'low resolution': bool((area < 400).any()),
        'absence': bool(absent.any()),
    }
    return (*sequence.attributes, *(name for name, flag in holds.items() if flag))


def _leaves_range(ratio: NDArray[np.float64], factor: float) -> bool:
    return bool(((ratio < 1 / factor) | (ratio > factor)).any())
