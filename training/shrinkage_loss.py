"""Shrinkage loss: regression in which the many easy samples weigh little."""

from __future__ import annotations

import torch
from torch import Tensor

#: The published code limits predictions to this range, where labels lie in [0, 1].
PREDICTION_LIMITS = (-0.5, 1.5)


def shrinkage_loss(
    predictions: Tensor,
    labels: Tensor,
    speed: float = 10.0,
    localization: float = 0.2,
    *,
    signed: bool = False,
) -> Tensor:
    """Mean of exp(y) e^2 / (1 + exp(a (c - e))), e = |prediction - y| (DCFST paper eq. 4).

    predictions, labels: any equal shape. speed: a. localization: c, the error around which the
    weight rises from 0 to 1. Returns a scalar.

    signed: in the exponent e = prediction - y, as eq. 5 prints "the original" of Lu et al. 2018;
    every prediction below its label then counts as easy. Lu et al.'s own text and code take the
    absolute value. Where the loss is printed with exp(a e - c), large errors shrink instead of
    small ones, which is a misprint.
    """
    if predictions.shape != labels.shape:
        raise ValueError(
            f'predictions {tuple(predictions.shape)} and labels {tuple(labels.shape)} must have '
            'the same shape'
        )
    errors = predictions.clamp(*PREDICTION_LIMITS) - labels
    size = errors if signed else errors.abs()
    weights = labels.exp() * torch.sigmoid(speed * (size - localization))
    return (weights * errors.square()).mean()
