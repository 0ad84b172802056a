"""Examples to train on, and those that validate: held-out scenes, or sources of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from training.augmentation import AppearanceSettings, AugmentationSettings
from training.datasets import collect
from training.recipe import Recipe, RecipeError

Load = Callable[[Any], tuple[Any, Any]]


def load_both(load: Load, recipe: Recipe, processes: int = 1) -> tuple[Any, Any]:
    """Data sets of the examples for training and, or None, of those for validation.

    load: returns both for a recipe without `validation`. Raises DataError where the sources do not
    hold what is asked for, and RecipeError where the examples are too few.
    """
    schedule = recipe.schedule
    wanted = [replace(recipe, validation=())]
    if recipe.validation:
        wanted.append(_validating(recipe))
    (training, validation), *own = collect(wanted, load)  # tells what either lacks
    if own:
        validation, _ = own[0]
    if len(training) < schedule.batch_size:
        raise RecipeError(
            f'{len(training)} examples per epoch do not fill one batch of {schedule.batch_size}: '
            'raise schedule.examples_per_epoch or lower schedule.batch_size'
        )
    if validation is None or not schedule.validation_examples:
        return training, None
    if len(validation) < processes:
        raise RecipeError(
            f'schedule.validation_examples {len(validation)} are too few for {processes} processes'
        )
    return training, validation


def _validating(recipe: Recipe) -> Recipe:
    """Recipe that trains on what another one validates on, without random changes of light."""
    features = getattr(recipe, 'features', None)
    if getattr(recipe, 'features_of', '') or (features and features.examples):
        raise RecipeError('`validation` needs images: stored features have `held_out` scenes')
    count = max(recipe.schedule.validation_examples, 1)
    schedule = replace(recipe.schedule, examples_per_epoch=count, batch_size=1)
    changes: dict[str, Any] = {'sources': recipe.validation, 'validation': ()}
    augmentation = getattr(recipe, 'augmentation', None)
    if isinstance(augmentation, AugmentationSettings):
        changes['augmentation'] = AugmentationSettings(stretch=0.0, shift=0)
    elif augmentation is not None:
        changes['augmentation'] = AppearanceSettings()
    return replace(recipe, schedule=schedule, **changes)
