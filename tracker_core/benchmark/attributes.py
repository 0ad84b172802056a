"""What makes a sequence hard: attributes as published, and those computed from annotations.

The computed ones follow the definitions of OTB and LaSOT.
"""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.dataset import BenchmarkSequence

Source = Literal['published', 'computed']

#: Computed attributes: name -> definition, for readers of a report.
DEFINITIONS = {
    'scale variation': 'area below a quarter or above four times that of the first frame',
    'aspect change': 'width / height below half or above twice that of the first frame',
    'fast motion': 'centre moves by more than 20 px between frames',
    'low resolution': 'fewer than 400 px in some frame',
    'absence': 'hidden or out of view in some frame',
}


@dataclass(frozen=True)
class Attribute:
    """Sequences of a data set that have something in common."""

    name: str
    source: Source
    """'published': a file of the data set says so; 'computed': see `DEFINITIONS`."""
    sequences: tuple[str, ...]


def collect_attributes(sequences: List[BenchmarkSequence]) -> list[Attribute]:
    """Attributes that hold for some of the sequences, by name.

    A computed one is left out where the data set publishes one of the same name.
    """
    published: dict[str, list[str]] = {}
    computed: dict[str, list[str]] = {}
    for sequence in sequences:
        for name in sequence.attributes:
            published.setdefault(name, []).append(sequence.name)
        for name in computed_attributes(sequence):
            computed.setdefault(name, []).append(sequence.name)
    rest = {name: names for name, names in computed.items() if name not in published}
    found = [Attribute(name, 'published', tuple(names)) for name, names in published.items()]
    found += [Attribute(name, 'computed', tuple(names)) for name, names in rest.items()]
    return sorted(found, key=lambda each: each.name)


def computed_attributes(sequence: BenchmarkSequence) -> tuple[str, ...]:
    """Those of `DEFINITIONS` that hold for a sequence."""
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
    return tuple(name for name, flag in holds.items() if flag)


def _leaves_range(ratio: NDArray[np.float64], factor: float) -> bool:
    return bool(((ratio < 1 / factor) | (ratio > factor)).any())
