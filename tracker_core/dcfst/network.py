"""The DCFST network: frozen ResNet, IoU-Net and the features of proposals for ridge regression."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from tracker_core.dcfst.grid import Grid
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
    """Features of proposals, made for ridge regression (paper, "Features Extraction Network").

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
        self._packed: tuple[Tensor, Tensor, Tensor] | None = None

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

    def describe_grid(self, embedding: Pair, sizes: Tensor, grid: Grid) -> Tensor:
        """Features (N, P, 1024) of the uniform grid of boxes of one size (N, 2) per image.

        Equals `describe` of `grid.boxes_ltwh(sizes)`, several times faster.
        """
        by_box2, by_box3, by_cell3 = self._packed or self._pack()
        pooling2, pooling3 = _poolings(embedding, sizes, grid)
        features2 = pooling2.pool_then_project(by_box2)
        if grid.side**2 < embedding[1][0, 0].numel():
            features3 = pooling3.pool_then_project(by_box3)
        else:
            features3 = pooling3.project_then_pool(by_cell3)
        biases = self.fc3.linear.bias, self.fc4.linear.bias
        return torch.cat([features2 + biases[0], features3 + biases[1]], -1)

    def score_grid(self, embedding: Pair, sizes: Tensor, grid: Grid, weights: Tensor) -> Tensor:
        """Products (N, P, 1) of the features of the grid and `weights` (1024, 1).

        Equals `describe_grid(...) @ weights` without ever making the features.
        """
        scores = embedding[0].new_zeros((), dtype=torch.float32)
        poolings = _poolings(embedding, sizes, grid)
        layers = self.fc3.linear, self.fc4.linear
        for pooling, layer, part in zip(poolings, layers, weights[:, 0].chunk(2), strict=True):
            filter_weights = part.to(layer.weight) @ layer.weight
            scores = scores + pooling.correlate(filter_weights) + part @ layer.bias.to(part)
        return scores

    def freeze(self) -> None:
        """Rearrange the weights of `describe_grid` once; they must not change afterwards."""
        self._packed = self._pack()

    def _pack(self) -> tuple[Tensor, Tensor, Tensor]:
        """Weights for inputs (bin x, bin y, channel) of boxes, and for those of cells.

        The latter of the second layer alone, as (bin y, channel, bin x * feature).
        """
        half = FEATURES // 2
        weight2 = self.fc3.linear.weight.view(half, -1, _BINS2, _BINS2)
        weight3 = self.fc4.linear.weight.view(half, -1, _BINS3, _BINS3)
        by_box2, by_box3 = (w.permute(0, 3, 2, 1).reshape(half, -1) for w in (weight2, weight3))
        return by_box2, by_box3, weight3.permute(2, 1, 3, 0).reshape(_BINS3, -1, _BINS3 * half)


def _poolings(embedding: Pair, sizes: Tensor, grid: Grid) -> tuple[_GridPooling, _GridPooling]:
    return (
        _GridPooling(embedding[0], *grid.factors(sizes, _BINS2, 'layer2')),
        _GridPooling(embedding[1], *grid.factors(sizes, _BINS3, 'layer3')),
    )


class _GridPooling:
    """Pooling of a grid of boxes, whose rows and columns share their factors.

    features: (N, C, h, w). over_y, over_x: (N, K, bins, cells), from `Grid.factors`.
    """

    def __init__(self, features: Tensor, over_y: Tensor, over_x: Tensor) -> None:
        self._cells = features.permute(0, 2, 3, 1)
        self._over_y, self._over_x = over_y.to(features.dtype), over_x.to(features.dtype)
        self._side, self._bins = over_y.shape[1:3]

    def pool_then_project(self, weight: Tensor) -> Tensor:
        """Linear layer (D, bins x * bins y * C) of the pooled boxes: (N, K * K, D)."""
        pooled = self._over_x.flatten(1, 2)[:, None] @ self._strips()
        return nn.functional.linear(pooled.view(len(pooled), self._side**2, -1), weight)

    def project_then_pool(self, weight: Tensor) -> Tensor:
        """Do the same with a weight (bins y, C, bins x * D), cell by cell before the pooling.

        Where there are fewer cells than boxes this takes fewer products.
        """
        count, height, width, channels = self._cells.shape
        projected = self._cells.reshape(count, 1, height * width, channels) @ weight
        rows = self._over_y.flatten(2) @ projected.view(count, self._bins * height, -1)
        rows = rows.view(count, self._side, width * self._bins, -1)
        over_x = self._over_x.transpose(2, 3).flatten(2)
        return (over_x[:, None] @ rows).view(count, self._side**2, -1)

    def correlate(self, filter_weights: Tensor) -> Tensor:
        """Products (N, K * K, 1) of the pooled boxes and one filter (C * bins * bins), float32.

        The cells are filtered for every bin first, so that nothing wide is ever pooled.
        """
        count, height, width, channels = self._cells.shape
        filtered = self._cells.float() @ filter_weights.float().view(channels, -1)
        filtered = filtered.view(count, height, width, self._bins, self._bins)
        table = filtered.permute(0, 3, 1, 4, 2).reshape(count, self._bins * height, -1)
        over_y, over_x = (over.float().flatten(2) for over in (self._over_y, self._over_x))
        return (over_y @ table @ over_x.mT).view(count, self._side**2, 1)

    def _strips(self) -> Tensor:
        """Pool along y alone: (N, K, w, bins y * C)."""
        count, height, width, channels = self._cells.shape
        rows = self._over_y.flatten(1, 2) @ self._cells.reshape(count, height, -1)
        rows = rows.view(count, self._side, self._bins, width, channels)
        return rows.transpose(2, 3).reshape(count, self._side, width, -1)


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
