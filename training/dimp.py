"""Recipe of DiMP: network, parts and losses (Bhat et al. 2019, sections 3.4 and 4.1)."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from tracker_core.dimp import network as networks
from tracker_core.dimp.network import STRIDE, DiMP
from tracker_core.iou_net import IoUNet
from tracker_core.resnet import BasicBlock, normalize
from tracker_core.target_filter import correlate
from training.backbone import load_backbone
from training.datasets import Image
from training.dimp_examples import feature_folder
from training.dimp_losses import box_density_loss, density_loss, hinge_loss, make_labels
from training.dimp_settings import Part
from training.features import StoredExamples
from training.pictures import (
    PREDICTED_COLOR,
    TRUE_COLOR,
    heat_map,
    sheet,
    with_boxes,
)

if TYPE_CHECKING:
    from training.recipe import DiMPRecipe

Batch = dict[str, Tensor]
BUILDERS = {
    'dimp18': networks.dimp18,
    'dimp50': networks.dimp50,
    'prdimp18': networks.prdimp18,
    'prdimp50': networks.prdimp50,
    'super_dimp': networks.super_dimp,
}


def loss(network: DiMP, batch: Batch, recipe: DiMPRecipe) -> tuple[Tensor, Batch]:
    """Loss of a batch of B examples and what else is worth watching.

    batch: `boxes_ltwh` (B, n, 4) of the train, then the test frames; `proposals` (B, tests, K, 4)
    and their `overlaps`, or log densities `drawn` and `wanted` (B, tests, K); and either `images`
    uint8 (B, n, S, S, 3) or stored features of them, channels last: `layer3` (B, n, h, w, C),
    `layer2` of the first train frame and the test frames.
    """
    settings, train = recipe.settings, recipe.areas.train_frames
    layer2, layer3 = _backbone_features(network, batch, train)
    total = layer3.new_zeros((), dtype=torch.float32)
    watched: Batch = {}
    if 'classifier' in settings.parts:
        value, seen = _classifier_loss(network, layer3, batch['boxes_ltwh'], recipe)
        total, watched = total + value, watched | seen
    if 'bb_regressor' in settings.parts:
        value, seen = _box_loss(network.bb_regressor, layer2, layer3, batch, recipe)
        total, watched = total + settings.box_weight * value, watched | seen
    return total, watched


def _classifier_loss(
    network: DiMP, layer3: Tensor, boxes_ltwh: Tensor, recipe: DiMPRecipe
) -> tuple[Tensor, Batch]:
    """Weighted losses of all iterates on the test frames; layer3 (B, n, C, h, w)."""
    settings = recipe.settings
    boxes = boxes_ltwh.transpose(0, 1)[recipe.areas.train_frames :]
    scores = _scores(network, layer3, boxes_ltwh, recipe)
    with torch.autocast(layer3.device.type, enabled=False):
        sigma = settings.label_sigma / recipe.areas.factor * layer3.shape[-1]
        labels = make_labels(boxes, scores.shape[-1], sigma, STRIDE)
        if settings.classification == 'density':
            first, *between, last = (density_loss(score, labels) for score in scores)
        else:
            first, *between, last = (
                hinge_loss(score, labels, settings.threshold) for score in scores
            )
    value = settings.initial_weight * first + settings.final_weight * last
    if between:
        value = value + settings.intermediate_weight * torch.stack(between).mean()
    hit = _hit(scores[-1].detach(), boxes)
    return value, {'first': first.detach(), 'last': last.detach(), 'hit': hit}


def _scores(network: DiMP, layer3: Tensor, boxes_ltwh: Tensor, recipe: DiMPRecipe) -> Tensor:
    """Score maps (iterates, tests, B, h, w) of filters fitted to the train frames, in float32."""
    train = recipe.areas.train_frames
    features = network.classification_features(layer3.flatten(0, 1))
    features = features.unflatten(0, layer3.shape[:2]).transpose(0, 1)
    boxes = boxes_ltwh.transpose(0, 1)[:train]
    start = network.classifier.filter_initializer(features[:train], boxes)
    with torch.autocast(layer3.device.type, enabled=False):
        features = features.float()
        fit = network.classifier.filter_optimizer(
            start.float(), features[:train], boxes, recipe.settings.iterations
        )
        return torch.stack([correlate(features[train:], f) for f in fit.iterates])


def _hit(scores: Tensor, boxes_ltwh: Tensor) -> Tensor:
    """Share of score maps (N, S, h, w) that are largest within 1.5 cells of the target."""
    best = scores.flatten(2).argmax(2)
    at = torch.stack([best % scores.shape[-1], best // scores.shape[-1]], -1)
    centre = (boxes_ltwh[..., :2] + boxes_ltwh[..., 2:] / 2) / STRIDE
    return ((at - centre).norm(dim=-1) < 1.5).float().mean()


def _box_loss(
    network: IoUNet, layer2: Tensor, layer3: Tensor, batch: Batch, recipe: DiMPRecipe
) -> tuple[Tensor, Batch]:
    """Error of the box regressor."""
    predicted = _predict(network, layer2, layer3, batch, recipe)
    if recipe.settings.boxes == 'density':
        drawn, wanted = (batch[name].flatten(0, 1) for name in ('drawn', 'wanted'))
        value = box_density_loss(predicted, drawn, wanted)
    else:
        value = functional.mse_loss(predicted, 2 * batch['overlaps'].flatten(0, 1) - 1)
    return value, {'box': value.detach()}


def _predict(
    network: IoUNet, layer2: Tensor, layer3: Tensor, batch: Batch, recipe: DiMPRecipe
) -> Tensor:
    """Prediction (B tests, K) for every proposal; the first train frame shows the target."""
    train, tests = recipe.areas.train_frames, recipe.areas.test_frames
    modulation = network.modulation(layer2[:, 0], layer3[:, 0], batch['boxes_ltwh'][:, 0])
    embedding = network.embed(layer2[:, 1:].flatten(0, 1), layer3[:, train:].flatten(0, 1))
    with torch.autocast(layer3.device.type, enabled=False):
        m3, m4 = (m.float().repeat_interleave(tests, 0) for m in modulation)
        e3, e4 = (e.float() for e in embedding)
        return network.predict((m3, m4), (e3, e4), batch['proposals'].flatten(0, 1))


def draw(network: DiMP, batch: Batch, recipe: DiMPRecipe, most: int = 4) -> dict[str, Image]:
    """Pictures of the first examples of a batch: one row each, one column per test frame.

    `targets` shows the true box and the proposal the box regressor likes best, `scores` the last
    score maps, both over the crops where the batch has them.
    """
    train, size = recipe.areas.train_frames, recipe.areas.size
    batch = {name: value[:most] for name, value in batch.items()}
    layer2, layer3 = _backbone_features(network, batch, train)
    truth = batch['boxes_ltwh'][:, train:].cpu().numpy()
    black = np.zeros((*truth.shape[:2], size, size, 3), np.uint8)
    crops = batch['images'][:, train:].cpu().numpy() if 'images' in batch else black
    boxes: list[tuple[NDArray[Any], tuple[int, int, int]]] = [(truth, TRUE_COLOR)]
    pictures = {}
    if 'classifier' in recipe.settings.parts:
        scores = _scores(network, layer3, batch['boxes_ltwh'], recipe)[-1].transpose(0, 1)
        pairs = zip(scores, crops, strict=True)
        pictures['scores'] = sheet(
            [
                [heat_map(*each, STRIDE, (0, 0)) for each in zip(*pair, strict=True)]
                for pair in pairs
            ]
        )
    if 'bb_regressor' in recipe.settings.parts:
        predicted = _predict(network.bb_regressor, layer2, layer3, batch, recipe)
        best = predicted.unflatten(0, truth.shape[:2]).argmax(-1)[..., None, None]
        chosen = batch['proposals'].take_along_dim(best, 2)[:, :, 0]
        boxes.append((chosen.cpu().numpy(), PREDICTED_COLOR))
    pictures['targets'] = sheet(
        [
            [
                with_boxes(crop, [(each[i, j], color) for each, color in boxes])
                for j, crop in enumerate(row)
            ]
            for i, row in enumerate(crops)
        ]
    )
    return pictures


def _backbone_features(network: DiMP, batch: Batch, train: int) -> tuple[Tensor, Tensor]:
    """`layer2` (B, 1 + tests, C, h, w) of first train and test frames, `layer3` (B, n, ...)."""
    if 'layer3' in batch:
        layer3 = batch['layer3'].float().permute(0, 1, 4, 2, 3)
        layer2 = batch['layer2'].float().permute(0, 1, 4, 2, 3) if 'layer2' in batch else layer3
        return layer2, layer3
    images = batch['images'].permute(0, 1, 4, 2, 3)
    layers = network.backbone(normalize(images.flatten(0, 1)))
    layer2, layer3 = (layers[name].unflatten(0, images.shape[:2]) for name in ('layer2', 'layer3'))
    return torch.cat([layer2[:, :1], layer2[:, train:]], 1), layer3


def build_network(recipe: DiMPRecipe) -> DiMP:
    """New network with weights drawn from the recipe's seed and the backbone the recipe names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.schedule.seed)
        network: DiMP = BUILDERS[recipe.recipe]()
    if recipe.backbone:
        network.feature_extractor.load_state_dict(load_backbone(recipe).state_dict())
    if recipe.settings.whiten:
        stored = StoredExamples(feature_folder(recipe) / 'training', ('layer3',))
        samples = [stored[index]['layer3'].flatten(0, -2) for index in range(min(48, len(stored)))]
        start_whitened(network, torch.cat(samples).float())
    return network


def start_whitened(network: DiMP, samples: Tensor) -> None:
    """Start the classifier near features that are of use before it has learned anything.

    samples: cells (M, 256) of `layer3`. The last convolution begins as a projection away from
    their mean that makes all other directions equally strong, the residual block and the
    initialiser as nearly the identity. So prepared, plain ImageNet features already find most
    targets; from random weights it takes long to get there. DiMP-18 only.
    """
    block = cast(BasicBlock, network.classifier.feature_extractor[0])
    convolution = cast(nn.Conv2d, network.classifier.feature_extractor[1])
    mean = functional.normalize(samples.mean(0), dim=0)
    values, directions = torch.linalg.eigh(torch.cov(samples.T))
    strength = (values + 0.1 * values.mean()).rsqrt()
    whitening = directions * strength @ directions.T
    whitening = whitening - torch.outer(whitening @ mean, mean)
    identity = torch.eye(len(mean))
    with torch.no_grad():
        block.bn2.weight.fill_(0.2)
        _set_centre(convolution, whitening / whitening.norm() * identity.norm())
        _set_centre(network.classifier.filter_initializer.filter_conv, identity)


def _set_centre(convolution: nn.Conv2d, matrix: Tensor) -> None:
    """Make a 3x3 convolution (almost) a matrix applied to every cell."""
    convolution.weight.normal_(std=0.1 / math.sqrt(convolution.weight[0].numel()))
    convolution.weight[:, :, 1, 1] += matrix


def build_optimizer(network: DiMP, recipe: DiMPRecipe) -> torch.optim.Optimizer:
    """Adam with a learning rate for each part that is trained (section 4.1)."""
    parts, rates, classifier = recipe.settings.parts, recipe.schedule, network.classifier
    rated: list[tuple[Part, nn.Module, float]] = [
        ('backbone', network.feature_extractor, rates.backbone_rate),
        ('classifier', classifier.feature_extractor, rates.features_rate),
        ('classifier', classifier.filter_initializer, rates.initializer_rate),
        ('classifier', classifier.filter_optimizer, rates.optimizer_rate),
        ('bb_regressor', network.bb_regressor, rates.bb_regressor_rate),
    ]
    groups = []
    for part, module, rate in rated:
        module.requires_grad_(part in parts and rate > 0)
        if part in parts and rate > 0:
            groups.append({'params': list(module.parameters()), 'lr': rate})
    return torch.optim.Adam(groups)


def start_training(network: DiMP, recipe: DiMPRecipe) -> None:
    """Training mode; batch norms of a frozen backbone keep their statistics."""
    network.train()
    if 'backbone' not in recipe.settings.parts or not recipe.schedule.backbone_rate:
        network.feature_extractor.eval()
