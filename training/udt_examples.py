"""Examples of training without labels: some frames of a window, and where they are searched."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch.utils.data import Dataset

from training.crops import Sequence, load_source
from training.datasets import DataError
from training.examples import split
from training.sampling import plan_epoch
from training.sources import load_each

if TYPE_CHECKING:
    from training.recipe import UDTRecipe


class WindowExamples(Dataset[dict[str, Any]]):
    """Examples by key (epoch, position) on which alone they depend, with the recipe's seed."""

    def __init__(self, windows: Sequences[Sequence], count: int, recipe: UDTRecipe) -> None:
        self.windows, self.count, self.recipe = list(windows), count, recipe
        self._weights = np.array([window.weight for window in windows])
        scenes = sorted({window.scene for window in windows})
        self._scenes = {scene: number for number, scene in enumerate(scenes)}
        self._plan: tuple[int, np.ndarray[Any, np.dtype[np.intp]]] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return `crops`, `centers` and scene of example `position` of `epoch`; see `udt.loss`."""
        epoch, position = key
        seed, settings = self.recipe.schedule.seed, self.recipe.settings
        if self._plan is None or self._plan[0] != epoch:
            rng = np.random.default_rng([seed, epoch])
            self._plan = epoch, plan_epoch(self._weights, self.count, rng)
        window = self.windows[int(self._plan[1][position])]
        rng = np.random.default_rng([seed, epoch, position])
        later = 1 + rng.choice(len(window.frames) - 1, settings.steps, replace=False)
        crops = window.crops[[0, *sorted(later.tolist())], ..., :3]
        reach = settings.shift
        centers = rng.integers(-reach, reach, (settings.steps + 1, 2), endpoint=True)
        scene = self._scenes[window.scene]
        return {'crops': np.array(crops), 'centers': centers, 'scene': scene}


def load_examples(recipe: UDTRecipe) -> tuple[WindowExamples, WindowExamples | None]:
    """Training examples, and those of the recordings that are held out.

    Raises DataError where the recordings do not hold what the recipe asks for.
    """
    settings, schedule = recipe.settings, recipe.schedule
    if recipe.crops.size < settings.search_size + 2 * settings.shift:
        raise DataError(
            f'crops.size {recipe.crops.size} is less than settings.search_size '
            f'{settings.search_size} and twice settings.shift {settings.shift}'
        )
    data, cache = Path(recipe.data), Path(recipe.cache)
    loaded = load_each(
        recipe.sources, lambda s: load_source(s, data, cache, recipe.crops, recipe.frames)
    )
    windows = [window for _, found in loaded for window in found]
    short = [window.name for window in windows if len(window.frames) <= settings.steps]
    if short:
        raise DataError(f'{short[0]} has too few frames for settings.steps: raise `kept`')
    kept, held_out = split(windows, recipe.held_out)
    count = schedule.examples_per_epoch or len(kept)
    if count < schedule.batch_size:
        raise DataError(
            f'{count} windows per epoch do not fill one batch of {schedule.batch_size}: set '
            'schedule.examples_per_epoch'
        )
    training = WindowExamples(kept, count, recipe)
    if not held_out:
        return training, None
    return training, WindowExamples(held_out, schedule.validation_examples, recipe)
