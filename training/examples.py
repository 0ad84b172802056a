"""The torch dataset between stored crops and the loss."""

from __future__ import annotations

from collections.abc import Sequence as Sequences
from typing import Any

import cv2
import numpy as np
from torch.utils.data import Dataset

from training import siamfc
from training.augmentation import AugmentationSettings, Image
from training.crops import Sequence
from training.sampling import plan_epoch

#: Key of the epoch whose examples validation uses; no real epoch has it.
VALIDATION_EPOCH = 2**31


class Examples(Dataset[dict[str, Any]]):
    """Examples by key (epoch, position); see `EpochSampler`.

    What an example looks like depends on (seed, epoch, position) alone.
    """

    def __init__(
        self,
        sequences: Sequences[Sequence],
        backgrounds: Sequences[Sequence],
        count: int,
        seed: int,
        settings: siamfc.SiamFCSettings,
        augmentation: AugmentationSettings,
    ) -> None:
        self.sequences = list(sequences)
        self.backgrounds = list(backgrounds)
        self.objects = [sequence for sequence in sequences if sequence.has_mask]
        self.count, self.seed = count, seed
        self.settings, self.augmentation = settings, augmentation
        self._weights = np.array([sequence.weight for sequence in sequences])
        scenes = sorted({sequence.scene for sequence in sequences})
        self._scenes = {scene: number for number, scene in enumerate(scenes)}
        self._plan: tuple[int, np.ndarray[Any, np.dtype[np.intp]]] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return exemplar and search image of pair `position` of `epoch`, and its scene."""
        epoch, position = key
        cv2.setNumThreads(0)  # the cores belong to the training step
        sequence = self.sequences[self._sequence_at(epoch, position)]
        rng = np.random.default_rng([self.seed, epoch, position])
        example = siamfc.make_example(
            sequence,
            self._borrow_object,
            self._borrow_background,
            rng,
            self.settings,
            self.augmentation,
        )
        return {**example, 'scene': self._scenes[sequence.scene]}

    def _sequence_at(self, epoch: int, position: int) -> int:
        if self._plan is None or self._plan[0] != epoch:
            rng = np.random.default_rng([self.seed, epoch])
            self._plan = epoch, plan_epoch(self._weights, self.count, rng)
        return int(self._plan[1][position])

    def _borrow_object(self, rng: np.random.Generator) -> Image | None:
        return _draw(self.objects, rng)

    def _borrow_background(self, rng: np.random.Generator) -> Image | None:
        return _draw(self.backgrounds, rng)


def _draw(sequences: list[Sequence], rng: np.random.Generator) -> Image | None:
    """Any crop of any of the sequences; None where there is no sequence."""
    if not sequences:
        return None
    crops = sequences[rng.integers(len(sequences))].crops
    return np.asarray(crops[rng.integers(len(crops))])
