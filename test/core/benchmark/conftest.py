"""Tiny sequences of a moving square, and data sets of them in every layout."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

SHARED_EVAL = Path(__file__).parents[4] / 'shared' / 'data' / 'eval'


class Tiny:
    """Makes tiny sequences of a moving square."""

    size = (80, 60)
    """Width and height of the images."""

    def truth(self, count: int) -> np.ndarray:
        """Boxes (N, 4) of the square, the first pixel being 0."""
        return np.array([[10.0 + 2 * (i % 20), 20.0 + i % 20, 16, 14] for i in range(count)])

    def picture(self, index: int) -> np.ndarray:
        """BGR image of frame `index` (0-based)."""
        rng = np.random.default_rng(5)
        image = rng.integers(60, 110, (self.size[1], self.size[0], 3), dtype=np.uint8)
        square = rng.integers(0, 255, (7, 8, 3), dtype=np.uint8).repeat(2, 0).repeat(2, 1)
        left, top = (int(value) for value in self.truth(index + 1)[index, :2])
        image[top : top + 14, left : left + 16] = square
        return image

    def write_images(self, folder: Path, numbers: range, pattern: str) -> None:
        """Write pictures 0, 1, ... under the given numbers."""
        folder.mkdir(parents=True, exist_ok=True)
        for index, number in enumerate(numbers):
            assert cv2.imwrite(str(folder / pattern.format(number)), self.picture(index))

    def write_rows(self, path: Path, rows: np.ndarray, separator: str = ',') -> None:
        """Write rows of numbers as text."""
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (separator.join(f'{value:g}' for value in row) for row in np.atleast_2d(rows))
        path.write_text('\n'.join(lines) + '\n')


@pytest.fixture
def tiny() -> Tiny:
    """Maker of tiny sequences."""
    return Tiny()


@pytest.fixture
def kcf() -> str:
    """Name of the fastest baseline; skips where the installed OpenCV lacks it."""
    if not hasattr(cv2, 'TrackerKCF'):
        pytest.skip(f'OpenCV {cv2.__version__} has no KCF: it is in opencv-contrib-python')
    return 'kcf'


@pytest.fixture
def eval_folder() -> Path:
    """Real sequences beside the checkout."""
    if not SHARED_EVAL.is_dir():
        pytest.skip(f'no sequences at {SHARED_EVAL}')
    return SHARED_EVAL


@pytest.fixture
def folders(tmp_path: Path, tiny: Tiny) -> Callable[..., Path]:
    """Make a root of sequence folders; returns it."""

    def make(*names: str, count: int = 8) -> Path:
        root = tmp_path / 'sequences'
        for name in names:
            tiny.write_images(root / name, range(1, count + 1), '{:04d}.png')
            tiny.write_rows(root / name / 'groundtruth.txt', tiny.truth(count))
        return root

    return make
