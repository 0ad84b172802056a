"""Run one tracker over one sequence."""

from __future__ import annotations

import random
import time
import zlib
from collections.abc import Callable

import cv2
import numpy as np
import torch

from tracker_core import Box, Tracker
from tracker_core.benchmark.dataset import BenchmarkSequence
from tracker_core.benchmark.results import Seconds
from tracker_core.sequence import Boxes

Progress = Callable[[int], None]


def seed_everything(seed: int, sequence: str, repetition: int) -> int:
    """Seed all generators so that a sequence gives the same result in whatever order it is run.

    Returns the number they were seeded with, for trackers that have a generator of their own.
    """
    mixed = zlib.crc32(f'{seed}/{sequence}/{repetition}'.encode())
    random.seed(mixed)
    np.random.seed(mixed)
    torch.manual_seed(mixed)
    cv2.setRNGSeed(mixed & 0x7FFFFFFF)
    return mixed


def track_once(
    tracker: Tracker, sequence: BenchmarkSequence, progress: Progress = lambda frames: None
) -> tuple[Boxes, Seconds]:
    """Start on the first frame and follow to the last.

    Returns (N, 4) boxes, the first being the given one, and the seconds that the tracker took per
    frame (reading the image excluded). Raises ValueError where the video is shorter than its
    annotation or the tracker reports a box that is not finite.
    """
    boxes: list[tuple[float, float, float, float]] = []
    seconds: list[float] = []
    count = len(sequence.truth) if sequence.is_public else sequence.length
    for index, image in enumerate(sequence.frames):
        if index == count:
            break
        start = time.perf_counter()
        if index == 0:
            tracker.initialize(image, sequence.first_box)
            box = sequence.first_box
        else:
            box = tracker.track(image).box
        seconds.append(time.perf_counter() - start)
        boxes.append(_checked(box, sequence.name, index))
        progress(1)
    if len(boxes) < count:
        raise ValueError(f'{sequence.name}: {len(boxes)} frames, but {count} are annotated')
    return np.array(boxes), np.array(seconds)


def _checked(box: Box, name: str, index: int) -> tuple[float, float, float, float]:
    if not box.is_finite():
        raise ValueError(f'{name}: the tracker reported {box} in frame {index}')
    return box.as_ltwh()
