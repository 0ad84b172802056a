"""Examples of FCOT: the search areas of DiMP without proposals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from torch.utils.data import Dataset

from training.dimp_examples import SearchAreaExamples, draw_examples
from training.search_areas import make_example

if TYPE_CHECKING:
    from training.recipe import DiMPRecipe, FCOTRecipe


class CropExamples(SearchAreaExamples):
    """Examples by key (epoch, position) on which alone they depend, with the recipe's seed."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return crops, boxes and scene of example `position` of `epoch`."""
        epoch, position = key
        cv2.setNumThreads(0)  # the cores belong to the training step
        track = self.tracks[self._track_at(epoch, position)]
        rng = np.random.default_rng([self.recipe.schedule.seed, epoch, position])
        example = make_example(track, rng, self.recipe.areas, self.appearance)
        return {**example, 'scene': self._scenes[track.scene]}


def load_examples(recipe: FCOTRecipe) -> tuple[Dataset[Any], Dataset[Any] | None]:
    """Training examples, and those of the held-out scenes without changes of light.

    Raises DataError where the sources do not hold what is asked for.
    """
    training, validation = (
        each and CropExamples(each.tracks, each.count, each.recipe, each.appearance)
        for each in draw_examples(cast('DiMPRecipe', recipe))
    )
    assert training is not None
    return training, validation
