"""What a reader returns: a data set, its sequences, and the form of its result files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker_core.box import Box
from tracker_core.sequence import Boxes
from tracker_core.tracker import Image
from tracker_core.video import DEFAULT_FPS, FrameSource, read_image

#: 'flat': <sequence>.txt; 'nested': <sequence>/<sequence>_001.txt, as GOT-10k and VOT want it.
ResultLayout = Literal['flat', 'nested']
#: 'one-pass': never re-initialised; 'vot': re-initialised five frames after each failure.
Protocol = Literal['one-pass', 'vot']


class ImageList:
    """Image files in a given order."""

    def __init__(self, name: str, paths: list[Path], fps: float = DEFAULT_FPS) -> None:
        self.name = name
        self.paths = paths
        self.fps = fps
        self.count: int | None = len(paths)

    def __iter__(self) -> Iterator[Image]:
        """RGB frames, uint8 (H, W, 3)."""
        return map(read_image, self.paths)


@dataclass(frozen=True)
class BenchmarkSequence:
    """One target in one video."""

    name: str
    frames: FrameSource
    truth: Boxes
    """(N, 4) left, top, width, height, the first pixel being 0; nan where the target is absent.
    A single row where only the first box is public."""
    visible: NDArray[np.bool_] | None = None
    """(N,); False where the target is hidden although annotated."""
    attributes: tuple[str, ...] = ()
    """Published attributes that hold for the whole sequence."""
    polygons: NDArray[np.float64] | None = None
    """(N, 8) corners x, y of the annotated region, where it is more than a box."""
    start: Box | None = None
    """Box to start from where it is not the first of `truth`."""

    @property
    def first_box(self) -> Box:
        """The box a tracker starts from."""
        return self.start or Box(*map(float, self.truth[0]))

    @property
    def length(self) -> int:
        """Number of frames."""
        return self.frames.count or len(self.truth)

    @cached_property
    def annotation_digest(self) -> str:
        """First digits of the SHA-256 of the annotation, to the thousandth of a pixel."""
        rows = self.truth if self.polygons is None else self.polygons
        count = len(rows) if self.is_public else self.length
        lines = [','.join(f'{value:.3f}' for value in row) for row in np.round(rows, 3) + 0.0]
        return hashlib.sha256('\n'.join([str(count), *lines]).encode()).hexdigest()[:16]

    def image_size(self) -> tuple[int, int]:
        """Width and height of the first frame, which is read for it; ValueError without one."""
        image = next(iter(self.frames), None)
        if image is None:
            raise ValueError(f'{self.name} holds no frames')
        height, width = image.shape[:2]
        return width, height

    @property
    def is_public(self) -> bool:
        """Whether the annotation goes beyond the first frame."""
        return len(self.truth) > 1


@dataclass(frozen=True)
class Dataset:
    """Sequences that are evaluated together."""

    name: str
    title: str
    sequences: tuple[BenchmarkSequence, ...]
    protocol: Protocol = 'one-pass'
    layout: ResultLayout = 'flat'
    decimals: int = 3
    """Digits after the point in the result files."""
    origin: int = 0
    """Coordinate of the first pixel in published annotations and result files."""
    family: str = ''
    """'uav' and 'lasot' have exceptions in pytracking's convention, 'got10k' its own measures."""
    eao_interval: tuple[int, int] | None = None
    """Sequence lengths over which the expected average overlap is taken (VOT)."""
    names: Mapping[str, BenchmarkSequence] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, 'names', {each.name: each for each in self.sequences})
        if len(self.names) != len(self.sequences):
            raise ValueError(f'{self.title}: two sequences have the same name')
