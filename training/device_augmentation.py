"""Changes of light and sharpness by the device that trains, to a whole batch at once.

What they are, and how strong, is as in `training.augmentation`; only the draws differ.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from training.augmentation import AppearanceSettings, draw_kernel
from training.datasets import DataError

Batch = dict[str, Tensor]
#: Parts of batches that hold images, uint8 (B, ..., H, W, 3).
IMAGES = ('images', 'exemplar', 'search')
_LUMINANCE = (0.299, 0.587, 0.114)
_LEFT_TO_DEVICE = ('grey', 'gain', 'brightness', 'contrast', 'colour', 'blur', 'noise')


def without_appearance(recipe: Any) -> Any:
    """Recipe whose examples lack what `augment` does.

    Raises DataError for a recipe without augmentation, or that trains on stored features.
    """
    features = getattr(recipe, 'features', None)
    is_stored = bool(getattr(recipe, 'features_of', '') or (features and features.examples))
    if is_stored or not hasattr(recipe, 'augmentation'):
        raise DataError('schedule.augment_on_device needs a recipe that augments images')
    off = dict.fromkeys(_LEFT_TO_DEVICE, 0.0)
    return replace(recipe, augmentation=replace(recipe.augmentation, **off))


def augment(batch: Batch, settings: AppearanceSettings, seed: Sequence[int]) -> Batch:
    """Change the images of a batch; what is drawn depends on the seed alone.

    Loss of colour applies to all images of an example, the rest to each on its own.
    """
    rng = np.random.default_rng(seed)
    grey = torch.from_numpy(rng.random(len(batch['scene'])) < settings.grey)
    changed = {n: _change(batch[n], grey, settings, rng) for n in IMAGES if n in batch}
    return {**batch, **changed}


def _change(
    images: Tensor, grey: Tensor, settings: AppearanceSettings, rng: np.random.Generator
) -> Tensor:
    values = images.flatten(0, -4).permute(0, 3, 1, 2).float()
    values = _blur(_change_light(values, settings, rng), settings, rng)
    values = _add_noise(values, settings, rng)
    if settings.grey:
        weights = values.new_tensor(_LUMINANCE)[:, None, None]
        shades = (values * weights).sum(1, keepdim=True)
        chosen = grey.repeat_interleave(len(values) // len(grey)).to(values.device)
        values = torch.where(chosen[:, None, None, None], shades, values)
    return values.round().clamp(0, 255).byte().permute(0, 2, 3, 1).reshape(images.shape)


def _change_light(
    values: Tensor, settings: AppearanceSettings, rng: np.random.Generator
) -> Tensor:
    count = len(values)
    gain = rng.uniform(1 - settings.gain, 1 + settings.gain, (count, 1))
    contrast = np.exp(rng.uniform(-settings.contrast, settings.contrast, (count, 1)))
    gains = contrast * np.exp(rng.uniform(-settings.colour, settings.colour, (count, 3)))
    offset = 255 * rng.uniform(-settings.brightness, settings.brightness, (count, 1))
    # (value * gain - 128) * gains + 128 + offset
    factor, shift = (
        torch.as_tensor(each, dtype=torch.float32, device=values.device)[..., None, None]
        for each in (gain * gains, 128 * (1 - gains) + offset)
    )
    return (values * factor + shift).clamp(0, 255)


def _blur(values: Tensor, settings: AppearanceSettings, rng: np.random.Generator) -> Tensor:
    if not settings.blur:
        return values
    drawn = np.stack([draw_kernel(rng, settings) for _ in range(len(values))])
    kernels = torch.from_numpy(drawn).to(values.device)
    margin = kernels.shape[-1] // 2
    padded = functional.pad(values, (margin,) * 4, mode='reflect').flatten(0, 1)[None]
    weights = kernels.repeat_interleave(3, 0)[:, None]
    return functional.conv2d(padded, weights, groups=len(weights)).reshape(values.shape)


def _add_noise(values: Tensor, settings: AppearanceSettings, rng: np.random.Generator) -> Tensor:
    if not settings.noise:
        return values
    generator = torch.Generator(values.device).manual_seed(int(rng.integers(2**62)))
    shape = (len(values), 1, *values.shape[2:])
    noise = torch.randn(shape, generator=generator, device=values.device)
    sigmas = rng.uniform(0, settings.noise, (len(values), 1, 1, 1))
    return values + noise * torch.as_tensor(sigmas, dtype=torch.float32, device=values.device)
