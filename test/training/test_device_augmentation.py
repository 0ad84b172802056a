"""Appearance on the device: as strong as on the CPU, reproducible, and only where wanted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training import augmentation, checkpoint
from training.augmentation import AppearanceSettings, draw_kernel
from training.datasets import DataError
from training.device_augmentation import augment, without_appearance
from training.loop import Run
from training.recipe import DiMPRecipe, FeatureSettings, SiamFCRecipe, UDTRecipe, parse_recipe

STRONG = AppearanceSettings(
    grey=0.5, gain=0.2, brightness=0.2, contrast=0.3, colour=0.2, blur=0.5, noise=9.0
)


def _batch(count: int = 4, frames: int = 3, size: int = 40) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    shape = (count, frames, size // 4, size // 4, 3)
    small = torch.randint(60, 200, shape, generator=generator).byte()
    images = small.repeat_interleave(4, 2).repeat_interleave(4, 3)
    return {'images': images, 'boxes_ltwh': torch.ones(count, 4), 'scene': torch.arange(count)}


def test_draws_depend_on_the_seed_alone() -> None:
    batch = _batch()
    one, same, other = (augment(batch, STRONG, seed) for seed in ((1, 5), (1, 5), (1, 6)))
    assert torch.equal(one['images'], same['images'])
    assert not torch.equal(one['images'], other['images'])
    assert one['boxes_ltwh'] is batch['boxes_ltwh']
    assert one['images'].dtype == torch.uint8 and one['images'].shape == batch['images'].shape


def test_nothing_is_changed_where_all_is_off() -> None:
    batch = _batch()
    assert torch.equal(augment(batch, AppearanceSettings(), (1,))['images'], batch['images'])


@pytest.mark.parametrize('name', ['gain', 'brightness', 'contrast', 'colour'])
def test_light_changes_as_much_as_on_the_cpu(name: str) -> None:
    settings = AppearanceSettings(**{name: 0.2})  # type: ignore[arg-type]
    image = np.tile(np.array([60, 100, 180], np.uint8), (8, 8, 1))
    rng = np.random.default_rng(2)
    expected = np.array(
        [augmentation.change_light(image, rng, settings)[0, 0] for _ in range(3000)]
    )
    images = torch.from_numpy(image).repeat(3000, 1, 1, 1)
    batch = {'search': images, 'scene': torch.arange(3000)}
    found = augment(batch, settings, (3,))['search'][:, 0, 0].numpy()
    for measure in (np.mean, np.std, np.min, np.max):
        assert measure(found, axis=0) == pytest.approx(measure(expected, axis=0), abs=2.5)
    one, another = (np.corrcoef(values[:, 0], values[:, 1])[0, 1] for values in (found, expected))
    assert one == pytest.approx(another, abs=0.1)  # whether the channels change together


def test_blurs_are_those_of_the_cpu() -> None:
    settings = AppearanceSettings(blur=0.8)
    image = np.random.default_rng(4).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    rows = _batch(count=1, frames=30)['images']
    rows = torch.from_numpy(image).expand_as(rows)
    found = augment({'images': rows, 'scene': torch.zeros(1)}, settings, (7,))['images'][0].numpy()
    rng = np.random.default_rng((7,))
    rng.random(1)  # whether the example becomes grey
    light = [rng.random((30, n)) for n in (1, 1, 3, 1)]
    assert len(light) == 4
    kinds = set()
    for each in found:
        state = rng.bit_generator.state
        kernel = draw_kernel(rng, settings)
        after = rng.bit_generator.state
        rng.bit_generator.state = state
        expected = augmentation.blur(image, rng, settings)
        assert rng.bit_generator.state == after  # the same draws
        assert kernel.shape == (15, 15) and kernel.sum() == pytest.approx(1, abs=1e-5)
        assert np.abs(each.astype(int) - expected).max() <= 2
        kinds.add(int(np.count_nonzero(kernel)))
    assert 1 in kinds and len(kinds) > 5


def test_noise_and_grey() -> None:
    settings = AppearanceSettings(grey=0.5, noise=20.0)
    flat = torch.full((200, 2, 16, 16, 3), 128, dtype=torch.uint8)
    flat[..., 0] = 90
    found = augment({'images': flat, 'scene': torch.arange(200)}, settings, (9,))['images']
    grey = (found[..., 0] == found[..., 2]).flatten(1).all(1)
    assert 60 < grey.sum() < 140
    expected = 0.299 * 90 + 0.701 * 128
    assert found[grey].float().mean().item() == pytest.approx(expected, abs=0.5)
    sigmas = found[~grey].float().flatten(0, 1)[..., 1].flatten(1).std(1)
    assert sigmas.mean().item() == pytest.approx(10, abs=1.5) and 17 < sigmas.max() < 24
    same = found[~grey].int()
    moved = same - torch.tensor([90, 128, 128])
    assert torch.equal(moved[..., 1], moved[..., 2])  # the noise has no colour, as on the CPU


def test_rest_of_the_augmentation_stays_with_the_data(content: dict[str, Any]) -> None:
    content['augmentation'] = {'flip': 0.5, 'grey': 0.2, 'noise': 5, 'scale': 0.1, 'occluder': 0.2}
    recipe = parse_recipe(content)
    assert isinstance(recipe, SiamFCRecipe)
    left = without_appearance(recipe).augmentation
    assert (left.flip, left.scale, left.occluder) == (0.5, 0.1, 0.2)
    assert (left.grey, left.noise) == (0, 0)
    assert recipe.augmentation.grey == 0.2


@pytest.mark.parametrize('recipe', [UDTRecipe(), DiMPRecipe(features=FeatureSettings(examples=9))])
def test_recipes_without_images_to_augment_are_refused(recipe: Any) -> None:
    with pytest.raises(DataError, match='augment_on_device needs a recipe that augments images'):
        without_appearance(recipe)


def test_run_goes_on_with_the_same_draws(content: dict[str, Any], tmp_path: Path) -> None:
    content['augmentation'] = {'grey': 0.5, 'noise': 9, 'blur': 0.5, 'contrast': 0.3}
    content['schedule'] |= {'augment_on_device': True, 'examples_per_epoch': 2}
    recipe = parse_recipe(content)
    Run(recipe, tmp_path / 'whole').train()
    half = Run(recipe, tmp_path / 'half')
    half._validate = lambda board: _stop(half)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        half.train()
    resumed = Run(recipe, tmp_path / 'half')
    resumed.resume(tmp_path / 'half' / 'last.pt')
    resumed.train()
    whole, parts = (checkpoint.load(tmp_path / n / 'last.pt') for n in ('whole', 'half'))
    for name, tensor in whole['network'].items():
        assert torch.equal(tensor, parts['network'][name]), name


def _stop(run: Run) -> float:
    """Save as after an epoch and end, as if the machine went down."""
    run.epoch, run.position = 1, 0
    run.save('last.pt')
    raise KeyboardInterrupt
