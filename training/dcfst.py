"""Recipe of DCFST: network, parts and losses (Zheng et al. 2019, "Implementation Details")."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor
from torch.nn import functional

from tracker_core.dcfst import network as networks
from tracker_core.dcfst.grid import LABEL_SIGMA, Grid
from tracker_core.dcfst.network import DCFST, initialize_weights, normalize_columns
from tracker_core.dcfst.ridge_regression import solve
from tracker_core.iou_net import Pair
from tracker_core.resnet import normalize
from tracker_core.weights import load_part
from training.backbone import load_backbone
from training.dcfst_settings import DCFSTSettings
from training.shrinkage_loss import shrinkage_loss

if TYPE_CHECKING:
    from training.recipe import DCFSTRecipe, DiMPRecipe

Batch = dict[str, Tensor]
BUILDERS = {'dcfst18': networks.dcfst18, 'dcfst50': networks.dcfst50}


def loss(network: DCFST, batch: Batch, recipe: DCFSTRecipe) -> tuple[Tensor, Batch]:
    """Loss of a batch of B examples and what else is worth watching.

    batch: `boxes_ltwh` (B, 2, 4) of the train and the test frame; of the test frame `grid_sizes`
    (B, 2), `proposals` (B, K, 4) and their `overlaps` (B, K); and either `images` uint8
    (B, 2, S, S, 3) or stored features of them, channels last: `layer2` and `layer3`
    (B, 2, h, w, C).
    """
    settings = recipe.settings
    layers = _backbone_features(network, batch)
    total = batch['boxes_ltwh'].new_zeros(())
    watched: Batch = {}
    if 'location_predictor' in settings.parts:
        grid = Grid(settings.grid_side, recipe.areas.size)
        value, seen = _location_loss(network, layers, batch, grid, settings)
        total, watched = total + settings.location_weight * value, watched | seen
    if 'bb_regressor' in settings.parts:
        value = _box_loss(network, layers, batch)
        total, watched = total + settings.box_weight * value, watched | {'box': value.detach()}
    return total, watched


def _location_loss(
    network: DCFST, layers: Pair, batch: Batch, grid: Grid, settings: DCFSTSettings
) -> tuple[Tensor, Batch]:
    """Loss on the test frame of a model learnt on the train frame; layers (2, B, C, h, w)."""
    predictor, boxes = network.location_predictor, batch['boxes_ltwh'].transpose(0, 1)
    embedding = predictor.embed(*(layer.flatten(0, 1) for layer in layers))
    samples = []
    for index, sizes in enumerate((boxes[0, :, 2:], batch['grid_sizes'])):
        maps = tuple(layer.unflatten(0, (2, -1))[index] for layer in embedding)
        on_grid = predictor.describe_grid(maps, sizes, grid)
        on_target = predictor.describe(maps, boxes[index][:, None])
        samples.append(normalize_columns(torch.cat([on_grid, on_target], 1).float()))
    with torch.autocast(boxes.device.type, enabled=False):
        train_labels, test_labels = (_labels(grid, each) for each in boxes)
        model = solve(samples[0], train_labels, settings.regularization)
        predictions = samples[1] @ model
        value = _compare(predictions, test_labels, settings)
    hit = test_labels.flatten(1).gather(1, predictions.detach().flatten(1).argmax(1)[:, None])
    return value, {'location': value.detach(), 'hit': (hit > 0.5).float().mean()}


def _labels(grid: Grid, boxes_ltwh: Tensor) -> Tensor:
    """Labels (B, P + 1, 1) of the grid and, last, of the target itself."""
    sigmas = LABEL_SIGMA * boxes_ltwh[:, 2:].prod(1).sqrt()
    labels = grid.labels(boxes_ltwh[:, :2] + boxes_ltwh[:, 2:] / 2, sigmas)
    return functional.pad(labels, (0, 0, 0, 1), value=1.0)


def _compare(predictions: Tensor, labels: Tensor, settings: DCFSTSettings) -> Tensor:
    if settings.loss == 'mse':
        return functional.mse_loss(predictions, labels)
    return shrinkage_loss(predictions, labels, signed=settings.loss == 'signed_shrinkage')


def _box_loss(network: DCFST, layers: Pair, batch: Batch) -> Tensor:
    """Mean squared error of 2 IoU - 1; layers (2, B, C, h, w)."""
    regressor, (layer2, layer3) = network.bb_regressor, layers
    modulation = regressor.modulation(layer2[0], layer3[0], batch['boxes_ltwh'][:, 0])
    embedding = regressor.embed(layer2[1], layer3[1])
    with torch.autocast(layer2.device.type, enabled=False):
        m2, m3, e2, e3 = (each.float() for each in (*modulation, *embedding))
        predicted = regressor.predict((m2, m3), (e2, e3), batch['proposals'])
    return functional.mse_loss(predicted, 2 * batch['overlaps'] - 1)


def _backbone_features(network: DCFST, batch: Batch) -> Pair:
    """`layer2` and `layer3` (2, B, C, h, w) of the train and the test frame."""
    if 'layer3' in batch:
        stored = (batch[name].permute(1, 0, 4, 2, 3).float() for name in ('layer2', 'layer3'))
        layer2, layer3 = stored
        return layer2, layer3
    images = batch['images'].permute(1, 0, 4, 2, 3)
    with torch.no_grad():
        layers = network.backbone(normalize(images.flatten(0, 1)))
    layer2, layer3 = (layer.unflatten(0, images.shape[:2]) for layer in layers)
    return layer2, layer3


def build_network(recipe: DCFSTRecipe) -> DCFST:
    """New network with weights drawn from the recipe's seed, and the parts the recipe names."""
    generator = torch.Generator().manual_seed(recipe.schedule.seed)
    network: DCFST = BUILDERS[recipe.recipe]()
    initialize_weights(network, generator)
    if recipe.backbone:
        backbone = load_backbone(cast('DiMPRecipe', recipe))
        network.feature_extractor.load_state_dict(backbone.state_dict())
    if recipe.settings.box_regressor:
        load_part(network.bb_regressor, 'bb_regressor', recipe.settings.box_regressor)
    return network


def build_optimizer(network: DCFST, recipe: DCFSTRecipe) -> torch.optim.Optimizer:
    """Adam with a learning rate for each part that is trained; the backbone is frozen."""
    network.requires_grad_(False)
    rates, groups = recipe.schedule, []
    for part in recipe.settings.parts:
        parameters = list(network.get_submodule(part).requires_grad_().parameters())
        groups.append({'params': parameters, 'lr': getattr(rates, f'{part}_rate')})
    return torch.optim.Adam(groups)


def start_training(network: DCFST, recipe: DCFSTRecipe) -> None:
    """Training mode for the parts that are trained; batch norms of the others keep still."""
    network.eval()
    for part in recipe.settings.parts:
        network.get_submodule(part).train()
