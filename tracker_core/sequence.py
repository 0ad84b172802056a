"""A sequence with its annotation, and the text format of boxes."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker_core.atomic import replacing
from tracker_core.box import Box
from tracker_core.video import FrameSource, open_video

ANNOTATION_NAMES = ('groundtruth.txt', 'groundtruth_rect.txt')
VIDEO_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov', '.webm')
Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class Sequence:
    """Frames and, per frame, the box of the target."""

    name: str
    frames: FrameSource
    boxes: Boxes
    """(N, 4) left, top, width, height in pixels as in `Box`; a row of nan where it is absent."""

    @property
    def first_box(self) -> Box:
        """The box a tracker starts from."""
        return Box(*map(float, self.boxes[0]))


def open_sequence(folder: str | os.PathLike[str]) -> Sequence:
    """Open a folder with ``groundtruth.txt`` and one video, or images (or ``img/``).

    A file called ``groundtruth_rect.txt`` has the coordinates of OTB, where the first pixel is 1;
    one is subtracted. Rows without area are frames without the target. Raises FileNotFoundError
    where the annotation is missing, ValueError where it is damaged or there are no frames.
    """
    folder = Path(folder)
    annotation = find_annotation(folder)
    if annotation is None:
        raise FileNotFoundError(f'{folder} holds no {" or ".join(ANNOTATION_NAMES)}')
    boxes = absent_as_nan(read_boxes(annotation))
    if annotation.name == 'groundtruth_rect.txt':
        boxes[:, :2] -= 1
    videos = sorted(p for p in folder.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES)
    return Sequence(folder.name, open_video(videos[0] if videos else folder), boxes)


def find_annotation(folder: Path) -> Path | None:
    """Path of the annotation file in `folder`, if there is one."""
    found = (folder / name for name in ANNOTATION_NAMES)
    return next((path for path in found if path.is_file()), None)


def read_boxes(path: str | os.PathLike[str]) -> Boxes:
    """Read one box per line, four numbers separated by commas, tabs or spaces, as (N, 4).

    Raises ValueError naming the line that is not four numbers ('nan' is one).
    """
    rows = []
    for number, line in enumerate(frame_lines(path), start=1):
        try:
            row = [float(value) for value in line.replace(',', ' ').split()]
        except ValueError:
            row = []
        if len(row) != 4:
            raise ValueError(f'{path}:{number}: expected left,top,width,height, not {line!r}')
        rows.append(row)
    if not rows:
        raise ValueError(f'{path} holds no boxes')
    return np.array(rows, dtype=np.float64)


def frame_lines(path: str | os.PathLike[str]) -> list[str]:
    """Lines of a text file that has one per frame; blank ones at the end are left out.

    Raises ValueError naming the line for a blank one before, which would shift all that follow.
    """
    try:
        lines = Path(path).read_text(encoding='utf-8-sig').rstrip().splitlines()
    except UnicodeDecodeError:
        raise ValueError(f'{path} is not a text file') from None
    blank = next((number for number, line in enumerate(lines, start=1) if not line.strip()), None)
    if blank:
        raise ValueError(f'{path}:{blank} is blank: one line per frame is expected')
    return lines


def absent_as_nan(boxes: Boxes) -> Boxes:
    """Turn rows with any nan, or without area, into rows of nan, in place; returns `boxes`."""
    present = np.nan_to_num(boxes[:, 2:], nan=-1.0).min(axis=1) > 0
    boxes[~present | np.isnan(boxes).any(axis=1)] = np.nan
    return boxes


def write_boxes(path: str | os.PathLike[str], boxes: Boxes, decimals: int = 3) -> None:
    """Write (N, 4) boxes, one per line with commas; the file appears when it is complete."""
    with replacing(path) as temporary:
        np.savetxt(temporary, boxes, fmt=f'%.{decimals}f', delimiter=',')
