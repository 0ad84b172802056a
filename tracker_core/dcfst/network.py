"""The DCFST network: frozen ResNet, IoU-Net and the features of proposals for ridge regression."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tracker_core.dcfst import grid
from tracker_core.iou_net import IoUNet, Pair, ltwh_to_ltrb
from tracker_core.resnet import STRIDES, ResNet, resnet18, resnet50
from tracker_core.roi_pool import roi_pool

#: Features of a proposal; the first half comes from `layer2`, the second from `layer3`.
FEATURES = 1024
_BINS2, _BINS3 = 8, 4


def _conv_block(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)
    )


class _Linear(nn.Module):
    """A linear layer under the published name, without norm or activation."""

    def __init__(self, inputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, FEATURES // 2)


class LocationPredictor(nn.Module):
    """Features of proposals, made for ridge regression (paper section 3.2).

    depth: convolutions per layer. State-dict keys are those of the published
    ``location_predictor``. Boxes are pixels of the 288 px input image.
    """

    def __init__(self, layer2_channels: int, layer3_channels: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        for index in range(depth):
            self.add_module(
                f'conv3_{index + 1}', _conv_block(128 if index else layer2_channels, 128)
            )
            self.add_module(
                f'conv4_{index + 1}', _conv_block(256 if index else layer3_channels, 256)
            )
        self.fc3 = _Linear(128 * _BINS2 * _BINS2)
        self.fc4 = _Linear(256 * _BINS3 * _BINS3)
        self._packed: Pair | None = None

    def embed(self, layer2: Tensor, layer3: Tensor) -> Pair:
        """Map backbone features to the maps (N, 128, 36, 36) and (N, 256, 18, 18)."""
        for index in range(self.depth):
            layer2 = self.get_submodule(f'conv3_{index + 1}')(layer2)
            layer3 = self.get_submodule(f'conv4_{index + 1}')(layer3)
        return layer2, layer3

    def describe(self, embedding: Pair, boxes_ltwh: Tensor) -> Tensor:
        """Features (N, P, 1024) of any boxes (N, P, 4), not normalised."""
        boxes = ltwh_to_ltrb(boxes_ltwh)
        pooled2 = roi_pool(embedding[0], boxes, _BINS2, 1 / STRIDES['layer2']).flatten(2)
        pooled3 = roi_pool(embedding[1], boxes, _BINS3, 1 / STRIDES['layer3']).flatten(2)
        return torch.cat([self.fc3.linear(pooled2), self.fc4.linear(pooled3)], -1)

    def describe_grid(self, embedding: Pair, sizes: Tensor) -> Tensor:
        """Features (N, 961, 1024) of the uniform grid of boxes of one size (N, 2) per image.

        Equals `describe` of `grid.boxes_ltwh(sizes)`, several times faster.
        """
        weight2, weight3 = self._packed or self._pack()
        features2 = _pool_then_project(embedding[0], sizes, weight2) + self.fc3.linear.bias
        features3 = _project_then_pool(embedding[1], sizes, weight3) + self.fc4.linear.bias
        return torch.cat([features2, features3], -1)

    def freeze(self) -> None:
        """Rearrange the weights of `describe_grid` once; they must not change afterwards."""
        self._packed = self._pack()

    def _pack(self) -> Pair:
        """Weights for (bin x, bin y, channel) inputs, and as (bin y, channel, bin x * feature)."""
        half = FEATURES // 2
        weight2 = self.fc3.linear.weight.view(half, -1, _BINS2, _BINS2).permute(0, 3, 2, 1)
        weight3 = self.fc4.linear.weight.view(half, -1, _BINS3, _BINS3).permute(2, 1, 3, 0)
        return weight2.reshape(half, -1), weight3.reshape(_BINS3, -1, _BINS3 * half)


def _pool_then_project(features: Tensor, sizes: Tensor, weight: Tensor) -> Tensor:
    """Pool 8 x 8 bins of every proposal from (N, C, 36, 36), then the linear layer."""
    over_y, over_x = (f.to(features.dtype) for f in grid.factors(sizes, _BINS2, 'layer2'))
    count, channels, height, width = features.shape
    rows = features.permute(0, 2, 3, 1).reshape(count, height, width * channels)
    strips = (over_y.flatten(1, 2) @ rows).view(count, grid.SIDE, _BINS2, width, channels)
    strips = strips.transpose(2, 3).reshape(count, grid.SIDE, width, _BINS2 * channels)
    pooled = over_x.flatten(1, 2)[:, None] @ strips
    return nn.functional.linear(pooled.view(count, grid.SIDE**2, -1), weight)


def _project_then_pool(features: Tensor, sizes: Tensor, weight: Tensor) -> Tensor:
    """Linear layer of every bin on every cell of (N, C, 18, 18), then pooling by their sums.

    There are fewer cells than proposals, so that this order takes fewer products.
    """
    over_y, over_x = (f.to(features.dtype) for f in grid.factors(sizes, _BINS3, 'layer3'))
    count, channels, height, width = features.shape
    cells = features.permute(0, 2, 3, 1).reshape(count, 1, height * width, channels)
    projected = (cells @ weight).view(count, _BINS3 * height, -1)
    strips = (over_y.flatten(2) @ projected).view(count, grid.SIDE, width * _BINS3, -1)
    return (over_x.transpose(2, 3).flatten(2)[:, None] @ strips).view(count, grid.SIDE**2, -1)


def normalize_columns(samples: Tensor) -> Tensor:
    """Scale every feature of (N, P, 1024) to a root mean square of one over the P proposals.

    The published "L2 norm": the same proposal gets other features among other proposals.
    """
    return samples / column_norms(samples)


def column_norms(samples: Tensor) -> Tensor:
    """Root mean square (N, 1, 1024) of every feature over the proposals."""
    squares = samples.square().sum(-2, keepdim=True) / (samples.shape[-2] + 1e-10)
    return squares.sqrt().clamp(min=torch.finfo(samples.dtype).tiny)


class DCFST(nn.Module):
    """Backbone, IoU-Net and location predictor; state-dict keys are the published ones."""

    def __init__(self, backbone: ResNet, depth: int) -> None:
        super().__init__()
        channels = backbone.channels['layer2'], backbone.channels['layer3']
        self.feature_extractor = backbone
        self.bb_regressor = IoUNet(*channels)
        self.location_predictor = LocationPredictor(*channels, depth)

    def backbone(self, images: Tensor) -> Pair:
        """Backbone features `layer2` and `layer3` of normalised images (N, 3, 288, 288)."""
        layers = self.feature_extractor(images)
        return layers['layer2'], layers['layer3']


def dcfst18() -> DCFST:
    """DCFST on ResNet-18, uninitialised but for the usual random weights."""
    return DCFST(resnet18(), depth=2)


def dcfst50() -> DCFST:
    """DCFST on ResNet-50: four convolutions per layer."""
    return DCFST(resnet50(), depth=4)


def initialize_weights(network: nn.Module, generator: torch.Generator | None = None) -> None:
    """Kaiming-normal convolutions and linear layers with zero bias (published)."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
