"""Improves boxes by gradient ascent on their predicted overlap (ATOM, section 3.1)."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from tracker_core.iou_net import IoUNet, Pair
from tracker_core.overlap_predictor import CellPredictor, OverlapPredictor
from tracker_core.replay import Replay
from tracker_core.resnet import STRIDES
from tracker_core.transfer import constant

Space = Literal['default', 'relative']
#: Predictions (1, K) and their gradients (1, K, 4) of boxes (1, K, 4).
Predict = Callable[[Tensor], Pair]
_STRIDE3 = STRIDES['layer3']
#: Cells that two 3x3 convolutions reach.
_HALO = 2


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
        predict = partial(same, (level2, level3))
        *_, last = _ascend(predict, boxes, steps, step, space, decay)
        return last

    inputs = *embedding, boxes_ltwh, _step(step_length, boxes_ltwh), *predictor.tensors
    if replay is None:
        return ascend(*inputs)
    boxes, predictions = replay(ascend, inputs, (predictor.gradient_decimals, steps, space, decay))
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
    if not _can_be_read(boxes_ltwh):
        return refine_boxes(
            predictor,
            network.embed(*layers),
            boxes_ltwh,
            steps=steps,
            step_length=step_length,
            space=space,
            decay=decay,
            replay=network.replay if replay else None,
        )
    step = _step(step_length, boxes_ltwh)
    window = _window(boxes_ltwh, margin, layers[1].shape[2:])
    if window is not None:
        predict = CellPredictor(predictor, window.embed(network, layers))
        origin = boxes_ltwh.new_tensor([*window.origin, 0, 0])
        states = list(_ascend(predict, boxes_ltwh - origin, steps, step, space, decay))
        if window.holds(torch.cat([boxes for boxes, _ in states])):
            boxes, predictions = states[-1]
            return boxes + origin, predictions
    predict = CellPredictor(predictor, network.embed(*layers))
    *_, last = _ascend(predict, boxes_ltwh, steps, step, space, decay)
    return last


def _can_be_read(boxes: Tensor) -> bool:
    """Whether it costs nothing to ask where boxes are: a GPU would be waited for in every step."""
    return boxes.device.type == 'cpu'


def _step(length: float | tuple[float, float], boxes: Tensor) -> Tensor:
    """Step lengths of the four coordinates of boxes."""
    position, size = length if isinstance(length, tuple) else (length, length)
    return constant([position, position, size, size], boxes)


def _ascend(
    predict: Predict,
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
        predictions, gradient = predict(boxes)
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


def _relative_step(boxes_ltwh: Tensor, step: Tensor, gradient: Tensor, unit: Tensor) -> Tensor:
    """Step along the gradient in centre / unit and log size."""
    size, centre = boxes_ltwh[..., 2:], boxes_ltwh[..., :2] + boxes_ltwh[..., 2:] / 2
    in_centre = gradient[..., :2] * unit
    in_size = (gradient[..., 2:] - gradient[..., :2] / 2) * size
    centre = centre + step[:2] * in_centre * unit
    size = size * (step[2:] * in_size).exp()
    return torch.cat([centre - size / 2, size], -1)
