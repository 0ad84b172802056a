"""A folder of sequences, each with frames (or a video) and groundtruth.txt."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.sequence import Boxes, find_annotation, open_sequence, read_boxes
from tracker_core.video import FrameSource, open_video


def read_folders(root: Path) -> Dataset:
    """Read every folder in `root` that holds an annotation; `root` may itself be such a folder."""
    own = [root] if find_annotation(root) else []
    inner = sorted(path for path in root.iterdir() if path.is_dir() and find_annotation(path))
    if not own and not inner:
        raise FileNotFoundError(
            f'{root} holds no sequence: expected {root}/NAME/groundtruth.txt (one line '
            'left,top,width,height per frame) beside images, img/ or a video'
        )
    return Dataset('folders', root.name, tuple(map(_read, own or inner)))


def read_video(root: Path) -> Dataset:
    """Read a video file with its boxes in a text file of the same name: clip.mp4, clip.txt."""
    annotation = root.with_suffix('.txt')
    if not root.is_file() or not annotation.is_file():
        raise FileNotFoundError(f'expected a video {root} and its boxes {annotation}')
    boxes = read_boxes(annotation)
    return Dataset('video', root.stem, (_checked(root.stem, open_video(root), boxes),))


def _read(folder: Path) -> BenchmarkSequence:
    sequence = open_sequence(folder)
    return _checked(sequence.name, sequence.frames, sequence.boxes)


def _checked(name: str, frames: FrameSource, boxes: Boxes) -> BenchmarkSequence:
    if np.isnan(boxes[0]).any():
        raise ValueError(f'{name}: the first line of the annotation must be a box')
    return BenchmarkSequence(name, frames, boxes)
