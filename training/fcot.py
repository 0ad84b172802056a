"""Recipe of FCOT: network, parts and losses (Cui et al. 2020, section 4.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, cast

import torch
from torch import Tensor, nn

from tracker_core.classifier import Classifier
from tracker_core.deform_conv import DeformConv
from tracker_core.fcot import network as networks
from tracker_core.fcot.network import FCOT, Pyramid
from tracker_core.fcot.side_regression import SideTargets, side_patches, side_targets
from tracker_core.resnet import STRIDES, normalize
from tracker_core.target_filter import correlate
from tracker_core.weights import load_part
from training.backbone import load_backbone
from training.dimp_losses import hinge_loss, make_labels
from training.distributed import mean_over_processes
from training.fcot_settings import FCOTSettings, Part

if TYPE_CHECKING:
    from training.recipe import DiMPRecipe, FCOTRecipe

Batch = dict[str, Tensor]
BUILDERS = {'fcot': networks.fcot, 'fcot18': networks.fcot18}
_OPTIMIZER: Final = 'regressor_72.filter_optimizer'
#: Ends of the names of the regressor's parts that are left out, by its levels.
_UNUSED: Final = {'both': (), '36': ('_72',), '72': ('_36',)}


def loss(network: FCOT, batch: Batch, recipe: FCOTRecipe) -> tuple[Tensor, Batch]:
    """Loss of a batch of B examples and what else is worth watching.

    batch: `boxes_ltwh` (B, n, 4) of the train, then the test frames, and `images` uint8
    (B, n, S, S, 3).
    """
    settings, train = recipe.settings, recipe.areas.train_frames
    boxes = batch['boxes_ltwh'].transpose(0, 1)
    images = batch['images'].permute(1, 0, 4, 2, 3)
    with torch.set_grad_enabled(_trains_backbone(recipe) and torch.is_grad_enabled()):
        layers = network.backbone(normalize(images.flatten(0, 1)))
    pyramid = network.decode(layers)
    total = boxes.new_zeros(())
    watched: Batch = {}
    if 'classifier_18' in settings.parts:
        features = network.coarse_features(layers).unflatten(0, images.shape[:2])
        value, seen = _classifier_loss(
            network.classifier_18, features, boxes, recipe, settings.coarse_label_sigma
        )
        total, watched = total + value, watched | {f'coarse {k}': v for k, v in seen.items()}
    if 'classifier_72' in settings.parts:
        features = network.fine_features(pyramid).unflatten(0, images.shape[:2])
        value, seen = _classifier_loss(
            network.classifier_72, features, boxes, recipe, settings.fine_label_sigma
        )
        total, watched = total + value, watched | {f'fine {k}': v for k, v in seen.items()}
    if {'regressor_72', _OPTIMIZER} & set(settings.parts):
        maps = Pyramid(*(level.unflatten(0, images.shape[:2]) for level in pyramid))
        value, seen = _side_loss(network, maps, boxes, settings, train)
        total, watched = total + settings.side_weight * value, watched | seen
    return total, watched


def _classifier_loss(
    classifier: Classifier, features: Tensor, boxes: Tensor, recipe: FCOTRecipe, sigma: float
) -> tuple[Tensor, Batch]:
    """Weighted losses of all iterates on the test frames.

    features: (n, B, C, h, w); boxes: (n, B, 4); sigma: of the label in target sizes.
    """
    settings, train = recipe.settings, recipe.areas.train_frames
    stride = classifier.filter_optimizer.stride
    start = classifier.filter_initializer(features[:train], boxes[:train])
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        fit = classifier.filter_optimizer(
            start.float(), features[:train], boxes[:train], settings.iterations
        )
        scores = torch.stack([correlate(features[train:], f) for f in fit.iterates])
        cells = sigma / recipe.areas.factor * features.shape[-1]
        labels = make_labels(boxes[train:], scores.shape[-1], cells, stride)
        first, *between, last = (hinge_loss(score, labels, settings.threshold) for score in scores)
    value = settings.initial_weight * first + settings.final_weight * last
    if between:
        value = value + settings.intermediate_weight * torch.stack(between).mean()
    hit = _hit(scores[-1].detach(), boxes[train:], stride)
    return value, {'first': first.detach(), 'last': last.detach(), 'hit': hit}


def _hit(scores: Tensor, boxes_ltwh: Tensor, stride: int) -> Tensor:
    """Share of score maps (N, S, h, w) that are largest within 24 pixels of the target."""
    best = scores.flatten(2).argmax(2)
    at = torch.stack([best % scores.shape[-1], best // scores.shape[-1]], -1)
    centre = boxes_ltwh[..., :2] + boxes_ltwh[..., 2:] / 2
    return ((at * stride - centre).norm(dim=-1) < 1.5 * STRIDES['layer3']).float().mean()


def _side_loss(
    network: FCOT, maps: Pyramid, boxes: Tensor, settings: FCOTSettings, train: int
) -> tuple[Tensor, Batch]:
    """Overlap loss of the sides in the test frames; maps (n, B, C, h, w), boxes (n, B, 4).

    In the first stage the filter is the initialiser's; in the second, its optimiser's last and,
    with a weight of one, the mean over its other steps.
    """
    regressor = network.regressor_72
    first = Pyramid(*(level[0] for level in maps))
    start = regressor.initialize(first, boxes[0]).float()
    height, width = maps.map72.shape[-2:]
    wanted = side_targets(boxes[train:], (height, width), settings.radius)
    with_optimizer = _OPTIMIZER in settings.parts
    used = slice(0 if with_optimizer else train, None)
    features = network.side_features(Pyramid(*(level[used].flatten(0, 1) for level in maps)))
    features = features.unflatten(0, (-1, boxes.shape[1]))
    with torch.autocast(features.device.type, enabled=False):
        features = features.float()
        iterates = [start]
        if with_optimizer:
            iterates = regressor.filter_optimizer(
                start, features[:train], boxes[:train], settings.side_iterations
            ).iterates
        tests = features[train:] if with_optimizer else features
        patches = side_patches(tests, wanted)
        count = _count(wanted)
        losses = [overlap_loss(_predict(patches, each), wanted, count) for each in iterates]
        value = losses[-1]
        if len(losses) > 2:
            value = value + torch.stack(losses[1:-1]).mean()
        overlap = _mean_overlap(_predict(patches, iterates[-1].detach()), wanted, count)
    return value, {'sides': losses[-1].detach(), 'overlap': overlap.detach()}


def _predict(patches: Tensor, filters: Tensor) -> Tensor:
    """Distances (N, S, K, 4) in the cells whose patches (N, S, K, C 9) are given."""
    return torch.einsum('nskd,sqd->nskq', patches, filters.flatten(2)).relu()


def overlap_loss(predicted: Tensor, wanted: SideTargets, count: Tensor) -> Tensor:
    """Mean of -log((I + 1) / (U + 1)) over the cells that count, in cells of the map.

    `count`: how many those are; of several processes their mean, so that the mean of the losses is
    that over all cells.

    I and U: areas of intersection and union of the boxes that distances (N, S, K, 4) span.
    """
    common, union = _areas(predicted, wanted)
    values = torch.log((union + 1) / (common + 1)) * wanted.valid
    return values.sum() / count


def _mean_overlap(predicted: Tensor, wanted: SideTargets, count: Tensor) -> Tensor:
    common, union = _areas(predicted, wanted)
    return (common / union.clamp(min=1e-6) * wanted.valid).sum() / count


def _count(wanted: SideTargets) -> Tensor:
    """How many cells count in each process on average."""
    return mean_over_processes(wanted.valid.sum()).clamp(min=1)


def _areas(predicted: Tensor, wanted: SideTargets) -> tuple[Tensor, Tensor]:
    """Intersection and union of the boxes that two sets of distances (..., 4) span."""
    # Cells outside the target do not count, but must not make the logarithm of the others nan.
    distances = wanted.distances.clamp(min=0)
    common = _area(torch.minimum(predicted, distances))
    return common, _area(predicted) + _area(distances) - common


def _area(sides: Tensor) -> Tensor:
    left, right, top, bottom = sides.unbind(-1)
    return (left + right) * (top + bottom)


def build_network(recipe: FCOTRecipe) -> FCOT:
    """New network with weights drawn from the recipe's seed and the backbone the recipe names."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.schedule.seed)
        network: FCOT = BUILDERS[recipe.recipe]()
    network.regressor_72.levels = recipe.settings.regression_levels
    if recipe.settings.plain_start:
        _start_plain(network)
    if recipe.backbone:
        network.feature_extractor.load_state_dict(
            load_backbone(cast('DiMPRecipe', recipe)).state_dict()
        )
    if recipe.settings.coarse_classifier:
        load_part(network.classifier_18, 'classifier', recipe.settings.coarse_classifier)
    return network


def _start_plain(network: FCOT) -> None:
    """Let deformable convolutions begin with their taps on the grid."""
    for module in network.modules():
        if isinstance(module, DeformConv):
            nn.init.zeros_(module.conv_offset_mask.weight)


def build_optimizer(network: FCOT, recipe: FCOTRecipe) -> torch.optim.Optimizer:
    """Adam with a learning rate for each kind of part that is trained."""
    network.requires_grad_(False)
    groups = []
    for parameters, rate in _rated(network, recipe):
        for parameter in parameters:
            parameter.requires_grad_(rate > 0)
        if rate > 0:
            groups.append({'params': parameters, 'lr': rate})
    return torch.optim.Adam(groups)


def _rated(network: FCOT, recipe: FCOTRecipe) -> list[tuple[list[nn.Parameter], float]]:
    """Parameters of the parts that are trained, with their learning rates."""
    parts, rates = recipe.settings.parts, recipe.schedule
    regressor = network.regressor_72
    pyramid = nn.ModuleList([network.pyramid_first_conv, network.pyramid_36, network.pyramid_72])
    rated: list[tuple[Part, nn.Module, float]] = [
        ('backbone', network.feature_extractor, rates.backbone_rate),
        ('pyramid', pyramid, rates.regressor_rate),
        (_OPTIMIZER, regressor.filter_optimizer, rates.optimizer_rate),
    ]
    unused = _UNUSED[recipe.settings.regression_levels]
    rated += [
        ('regressor_72', module, rates.regressor_rate)
        for name, module in regressor.named_children()
        if module is not regressor.filter_optimizer and not name.endswith(unused)
    ]
    classifiers: tuple[tuple[Part, Classifier], ...] = (
        ('classifier_18', network.classifier_18),
        ('classifier_72', network.classifier_72),
    )
    for part, classifier in classifiers:
        rated += [
            (part, classifier.feature_extractor, rates.features_rate),
            (part, classifier.filter_initializer, rates.initializer_rate),
            (part, classifier.filter_optimizer, rates.optimizer_rate),
        ]
    return [(list(module.parameters()), rate) for part, module, rate in rated if part in parts]


def start_training(network: FCOT, recipe: FCOTRecipe) -> None:
    """Training mode; batch norms of a frozen backbone keep their statistics."""
    network.train()
    if not _trains_backbone(recipe):
        network.feature_extractor.eval()


def _trains_backbone(recipe: FCOTRecipe) -> bool:
    return 'backbone' in recipe.settings.parts and recipe.schedule.backbone_rate > 0
