"""Settings of the DiMP family: one dataclass, and the published variants of it."""

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

_FOUR_CORNERS: Pairs = ((0.6, 0.6), (-0.6, 0.6), (0.6, -0.6), (-0.6, -0.6))
#: The published code moves only the crop of mode 'inside' of the first frame; no variant uses it.
_Border = Literal['replicate', 'inside_major']


@dataclass(frozen=True)
class DiMPSettings:
    """Values of DiMP-18 and DiMP-50 as published; sizes in pixels, pairs as (y, x).

    Not published are the search for a lost target and the nearer of two equally plausible peaks:
    `recovery_regions=0, prefer_near=False` is without them.
    """

    image_size: Annotated[int, Range(16)] = 288
    """Side of the network's input."""
    search_factor: Positive = 5.0
    """Side of the search region relative to the square root of the target's area."""
    min_region: NonNegative = 0.0
    """Shortest side of the search region in pixels of the image; 0: as published."""
    border_mode: _Border = 'replicate'
    max_scale_change: Annotated[float, Range(1)] = 1.5
    """For 'inside_major': how much the search region may shrink to stay inside the image."""

    relative_shifts: Pairs = _FOUR_CORNERS
    """Augmentations of the first frame; shifts in halves of the image size."""
    flip: bool = True
    blurs: Blurs = ((3.0, 1.0), (1.0, 3.0), (2.0, 2.0))
    rotations: tuple[float, ...] = (10.0, -10.0, 45.0, -45.0)
    dropout_copies: Natural = 2
    dropout: Part = 0.2
    expansion: Annotated[float, Range(1)] = 2.0
    """Size of the patch that augmentations are cut from, relative to the image size."""
    random_shift: NonNegative = 1 / 3

    memory_size: Count = 50
    learning_rate: Part = 0.01
    hard_negative_learning_rate: Part = 0.02
    first_frame_minimum: Share = 0.25
    """Share of the weights that the samples of the first frame keep; 0: they may be replaced."""

    update: Literal['online', 'none', 'average'] = 'online'
    """'none' keeps the first filter, 'average' blends in one predicted from each new frame."""
    optimizer: Literal['steepest_descent', 'gradient_descent'] = 'steepest_descent'
    gradient_step: NonNegative = 0.1
    """Fixed step length of 'gradient_descent'."""
    first_iterations: Natural = 10
    """Of the optimiser in the first frame; 0 keeps the initialiser's filter ("Init")."""
    update_interval: Count = 20
    update_iterations: Natural = 2
    hard_negative_iterations: Natural = 1

    score_softmax: bool = False
    window: bool = False
    not_found: float = 0.25
    """Score below which the target is not found; below it the box never moves."""
    distractor_threshold: float = 0.8
    hard_negative_threshold: float = 0.5
    neighborhood: NonNegative = 2.2
    displacement: NonNegative = 0.8
    prefer_near: bool = True
    """Unless LOST, the nearer of two equally plausible peaks is the target; False: the higher, as
    published."""

    refinement_space: Literal['default', 'relative'] = 'default'
    refinement_steps: Natural = 5
    """Of gradient ascent on the predicted overlap; 0: no refinement, the size never changes."""
    refinement_step_length: NonNegative = 1.0
    random_boxes: Natural = 9
    position_jitter: NonNegative = 0.1
    size_jitter: NonNegative = 0.5
    averaged_boxes: Count = 3
    max_aspect_ratio: Positive = 6.0

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
    replay: bool = True
    """On a GPU the refinement is recorded once and replayed, which is faster than step by step."""
    seed: Natural = 0
    """Of the random numbers, which start anew with every target."""

    def __post_init__(self) -> None:
        """Refuse values out of range with a ValueError."""
        check_ranges(self)


#: DiMP-18 and DiMP-50 on VOT2018.
VOT18 = DiMPSettings(
    image_size=224,
    search_factor=4.0,
    blurs=((2.0, 0.2), (0.2, 2.0), (3.0, 1.0), (1.0, 3.0), (2.0, 2.0)),
    rotations=(5.0, -5.0, 10.0, -10.0, 20.0, -20.0, 30.0, -30.0, 45.0, -45.0, -60.0, 60.0),
    dropout_copies=7,
    memory_size=250,
    learning_rate=0.0075,
    first_frame_minimum=0.0,
    first_iterations=25,
    update_interval=10,
    update_iterations=3,
    hard_negative_iterations=3,
    window=True,
    not_found=0.0,
    distractor_threshold=100.0,
    hard_negative_threshold=0.45,
    displacement=0.7,
    prefer_near=False,
    recovery_regions=0,
)

#: DiMP-50 on VOT2019.
VOT19 = replace(
    VOT18,
    image_size=256,
    search_factor=4.5,
    relative_shifts=((0.6, 0.6), (-0.6, -0.6)),
    blurs=((2.0, 0.2), (1.0, 3.0)),
    rotations=(-5.0, 10.0, -30.0, 60.0),
    dropout_copies=3,
    expansion=1.4,
    memory_size=100,
    first_iterations=15,
    update_iterations=2,
    hard_negative_iterations=2,
    refinement_steps=3,
)

#: Scores are a probability per cell, whose peak is about 0.2 on a sure target.
PRDIMP18 = DiMPSettings(
    score_softmax=True,
    not_found=0.04,
    refinement_space='relative',
    refinement_steps=10,
    refinement_step_length=2.5e-3,
    confidence_offset=0.04,
    confidence_slope=60.0,
)

PRDIMP50 = replace(PRDIMP18, image_size=352, search_factor=6.0, border_mode='inside_major')

SUPER_DIMP = replace(
    PRDIMP50, score_softmax=False, not_found=0.25, confidence_offset=0.25, confidence_slope=12.0
)

#: PrDiMP-50 on VOT2018. Its scores stay logits: one of 2.2 above others of zero is a probability
#: of 0.04 in a map of 15 x 15 cells. Confidences were not fitted for that.
PRDIMP50_VOT18 = replace(
    PRDIMP18,
    score_softmax=False,
    image_size=224,
    search_factor=4.0,
    blurs=VOT18.blurs,
    rotations=VOT18.rotations,
    dropout_copies=7,
    memory_size=250,
    first_frame_minimum=0.0,
    first_iterations=25,
    update_interval=1,
    update_iterations=1,
    hard_negative_iterations=1,
    window=True,
    not_found=0.0,
    distractor_threshold=99999.0,
    hard_negative_threshold=999999.0,
    displacement=0.7,
    confidence_offset=2.2,
    confidence_slope=3.0,
    prefer_near=False,
    recovery_regions=0,
)
