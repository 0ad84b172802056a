"""Settings of the recipe of DiMP."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Part = Literal['backbone', 'classifier', 'bb_regressor']


@dataclass(frozen=True)
class DiMPSettings:
    """Loss and what it needs; the defaults are the published values."""

    parts: tuple[Part, ...] = ('backbone', 'classifier', 'bb_regressor')
    """What is trained. With a frozen backbone classifier and box regressor do not depend on each
    other and can be trained by two runs."""
    whiten: bool = False
    """Start the classifier of DiMP-18 from whitened features; needs stored ones."""
    iterations: int = 5
    """Steps of the optimiser that the loss looks through."""
    classification: Literal['hinge', 'density'] = 'hinge'
    """Loss of the score maps: DiMP's, or PrDiMP's divergence of densities."""
    boxes: Literal['iou', 'density'] = 'iou'
    """What the box regressor learns: overlaps (ATOM, DiMP) or a density of boxes (PrDiMP)."""
    threshold: float = 0.05
    """Cells with a smaller label are background: only positive scores count there."""
    label_sigma: float = 0.25
    """Standard deviation of the label in target sizes."""
    final_weight: float = 100.0
    initial_weight: float = 100.0
    intermediate_weight: float = 400.0
    """Weight of the mean loss over the steps between the first and the last."""
    box_weight: float = 1.0
    proposals: int = 8
    """Boxes per test frame on which the box regressor learns."""
    proposal_sigmas: tuple[float, ...] = (0.01, 0.05, 0.1, 0.2, 0.3)
    proposal_min_iou: float = 0.1
    """The last two are for overlaps, the next two for densities."""
    density_sigma: tuple[float, float] = (0.05, 0.05)
    """Of the wanted density: of the centre in target sides and of the logarithm of the sides."""
    mixture_sigmas: tuple[tuple[float, float], ...] = ((0.05, 0.05), (0.5, 0.5))
    """Likewise, of the Gaussians that proposals are drawn from, all equally often."""
