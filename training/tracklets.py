"""Boxes for clips without annotation: patches followed by optical flow, forwards and backwards.

The idea is that of forward-backward error (Kalal et al. 2010): what flow carries to the end of a
shot and back to where it came from was probably followed correctly in between.
"""

from __future__ import annotations

import itertools
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core import Box
from training.datasets import DataError, Image, View, spread
from training.readers.recording import is_bag, is_recording, read_frames

Boxes = list[Box]
_GRID = 9
"""Points per side of the grid that is followed in every box."""
_PIECE = 240
"""Frames of a recording that are held in memory at once."""


@dataclass(frozen=True)
class TrackletSettings:
    """Which patches are followed and which results are believed."""

    per_shot: int = 4
    candidates: int = 150
    min_side: int = 28
    max_share: float = 0.4
    """Largest side as a share of the image's."""
    min_frames: int = 12
    cut_difference: float = 35.0
    """Mean change of grey values from one frame to the next that marks a cut."""
    point_error: float = 1.0
    """Largest forward-backward distance of a point in pixels."""
    min_inliers: float = 0.5
    """Share of the points that must agree on the motion of the box."""
    return_iou: float = 0.6
    """Overlap with the first box after the way back."""


def read_unlabelled(folder: Path, max_frames: int) -> Iterator[View]:
    """Views of patches followed through the videos and rosbag2 recordings of a folder.

    The folder may itself be a recording. Long ones are followed in pieces, so that memory stays
    small. No view has a mask.
    """
    inside = [] if is_bag(folder) else sorted(folder.iterdir())
    recordings = [folder] if is_bag(folder) else [path for path in inside if is_recording(path)]
    if not recordings:
        raise DataError(f'{folder} holds no video and no rosbag2 recording')
    for path in recordings:
        rng = np.random.default_rng(zlib.crc32(path.name.encode()))
        name = f'{folder.name}/{path.stem}'
        tracklets = _follow_pieces(path, rng)
        for number, (first, images, boxes) in enumerate(tracklets):
            for offset in spread(len(boxes), max_frames).tolist():
                box = boxes[offset].as_ltwh()
                yield View(f'{name}/{number}', name, first + offset, images[offset], box)


def _follow_pieces(
    path: Path, rng: np.random.Generator
) -> Iterator[tuple[int, list[Image], Boxes]]:
    """(First frame, images from there on, boxes) of every tracklet in a recording."""
    source = read_frames(path)
    begin = 0
    while piece := list(itertools.islice(source, _PIECE)):
        grey = [np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8) for frame in piece]
        for start, boxes in follow_all(grey, rng, TrackletSettings()):
            yield begin + start, piece[start:], boxes
        begin += len(piece)
    if begin == 0:
        raise DataError(f'{path} holds no image')


def follow_all(
    grey: list[Image], rng: np.random.Generator, settings: TrackletSettings
) -> Iterator[tuple[int, Boxes]]:
    """(First frame, one box per frame) of every believed tracklet in a clip of grey images."""
    for start, stop in find_shots(grey, settings):
        shot = grey[start:stop]
        for seed in choose_patches(shot, rng, settings):
            boxes = follow(shot, seed, settings)
            if len(boxes) < settings.min_frames:
                continue
            back = follow(shot[: len(boxes)][::-1], boxes[-1], settings)
            if len(back) == len(boxes) and back[-1].iou(seed) >= settings.return_iou:
                yield start, boxes


def find_shots(grey: list[Image], settings: TrackletSettings) -> list[tuple[int, int]]:
    """Frame ranges [start, stop) between cuts that are long enough for a tracklet."""
    cuts = [
        index
        for index, (before, after) in enumerate(itertools.pairwise(grey), 1)
        if cv2.absdiff(before, after).mean() > settings.cut_difference
    ]
    shots = itertools.pairwise([0, *cuts, len(grey)])
    return [(start, stop) for start, stop in shots if stop - start >= settings.min_frames]


def choose_patches(
    shot: list[Image], rng: np.random.Generator, settings: TrackletSettings
) -> Boxes:
    """Textured patches of the first frame, apart, those with motion of their own first."""
    height, width = shot[0].shape
    corners = cv2.goodFeaturesToTrack(shot[0], 800, 0.01, 4)
    if corners is None:
        return []
    salience = own_motion(shot)
    scored = []
    for box in _random_boxes(width, height, rng, settings):
        inside = _contains(box, np.asarray(corners, np.float32)[:, 0]).sum()
        if inside >= 8:
            scored.append((_contrast(salience, box), box))
    chosen: Boxes = []
    for _, box in sorted(scored, key=lambda item: -item[0]):
        if len(chosen) < settings.per_shot and all(box.iou(other) < 0.15 for other in chosen):
            chosen.append(box)
    return chosen


def own_motion(shot: list[Image]) -> NDArray[np.float32]:
    """Speed (H, W) against the median motion of the image, over the first few frames."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST)
    later = shot[min(4, len(shot) - 1)]
    moved = np.asarray(flow.calc(shot[0], later, None))  # type: ignore[call-overload]
    moved -= np.median(moved, (0, 1))
    return np.minimum(np.linalg.norm(moved, axis=2), 20.0)


def follow(shot: list[Image], seed: Box, settings: TrackletSettings) -> Boxes:
    """Boxes of a patch in every frame, as far as flow carries it; the first is `seed`."""
    boxes = [seed]
    height, width = shot[0].shape
    for before, after in itertools.pairwise(shot):
        box = _move(before, after, boxes[-1], settings)
        if box is None or box.intersection(Box(0, 0, width, height)) < 0.8 * box.area:
            break
        boxes.append(box)
    return boxes


def _move(before: Image, after: Image, box: Box, settings: TrackletSettings) -> Box | None:
    """Box in the next frame by the similarity most of its points agree on; None = not believed."""
    axis = (np.arange(_GRID) + 0.5) / _GRID
    grid = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 1, 2)
    points = (grid * [box.width, box.height] + [box.left, box.top] - 0.5).astype(np.float32)
    there, found = _flow(before, after, points)
    back, returned = _flow(after, before, there)
    error = np.linalg.norm(back - points, axis=2).ravel()
    good = (error < settings.point_error) & found & returned
    if good.sum() < max(6, settings.min_inliers * len(points)):
        return None
    matrix, inliers = cv2.estimateAffinePartial2D(
        points[good], there[good], ransacReprojThreshold=2.0
    )
    if matrix is None or inliers.sum() < settings.min_inliers * len(points):
        return None
    scale = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    x, y = matrix @ [box.center[0] - 0.5, box.center[1] - 0.5, 1.0]
    moved = Box.from_center(x + 0.5, y + 0.5, box.width * scale, box.height * scale)
    return moved if 0.9 < scale < 1.1 else None


def _flow(
    before: Image, after: Image, points: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Points (N, 1, 2) in the next image, and which of them were found, (N,)."""
    moved, found, _ = cv2.calcOpticalFlowPyrLK(  # type: ignore[call-overload]
        before, after, points, None, winSize=(15, 15), maxLevel=3
    )
    return moved, found.ravel() == 1


def _random_boxes(
    width: int, height: int, rng: np.random.Generator, settings: TrackletSettings
) -> Iterator[Box]:
    largest = settings.max_share * min(width, height)
    for _ in range(settings.candidates):
        side = np.exp(rng.uniform(np.log(settings.min_side), np.log(largest)))
        stretch = np.exp(rng.uniform(-0.45, 0.45))
        box_width, box_height = side * stretch, side / stretch
        left = rng.uniform(0, max(width - box_width, 0))
        top = rng.uniform(0, max(height - box_height, 0))
        yield Box(float(left), float(top), float(box_width), float(box_height))


def _contains(box: Box, points: NDArray[np.floating]) -> NDArray[np.bool_]:
    x, y = points.T
    return (x >= box.left) & (x < box.right) & (y >= box.top) & (y < box.bottom)


def _contrast(salience: NDArray[np.float32], box: Box) -> float:
    """How much faster than its surroundings a patch moves, in pixels."""
    outer = Box.from_center(*box.center, 1.6 * box.width, 1.6 * box.height)
    inside, around = (_cut(salience, item) for item in (box, outer))
    rest = around.size - inside.size
    return float(inside.mean() - (around.sum() - inside.sum()) / max(rest, 1))


def _cut(image: NDArray[np.float32], box: Box) -> NDArray[np.float32]:
    left, top = (max(round(value), 0) for value in (box.left, box.top))
    return image[top : max(round(box.bottom), top + 1), left : max(round(box.right), left + 1)]
