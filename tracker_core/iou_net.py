"""ATOM's IoU network: predicts the overlap of boxes with a target and improves boxes by it.

Danelljan et al. 2019, section 3.1; DiMP and DCFST use it unchanged.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.replay import Replay
from tracker_core.resnet import STRIDES
from tracker_core.roi_pool import PooledBoxes, roi_pool
from tracker_core.transfer import constant

Space = Literal['default', 'relative']
#: Two maps of one image, or the two vectors of a target.
Pair = tuple[Tensor, Tensor]
_STRIDE3 = STRIDES['layer3']
_SCALE2, _SCALE3 = 1 / STRIDES['layer2'], 1 / _STRIDE3
#: Bins per side and scale of the pooled boxes of `layer2` and `layer3`.
_LEVELS = ((5, _SCALE2), (3, _SCALE3))
#: Cells that two 3x3 convolutions reach.
_HALO = 2


def _conv_block(inputs: int, outputs: int, kernel: int, padding: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, padding=padding),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class _LinearBlock(nn.Module):
    """Linear layer over a pooled box, batch norm, ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)
        self.bn = nn.BatchNorm1d(outputs)

    def forward(self, pooled: Tensor) -> Tensor:
        return functional.relu(self.bn(self.linear(pooled)))


class IoUNet(nn.Module):
    """Predicts how well boxes fit the target of a reference image.

    layer2_channels, layer3_channels: of the backbone's layers. State-dict keys are those of the
    published ``bb_regressor``. Boxes are pixels of the network's input image, origin at its
    corner.
    """

    def __init__(self, layer2_channels: int, layer3_channels: int) -> None:
        super().__init__()
        self.conv3_1r = _conv_block(layer2_channels, 128, 3, 1)
        self.conv3_1t = _conv_block(layer2_channels, 256, 3, 1)
        self.conv3_2t = _conv_block(256, 256, 3, 1)
        self.fc3_1r = _conv_block(128, 256, 3, 0)
        self.conv4_1r = _conv_block(layer3_channels, 256, 3, 1)
        self.conv4_1t = _conv_block(layer3_channels, 256, 3, 1)
        self.conv4_2t = _conv_block(256, 256, 3, 1)
        self.fc34_3r = _conv_block(512, 256, 1, 0)
        self.fc34_4r = _conv_block(512, 256, 1, 0)
        self.fc3_rt = _LinearBlock(256 * 5 * 5, 256)
        self.fc4_rt = _LinearBlock(256 * 3 * 3, 256)
        self.iou_predictor = nn.Linear(512, 1)
        self.replay = Replay()
        _draw_weights(self)

    def modulation(self, layer2: Tensor, layer3: Tensor, boxes_ltwh: Tensor) -> Pair:
        """Describe the target of a reference image by two vectors (N, 256, 1, 1), >= 0.

        layer2, layer3: backbone features (N, C, h, w). boxes_ltwh: (N, 4), one target per image.
        """
        boxes = ltwh_to_ltrb(boxes_ltwh)[:, None]
        pooled3 = roi_pool(self.conv3_1r(layer2), boxes, 3, _SCALE2)[:, 0]
        pooled4 = roi_pool(self.conv4_1r(layer3), boxes, 1, _SCALE3)[:, 0]
        target = torch.cat([self.fc3_1r(pooled3), pooled4], 1)
        return self.fc34_3r(target), self.fc34_4r(target)

    def embed(self, layer2: Tensor, layer3: Tensor) -> Pair:
        """Map backbone features of test images to the maps that boxes are pooled from.

        Returns (N, 256, h, w) at strides 8 and 16.
        """
        return self.conv3_2t(self.conv3_1t(layer2)), self.conv4_2t(self.conv4_1t(layer3))

    def predict(self, modulation: Pair, embedding: Pair, boxes_ltwh: Tensor) -> Tensor:
        """Predict 2 IoU - 1 (PrDiMP: a log density) of boxes (N, K, 4) as (N, K).

        Differentiable in the boxes. `modulation` and `embedding` belong to N images.
        """
        boxes = ltwh_to_ltrb(boxes_ltwh)
        # Modulating the pooled boxes equals modulating the maps: pooling is linear per channel.
        pooled3 = roi_pool(embedding[0], boxes, 5, _SCALE2) * modulation[0][:, None]
        pooled4 = roi_pool(embedding[1], boxes, 3, _SCALE3) * modulation[1][:, None]
        joined = [
            self.fc3_rt(pooled3.flatten(0, 1).flatten(1)),
            self.fc4_rt(pooled4.flatten(0, 1).flatten(1)),
        ]
        predictions: Tensor = self.iou_predictor(torch.cat(joined, 1))
        return predictions.view(boxes.shape[:2])

    def forward(
        self, reference: Pair, reference_boxes_ltwh: Tensor, test: Pair, boxes_ltwh: Tensor
    ) -> Tensor:
        """Predict boxes (N, K, 4) of test images from reference boxes (N, 4); returns (N, K).

        reference, test: `layer2` and `layer3` of N images each.
        """
        modulation = self.modulation(*reference, reference_boxes_ltwh)
        return self.predict(modulation, self.embed(*test), boxes_ltwh)


class OverlapPredictor:
    """`IoUNet.predict` in evaluation for one target, with its gradient in the boxes.

    Modulation and batch norm are multiplied into the linear layers once, and the gradient is
    written out: several times faster than autograd, and possible in inference mode.
    """

    def __init__(self, network: IoUNet, modulation: Pair) -> None:
        """Prepare for a modulation (1, 256, 1, 1) x 2; the network must be in evaluation mode."""
        weights = network.iou_predictor.weight.split([256, 256], 1)  # type: ignore[no-untyped-call]
        self.tensors: tuple[Tensor, ...] = (
            network.iou_predictor.bias,
            *_folded(network.fc3_rt, modulation[0], _LEVELS[0][0]),
            weights[0],
            *_folded(network.fc4_rt, modulation[1], _LEVELS[1][0]),
            weights[1],
        )
        """All that it depends on; per level matrix, bias and weight."""

    def __call__(self, embedding: Pair, boxes_ltwh: Tensor) -> tuple[Tensor, Tensor]:
        """Predict boxes (1, K, 4) on one image as (1, K); also return the gradient (1, K, 4)."""
        boxes = ltwh_to_ltrb(boxes_ltwh)
        predictions, gradient = self.tensors[0], torch.zeros_like(boxes)
        levels = zip(embedding, _LEVELS, (self.tensors[1:4], self.tensors[4:]), strict=True)
        for maps, (size, scale), (matrix, bias, weight) in levels:
            pooled = PooledBoxes(maps, boxes, size, scale)
            # The large matrix comes first because a CPU reorders the second one in every product.
            values = pooled.values.flatten(0, 1).flatten(1).T
            hidden = torch.addmm(bias[:, None], matrix, values).T
            predictions = predictions + hidden.relu() @ weight[0]
            back = (weight * (hidden > 0)) @ matrix
            gradient += pooled.box_gradient(back.view_as(pooled.values))
        # Moving the corner moves both edges, resizing only right and bottom.
        gradient[..., :2] += gradient[..., 2:]
        return predictions.view(boxes.shape[:2]).to(boxes.dtype), gradient


def _folded(block: _LinearBlock, vector: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Weight (256, size * size * C), channels last, and bias of a block for modulated features."""
    linear = block.linear
    if isinstance(block.bn, nn.BatchNorm1d):
        linear = nn.utils.fusion.fuse_linear_bn_eval(linear, block.bn)
    weight = linear.weight.detach().view(len(linear.weight), -1, size, size)
    weight = weight * vector.view(1, -1, 1, 1)
    return weight.permute(0, 2, 3, 1).flatten(1).contiguous(), linear.bias.detach()


def refine_boxes(
    predictor: OverlapPredictor,
    embedding: Pair,
    boxes_ltwh: Tensor,
    *,
    steps: int,
    step_length: float | tuple[float, float],
    space: Space = 'default',
    decay: float = 1.0,
    replay: Replay | None = None,
) -> tuple[Tensor, Tensor]:
    """Improve boxes (1, K, 4) by gradient ascent on their predicted overlap.

    space 'default': left, top, width and height move by step * gradient * (w, h, w, h) (ATOM);
    'relative': centre over the size of the first box, and log size, by step * gradient (PrDiMP).
    step_length: of all coordinates, or (position, size); multiplied by `decay` after every step.
    replay: makes one operation of all on a GPU, where hundreds take longer to start than to
    compute. Returns the boxes and the predictions (1, K) of the boxes *before* the last step, as
    published.
    """

    def ascend(level2: Tensor, level3: Tensor, boxes: Tensor, step: Tensor, *rest: Tensor) -> Pair:
        same = copy.copy(predictor)
        same.tensors = rest
        *_, last = _ascend(same, (level2, level3), boxes, steps, step, space, decay)
        return last

    inputs = *embedding, boxes_ltwh, _step(step_length, boxes_ltwh), *predictor.tensors
    if replay is None:
        return ascend(*inputs)
    boxes, predictions = replay(ascend, inputs, (type(predictor), steps, space, decay))
    return boxes, predictions


def refine_boxes_nearby(
    network: IoUNet,
    predictor: OverlapPredictor,
    layers: Pair,
    boxes_ltwh: Tensor,
    *,
    steps: int,
    step_length: float | tuple[float, float],
    space: Space = 'default',
    decay: float = 1.0,
    margin: float = 16.0,
    replay: bool = True,
) -> tuple[Tensor, Tensor]:
    """Do as `refine_boxes`, but embed only the part of an image around the boxes.

    layers: `layer2` and `layer3` of the image. The result is the same: boxes that leave the part,
    which begins with `margin` px around them, are improved once more on the whole image. On a CPU
    only; elsewhere the whole image is embedded, without reading anything back, and the steps are
    recorded once and replayed unless `replay` is off.
    """
    # Where the boxes are must be known on the CPU: a GPU would be waited for in every step.
    on_cpu = boxes_ltwh.device.type == 'cpu'
    window = _window(boxes_ltwh, margin, layers[1].shape[2:]) if on_cpu else None
    if window is not None:
        embedding = window.embed(network, layers)
        origin = boxes_ltwh.new_tensor([*window.origin, 0, 0])
        shifted = boxes_ltwh - origin
        step = _step(step_length, shifted)
        states = _ascend(predictor, embedding, shifted, steps, step, space, decay)
        for boxes, predictions in states:
            if not window.holds(boxes):
                break
            result = boxes + origin, predictions
        else:
            return result
    embedding = network.embed(*layers)
    return refine_boxes(
        predictor,
        embedding,
        boxes_ltwh,
        steps=steps,
        step_length=step_length,
        space=space,
        decay=decay,
        replay=network.replay if replay else None,
    )


def _step(length: float | tuple[float, float], boxes: Tensor) -> Tensor:
    """Step lengths of the four coordinates of boxes."""
    position, size = length if isinstance(length, tuple) else (length, length)
    return constant([position, position, size, size], boxes)


def _ascend(
    predictor: OverlapPredictor,
    embedding: Pair,
    boxes_ltwh: Tensor,
    steps: int,
    step: Tensor,
    space: Space,
    decay: float,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Boxes to begin with and after every step, with the predictions before it."""
    unit, boxes = boxes_ltwh[:, :1, 2:], boxes_ltwh
    yield boxes, boxes.new_zeros(boxes.shape[:2])
    for _ in range(steps):
        predictions, gradient = predictor(embedding, boxes)
        if space == 'default':
            boxes = boxes + step * gradient * boxes[..., 2:].repeat(1, 1, 2)
        else:
            boxes = _relative_step(boxes, step, gradient, unit)
        step = step * decay
        yield boxes, predictions


@dataclass(frozen=True)
class _Span:
    """Cells of an axis of `layer3` that boxes may touch; those around them are embedded too."""

    first: int
    last: int
    """One past the end."""
    count: int
    """Cells of the whole axis."""

    def cut(self, cells: int) -> slice:
        """What to embed of a layer that has `cells` cells per cell of `layer3`."""
        # Boxes end at the place of the last cell of `layer3`.
        start, stop = cells * self.first, cells * (self.last - 1) + 1
        return slice(
            start - _HALO if self.first else 0, stop + _HALO if self.last < self.count else None
        )

    @property
    def kept(self) -> slice:
        """What is right of the embedding: all of it at the border of the image."""
        return slice(_HALO if self.first else 0, -_HALO if self.last < self.count else None)

    @property
    def limits(self) -> tuple[float, float]:
        """Pixels from `first` on between which boxes may lie; past the image all is zero."""
        high = (self.last - 1 - self.first) * _STRIDE3 if self.last < self.count else math.inf
        return 0.0 if self.first else -math.inf, high


@dataclass(frozen=True)
class _Window:
    """A part of the maps of an image."""

    x: _Span
    y: _Span

    @property
    def origin(self) -> tuple[float, float]:
        """Where the embedding begins, (x, y) in pixels."""
        return self.x.first * _STRIDE3, self.y.first * _STRIDE3

    def embed(self, network: IoUNet, layers: Pair) -> Pair:
        """Embed the part of `layer2` and `layer3` (1, C, H, W)."""
        parts = [
            layer[:, :, self.y.cut(cells), self.x.cut(cells)]
            for layer, cells in zip(layers, (_STRIDE3 // STRIDES['layer2'], 1), strict=True)
        ]
        level2, level3 = (
            each[:, :, self.y.kept, self.x.kept].contiguous(memory_format=torch.channels_last)
            for each in network.embed(*parts)
        )
        return level2, level3

    def holds(self, boxes_ltwh: Tensor) -> bool:
        """Whether all boxes lie where the embedding is right; false where one is not finite."""
        low = boxes_ltwh[..., :2].amin((0, 1)).tolist()
        high = (boxes_ltwh[..., :2] + boxes_ltwh[..., 2:]).amax((0, 1)).tolist()
        return all(
            span.limits[0] <= start and stop <= span.limits[1]
            for span, start, stop in zip((self.x, self.y), low, high, strict=True)
        )


def _window(boxes_ltwh: Tensor, margin: float, shape: Sequence[int]) -> _Window | None:
    """Part around boxes on maps of `shape` cells; None where it would be nearly everything.

    Sides are one of a few lengths, because convolutions are prepared anew for every other shape.
    """
    low = boxes_ltwh[..., :2].amin((0, 1)).tolist()
    high = (boxes_ltwh[..., :2] + boxes_ltwh[..., 2:]).amax((0, 1)).tolist()
    need = max(high[0] - low[0], high[1] - low[1]) + 2 * margin
    cells = need / _STRIDE3 + 2 * _HALO + 1
    side = next((n for n in (10, 12, 14, 16) if n >= cells), None)
    if side is None or side + 2 > min(shape):
        return None
    spans = []
    for first, last, count in zip(low, high, reversed(shape), strict=True):
        start = round((first + last) / 2 / _STRIDE3 + 0.5 - side / 2)
        start = min(max(start, 0), count - side)
        stop = start + side
        inner = start + _HALO if start else 0, stop - _HALO if stop < count else count
        spans.append(_Span(*inner, count))
    return _Window(*spans)


def ltwh_to_ltrb(boxes_ltwh: Tensor) -> Tensor:
    """Turn boxes (..., 4) with width and height into boxes with right and bottom edge."""
    return torch.cat([boxes_ltwh[..., :2], boxes_ltwh[..., :2] + boxes_ltwh[..., 2:]], -1)


def _relative_step(boxes_ltwh: Tensor, step: Tensor, gradient: Tensor, unit: Tensor) -> Tensor:
    """Step along the gradient in centre / unit and log size."""
    size, centre = boxes_ltwh[..., 2:], boxes_ltwh[..., :2] + boxes_ltwh[..., 2:] / 2
    in_centre = gradient[..., :2] * unit
    in_size = (gradient[..., 2:] - gradient[..., :2] / 2) * size
    centre = centre + step[:2] * in_centre * unit
    size = size * (step[2:] * in_size).exp()
    return torch.cat([centre - size / 2, size], -1)


def _draw_weights(network: nn.Module) -> None:
    """Kaiming-normal weights, zero bias, batch-norm weights uniform in [0, 1], as published."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)  # type: ignore[arg-type]
        elif isinstance(module, nn.BatchNorm2d | nn.BatchNorm1d):
            nn.init.uniform_(module.weight)
