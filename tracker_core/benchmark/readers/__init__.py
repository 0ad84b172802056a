"""Readers of the published data set layouts."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.readers.folders import read_folders, read_video
from tracker_core.benchmark.readers.lists import (
    read_got10k,
    read_lasot,
    read_tc128,
    read_trackingnet,
)
from tracker_core.benchmark.readers.ranges import read_nfs, read_otb, read_uav
from tracker_core.benchmark.readers.scenes import SYNTHETIC, read_scenes
from tracker_core.benchmark.readers.vot import EAO_INTERVALS, read_vot

_Reader = Callable[[Path, Sequence[str] | None, str], Dataset]
_READERS: dict[str, _Reader] = {
    'folders': read_folders,
    'video': read_video,
    'otb2013': read_otb,
    'otb50': read_otb,
    'otb100': read_otb,
    'nfs': read_nfs,
    'uav123': read_uav,
    'uav123_10fps': read_uav,
    'uav20l': read_uav,
    'lasot': read_lasot,
    'trackingnet': read_trackingnet,
    'got10k_val': read_got10k,
    'got10k_test': read_got10k,
    'tc128': read_tc128,
    **dict.fromkeys(EAO_INTERVALS, read_vot),
}


def dataset_names() -> tuple[str, ...]:
    """Names that `open_dataset` accepts."""
    return (*_READERS, SYNTHETIC)


def open_dataset(
    name: str, root: str | os.PathLike[str] | None = None, only: Sequence[str] | None = None
) -> Dataset:
    """Read the annotation of a data set; images are read when they are needed.

    root: its folder; `synthetic` has none. only: names of the sequences that are wanted, the
    others need not be there. Raises ValueError for an unknown name, a root too many or too few
    and a file that cannot be understood, FileNotFoundError that says which file was expected
    where.
    """
    if name not in dataset_names():
        raise ValueError(f'unknown data set {name!r}; valid: {", ".join(dataset_names())}')
    if name == SYNTHETIC:
        if root is not None:
            raise ValueError(f'{SYNTHETIC} is rendered and lies in no folder: leave out --root')
        return read_scenes(only)
    if root is None:
        raise ValueError('give the folder of the data set with --root or $DATASET_ROOT')
    root = Path(root)
    if not root.exists():
        raise FileNotFoundError(f'no folder {root}')
    return _READERS[name](root, only, name)
