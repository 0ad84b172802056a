"""Targets in numbered image files, found without reading the images, and what was wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from training.datasets import DataError, Image, UnreadableError, View, read_image, spread

Visibility = Literal['visible', 'clear']
Flags = NDArray[np.bool_]
_SHOWN = 20


@dataclass(frozen=True)
class Selection:
    """Which part of a data set is used."""

    split: str = ''
    """Name of the part, as each reader says; empty: the published training part."""
    without: frozenset[str] = frozenset()
    """Names of recordings that are left out."""
    visibility: Visibility = 'visible'
    """'visible': some of the target can be seen. 'clear': most of it, where a data set says so."""


@dataclass(frozen=True, slots=True)
class Target:
    """One target in numbered image files.

    frames: (n,) increasing numbers, also those of the files. boxes_ltwh: (n, 4) in pixels, the
    first pixel being 0. size: (width, height) of the images. labels: folder of label images with
    the same numbers, in which the target has `value`.
    """

    name: str
    scene: str
    folder: Path
    pattern: str
    frames: NDArray[np.int64]
    boxes_ltwh: NDArray[np.float64]
    size: tuple[int, int]
    labels: Path | None = None
    value: int = 0
    weight: float = 1.0

    def path(self, position: int) -> Path:
        """File of the image at a position (0 .. n-1)."""
        number = int(self.frames[position])
        return self.folder / (self.pattern % number if '%' in self.pattern else self.pattern)

    def image(self, position: int) -> Image:
        """Image uint8 (H, W, 3), RGB, at a position; UnreadableError where it cannot be."""
        return read_image(self.path(position))

    def mask(self, position: int) -> Image | None:
        """Mask uint8 (H, W), 255 on the target; None where only boxes are known."""
        if self.labels is None:
            return None
        labels = read_labels(self.labels / f'{self.path(position).stem}.png')
        return np.where(labels == self.value, 255, 0).astype(np.uint8)

    def views(self, max_frames: int) -> Iterator[View]:
        """Views of at most `max_frames` frames, evenly spaced, read one by one."""
        for position in spread(len(self.frames), max_frames).tolist():
            yield self.view(position)

    def view(self, position: int) -> View:
        """View of the frame at a position; UnreadableError where it cannot be read."""
        left, top, width, height = self.boxes_ltwh[position].tolist()
        return View(
            self.name,
            self.scene,
            int(self.frames[position]),
            self.image(position),
            (left, top, width, height),
            self.mask(position),
        )


@dataclass
class Findings:
    """What a reader came across besides targets."""

    skipped: Counter[str] = field(default_factory=Counter)
    """Frames that are not used, by reason."""
    problems: list[str] = field(default_factory=list)
    """Files that are missing or damaged; nothing is trained while there are any."""

    def has(self, path: Path) -> bool:
        """Whether a file or folder exists; a missing one becomes a problem."""
        if path.exists():
            return True
        self.problems.append(f'{path} is missing')
        return False

    def usable(self, boxes: NDArray[np.float64], hidden: Mapping[str, Flags]) -> Flags:
        """Rows of boxes (n, 4) that are used; the others are counted under their reason.

        hidden: reason -> (n,) True where a label of the data set rules a frame out.
        """
        present = np.isfinite(boxes).all(axis=1)
        sized = (np.nan_to_num(boxes[:, 2:]) > 0).all(axis=1)
        kept = np.ones(len(boxes), bool)
        reasons = {'target absent': ~present, 'box without area': present & ~sized, **hidden}
        for reason, applies in reasons.items():
            self.skipped[reason] += int(np.count_nonzero(kept & applies))
            kept &= ~applies
        self.skipped += Counter()  # without those that never applied
        return kept

    def existing(self, folder: Path, names: list[str]) -> Flags:
        """Which of some files are in a folder; each missing one becomes a problem."""
        there = {path.name for path in folder.iterdir()} if folder.is_dir() else set()
        self.problems += [f'{folder / name} is missing' for name in names if name not in there]
        return np.array([name in there for name in names], bool)

    def read_numbers(self, path: Path, count: int | None = None) -> NDArray[np.float64] | None:
        """Rows of numbers in a text file; a missing or damaged one becomes a problem.

        count: how many numbers are expected in all.
        """
        if not self.has(path):
            return None
        try:
            numbers = np.loadtxt(path, delimiter=',', ndmin=2)
        except ValueError as error:
            self.problems.append(f'{path}: {error}')
            return None
        if count is not None and numbers.size != count:
            self.problems.append(f'{path} has {numbers.size} numbers, expected {count}')
            return None
        return numbers

    def image_size(self, path: Path) -> tuple[int, int] | None:
        """Width and height of an image file; an unreadable one becomes a problem."""
        try:
            with _open_image(path) as image:
                width, height = image.size
        except DataError as error:
            self.problems.append(str(error))
            return None
        return int(width), int(height)

    def check(self, root: Path) -> None:
        """Raise DataError, which lists the problems, where there are any."""
        if self.problems:
            shown = ''.join(f'\n  {problem}' for problem in self.problems[:_SHOWN])
            rest = len(self.problems) - _SHOWN
            more = f'\n  and {rest} more' if rest > 0 else ''
            raise DataError(
                f'{root}: {len(self.problems)} files are missing or damaged:{shown}{more}\n'
                'Complete the data set, or leave recordings out with `without` in the source'
            )


def read_labels(path: Path) -> NDArray[np.uint8]:
    """Label image (H, W): numbers of a palette or grey values; DataError where unreadable."""
    with _open_image(path) as image:
        if image.mode not in ('P', 'L', '1'):
            raise DataError(f'{path} is no label image: it has colours ({image.mode})')
        return np.array(image, np.uint8)


@contextmanager
def _open_image(path: Path) -> Iterator[Any]:
    """Open an image with Pillow: OpenCV knows neither sizes without pixels nor palettes."""
    try:
        from PIL import Image as ImageFile
    except ImportError as error:
        raise DataError('this data set needs Pillow: pip install pillow') from error
    try:
        with ImageFile.open(path) as image:
            yield image
    except OSError as error:
        raise UnreadableError(f'{path} is missing or no image') from error
