"""The FCOT networks: encoder, decoder, two classifiers and the regressor of the four sides.

Cui et al. 2020, section 3.1 and figure 2. State-dict keys are those of the published checkpoints,
whose unused fourth stage of the backbone and `fc` are dropped. The numbers in names are the cells
on a side of a feature map for search regions of 288 pixels.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from tracker_core.classifier import (
    Classifier,
    InstanceL2Norm,
    classifier_of_resnet18,
    classifier_of_resnet50,
)
from tracker_core.deform_conv import DeformConv
from tracker_core.fcot.side_regression import STRIDE, SideDescent
from tracker_core.patches import neighbors
from tracker_core.resnet import STRIDES, ResNet, resnet18, resnet50
from tracker_core.roi_pool import roi_pool
from tracker_core.target_filter import FILTER_SIZE, SteepestDescent

#: Channels of the decoder, of the finer classifier and of the regression features.
CHANNELS = 256
#: Channels inside the heads.
_INNER = 128
#: Side of the regression filter in cells; its four parts give the four sides.
_SIDE_FILTER = 3
_SIDES = 4
#: Number of the last layer of a head; an activation follows.
_LAST = 6

Levels = Literal['both', '36', '72']


class Pyramid(NamedTuple):
    """Maps of the decoder, (N, 256, h, w), finest last."""

    map18: Tensor
    map36: Tensor
    map72: Tensor


class SideMaps(NamedTuple):
    """Maps (N, 128, h, w) of the regression heads before their last layer; None: left out."""

    map36: Tensor | None
    map72: Tensor | None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the finest map."""
        if self.map72 is not None:
            return self.map72.shape[2], self.map72.shape[3]
        assert self.map36 is not None
        return 2 * self.map36.shape[2], 2 * self.map36.shape[3]


class DecoderBlock(nn.Module):
    """Adds a layer of the encoder to the doubled map of the coarser block."""

    def __init__(self, inputs: int, *, smooth: bool = False) -> None:
        super().__init__()
        self.res_conv = nn.Conv2d(inputs, CHANNELS, 1)
        if smooth:
            self.pyramid_conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)
        for convolution in self.children():
            nn.init.kaiming_uniform_(convolution.weight, a=1)  # type: ignore[arg-type]
            nn.init.zeros_(convolution.bias)  # type: ignore[arg-type]
        self.smooth = smooth

    def forward(self, layer: Tensor, coarser: Tensor | None = None) -> Tensor:
        """Map `layer` (N, C, H, W) and `coarser` (N, 256, H / 2, W / 2) to (N, 256, H, W)."""
        features: Tensor = self.res_conv(layer)
        if coarser is not None:
            features = features + functional.interpolate(
                coarser, scale_factor=2, mode='bilinear', align_corners=False
            )
        return self.pyramid_conv(features) if self.smooth else features


def _head(outputs: int, last: nn.Module, *, bias: bool) -> nn.Sequential:
    """One convolution and two deformable ones, each but the last with group norm and ReLU."""
    first = nn.Conv2d(CHANNELS, _INNER, 3, padding=1, bias=bias)
    nn.init.normal_(first.weight, std=math.sqrt(2 / (9 * _INNER)))
    if first.bias is not None:
        nn.init.zeros_(first.bias)
    return nn.Sequential(
        first,
        nn.GroupNorm(32, _INNER),
        nn.ReLU(inplace=True),
        DeformConv(_INNER, _INNER),
        nn.GroupNorm(32, _INNER),
        nn.ReLU(inplace=True),
        DeformConv(_INNER, outputs),
        last,
    )


class Regressor(nn.Module):
    """Features for the four sides, and the generator of a target's filter (figure 3).

    levels: which maps of the decoder are used (paper table 3); the other's part is left out.
    """

    def __init__(self, optimizer: SideDescent) -> None:
        super().__init__()
        self.levels: Levels = 'both'
        filters = _SIDES * CHANNELS
        self.reg_initializer_72 = _head(filters, nn.ReLU(inplace=True), bias=False)
        self.reg_initializer_36 = _head(filters, nn.ReLU(inplace=True), bias=False)
        self.reg_initializer_merge = nn.Conv2d(2 * filters, filters, 1, bias=False)
        self.reg_head_72 = _head(CHANNELS, nn.ReLU(inplace=True), bias=False)
        self.reg_head_36 = _head(CHANNELS, nn.ReLU(inplace=True), bias=False)
        self.reg_head_merge = nn.Conv2d(2 * CHANNELS, CHANNELS, 1)
        self.filter_optimizer = optimizer
        for merge in (self.reg_initializer_merge, self.reg_head_merge):
            _average(merge)

    def maps(self, pyramid: Pyramid) -> SideMaps:
        """Run both heads up to their last layer."""
        coarse, fine = self.reg_head_36[:_LAST], self.reg_head_72[:_LAST]
        return SideMaps(
            None if self.levels == '72' else coarse(pyramid.map36),
            None if self.levels == '36' else fine(pyramid.map72),
        )

    def features(self, maps: SideMaps) -> Tensor:
        """Features (N, 256, H, W) of the finest map, that filters are learned on and applied to.

        The coarser branch is merged before it is enlarged, which is the same and cheaper.
        """
        coarse, fine = _halves(self.reg_head_merge)
        parts = []
        if maps.map36 is not None:
            merged = functional.conv2d(self.reg_head_36[_LAST:](maps.map36), coarse)
            parts.append(functional.interpolate(merged, scale_factor=2, mode='nearest'))
        if maps.map72 is not None:
            parts.append(functional.conv2d(self.reg_head_72[_LAST:](maps.map72), fine))
        assert self.reg_head_merge.bias is not None
        return sum(parts[1:], parts[0]) + self.reg_head_merge.bias.view(-1, 1, 1)

    def around(self, maps: SideMaps, rows: Tensor, columns: Tensor) -> Tensor:
        """Only those cells (N, 256, 3, 3) of `features` that are around one cell (N,) per map.

        Zero outside the map.
        """
        rows, columns, inside = neighbors(rows, columns, maps.shape)
        rows, columns = rows.flatten(1), columns.flatten(1)
        coarse, fine = _halves(self.reg_head_merge)
        parts = []
        if maps.map36 is not None:
            values = _last(self.reg_head_36).at(maps.map36, rows // 2, columns // 2)
            parts.append(functional.linear(values.relu(), coarse.flatten(1)))
        if maps.map72 is not None:
            values = _last(self.reg_head_72).at(maps.map72, rows, columns)
            parts.append(functional.linear(values.relu(), fine.flatten(1)))
        assert self.reg_head_merge.bias is not None
        features = sum(parts[1:], parts[0]) + self.reg_head_merge.bias
        features = features * inside.flatten(1)[..., None]
        return features.transpose(1, 2).reshape(len(rows), CHANNELS, *inside.shape[1:])

    def initialize(self, pyramid: Pyramid, boxes_ltwh: Tensor) -> Tensor:
        """Filters (S, 4, 256, 3, 3) from the maps and boxes (S, 4) of one image per target."""
        corners = boxes_ltwh.clone()
        corners[:, 2:] += corners[:, :2]
        coarse, fine = _halves(self.reg_initializer_merge)
        parts = []
        if self.levels != '72':
            features = self.reg_initializer_36(pyramid.map36)
            pooled = roi_pool(features, corners[:, None], _SIDE_FILTER, 1 / (2 * STRIDE))[:, 0]
            parts.append(functional.conv2d(pooled, coarse))
        if self.levels != '36':
            features = self.reg_initializer_72(pyramid.map72)
            pooled = roi_pool(features, corners[:, None], _SIDE_FILTER, 1 / STRIDE)[:, 0]
            parts.append(functional.conv2d(pooled, fine))
        filters = sum(parts[1:], parts[0])
        return filters.view(-1, _SIDES, CHANNELS, _SIDE_FILTER, _SIDE_FILTER)


def _last(head: nn.Sequential) -> DeformConv:
    layer = head[_LAST]
    assert isinstance(layer, DeformConv)
    return layer


def _halves(merge: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Parts of a merging convolution that belong to the coarser and the finer map."""
    coarse, fine = merge.weight.chunk(2, 1)
    return coarse, fine


def _average(merge: nn.Conv2d) -> None:
    """Start a merging convolution as the mean of both halves of its input."""
    nn.init.dirac_(merge.weight)
    half = merge.weight.data[:, : merge.out_channels] / 2
    merge.weight.data.copy_(half.repeat(1, 2, 1, 1))
    if merge.bias is not None:
        nn.init.zeros_(merge.bias)


class FCOT(nn.Module):
    """Encoder, decoder, two classifiers and a regressor.

    coarse: the classifier on `layer3` of the encoder, which is that of DiMP on the same encoder.
    norm_scale_coef: the instance norm of the finer classifier's features is scaled by its root;
    the published networks use 1.5 or 2, which their state dict does not tell.
    """

    def __init__(
        self,
        backbone: ResNet,
        coarse: Classifier,
        regression: SideDescent,
        norm_scale_coef: float = 2.0,
    ) -> None:
        super().__init__()
        channels = backbone.channels
        self.feature_extractor = backbone
        self.pyramid_first_conv = DecoderBlock(channels['layer3'])
        self.pyramid_36 = DecoderBlock(channels['layer2'])
        self.pyramid_72 = DecoderBlock(channels['layer1'], smooth=True)
        self.classifier_18 = coarse
        self.classifier_72 = _fine_classifier()
        self.regressor_72 = Regressor(regression)
        self.set_norm_scale(norm_scale_coef)

    def set_norm_scale(self, coefficient: float) -> None:
        """Change `norm_scale_coef`."""
        norm = self.classifier_72.feature_extractor[-1]
        assert isinstance(norm, InstanceL2Norm)
        norm.scale = math.sqrt(coefficient / (CHANNELS * FILTER_SIZE**2))

    def backbone(self, images: Tensor) -> dict[str, Tensor]:
        """Features `layer1` to `layer3` of normalised images (N, 3, H, W), strides 4, 8, 16."""
        layers: dict[str, Tensor] = self.feature_extractor(images, ('layer1', 'layer2', 'layer3'))
        return layers

    def decode(self, layers: dict[str, Tensor]) -> Pyramid:
        """Merge the layers of the encoder from coarse to fine."""
        map18 = self.pyramid_first_conv(layers['layer3'])
        map36 = self.pyramid_36(layers['layer2'], map18)
        return Pyramid(map18, map36, self.pyramid_72(layers['layer1'], map36))

    def coarse_features(self, layers: dict[str, Tensor]) -> Tensor:
        """Features (N, C, H / 16, W / 16) of the coarser classifier; C is 256 on ResNet-18."""
        features: Tensor = self.classifier_18.feature_extractor(layers['layer3'])
        return features

    def fine_features(self, pyramid: Pyramid) -> Tensor:
        """Features (N, 256, H / 4, W / 4) of the finer classifier."""
        features: Tensor = self.classifier_72.feature_extractor(pyramid.map72)
        return features

    def side_features(self, pyramid: Pyramid) -> Tensor:
        """Features (N, 256, H / 4, W / 4) of the regressor."""
        return self.regressor_72.features(self.regressor_72.maps(pyramid))


def _fine_classifier() -> Classifier:
    features = _head(CHANNELS, InstanceL2Norm(1.0), bias=True)
    return Classifier(features, CHANNELS, SteepestDescent(STRIDE))


def fuse_scores(
    coarse: Tensor | None, fine: Tensor | None, weights: tuple[float, float], size: int
) -> Tensor:
    """Weighted sum (N, S, size, size) of two score maps (N, S, h, w), resized to the nearest cell.

    Equation 1; weights: of `coarse` and `fine`. None stands for a map that is left out.
    """
    resized = [
        weight * functional.interpolate(scores, (size, size), mode='nearest')
        for scores, weight in zip((coarse, fine), weights, strict=True)
        if scores is not None
    ]
    return sum(resized[1:], resized[0])


def fcot() -> FCOT:
    """FCOT on ResNet-50, whose regression is optimised exactly as in the authors' code."""
    coarse = classifier_of_resnet50(SteepestDescent(STRIDES['layer3']))
    return FCOT(resnet50(), coarse, SideDescent(as_released=True))


def fcot18() -> FCOT:
    """FCOT on ResNet-18 with the coarser classifier of DiMP-18, as FCOT has that of DiMP-50.

    Its regression is optimised as the paper says (equations 4 to 12).
    """
    coarse = classifier_of_resnet18(SteepestDescent(STRIDES['layer3']))
    return FCOT(resnet18(), coarse, SideDescent())
