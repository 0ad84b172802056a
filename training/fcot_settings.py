"""Settings of the recipe of FCOT."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.search_areas import SearchAreaSettings

#: Beginnings of the names of the tensors that belong to a part, but for the backbone.
Part = Literal[
    'backbone',
    'pyramid',
    'classifier_18',
    'classifier_72',
    'regressor_72',
    'regressor_72.filter_optimizer',
]


@dataclass(frozen=True)
class FCOTAreaSettings(SearchAreaSettings):
    """Frames and crops of an example; the defaults are the published values of FCOT."""

    crop: Literal['adaptive', 'classic'] = 'classic'
    clamp_boxes: bool = True


@dataclass(frozen=True)
class FCOTSettings:
    """Loss and what it needs; the defaults are the published values of the first of two stages.

    In the second stage only 'regressor_72.filter_optimizer' is trained.
    """

    parts: tuple[Part, ...] = (
        'backbone',
        'pyramid',
        'classifier_18',
        'classifier_72',
        'regressor_72',
    )
    """What is trained; 'regressor_72' is the regressor without its optimiser."""
    coarse_classifier: str = ''
    """Weights of DiMP on the same encoder that classifier_18 starts from, as the authors do: a
    file, or the name of shipped ones such as `dimp18`."""
    plain_start: bool = False
    """Deformable convolutions start with their taps on the grid, as Zhu et al. 2019 do, and not
    with the random offsets of the authors' code, which a short training hardly gets over."""
    iterations: int = 5
    """Steps of the classifiers' optimisers that the loss looks through."""
    side_iterations: int = 5
    """Likewise of the regressor's, in the second stage."""
    threshold: float = 0.05
    """Cells with a smaller label are background: only positive scores count there."""
    coarse_label_sigma: float = 0.25
    """Standard deviation of the label in target sizes."""
    fine_label_sigma: float = 0.125
    final_weight: float = 100.0
    initial_weight: float = 100.0
    intermediate_weight: float = 400.0
    """Weight of the mean loss over the steps between the first and the last."""
    side_weight: float = 1.0
    radius: int = 2
    """The sides are learned in the cells this far around the centre along each axis."""
    regression_levels: Literal['both', '36', '72'] = 'both'
    """Maps of the decoder that the regression uses (paper table 3)."""
