"""Training without labels: there and back again (Wang et al. 2019, UDT, sections 3.2 to 3.4).

Whatever is at one place of a frame is followed through some later frames by the network itself,
and from where that ends back to the first frame, where the answer is known.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from tracker_core import weights
from tracker_core.siamfc.network import STRIDE, SiamFC
from training.datasets import Image
from training.matching import MATCHINGS, TARGET_SIZE, Matching, Region, find_peaks
from training.pictures import PREDICTED_COLOR, TRUE_COLOR, heat_map, sheet, with_boxes

if TYPE_CHECKING:
    from training.recipe import UDTRecipe

Batch = dict[str, Tensor]


class Course(NamedTuple):
    """Where targets were found."""

    places: list[Tensor]
    """(N, 2) per frame, the first being the centre; pixels from the centres of the crops."""
    motion: Tensor
    """How far responses were from the labels of the frame before, (N,)."""


def starting_weights(name: str) -> Path:
    """File that `weights` of a recipe names; FileNotFoundError where there is none."""
    return Path(name) if name.endswith(weights.SUFFIX) else weights.default_path(name)


def build_network(recipe: UDTRecipe) -> SiamFC:
    """The network with the weights the recipe names."""
    network = SiamFC()
    weights.load_into(network, starting_weights(recipe.weights), recipe.tracker)
    return network


def before(recipe: UDTRecipe) -> weights.WeightsInfo:
    """What is known of the weights the recipe names."""
    return weights.read_info(starting_weights(recipe.weights))


def build_optimizer(network: SiamFC, recipe: UDTRecipe) -> torch.optim.Optimizer:
    """Stochastic gradient descent with momentum."""
    schedule = recipe.schedule
    return torch.optim.SGD(
        network.parameters(),
        lr=schedule.initial_rate,
        momentum=schedule.momentum,
        weight_decay=schedule.weight_decay,
    )


def start_training(network: SiamFC, recipe: UDTRecipe) -> None:
    """Train everything but the statistics of the batch norms, which tracking uses as they are."""
    network.eval()


def loss(network: SiamFC, batch: Batch, recipe: UDTRecipe) -> tuple[Tensor, Batch]:
    """Loss of a batch and what else is worth watching.

    batch: `crops` uint8 (N, steps + 1, S, S, 3) of one place in frames that follow each other,
    `centers` int (N, steps + 1, 2) of the regions that are searched. The second value holds
    `returned`, the share that came back to within 16 pixels, and the mean `distance` in pixels
    between the first and the last frame.
    """
    settings = recipe.settings
    matching: Matching = MATCHINGS[settings.matching](network, settings)
    regions = _regions(batch)
    with torch.no_grad():
        course = follow(matching, regions)
    responses = matching.respond(regions[-1], course.places[-1], regions[0])
    offsets = -regions[0].center
    losses = matching.losses(responses, matching.labels(offsets, responses.shape[-1]))
    motion = course.motion if settings.motion else torch.ones_like(course.motion)
    value = (cost_sensitive_weights(losses.detach(), motion, settings.drop) * losses).mean()
    error = (find_peaks(responses.detach()) - offsets).norm(dim=1)
    distance = course.places[-1].norm(dim=1).mean()
    return value, {'returned': (error < 16).float().mean(), 'distance': distance}


def follow(matching: Matching, regions: list[Region]) -> Course:
    """Follow what is at the centre of the first crops to the last ones (section 3.3)."""
    places = [torch.zeros_like(regions[0].center)]
    motion = places[0].new_zeros(len(places[0]))
    for before, after in itertools.pairwise(regions):
        responses = matching.respond(before, places[-1], after)
        still = matching.labels(places[-1] - after.center, responses.shape[-1])
        motion += (matching.values(responses) - still).square().sum((1, 2))
        places.append(after.center + find_peaks(responses))
    return Course(places, motion)


def cost_sensitive_weights(losses: Tensor, motion: Tensor, drop: float) -> Tensor:
    """Weights (N,) of examples that sum to one (section 3.4, "cost-sensitive loss").

    The share `drop` with the highest losses (N,) gets zero, the others are weighted by motion.
    """
    dropped = round(drop * len(losses))
    kept = torch.ones_like(losses)
    kept[losses.topk(dropped).indices] = 0
    return kept * motion / (kept * motion).sum().clamp(min=1e-12)


def draw(network: SiamFC, batch: Batch, recipe: UDTRecipe, most: int = 8) -> dict[str, Image]:
    """`course`: the frames of each example with the box that was followed, known in the first.

    On the right the response on the way back over the first frame.
    """
    batch = {name: value[:most] for name, value in batch.items()}
    matching: Matching = MATCHINGS[recipe.settings.matching](network, recipe.settings)
    regions = _regions(batch)
    places = follow(matching, regions).places
    responses = matching.respond(regions[-1], places[-1], regions[0])
    values = matching.values(responses)
    return {'course': sheet([_row(n, regions, places, values) for n in range(len(values))])}


def _row(number: int, regions: list[Region], places: list[Tensor], values: Tensor) -> list[Image]:
    size = regions[0].crops.shape[1]
    images: list[Image] = []
    for region, place in zip(regions, places, strict=True):
        corner = size / 2 + place[number].cpu() - TARGET_SIZE / 2
        box = torch.cat([corner, torch.full((2,), TARGET_SIZE)]).numpy()
        color = PREDICTED_COLOR if images else TRUE_COLOR
        images.append(with_boxes(region.crops[number].cpu().numpy(), [(box, color)]))
    center = size / 2 + regions[0].center[number].cpu()
    x, y = (center - (values.shape[-1] - 1) / 2 * STRIDE).tolist()
    return [*images, heat_map(values[number], images[0], STRIDE, (x, y))]


def _regions(batch: Batch) -> list[Region]:
    centers = batch['centers'].float()
    return [Region(batch['crops'][:, i], centers[:, i]) for i in range(centers.shape[1])]
