"""Tiny data sets in the published layouts."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.readers.index import LAYOUTS
from training.readers.target import Findings, Selection, Target

Frames = Callable[..., None]
Find = Callable[..., list[Target]]


@pytest.fixture
def write_frames(moving_frame: Callable[[int, int], np.ndarray]) -> Frames:
    """Return the writer of frames 0 .. count-1: (folder, pattern, count, first=0)."""

    def write(folder: Path, pattern: str, count: int, first: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        for index in range(count):
            path = folder / (pattern % (index + first))
            assert cv2.imwrite(str(path), moving_frame(3, index)[..., ::-1])

    return write


@pytest.fixture
def find() -> Find:
    """Return the caller of a reader: (kind, root, findings=None, **selection) -> targets."""

    def call(
        kind: str, root: Path, findings: Findings | None = None, **selection: object
    ) -> list[Target]:
        chosen = Selection(**selection)  # type: ignore[arg-type]
        found = findings or Findings()
        targets = list(LAYOUTS[kind].read(root, chosen, found))
        if findings is None:
            assert found.problems == []
        return targets

    return call
