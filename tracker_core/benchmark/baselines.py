"""OpenCV's trackers behind the same interface, as baselines."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core.box import Box
from tracker_core.tracker import Estimate, Image, TrackState, check_box, check_image

#: Networks that OpenCV's deep trackers need, found in a folder by these patterns.
ONNX_FILES = {
    'nano': {'backbone': '*nanotrack*backbone*.onnx', 'neckhead': '*nanotrack*head*.onnx'},
    'vit': {'net': '*vit*.onnx'},
}
_CLASSES = {
    'csrt': ('TrackerCSRT', 'opencv-contrib-python'),
    'kcf': ('TrackerKCF', 'opencv-contrib-python'),
    'mil': ('TrackerMIL', 'opencv-python'),
    'nano': ('TrackerNano', 'opencv-python>=4.7'),
    'vit': ('TrackerVit', 'opencv-python>=4.9'),
}
BASELINE_NAMES = tuple(_CLASSES)


class OpenCVTracker:
    """A tracker of OpenCV; it starts from whole pixels and says nothing about its confidence.

    Where OpenCV reports a failure the last box is kept, with the state LOST and confidence 0.
    """

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create
        self._tracker: Any = None
        self._box = Box(0, 0, 0, 0)

    @property
    def response_map(self) -> NDArray[np.float32] | None:
        """None: OpenCV keeps it to itself."""
        return None

    def initialize(self, image: Image, box: Box) -> None:
        """Start on the target in `box` (see `Tracker.initialize`)."""
        check_image(image)
        check_box(box, image)
        self._tracker = self._create()
        self._tracker.init(_bgr(image), _whole(box, image))
        self._box = box

    def track(self, image: Image) -> Estimate:
        """Find the target in the next image (see `Tracker.track`)."""
        check_image(image)
        if self._tracker is None:
            raise RuntimeError('track() before initialize(): call initialize(image, box) first')
        found, ltwh = self._tracker.update(_bgr(image))
        if not found:
            return Estimate(self._box, 0.0, TrackState.LOST)
        self._box = Box(*map(float, ltwh))
        return Estimate(self._box, 1.0, TrackState.TRACKING)


def build_baseline(
    name: str, folder: str | os.PathLike[str] | None = None, settings: dict[str, Any] | None = None
) -> OpenCVTracker:
    """Build one of `BASELINE_NAMES`.

    folder: where the ONNX files of 'nano' and 'vit' are. settings: fields of OpenCV's parameter
    object. Raises ValueError for an unknown name or setting, FileNotFoundError for absent
    networks, RuntimeError where the installed OpenCV lacks the tracker, saying which has it.
    """
    if name not in _CLASSES:
        raise ValueError(f'unknown baseline {name!r}; valid: {", ".join(BASELINE_NAMES)}')
    attribute, wheel = _CLASSES[name]
    tracker = getattr(cv2, attribute, None)
    if tracker is None:
        raise RuntimeError(
            f'{name} is not in the installed OpenCV {cv2.__version__}: '
            f"pip install '{wheel}' (and remove other opencv packages)"
        )
    parameters = getattr(cv2, f'{attribute}_Params')()
    for field, path in find_networks(name, folder).items():
        setattr(parameters, field, str(path))
    for field, value in (settings or {}).items():
        if not hasattr(parameters, field):
            valid = [each for each in dir(parameters) if not each.startswith('_')]
            raise ValueError(f'unknown setting {field!r} of {name}; valid: {", ".join(valid)}')
        setattr(parameters, field, value)
    return OpenCVTracker(lambda: tracker.create(parameters))


def available_baselines() -> tuple[str, ...]:
    """Baselines of the installed OpenCV that need no files."""
    return tuple(name for name in ('csrt', 'kcf', 'mil') if hasattr(cv2, _CLASSES[name][0]))


def find_networks(name: str, folder: str | os.PathLike[str] | None) -> dict[str, Path]:
    """ONNX files of a baseline by the name of OpenCV's parameter; empty where it needs none."""
    patterns = ONNX_FILES.get(name, {})
    if patterns and folder is None:
        raise FileNotFoundError(f'{name} needs its ONNX files: give their folder with --{name}')
    found = {}
    for field, pattern in patterns.items():
        matches = sorted(Path(str(folder)).glob(pattern))
        if not matches:
            raise FileNotFoundError(f'{name} needs a file {pattern} in {folder}')
        found[field] = matches[0]
    return found


def _bgr(image: Image) -> Image:
    return cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)  # type: ignore[return-value]


def _whole(box: Box, image: Image) -> tuple[int, int, int, int]:
    """Whole pixels inside the image: OpenCV accepts nothing else, and crashes on the outside.

    Each number is rounded by itself, so that the size does not depend on the position.
    """
    left = min(max(round(box.left), 0), image.shape[1] - 1)
    top = min(max(round(box.top), 0), image.shape[0] - 1)
    right = min(round(box.left) + round(box.width), image.shape[1])
    bottom = min(round(box.top) + round(box.height), image.shape[0])
    return left, top, max(right - left, 1), max(bottom - top, 1)
