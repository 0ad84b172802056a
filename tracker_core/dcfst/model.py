"""The online ridge regression: averaged samples of the target and the weights that fit them."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from tracker_core.dcfst.ridge_regression import (
    gauss_seidel,
    normal_matrix,
    solve_normal_equations,
)

#: What is averaged over time: the features X of the proposals (paper eq. 7), or the products X'X
#: and X'y (published ResNet-50 code). The two are not the same model.
Average = Literal['features', 'products']


class PendingFrames:
    """Weighted mean of what describes frames, until they are added to a model all at once."""

    def __init__(self) -> None:
        self.rate = 0.0
        """Share in the model's average that the frames have together; 0 without any."""
        self.parts: tuple[Tensor, ...] = ()

    def add(self, parts: tuple[Tensor, ...], rate: float) -> None:
        """Add a frame whose own share is `rate`; that of the earlier ones falls accordingly."""
        self.rate = 1 - (1 - self.rate) * (1 - rate)
        share = rate / self.rate if self.rate else 1.0
        old = self.parts or parts
        self.parts = tuple(
            torch.lerp(one, other, share) for one, other in zip(old, parts, strict=True)
        )


class OnlineModel:
    """Weights (1024, 1) that predict the labels of proposals from their features.

    samples: features (961, 1024) of the proposals of each augmented first search region.
    labels: (961, 1), the same for every sample. minimum: least weight of the first frame in the
    average.
    """

    def __init__(
        self,
        samples: list[Tensor],
        labels: Tensor,
        *,
        average: Average,
        regularization: float,
        minimum: float,
    ) -> None:
        self._labels, self._regularization = labels, regularization
        self._average, self._minimum = average, minimum
        parts = zip(*(self._summarize(sample) for sample in samples), strict=True)
        self._first = [torch.stack(part).mean(0) for part in parts]
        self._state = self._first
        self.first_weight = 1.0
        """Weight that is left to the first frame."""
        self.weights = solve_normal_equations(*self._equations())

    def predict(self, features: Tensor) -> Tensor:
        """Labels (961, 1) of features (961, 1024)."""
        return features @ self.weights

    def add(self, features: Tensor, rate: float) -> None:
        """Mix the features (961, 1024) of a new frame into the average by `rate`."""
        new = self._summarize(features)
        self._state = [
            torch.lerp(old, part, rate) for old, part in zip(self._state, new, strict=True)
        ]
        self.first_weight *= 1 - rate
        if self.first_weight < self._minimum:
            share = (self._minimum - self.first_weight) / (1 - self.first_weight)
            self._state = [
                torch.lerp(old, part, share)
                for old, part in zip(self._state, self._first, strict=True)
            ]
            self.first_weight = self._minimum

    def refit(self, sweeps: int) -> None:
        """Move the weights towards those of the average by Gauss-Seidel sweeps."""
        self.weights = gauss_seidel(*self._equations(), self.weights, sweeps)

    def _summarize(self, features: Tensor) -> tuple[Tensor, ...]:
        if self._average == 'features':
            return (features,)
        return features.mT @ features, features.mT @ self._labels

    def _equations(self) -> tuple[Tensor, Tensor]:
        if self._average == 'features':
            (features,) = self._state
            return normal_matrix(features, self._regularization), features.mT @ self._labels
        products, target = self._state
        identity = torch.eye(len(products), dtype=products.dtype, device=products.device)
        return products + self._regularization * identity, target
