"""The correlation filter as a layer of a network (Wang et al. 2019, UDT; Bolme et al. 2010).

Everything is cyclic: a target that moves by d moves the peak of the response by d.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class CorrelationFilter(NamedTuple):
    """Filters in the frequency domain, one per example."""

    spectrum: Tensor
    """Of the features they were learnt on, complex (N, C, h, w // 2 + 1)."""
    alpha: Tensor
    """Spectrum of the labels divided by the energy, complex (N, 1, h, w // 2 + 1)."""


def fit(features: Tensor, labels: Tensor, regularization: float) -> CorrelationFilter:
    """Ridge regression of labels (N, h, w) on all cyclic shifts of features (N, C, h, w)."""
    spectrum = torch.fft.rfft2(features)
    energy = spectrum.abs().square().sum(1, keepdim=True)
    return CorrelationFilter(
        spectrum, torch.fft.rfft2(labels)[:, None] / (energy + regularization)
    )


def respond(filters: CorrelationFilter, features: Tensor) -> Tensor:
    """Responses (N, h, w) of the filters to features (N, C, h, w); one filter may serve all."""
    product = torch.fft.rfft2(features) * filters.spectrum.conj()
    combined = product.sum(1, keepdim=True) * filters.alpha
    return torch.fft.irfft2(combined, s=features.shape[-2:])[:, 0]


def cosine_window(height: int, width: int) -> Tensor:
    """Product (height, width) of two Hann windows whose ends are zero."""
    lines = (torch.hann_window(size, periodic=False) for size in (height, width))
    return torch.outer(*lines)
