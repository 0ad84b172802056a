"""Settings of the recipe of DCFST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal['location_predictor', 'bb_regressor']


@dataclass(frozen=True)
class PairSettings:
    """Two frames of a target and how they are cut; the defaults are the published values."""

    size: int = 288
    """Side of a crop in pixels."""
    factor: float = 5.0
    """Side of a crop in sizes of its (jittered) box, size = sqrt(width * height)."""
    max_gap: int = 50
    """The two frames are at most this many frames apart."""
    test_scale_jitter: float = 0.5
    """Standard deviation of the logarithm of width and height around which the test frame is cut,
    which change by a factor between 1/4 and 4."""
    test_center_jitter: float = 4.5
    """Part of the test crop's side, in sizes, that the target may lie anywhere in."""

    @property
    def frames(self) -> int:
        """Frames of an example."""
        return 2


@dataclass(frozen=True)
class DCFSTSettings:
    """Loss and what it needs; the defaults are the published values."""

    parts: tuple[Part, ...] = ('location_predictor', 'bb_regressor')
    """What is trained; the backbone never is."""
    box_regressor: str = ''
    """Weights whose box regressor a run starts with: a file, or the name of shipped ones such as
    `dimp18`. On the same frozen backbone it needs no further training."""
    loss: Literal['shrinkage', 'signed_shrinkage', 'mse'] = 'shrinkage'
    """Of the locations: paper equation 4, 5, or the plain mean squared error."""
    regularization: float = 0.1
    grid_side: int = 31
    """Proposals along one axis. The published 31 x 31 take most of the time of a step; with
    16 x 16 lower `regularization` in proportion to their number."""
    grid_size_jitter: float = 0.3
    """Standard deviation of the logarithm of the sides of the proposals in the test frame, which
    change by a factor between 1/2 and 2."""
    location_weight: float = 1.0
    box_weight: float = 1.0
    proposals: int = 16
    """Boxes on which the box regressor learns."""
    proposal_sigmas: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.3)
    proposal_min_iou: float = 0.1
