"""Plain folders: images, `img/` as in OTB, or a video, with the boxes in groundtruth.txt."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from tracker_core.sequence import open_sequence
from tracker_core.video import ImageFolder
from training.datasets import DataError, View, check_end, find_usable, scene_of, spread


def read_folder(folder: Path, max_frames: int) -> Iterator[View]:
    """Views of one sequence folder (see `tracker_core.sequence.open_sequence`), without masks.

    Frames whose box is nan or has no area are left out; of the rest at most `max_frames` are
    taken, evenly spaced. Raises DataError for a folder that cannot be read, or of which images and
    boxes differ in number.
    """
    try:
        sequence = open_sequence(folder)
        frames = np.flatnonzero(find_usable(sequence.boxes, folder))
        wanted = set(frames[spread(len(frames), max_frames)].tolist()) if len(frames) else set()
        count = 0
        for count, image in enumerate(sequence.frames, start=1):
            if count - 1 in wanted:
                if isinstance(sequence.frames, ImageFolder):
                    path = sequence.frames.paths[count - 1]
                    check_end(path.read_bytes(), path)
                left, top, width, height = sequence.boxes[count - 1].tolist()
                box = (left, top, width, height)
                yield View(folder.name, scene_of(folder.name), count - 1, image, box)
    except (OSError, ValueError) as error:
        raise error if isinstance(error, DataError) else DataError(str(error)) from error
    if count != len(sequence.boxes):
        raise DataError(f'{folder}: {len(sequence.boxes)} boxes, but {count} images')
