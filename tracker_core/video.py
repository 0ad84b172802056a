"""Frames from videos, folders and cameras; annotated videos back."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Protocol

import cv2
import numpy as np

from tracker_core.atomic import replacing
from tracker_core.tracker import Image

IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.tif', '.tiff', '.webp')
#: Suffixes of the videos that `VideoWriter` writes.
WRITTEN_SUFFIXES = ('.mp4', '.avi', '.mkv', '.mov')
DEFAULT_FPS = 30.0
#: Frames by which the headers of whole videos are wrong.
_HEADER_SLACK = 2


class IncompleteVideoWarning(UserWarning):
    """Fewer frames than a video announces could be read."""


class FrameSource(Protocol):
    """RGB frames, uint8 (H, W, 3), one after the other; iterating again starts anew."""

    name: str
    fps: float
    count: int | None
    """Number of frames as far as it is known beforehand."""

    def __iter__(self) -> Iterator[Image]: ...


def open_video(source: str | os.PathLike[str]) -> FrameSource:
    """Open a video file, a folder of images (or one with `img/` in it), or a camera.

    Cameras are named by their number ('0') or device ('/dev/video0', or a link to one such as
    those in '/dev/v4l/by-id'); a file or folder of that name comes first. Raises
    FileNotFoundError where there is nothing, ValueError where nothing can be read.
    """
    text = os.fspath(source)
    path = Path(text)
    if path.is_dir():
        return ImageFolder(path)
    if text.startswith('/dev/'):
        numbered = re.fullmatch(r'/dev/video(\d+)', str(path.resolve()))
        return VideoFile(text, int(numbered[1]) if numbered else text)
    if text.isdecimal() and not path.exists():
        return VideoFile(text, int(text))
    if not path.exists():
        raise FileNotFoundError(f'no video file or folder {path}')
    return VideoFile(path.stem, str(path))


class ImageFolder:
    """The images of a folder, or of its sub-folder ``img`` (OTB layout), as `image_paths` orders.

    Raises ValueError where there are none.
    """

    def __init__(self, folder: Path, fps: float = DEFAULT_FPS) -> None:
        inner = folder / 'img'
        self.paths = image_paths(inner if inner.is_dir() else folder)
        if not self.paths:
            raise ValueError(f'{folder} holds no images ({" ".join(IMAGE_SUFFIXES)})')
        self.name = folder.name
        self.fps = fps
        self.count: int | None = len(self.paths)

    def __iter__(self) -> Iterator[Image]:
        return map(read_image, self.paths)


class VideoFile:
    """A video file or camera, read through OpenCV."""

    def __init__(self, name: str, source: str | int) -> None:
        self.name = name
        self._source = source
        capture = self._open()
        fps = capture.get(cv2.CAP_PROP_FPS)
        self.fps = fps if 0 < fps < 1000 else DEFAULT_FPS
        count = int(capture.get(cv2.CAP_PROP_FRAME_COUNT))
        self.count: int | None = count if count > 0 else None
        capture.release()

    def __iter__(self) -> Iterator[Image]:
        """RGB frames. In place of one that cannot be decoded comes the one before it again.

        Where frames were missing a `IncompleteVideoWarning` follows the last one.
        """
        capture = self._open()
        try:
            yield from self._frames(capture)
        finally:
            capture.release()

    def _frames(self, capture: cv2.VideoCapture) -> Iterator[Image]:
        image: Image | None = None
        found = failed = passed_over = repeated = 0
        before = 0.0
        # The decoder may go on after a frame that it cannot read.
        while not failed or (self.count is not None and found + failed <= self.count):
            okay, frame = capture.read()
            if not okay:
                failed += 1
                continue
            found, passed_over = found + 1, failed
            now = capture.get(cv2.CAP_PROP_POS_MSEC)
            if image is not None and repeated < failed:
                # Frames come out in another order than they are stored: the clock says where.
                gap = round((now - before) * self.fps / 1000) - 1
                for _ in range(min(gap, failed - repeated)):
                    repeated += 1
                    yield image
            before = now
            image = cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)  # type: ignore[assignment]
            yield image  # type: ignore[misc]
        self._warn(found, passed_over)

    def _warn(self, found: int, passed_over: int) -> None:
        """Warn of missing frames: some in between, or more than headers are wrong by."""
        missing = (self.count or 0) - found
        if missing > (0 if passed_over else _HEADER_SLACK):
            warnings.warn(
                f'{self._source}: {found} of {self.count} frames could be read; it is damaged, or '
                'was cut without being encoded anew',
                IncompleteVideoWarning,
                stacklevel=2,
            )

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(self._source)
        if not capture.isOpened():
            raise ValueError(f'OpenCV cannot read {self._source!r} as a video or camera')
        return capture


def image_paths(folder: Path) -> list[Path]:
    """Images directly in `folder`; 2.jpg comes before 10.jpg."""
    found = [path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES]
    return sorted(found, key=lambda path: (len(path.stem), path.stem))


def read_image(path: Path) -> Image:
    """Read one image file as RGB, uint8 (H, W, 3); ValueError where it cannot be decoded."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f'cannot read the image {path}')
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)  # type: ignore[return-value]


class VideoWriter:
    """Write RGB frames to a video file that appears when it is complete.

    Use as a context manager; on an exception nothing is left behind. The container follows the
    suffix of the name (.mp4, .avi, .mkv, .mov; ValueError for others); the size is that of the
    first frame, later frames of another size are resized.
    """

    def __init__(self, path: str | os.PathLike[str], fps: float = DEFAULT_FPS) -> None:
        self.path = Path(path)
        if self.path.suffix.lower() not in WRITTEN_SUFFIXES:
            raise ValueError(
                f'cannot write a video {self.path}: the name must end in '
                f'{", ".join(WRITTEN_SUFFIXES)}'
            )
        self.fps = fps
        self._file = replacing(self.path)
        self._writer: cv2.VideoWriter | None = None
        self._size = (0, 0)

    def write(self, image: Image) -> None:
        """Append one frame, uint8 (H, W, 3) RGB."""
        if self._writer is None:
            self._writer = self._start((image.shape[1], image.shape[0]))
        bgr = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2BGR)
        if (image.shape[1], image.shape[0]) != self._size:
            bgr = cv2.resize(bgr, self._size)
        self._writer.write(bgr)

    def _start(self, size: tuple[int, int]) -> cv2.VideoWriter:
        code = 'MJPG' if self.path.suffix.lower() == '.avi' else 'mp4v'
        fourcc = cv2.VideoWriter.fourcc(*code)
        writer = cv2.VideoWriter(str(self._temporary), fourcc, self.fps, size)
        if not writer.isOpened():
            raise ValueError(f'OpenCV cannot write {self.path}')
        self._size = size
        return writer

    def __enter__(self) -> VideoWriter:
        self._temporary = self._file.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        self._file.__exit__(kind, error, trace)
