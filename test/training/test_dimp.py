"""Recipe of DiMP: gradients, parts, start."""

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor

from tracker_core.target_filter import DensityDescent, SteepestDescent, correlate
from training import dimp
from training.dimp_losses import hinge_loss, make_labels
from training.dimp_settings import DiMPSettings
from training.recipe import DiMPRecipe, SteppedRates
from training.search_areas import SearchAreaSettings

AREAS = SearchAreaSettings(train_frames=1, test_frames=1, size=96)


def _recipe(**changes: Any) -> DiMPRecipe:
    settings = DiMPSettings(proposals=2, iterations=2, **changes)
    return DiMPRecipe(areas=AREAS, settings=settings)


def _batch(recipe: DiMPRecipe, count: int = 2) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 2, recipe.areas.size, recipe.areas.size, 3)
    boxes = torch.tensor([30.0, 36.0, 24.0, 20.0]).expand(count, 2, 4)
    return {
        'images': torch.randint(0, 255, shape, dtype=torch.uint8, generator=generator),
        'boxes_ltwh': boxes,
        'proposals': boxes[:, 1:, None] + torch.tensor([[0.0, 0, 0, 0], [8, 0, 2, 2]]),
        'overlaps': torch.tensor([1.0, 0.4]).expand(count, 1, 2),
        'drawn': torch.zeros(count, 1, 2),
        'wanted': torch.zeros(count, 1, 2),
    }


@pytest.mark.parametrize(
    'optimizer', [SteepestDescent(bins=6, bin_step=0.7), DensityDescent(regularization=0.06)]
)
def test_gradient_through_the_unrolled_optimizer(optimizer: torch.nn.Module) -> None:
    generator = torch.Generator().manual_seed(0)
    optimizer = optimizer.double()
    features = torch.randn(3, 1, 1, 4, 4, generator=generator, dtype=torch.float64)
    start = 0.1 * torch.randn(1, 1, 4, 4, generator=generator, dtype=torch.float64)
    boxes = torch.tensor([[14.3, 19.1, 30.0, 30.0]], dtype=torch.float64).expand(3, 1, 4)
    labels = make_labels(boxes[2:], 5, 0.9, 16)
    parameters = dict(optimizer.named_parameters())

    def objective(start: Tensor, features: Tensor, *values: Tensor) -> Tensor:
        named = dict(zip(parameters, values, strict=True))
        fit = torch.func.functional_call(optimizer, named, (start, features[:2], boxes[:2], 2))
        return torch.stack([hinge_loss(correlate(features[2:], f), labels, 0.05)
                            for f in fit.iterates]).sum()  # fmt: skip

    inputs = [start, features, *(value.detach() for value in parameters.values())]
    inputs = [value.clone().requires_grad_() for value in inputs]
    assert torch.autograd.gradcheck(objective, inputs, eps=1e-6, atol=1e-6)


def test_loss_adds_up_as_published() -> None:
    recipe = _recipe()
    network = dimp.build_network(recipe).eval()
    batch = _batch(recipe)
    value, watched = dimp.loss(network, batch, recipe)
    alone = dataclasses.replace(recipe.settings, parts=('classifier',), final_weight=0.0)
    both = 0.0
    for changes in ({'initial_weight': 0.0}, {'intermediate_weight': 0.0}):
        settings = dataclasses.replace(alone, **changes)
        both += dimp.loss(network, batch, dataclasses.replace(recipe, settings=settings))[0]
    rest = 100 * watched['last'] + watched['box']
    assert value.item() == pytest.approx((both + rest).item(), rel=1e-5)
    assert watched['first'] > 0 and both > 100 * watched['first']


@pytest.mark.parametrize('kind', ['dimp', 'prdimp'])
def test_every_part_learns_from_the_loss(kind: str) -> None:
    changes = {'classification': 'density', 'boxes': 'density'} if kind == 'prdimp' else {}
    # With these weights some scores are negative, without which the mask has no gradient.
    recipe = dataclasses.replace(_recipe(**changes), schedule=SteppedRates(seed=2))
    network = dimp.build_network(recipe).eval()
    value, _ = dimp.loss(network, _batch(recipe), recipe)
    value.backward()
    missing = [
        name
        for name, parameter in network.named_parameters()
        if parameter.grad is None or parameter.grad.abs().max() < 1e-6  # rounding is 1e-8
    ]
    # A constant added to all log densities changes nothing.
    assert missing == (['bb_regressor.iou_predictor.bias'] if kind == 'prdimp' else [])


def test_parts_that_are_not_trained_stay_as_they_are() -> None:
    recipe = _recipe(parts=('bb_regressor',))
    network = dimp.build_network(recipe)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    optimizer = dimp.build_optimizer(network, recipe)
    dimp.start_training(network, recipe)
    value, watched = dimp.loss(network, _batch(recipe), recipe)
    value.backward()
    optimizer.step()
    assert watched.keys() == {'box'}
    changed = {k.split('.')[0] for k, v in network.state_dict().items() if (v != before[k]).any()}
    assert changed == {'bb_regressor'}


def test_published_rates_per_part() -> None:
    recipe = DiMPRecipe()
    groups = dimp.build_optimizer(dimp.build_network(recipe), recipe).param_groups
    assert [group['lr'] for group in groups] == [2e-4, 5e-5, 5e-5, 5e-4, 1e-3]
    factors = [SteppedRates().rate_factor(epoch) for epoch in (0, 14, 15, 49)]
    assert factors == pytest.approx([1, 1, 0.2, 0.008])
    cosine = SteppedRates(decay='cosine', epochs=10)
    assert [cosine.rate_factor(epoch) for epoch in (0, 5)] == pytest.approx([1, 0.5])


def test_whitened_start_ignores_the_mean_and_evens_out_directions() -> None:
    network = dimp.build_network(_recipe())
    generator = torch.Generator().manual_seed(0)
    strength = torch.logspace(-1, 0, 256)
    samples = torch.randn(4000, 256, generator=generator) * strength + 2.0
    with torch.random.fork_rng():
        dimp.start_whitened(network, samples)
    matrix = network.classifier.feature_extractor[1].weight[:, :, 1, 1].detach()
    moved = samples @ matrix.T
    assert moved.mean(0).norm() < 0.15 * samples.mean(0).norm()
    spread = moved.std(0)
    assert spread.max() / spread.min() < 4 < 10 == pytest.approx(strength.max() / strength.min())


def test_pictures_show_boxes_and_scores() -> None:
    recipe = _recipe()
    batch = _batch(recipe, 3)
    with torch.inference_mode():
        pictures = dimp.draw(dimp.build_network(recipe).eval(), batch, recipe, most=2)
        batch = {
            **batch,
            'layer2': torch.rand(3, 2, 12, 12, 128),
            'layer3': torch.rand(3, 2, 6, 6, 256),
        }
        del batch['images']
        stored = dimp.draw(dimp.build_network(recipe).eval(), batch, recipe)
    assert pictures.keys() == stored.keys() == {'targets', 'scores'}
    assert {picture.shape for picture in pictures.values()} == {(2 * 96, 96, 3)}
    assert stored['targets'].shape == (3 * 96, 96, 3)
    # Without images the true box stands on black, which is the same for all examples here.
    assert stored['targets'][:30].max() == 0 < stored['targets'][36:57, 30:55].max()
