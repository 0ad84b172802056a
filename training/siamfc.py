"""Recipe of SiamFC: pairs, labels and loss (Bertinetto et al. 2016, sections 2 and 4.1)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from tracker_core.siamfc.network import RESPONSE_SCALE, STRIDE, SiamFC, initialize_weights
from training.augmentation import (
    AugmentationSettings,
    Borrow,
    Image,
    add_noise,
    add_objects,
    blur,
    change_light,
    make_grey,
    reduce_resolution,
    replace_background,
    warp,
)
from training.crops import EXEMPLAR_SIZE, Sequence
from training.pictures import heat_map, sheet
from training.sampling import draw_pair

if TYPE_CHECKING:
    from training.recipe import SiamFCRecipe

Batch = dict[str, Tensor]


@dataclass(frozen=True)
class SiamFCSettings:
    """What the recipe of SiamFC needs; the defaults are the published values."""

    search_size: int = 239
    """Side of the search image in pixels (the tracker uses 255)."""
    max_gap: int = 100
    """The two frames of a pair are less than this many frames apart."""
    radius: float = 16.0
    """Cells up to this many pixels (|dx| + |dy|) from the target are positive."""
    other_negatives: float = 0.0
    """Share of the negative weight on the other search images of the batch (published: none)."""


def build_network(recipe: SiamFCRecipe) -> SiamFC:
    """New network with Xavier-uniform weights drawn from the recipe's seed."""
    network = SiamFC()
    initialize_weights(network, torch.Generator().manual_seed(recipe.schedule.seed))
    return network


def build_optimizer(network: SiamFC, recipe: SiamFCRecipe) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    schedule = recipe.schedule
    return torch.optim.SGD(
        network.parameters(),
        lr=schedule.initial_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )


def start_training(network: SiamFC, recipe: SiamFCRecipe) -> None:
    """Train everything."""
    network.train()


def make_example(
    sequence: Sequence,
    borrow_object: Borrow,
    borrow_background: Borrow,
    rng: np.random.Generator,
    settings: SiamFCSettings,
    augmentation: AugmentationSettings,
) -> dict[str, Any]:
    """Exemplar uint8 (127, 127, 3) and search image (239, 239, 3) of one target, RGB."""
    positions = draw_pair(sequence.frames, settings.max_gap, rng)
    sizes = EXEMPLAR_SIZE, settings.search_size
    flip, grey, small = rng.random(3) < (
        augmentation.flip,
        augmentation.grey,
        augmentation.low_resolution,
    )
    factor = rng.uniform(1.5, 4.0) if small else 1.0
    images = []
    for position, size in zip(positions, sizes, strict=True):
        crop = np.asarray(sequence.crops[position])
        crop = replace_background(crop, borrow_background, rng, augmentation)
        if size != EXEMPLAR_SIZE:
            crop = add_objects(crop, borrow_object, rng, augmentation)
        image = np.ascontiguousarray(warp(crop, size, rng, augmentation)[..., :3])
        image = reduce_resolution(image, factor)
        image = blur(change_light(image, rng, augmentation), rng, augmentation)
        image = add_noise(image, rng, augmentation)
        image = make_grey(image) if grey else image
        images.append(np.ascontiguousarray(image[:, ::-1]) if flip else image)
    return {'exemplar': images[0], 'search': images[1]}


def loss(network: SiamFC, batch: Batch, recipe: SiamFCRecipe) -> tuple[Tensor, Batch]:
    """Balanced logistic loss of a batch and what else is worth watching.

    batch: `exemplar` uint8 (N, 127, 127, 3), `search` (N, S, S, 3), `scene` int (N,). The second
    value holds `hit`, the share of pairs whose response is largest on a positive cell.
    """
    settings = recipe.settings
    responses = _respond(network, batch)
    own = responses.diagonal().permute(2, 0, 1)
    labels = make_labels(own.shape[-1], settings.radius, STRIDE).to(own.device)
    value = balanced_loss(own, labels.expand_as(own))
    share = settings.other_negatives
    if share:
        foreign = batch['scene'][:, None] != batch['scene'][None]
        value = value + share * _negative_loss(own, labels, responses, foreign)
    best = own.detach().flatten(1).argmax(1)
    return value, {'hit': labels.flatten()[best].mean()}


def draw(network: SiamFC, batch: Batch, recipe: SiamFCRecipe, most: int = 8) -> dict[str, Image]:
    """`responses`: of the first pairs the search images, and below the probabilities over them."""
    batch = {name: value[:most] for name, value in batch.items()}
    probabilities = _respond(network, batch).diagonal().permute(2, 0, 1).sigmoid()
    searches = list(batch['search'].cpu().numpy())
    # The middle cell is that of the middle of the search image.
    first = searches[0].shape[0] / 2 - (probabilities.shape[-1] - 1) / 2 * STRIDE
    pairs = zip(probabilities, searches, strict=True)
    maps = [heat_map(*each, STRIDE, (first, first)) for each in pairs]
    return {'responses': sheet([searches, maps])}


def _respond(network: SiamFC, batch: Batch) -> Tensor:
    """Responses of every exemplar over every search image: row = search image."""
    exemplars = network.features(_as_input(batch['exemplar']))
    searches = network.features(_as_input(batch['search']))
    return (functional.conv2d(searches, exemplars) * RESPONSE_SCALE).float()


def _negative_loss(own: Tensor, labels: Tensor, responses: Tensor, foreign: Tensor) -> Tensor:
    """Move half of the weight, the negatives', from the own to the foreign search images."""
    if not foreign.any():
        return own.new_zeros(())
    near = functional.softplus(own[:, labels == 0]).mean()
    return 0.5 * (functional.softplus(responses[foreign]).mean() - near)


def _as_input(images: Tensor) -> Tensor:
    """Make uint8 (N, H, W, 3) float (N, 3, H, W), values 0..255, channels last in memory."""
    return images.permute(0, 3, 1, 2).float()


@cache
def make_labels(size: int, radius: float, stride: int) -> Tensor:
    """Labels (size, size) of a response map: 1 within `radius` pixels (|dx| + |dy|), else 0."""
    distance = (torch.arange(size) - (size - 1) / 2).abs()
    return ((distance[:, None] + distance) * stride <= radius).float()


def balanced_loss(responses: Tensor, labels: Tensor) -> Tensor:
    """Logistic loss in which all positives together weigh as much as all negatives.

    Both of any equal shape; labels 0 or 1. Weights sum to one (paper section 2.2).
    """
    positives = labels.sum()
    negatives = labels.numel() - positives
    weights = torch.where(labels > 0, 0.5 / positives, 0.5 / negatives)
    return (
        weights * functional.binary_cross_entropy_with_logits(responses, labels, reduction='none')
    ).sum()
