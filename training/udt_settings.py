"""Settings of training without labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class UDTSettings:
    """The way there and back, and which examples count."""

    steps: int = 2
    """Frames through which the target is followed before the way back (published: 2, of which
    the first validates; 1: straight there and back)."""
    matching: Literal['correlation', 'filter'] = 'correlation'
    """How the target is found: as SiamFC does, by correlation with the features of an exemplar and
    a logistic loss; or, as published, by a correlation filter and a squared error."""
    search_size: int = 255
    """Side in pixels of the part of a crop that is searched."""
    shift: int = 24
    """It is moved off the centre of the crop by up to this many pixels along each axis."""
    drop: float = 0.1
    """Share of the examples of a batch, those with the highest loss, that do not count
    (published: 0.1)."""
    motion: bool = True
    """Whether the others count by how much the target moves (published), or all alike."""
    radius: float = 16.0
    """`correlation`: cells up to this many pixels (|dx| + |dy|) from the target are positive."""
    label_sigma: float = 0.1
    """`filter`: standard deviation of the label in target sizes (published: 0.1)."""
    regularization: float = 1e-4
    """`filter`: the constant in the denominator of the filter (published: 1e-4)."""
