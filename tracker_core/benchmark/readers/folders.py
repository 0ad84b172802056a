"""A folder of sequences, each with frames (or a video) and groundtruth.txt; or one video."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.benchmark.readers import files
from tracker_core.sequence import find_annotation, open_sequence
from tracker_core.video import ImageFolder, open_video


def read_folders(root: Path, only: Sequence[str] | None, name: str) -> Dataset:
    """Read every folder in `root` that holds an annotation; `root` may itself be such a folder.

    The data set, and with it the folder of its results, has the name of `root`, so that results
    on different folders are kept apart.
    """
    root = root.resolve()
    own = [root] if find_annotation(root) else []
    inner = sorted(path for path in root.iterdir() if path.is_dir() and find_annotation(path))
    if not own and not inner:
        raise FileNotFoundError(
            f'{root} holds no sequence: expected {root}/NAME/groundtruth.txt (one line '
            'left,top,width,height per frame) beside images, img/ or a video'
        )
    by_name = {path.name: path for path in own or inner}
    wanted = files.chosen(list(by_name), only, root.name)
    return Dataset(root.name, root.name, tuple(_read(by_name[each]) for each in wanted))


def read_video(root: Path, only: Sequence[str] | None, name: str) -> Dataset:
    """Read a video file with its boxes in a text file of the same name: clip.mp4, clip.txt."""
    annotation = root.with_suffix('.txt')
    if not root.is_file() or not annotation.is_file():
        raise FileNotFoundError(f'expected a video {root} and its boxes {annotation}')
    files.chosen([root.stem], only, root.name)
    truth = files.startable(files.boxes(annotation, root.name), annotation, root.name)
    sequence = BenchmarkSequence(root.stem, open_video(root), truth)
    return Dataset(root.stem, root.stem, (sequence,))


def _read(folder: Path) -> BenchmarkSequence:
    sequence = open_sequence(folder)
    name, frames, truth = sequence.name, sequence.frames, sequence.boxes
    files.startable(truth, find_annotation(folder) or folder, name)
    if isinstance(frames, ImageFolder) and len(truth) not in (1, frames.count):
        warnings.warn(f'{name}: {len(truth)} boxes for {frames.count} images', stacklevel=2)
    return BenchmarkSequence(name, frames, truth)
