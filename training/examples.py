"""From stored crops to batches of examples."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Sequence as Sequences
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from training import siamfc
from training.augmentation import AugmentationSettings, Image
from training.crops import Sequence, load_source
from training.datasets import DataError
from training.readable import ReadableExamples
from training.recipe import Schedule, SiamFCRecipe
from training.sampling import plan_epoch
from training.sources import Source, load_each

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


def load_examples(recipe: SiamFCRecipe) -> tuple[Examples, Examples | None]:
    """Training examples, and those of the held-out scenes without random changes.

    Raises DataError where the sources do not hold what the recipe asks for.
    """
    found: dict[bool, list[Sequence]] = {False: [], True: []}

    def load(source: Source) -> list[Sequence]:
        data, cache = Path(recipe.data), Path(recipe.cache)
        return load_source(source, data, cache, recipe.crops, recipe.frames)

    for source, sequences in load_each(recipe.sources, load):
        found[source.kind == 'backgrounds'] += sequences
    kept, held_out = split(found[False], recipe.held_out)
    schedule = recipe.schedule
    count = schedule.examples_per_epoch or len(kept)
    if count < schedule.batch_size:
        raise DataError(
            f'{count} pairs per epoch do not fill one batch of {schedule.batch_size}: set '
            'schedule.examples_per_epoch'
        )
    settings, augmentation = recipe.settings, recipe.augmentation
    training = Examples(kept, found[True], count, schedule.seed, settings, augmentation)
    if not held_out:
        return training, None
    plain = AugmentationSettings(stretch=0.0, shift=0)
    pairs = schedule.validation_examples
    return training, Examples(held_out, [], pairs, schedule.seed, settings, plain)


def make_loader(
    examples: Dataset[Any],
    sampler: Sampler[tuple[int, int]],
    schedule: Schedule,
    processes: int = 1,
) -> DataLoader[Any]:
    """Batches, of this one of several processes, of the examples whose keys the sampler gives.

    An example of which an image cannot be read is replaced, see `ReadableExamples`.
    """
    return DataLoader(
        ReadableExamples(examples),
        batch_size=schedule.batch_size // processes,
        sampler=sampler,
        num_workers=schedule.workers,
        # Its own, because a loader draws a number each time it is started, also after a resume.
        generator=torch.Generator(),
        worker_init_fn=_leave_signals_to_the_run,
    )


def _leave_signals_to_the_run(_: int) -> None:
    """Ignore in a worker what Ctrl-C or a service manager sends to all processes at once.

    A worker that dies of it would end the run before it has saved its state. What the run itself
    sends still ends the worker: a run that fails would else wait for it for ever.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if not hasattr(signal, 'sigwaitinfo'):  # macOS
        return
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    threading.Thread(target=_end_with_the_run, args=(os.getppid(),), daemon=True).start()


def _end_with_the_run(run: int) -> None:
    """End the process as soon as its parent sends SIGTERM."""
    while signal.sigwaitinfo([signal.SIGTERM]).si_pid != run:
        pass
    os._exit(0)


def split(
    sequences: list[Sequence], held_out: tuple[str, ...]
) -> tuple[list[Sequence], list[Sequence]]:
    """Sequences to train on and those of the held-out scenes; DataError where none is left."""
    unknown = set(held_out) - {sequence.scene for sequence in sequences}
    if unknown:
        raise DataError(f'held_out names unknown scenes: {", ".join(sorted(unknown))}')
    kept = [sequence for sequence in sequences if sequence.scene not in held_out]
    if not kept:
        raise DataError('no sequence is left to train on: shorten `held_out` or add sources')
    return kept, [sequence for sequence in sequences if sequence.scene in held_out]


def _draw(sequences: list[Sequence], rng: np.random.Generator) -> Image | None:
    """Any crop of any of the sequences; None where there is no sequence."""
    if not sequences:
        return None
    crops = sequences[rng.integers(len(sequences))].crops
    return np.asarray(crops[rng.integers(len(crops))])
