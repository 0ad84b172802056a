"""Which frames are used, which two of them form a pair, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler


@dataclass(frozen=True)
class FrameFilter:
    """Targets that are used; the defaults are those of the published code. Sizes in pixels."""

    min_area: float = 20.0
    min_side: float = 20.0
    max_side: float = 500.0
    min_share: float = 0.01
    """Smallest width / image width and height / image height."""
    max_share: float = 0.5
    """Largest width / image width and height / image height."""
    min_aspect: float = 0.25
    """Smallest width / height."""
    max_aspect: float = 4.0
    """Largest width / height."""

    def accepts(self, box: tuple[float, ...], image_shape: tuple[int, ...]) -> bool:
        """Whether a target (left, top, width, height) in an image (H, W, ...) is used."""
        left, top, width, height = box
        if not min(width, height) > 0:
            return False
        if left >= image_shape[1] or top >= image_shape[0] or min(left + width, top + height) <= 0:
            return False  # nothing of it is in the image
        shares = width / image_shape[1], height / image_shape[0]
        return (
            width * height >= self.min_area
            and self.min_side <= min(width, height)
            and max(width, height) <= self.max_side
            and self.min_share <= min(shares)
            and max(shares) <= self.max_share
            and self.min_aspect <= width / height <= self.max_aspect
        )


def draw_pair(
    frames: NDArray[np.integer], max_gap: int, rng: np.random.Generator, tries: int = 100
) -> tuple[int, int]:
    """Positions (exemplar, search) of two frames, the exemplar earlier, less than max_gap apart.

    frames: increasing frame numbers of one sequence. Where `tries` draws find no such pair, and in
    a sequence of one frame, the same frame is returned twice.
    """
    for _ in range(tries if len(frames) > 1 else 0):
        first, second = sorted(rng.choice(len(frames), 2, replace=False).tolist())
        if frames[second] - frames[first] < max_gap:
            return first, second
    only = int(rng.integers(len(frames)))
    return only, only


def plan_epoch(
    weights: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.intp]:
    """Sequence of every pair of an epoch, (count,), in random order.

    Sequence i occurs count * weights[i] / sum(weights) times, rounded up or down at random
    (systematic sampling): with equal weights and as many pairs as sequences each occurs once.
    """
    edges = np.cumsum(weights) / np.sum(weights) * count
    ticks = np.arange(count) + rng.uniform(1e-6, 1 - 1e-6)
    return rng.permutation(np.searchsorted(edges, ticks).clip(0, len(weights) - 1))


class EpochSampler(Sampler[tuple[int, int]]):
    """Keys (epoch, position) of one epoch, from `start` on, every `step`-th.

    The key is all an example's randomness depends on, so neither the number of workers nor an
    interruption changes what is seen.
    """

    def __init__(self, epoch: int, count: int, start: int = 0, step: int = 1) -> None:
        self.epoch = epoch
        self.positions = range(start, count, step)

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, position) for position in self.positions)

    def __len__(self) -> int:
        return len(self.positions)


class SharedSampler(Sampler[tuple[int, int]]):
    """Keys of one process's share of the full batches of an epoch, from position `start` on.

    share: (number of this process, number of processes). Every batch is cut into equal parts, one
    after another, so that the batches do not depend on how many processes there are.
    """

    def __init__(
        self, epoch: int, count: int, batch: int, start: int = 0, share: tuple[int, int] = (0, 1)
    ) -> None:
        self.epoch = epoch
        number, processes = share
        part = batch // processes
        self.positions = [
            position
            for first in range(start, count - batch + 1, batch)
            for position in range(first + number * part, first + (number + 1) * part)
        ]

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return ((self.epoch, position) for position in self.positions)

    def __len__(self) -> int:
        return len(self.positions)
