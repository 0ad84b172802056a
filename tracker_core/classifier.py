"""Features that tell targets apart, with the predictor of a target's filter.

Bhat et al. 2019 (DiMP), section 3 and figure 2; FCOT classifies with the same parts.
"""

from __future__ import annotations

import math

from torch import Tensor, nn

from tracker_core.resnet import BasicBlock
from tracker_core.target_filter import (
    FILTER_SIZE,
    DensityDescent,
    FilterFit,
    FilterInitializer,
    SteepestDescent,
)


class InstanceL2Norm(nn.Module):
    """Scale every sample (N, C, H, W) to a mean square of scale**2 over all its values."""

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.scale = scale

    def forward(self, features: Tensor) -> Tensor:
        """Return the scaled features; their norm is summed in float32."""
        wide = features.float()
        squares = wide.square().sum((1, 2, 3), keepdim=True)
        factor = self.scale * (wide[0].numel() / (squares + 1e-5)).sqrt()
        return (wide * factor).to(features.dtype)


class Classifier(nn.Module):
    """Features that tell targets apart, and the predictor of a target's filter (figure 2).

    The filter starts from features pooled at the stride of the optimiser.
    """

    def __init__(
        self,
        feature_extractor: nn.Sequential,
        channels: int,
        optimizer: SteepestDescent | DensityDescent,
    ) -> None:
        super().__init__()
        self.feature_extractor = feature_extractor
        self.filter_initializer = FilterInitializer(channels, FILTER_SIZE, optimizer.stride)
        self.filter_optimizer = optimizer

    def fit(
        self,
        features: Tensor,
        boxes_ltwh: Tensor,
        iterations: int,
        sample_weights: Tensor | None = None,
        *,
        with_losses: bool = False,
    ) -> FilterFit:
        """Predict the filters of S targets from N samples each (section 3.3 and algorithm 1).

        features: (N, S, C, H, W); boxes_ltwh: (N, S, 4) in input pixels; sample_weights: (N, S).
        """
        start = self.filter_initializer(features, boxes_ltwh)
        fit: FilterFit = self.filter_optimizer(
            start, features, boxes_ltwh, iterations, sample_weights, with_losses=with_losses
        )
        return fit


def classifier_of_resnet18(optimizer: SteepestDescent | DensityDescent) -> Classifier:
    """Classifier of DiMP-18 on `layer3`: a residual block and a convolution to 256 channels."""
    return _classifier([BasicBlock(256, 256)], 256, 256, optimizer)


def classifier_of_resnet50(optimizer: SteepestDescent | DensityDescent) -> Classifier:
    """Classifier of DiMP-50 on `layer3`: a convolution to 512 channels."""
    return _classifier([], 1024, 512, optimizer)


def _classifier(
    blocks: list[nn.Module],
    inputs: int,
    outputs: int,
    optimizer: SteepestDescent | DensityDescent,
) -> Classifier:
    last = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    norm = InstanceL2Norm(math.sqrt(1 / (outputs * FILTER_SIZE**2)))
    features = nn.Sequential(*blocks, last, norm)
    for module in features.modules():
        if isinstance(module, nn.Conv2d):  # as in the backbone
            fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
            nn.init.normal_(module.weight, std=math.sqrt(2 / fan_out))
    return Classifier(features, outputs, optimizer)
