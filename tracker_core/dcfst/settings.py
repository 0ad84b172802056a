"""Settings of DCFST: one dataclass, and the published variants of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Literal

from tracker_core.dcfst.model import Average
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


@dataclass(frozen=True)
class DCFSTSettings:
    """Values of DCFST-18 as published for OTB-2015.

    The search for a lost target is not published: `recovery_regions=0` is without it.
    """

    image_size: Annotated[int, Range(16)] = 288
    """Side of the search region in pixels; a multiple of 16."""
    proposals: Annotated[int, Range(3)] = 31
    """Along one axis of the search region; odd."""
    flip: bool = True
    """Augmentations of the first frame."""
    blurs: Blurs = ((2, 0.2), (0.2, 2), (3, 1), (1, 3), (2, 2))
    """Standard deviations (y, x)."""
    rotations: tuple[float, ...] = (5.0, -5.0, 10.0, -10.0, 20.0, -20.0)
    """Degrees."""
    expansion: Annotated[float, Range(1)] = 2.0
    """Size of the patch that augmentations are cut from, relative to the search region."""

    update: Literal['online', 'none'] = 'online'
    """'none' keeps the model of the first frame."""
    regularization: Positive = 0.1
    average: Average = 'features'
    learning_rate: Part = 0.013
    """Share of a new frame in the average that the model is learnt from."""
    update_interval: Count = 1
    """Frames between two additions to that average, which weigh as much as all of them; a frame
    in which something else looks like the target is always added (published: every frame)."""
    first_frame_minimum: Share = 0.25
    """Least share of the first frame in that average."""
    refit_interval: Count = 10
    """Frames between two updates of the model from the average."""
    sweeps: Natural = 30
    """Gauss-Seidel sweeps of such an update; they do not converge, and need not."""
    search: Literal['auto', 'exact', 'sampled'] = 'auto'
    """'exact' normalises the features of a search region by all proposals (published), 'sampled'
    by those of every third row and column, which is faster; 'auto' is 'sampled' on a CPU."""
    learn: Literal['auto', 'each', 'together'] = 'auto'
    """'each' computes the features of every frame that is added to the average (published),
    'together' only those of the mean of its maps over all frames since the last update of the
    model: nearly the mean of their features, as only the normalisation is not linear, and faster.
    'auto' is 'together' on a CPU with `average` 'features', the only one that allows it."""
    not_found: float = 0.25
    """Windowed score below which the target is not found: the box stays, nothing is learnt."""
    refit_when_not_found: bool = False
    window_sigma: Positive = 1.05
    """Of the window on the scores, relative to the square root of the target's area."""
    window_minimum: Share = 0.5
    hard_negative_threshold: float = 0.3
    """Score away from the target from which a frame is a hard negative: the model is updated at
    once."""
    hard_negative_relative: bool = False
    """The threshold is relative to the peak, and a hard negative also exceeds `not_found`."""
    hard_negative_learning_rate: Part = 0.125
    hard_negative_distance: NonNegative = 0.75
    """Least distance from the target, relative to the square root of its area."""

    scale_damping: Share = 0.7
    """Share of the old size in the new one."""
    refinement_steps: Natural = 5
    """Of gradient ascent on the predicted overlap; 0: no refinement, the size never changes."""
    refinement_step_length: NonNegative = 1.0
    random_boxes: Natural = 9
    position_jitter: NonNegative = 0.1
    size_jitter: NonNegative = 0.5
    averaged_boxes: Count = 3
    max_aspect_ratio: Positive = 6.0
    output: Literal['centred', 'clipped'] = 'centred'
    """'clipped' is the ResNet-50 code: half a pixel further left and up, inside the image."""

    confidence_offset: float = 0.4
    confidence_slope: NonNegative = 10.0
    """Confidence = sigmoid(slope * (score of the chosen proposal - offset))."""
    tracking_threshold: float = 0.5
    """Confidence from which a target that was found is TRACKING."""
    lost_threshold: float = 0.2
    """Confidence below which a frame counts as lost, like one without a target ..."""
    lost_after: Count = 3
    """... and the state is LOST from this many such frames in a row; until then UNCERTAIN."""
    recovery_regions: Natural = 2
    """Regions elsewhere that are searched per frame from LOST until TRACKING; 0: as published."""
    recovery_confidence: float = 0.5
    """Confidence from which a lost target is found again in such a region."""
    seed: Natural = 1024
    """Of the random boxes of a target."""
    precision: Precision = 'auto'
    """Of the network; the model is always learnt in float32."""
    replay: bool = True
    """On a GPU the refinement is recorded once and replayed, which is faster than step by step."""

    def __post_init__(self) -> None:
        """Refuse values out of range with a ValueError."""
        check_ranges(self)


#: DCFST-18 as published for OTB-2015, and by the data set that it was tuned on.
DCFST18 = DCFSTSettings()
DCFST18_GOT10K = replace(
    DCFST18,
    learning_rate=0.016,
    not_found=0.3,
    hard_negative_learning_rate=0.15,
    window_sigma=1.3,
    scale_damping=0.3,
)
DCFST18_NFS = replace(
    DCFST18,
    learning_rate=0.016,
    window_sigma=2.2,
    window_minimum=0.8,
    scale_damping=0.3,
)
DCFST18_TRACKINGNET = replace(
    DCFST18,
    learning_rate=0.01,
    not_found=0.3,
    hard_negative_learning_rate=0.1,
    window_sigma=0.8,
    window_minimum=0.6,
    scale_damping=0.5,
)
DCFST18_VOT19 = replace(
    DCFST18,
    learning_rate=0.018,
    not_found=0.1,
    hard_negative_threshold=0.15,
    hard_negative_learning_rate=0.16,
    window_sigma=0.8,
    window_minimum=0.4,
    scale_damping=0.5,
    recovery_regions=0,
)
#: DCFST-50 as published for GOT-10k; its code differs in the places that are not only numbers.
DCFST50 = DCFSTSettings(
    average='products',
    learning_rate=0.02,
    not_found=0.2,
    refit_when_not_found=True,
    window_sigma=1.0,
    hard_negative_threshold=0.5,
    hard_negative_relative=True,
    hard_negative_learning_rate=0.1,
    scale_damping=0.4,
    random_boxes=19,
    position_jitter=0.2,
    averaged_boxes=5,
    output='clipped',
)
DCFST50_TRACKINGNET = replace(
    DCFST50,
    learning_rate=0.016,
    hard_negative_learning_rate=0.01,
    window_sigma=1.2,
    scale_damping=0.3,
)
DCFST50_VOT18 = replace(
    DCFST50,
    learning_rate=0.018,
    not_found=0.0,
    hard_negative_learning_rate=0.22,
    window_sigma=0.9,
    window_minimum=0.3,
    scale_damping=0.6,
    recovery_regions=0,
)
