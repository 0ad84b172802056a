"""Readers of the published data set layouts."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.readers.folders import read_folders, read_video

_READERS: dict[str, Callable[[Path], Dataset]] = {
    'folders': read_folders,
    'video': read_video,
}


def dataset_names() -> tuple[str, ...]:
    """Names that `open_dataset` accepts."""
    return tuple(_READERS)


def open_dataset(name: str, root: str | os.PathLike[str]) -> Dataset:
    """Read the annotation of a data set; images are read when they are needed.

    Raises ValueError for an unknown name or a file that cannot be understood, FileNotFoundError
    that says which file was expected where.
    """
    if name not in _READERS:
        raise ValueError(f'unknown data set {name!r}; valid: {", ".join(_READERS)}')
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f'no folder {root}')
    return _READERS[name](root)
