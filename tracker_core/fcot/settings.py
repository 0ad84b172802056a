"""Settings of FCOT: one dataclass, and the published variants of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from tracker_core.inference import Precision
from tracker_core.settings import (
    Blurs,
    Count,
    Natural,
    NonNegative,
    Part,
    Positive,
    Range,
    Share,
    check_ranges,
)

Pairs = tuple[tuple[float, float], ...]


@dataclass(frozen=True)
class FCOTSettings:
    """Values published for LaSOT; sizes in pixels, pairs as (y, x).

    Not published are the search for a lost target and the nearer of two equally plausible peaks:
    `recovery_regions=0, prefer_near=False` is without them.

    "Coarse" and "fine" are the classifiers with 18 and 72 cells on a side.
    """

    image_size: Annotated[int, Range(16)] = 288
    """Side of the network's input."""
    search_factor: Positive = 4.5
    """Side of the search region relative to the square root of the target's area."""
    min_region: NonNegative = 0.0
    """Shortest side of the search region in pixels of the image; 0: as published."""
    norm_scale_coef: Positive = 2.0
    """Belongs to the weights: square of the instance norm of the fine classifier, relative."""
    regression_levels: Literal['both', '36', '72'] = 'both'
    """Maps of the decoder that the regression uses (paper table 3)."""

    relative_shifts: Pairs = ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6))
    """Augmentations of the first frame; shifts in halves of the image size."""
    flip: bool = True
    blurs: Blurs = ((2.0, 0.2), (0.2, 2.0), (3.0, 1.0), (1.0, 3.0), (2.0, 2.0))
    rotations: tuple[float, ...] = (
        *(5.0, -5.0, 10.0, -10.0, 20.0, -20.0),
        *(30.0, -30.0, 45.0, -45.0, -60.0, 60.0),
    )
    expansion: Annotated[float, Range(1)] = 2.0
    """Size of the patch that augmentations are cut from, relative to the image size."""
    random_shift: NonNegative = 1 / 3

    memory_size: Count = 50
    learning_rate: Part = 0.01
    hard_negative_learning_rate: Part = 0.02
    first_frame_minimum: Share = 0.25
    """Share of the weights that the samples of the first frame keep; 0: they may be replaced."""

    every_frame_until: Natural = 5
    """Up to this frame all three models learn from every frame ..."""
    update_interval: Count = 20
    """... and then from the best frame of every so many (paper section 3.3)."""
    first_iterations: Natural = 5
    """Steps of the classifiers' optimisers in the first frame, ..."""
    early_iterations: Natural = 6
    """... up to `every_frame_until`, ..."""
    update_iterations: Natural = 1
    hard_negative_iterations: Natural = 1
    online_regression: bool = True
    """False keeps the initialiser's filter, without any step (paper table 2)."""
    first_side_iterations: Natural = 4
    early_side_iterations: Natural = 6
    update_side_iterations: Natural = 1
    hard_negative_side_iterations: Natural = 0

    coarse_latest: Share = 1.0
    """Share of the latest model; the rest is that of the first frame (equation 6)."""
    fine_latest: Share = 1.0
    side_latest: Share = 1.0
    coarse_weight: NonNegative = 0.9
    """Of the coarse scores in the sum (alpha in equation 1); 0 leaves them out (table 1), and the
    fine ones alone count fully."""
    fine_weight: NonNegative = 0.1
    """Of the fine scores (beta), likewise."""

    window: bool = False
    not_found: float = 0.25
    """Score below which the target is not found; below it the box never moves."""
    distractor_threshold: float = 0.6
    hard_negative_threshold: float = 0.5
    neighborhood: NonNegative = 2.2
    displacement: NonNegative = 0.8
    prefer_near: bool = True
    """Unless LOST, the nearer of two equally plausible peaks is the target; False: the higher, as
    published."""
    min_overlap: Share = 0.0
    """Overlap with the last box below which a box is doubted (0: none is; published 0.05)."""

    confidence_offset: float = 0.25
    confidence_slope: NonNegative = 12.0
    """Confidence = sigmoid(slope * (score peak - offset))."""
    tracking_threshold: float = 0.5
    """Confidence from which a target that was found is TRACKING."""
    lost_threshold: float = 0.2
    """Confidence below which a frame counts like one without a target."""
    lost_after: Count = 3
    """Such frames in a row until the state is LOST."""
    recovery_regions: Natural = 2
    """Regions elsewhere that are searched per frame from LOST until TRACKING; 0: as published."""
    recovery_confidence: float = 0.5
    """Confidence from which a lost target is found again in such a region."""
    precision: Precision = 'auto'
    """Of the network; 'auto' is bfloat16 on CPUs that compute in it, else float32."""
    seed: Natural = 0
    """Of the random numbers, which start anew with every target."""

    def __post_init__(self) -> None:
        """Refuse values out of range with a ValueError."""
        check_ranges(self)


LASOT = FCOTSettings()

OTB = replace(
    LASOT,
    update_interval=14,
    every_frame_until=10,
    update_iterations=2,
    fine_weight=0.4,
    coarse_weight=0.6,
    not_found=0.0,
    distractor_threshold=100.0,
    hard_negative_threshold=0.45,
    displacement=0.7,
    window=True,
)

NFS = replace(
    LASOT,
    update_interval=17,
    side_latest=0.8,
    fine_weight=0.2,
    coarse_weight=0.8,
    not_found=0.08,
    distractor_threshold=0.9,
)

TRACKINGNET = replace(
    LASOT,
    search_factor=4.2,
    first_frame_minimum=0.2,
    first_iterations=10,
    first_side_iterations=6,
    early_side_iterations=0,
    not_found=0.12,
    distractor_threshold=0.72,
    neighborhood=1.2,
    min_overlap=0.05,
)

UAV123 = replace(
    LASOT,
    side_latest=0.0,
    fine_weight=0.2,
    coarse_weight=0.8,
    not_found=0.12,
    distractor_threshold=0.9,
)

VOT18 = replace(
    LASOT,
    search_factor=4.0,
    memory_size=250,
    learning_rate=0.0075,
    first_frame_minimum=0.0,
    update_interval=8,
    every_frame_until=8,
    first_iterations=25,
    update_iterations=3,
    hard_negative_iterations=3,
    fine_latest=0.5,
    side_latest=0.6,
    fine_weight=0.4,
    coarse_weight=1.0,
    not_found=0.0,
    distractor_threshold=100.0,
    hard_negative_threshold=0.45,
    displacement=0.7,
    window=True,
    prefer_near=False,
    recovery_regions=0,
)
