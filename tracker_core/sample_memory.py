"""A memory of fixed size for the samples that an online model is learnt on."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tracker_core.transfer import upload


class SampleMemory:
    """Features and boxes of past samples with weights that decay exponentially.

    Each new sample weighs 1 / (1 - learning rate) times the one before. When the memory is full
    it replaces the sample with the lowest weight. The first frame's samples are kept, with at
    least `initial_minimum` of the total weight, unless that is 0 (DiMP, supplementary section 4).
    """

    def __init__(
        self,
        features: Tensor,
        boxes_ltwh: Tensor,
        capacity: int,
        initial_minimum: float = 0.0,
    ) -> None:
        """Start with the samples of the first frame, features (n, ...) and boxes (n, 4).

        Raises ValueError where they are more than `capacity`, or, being kept, fill it.
        """
        count, others = len(features), int(initial_minimum > 0)
        if not 0 < count <= capacity - others:
            room = ' with room for another' if others else ''
            raise ValueError(
                f'{count} samples of the first frame do not fit into a memory of {capacity}'
                f'{room}: raise its size or use fewer augmentations'
            )
        self._features = _room(features, capacity)
        self._boxes = boxes_ltwh.new_zeros((capacity, 4))
        self._features[:count], self._boxes[:count] = features, boxes_ltwh
        self._weights = np.zeros(capacity, np.float32)
        self._weights[:count] = 1 / count
        self._initial, self._initial_minimum = count, initial_minimum
        self._count, self._previous = count, -1

    def __len__(self) -> int:
        return self._count

    @property
    def capacity(self) -> int:
        """Number of samples that fit."""
        return len(self._weights)

    @property
    def features(self) -> Tensor:
        """Stored features (n, ...), a view."""
        return self._features[: self._count]

    @property
    def boxes_ltwh(self) -> Tensor:
        """Boxes (n, 4) of the samples, in the pixels of their patches; a view."""
        return self._boxes[: self._count]

    @property
    def weights(self) -> Tensor:
        """Weights (n,) with a sum of about 1, on the device of the features."""
        return upload(self._weights[: self._count].copy(), self._features.device)

    def insert(self, features: Tensor, box_ltwh: Tensor, learning_rate: float) -> None:
        """Add one sample, features (...) or (1, ...) and box (4,), with its weight in [0, 1)."""
        slot = self._slot()
        self._weights = self._reweighted(slot, learning_rate)
        self._features[slot], self._boxes[slot] = features, box_ltwh
        self._previous = slot
        self._count = min(self._count + 1, len(self._weights))

    def _slot(self) -> int:
        if self._count < len(self._weights):
            return self._count
        first = self._initial if self._initial_minimum else 0
        return first + int(np.argmin(self._weights[first:]))

    def _reweighted(self, slot: int, learning_rate: float) -> NDArray[np.float32]:
        weights: NDArray[np.float32] = self._weights.copy()
        if self._previous < 0:
            weights /= 1 - learning_rate
            weights[slot] = learning_rate
        else:
            weights[slot] = weights[self._previous] / (1 - learning_rate)
        weights /= weights.sum()
        initial, minimum = self._initial, self._initial_minimum
        if minimum and weights[:initial].sum() < minimum:
            weights /= minimum + weights[initial:].sum()
            weights[:initial] = minimum / initial
        return weights


def _room(features: Tensor, capacity: int) -> Tensor:
    """Memory for `capacity` features in the order of the given ones."""
    last = features.dim() == 4 and features.is_contiguous(memory_format=torch.channels_last)
    return torch.empty(
        (capacity, *features.shape[1:]),
        dtype=features.dtype,
        device=features.device,
        memory_format=torch.channels_last if last else torch.contiguous_format,
    )
