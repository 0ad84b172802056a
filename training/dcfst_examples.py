"""Examples of DCFST: pairs of crops drawn anew for every key, or features that DiMP has stored."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from training.datasets import DataError
from training.dimp_examples import SearchAreaExamples, draw_examples, feature_folder
from training.features import StoredExamples
from training.pairs import make_pair
from training.proposals import perturb_box

if TYPE_CHECKING:
    from training.recipe import DCFSTRecipe, DiMPRecipe


class PairExamples(SearchAreaExamples):
    """Pairs by key (epoch, position) on which alone they depend, with the recipe's seed."""

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return two crops, their boxes, boxes to judge and the scene."""
        epoch, position = key
        cv2.setNumThreads(0)  # the cores belong to the training step
        recipe = cast('DCFSTRecipe', self.recipe)
        track = self.tracks[self._track_at(epoch, position)]
        rng = np.random.default_rng([recipe.schedule.seed, epoch, position])
        example = make_pair(track, rng, recipe.areas, self.appearance)
        example |= draw_boxes(example['boxes_ltwh'], recipe, rng)
        return {**example, 'scene': self._scenes[track.scene]}


class StoredPairs(Dataset[dict[str, Any]]):
    """Pairs by key (epoch, position) out of stored features, each with new boxes to judge.

    The first train frame and one of the test frames of an example of DiMP. An epoch uses none
    twice before all were used.
    """

    def __init__(self, folder: Path, count: int, train_frames: int, recipe: DCFSTRecipe) -> None:
        self.stored = StoredExamples(folder, ('layer2', 'layer3', 'boxes_ltwh', 'scene'))
        self.count, self.recipe, self._train = count, recipe, train_frames
        self._plan: tuple[int, NDArray[np.intp]] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return `layer2` and `layer3` (2, h, w, C), boxes, boxes to judge and the scene."""
        epoch, position = key
        if self._plan is None or self._plan[0] != epoch:
            self.stored.refresh()
            rng = np.random.default_rng([self.recipe.schedule.seed, epoch])
            self._plan = epoch, rng.permutation(len(self.stored))
        order = self._plan[1]
        example = self.stored[int(order[position % len(order)])]
        rng = np.random.default_rng([self.recipe.schedule.seed, epoch, position])
        test = int(rng.integers(len(example['layer2']) - 1))
        frames = [0, self._train + test]
        pair: dict[str, Any] = {
            # Of the train frames, only the first has its `layer2` stored.
            'layer2': example['layer2'][[0, 1 + test]],
            'layer3': example['layer3'][frames],
            'boxes_ltwh': example['boxes_ltwh'][frames],
        }
        pair |= draw_boxes(pair['boxes_ltwh'].numpy(), self.recipe, rng)
        return {**pair, 'scene': example['scene']}


def draw_boxes(
    boxes_ltwh: NDArray[np.floating], recipe: DCFSTRecipe, rng: np.random.Generator
) -> dict[str, Any]:
    """What is judged in the test frame, the second of boxes (2, 4).

    `grid_sizes` (2,): width and height of the proposals that are located; `proposals` (K, 4) and
    their `overlaps` (K,) for the box regressor.
    """
    settings = recipe.settings
    box = boxes_ltwh[1].astype(np.float64)
    factors = np.exp(rng.standard_normal(2) * settings.grid_size_jitter).clip(0.5, 2.0)
    proposals, overlaps = perturb_box(
        box, settings.proposals, settings.proposal_sigmas, settings.proposal_min_iou, rng
    )
    drawn = {'grid_sizes': box[2:] * factors, 'proposals': proposals, 'overlaps': overlaps}
    return {name: np.asarray(value, np.float32) for name, value in drawn.items()}


def load_examples(recipe: DCFSTRecipe) -> tuple[Dataset[Any], Dataset[Any] | None]:
    """Training examples, and those of the held-out scenes without changes of light.

    Raises DataError where the sources, or the stored features, do not hold what is asked for.
    """
    if recipe.features_of:
        return _load_stored(recipe)
    drawn = draw_examples(cast('DiMPRecipe', recipe))
    training, validation = (
        each and PairExamples(each.tracks, each.count, each.recipe, each.appearance)
        for each in drawn
    )
    assert training is not None
    return training, validation


def _load_stored(recipe: DCFSTRecipe) -> tuple[Dataset[Any], Dataset[Any]]:
    from training.recipe import DiMPRecipe, read_recipe

    other = read_recipe(Path(recipe.features_of))
    if not isinstance(other, DiMPRecipe) or other.backbone != recipe.backbone:
        raise DataError(
            f'features_of: {recipe.features_of} is no recipe of DiMP with the same `backbone`'
        )
    folder = feature_folder(replace(other, data=recipe.data, cache=recipe.cache))
    schedule, train = recipe.schedule, other.areas.train_frames
    training = StoredPairs(folder / 'training', schedule.examples_per_epoch, train, recipe)
    validation = StoredPairs(folder / 'validation', schedule.validation_examples, train, recipe)
    if not len(training.stored) or len(validation.stored) < schedule.validation_examples:
        raise DataError(
            f'{folder} does not hold enough features: run '
            f'python -m training features {recipe.features_of}'
        )
    return training, validation
