"""What the demo camera shows: the synthetic scene, a video, a folder of frames or a device."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker_core import Box
from tracker_core.sequence import VIDEO_SUFFIXES, find_annotation, open_sequence
from tracker_core.synthetic import DEMO_FPS, DEMO_SCENE, DEMO_SEED, Scene
from tracker_core.video import FrameSource, open_video

Pixels = NDArray[np.uint8]

#: Name of the scene that the package renders itself.
SCENE = 'scene'


@dataclass(frozen=True, slots=True)
class Shot:
    """One image and, where it is known, where the target really is.

    `truth` is None where nothing is known, and `visible` 0 where the target is hidden or absent.
    """

    #: Renders or returns the RGB image (H, W, 3); a shot that is left out is never rendered.
    image: Callable[[], Pixels]
    truth: Box | None
    visible: float


class Footage:
    """Shots in order, at `fps`; `truth` says whether the target's place is known.

    `live` footage sets its own pace and has no end.
    """

    def __init__(self, name: str, fps: float, shots: Any, *, truth: bool, live: bool) -> None:
        self.name, self.fps, self.truth, self.live = name, fps, truth, live
        self._shots = shots

    def __iter__(self) -> Iterator[Shot]:
        return iter(self._shots())


def open_footage(source: str = SCENE, seed: int = DEMO_SEED) -> Footage:
    """Open the scene ('scene' or empty), a video file, a folder, or a camera ('/dev/video0').

    The truth is taken from an annotation in the folder (OTB layout) or beside the only video of a
    folder. Raises FileNotFoundError where there is nothing, ValueError where it cannot be read.
    """
    if source in ('', SCENE):
        scene = Scene(DEMO_SCENE, seed)
        return Footage(SCENE, DEMO_FPS, lambda: _scene_shots(scene), truth=True, live=False)
    folder = _annotated_folder(Path(source))
    if folder is not None:
        sequence = open_sequence(folder)
        frames, boxes = sequence.frames, sequence.boxes
        return Footage(
            frames.name, frames.fps, lambda: _known_shots(frames, boxes), truth=True, live=False
        )
    video = open_video(source)
    live = not (Path(source).is_file() or Path(source).is_dir())  # a device, or its number
    return Footage(video.name, video.fps, lambda: _plain_shots(video), truth=False, live=live)


def _annotated_folder(path: Path) -> Path | None:
    """Folder whose annotation belongs to the video or folder at `path`."""
    if path.is_dir():
        return path if find_annotation(path) else None
    if not path.is_file() or find_annotation(path.parent) is None:
        return None
    videos = [p for p in path.parent.iterdir() if p.suffix.lower() in VIDEO_SUFFIXES]
    return path.parent if videos == [path] else None


def _scene_shots(scene: Scene) -> Iterator[Shot]:
    for index in range(len(scene)):
        yield Shot(partial(_rendered, scene, index), scene.box(index), scene.visible(index))


def _rendered(scene: Scene, index: int) -> Pixels:
    return scene.render(index).image


def _known_shots(frames: FrameSource, boxes: NDArray[np.float64]) -> Iterator[Shot]:
    for index, image in enumerate(frames):
        if index >= len(boxes):
            yield Shot(partial(_same, image), None, 1.0)
            continue
        present = bool(np.isfinite(boxes[index]).all())
        row = boxes[index] if present else np.zeros(4)
        yield Shot(partial(_same, image), Box(*map(float, row)), 1.0 if present else 0.0)


def _plain_shots(frames: FrameSource) -> Iterator[Shot]:
    for image in frames:
        yield Shot(partial(_same, image), None, 1.0)


def _same(image: Pixels) -> Pixels:
    return image
