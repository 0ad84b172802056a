"""Images for a tracker that is timed: read beforehand where a core is free, decoded once."""

from __future__ import annotations

import time
from collections.abc import Generator, Hashable, Iterator
from contextlib import suppress
from itertools import islice
from queue import Empty, Queue
from threading import Event, Thread

from tracker_core.tracker import Image
from tracker_core.video import FrameSource


class KeptFrames:
    """Decoded frames of the sequence that came last, for the next tracker or repetition on it.

    limit: bytes. Frames of a sequence that needs more are not kept at all.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._key: Hashable = None
        self._images: list[Image] = []
        self._bytes = 0
        self._all_read = False

    def holds(self, key: Hashable) -> bool:
        """Whether frames of this sequence are there."""
        return bool(self._images) and key == self._key

    def of(self, key: Hashable, frames: FrameSource) -> Iterator[Image]:
        """Iterate over `frames`, those that were decoded before from memory."""
        if key != self._key:
            self._start(key)
        kept = list(self._images)
        yield from kept
        if kept and self._all_read:
            return
        for index, image in enumerate(islice(frames, len(kept), None), start=len(kept)):
            self._keep(key, index, image)
            yield image
        self._all_read = key == self._key

    def _start(self, key: Hashable) -> None:
        self._key, self._images, self._bytes, self._all_read = key, [], 0, False

    def _keep(self, key: Hashable, index: int, image: Image) -> None:
        if key != self._key or index != len(self._images):
            return
        self._bytes += image.nbytes
        if self._bytes <= self.limit:
            self._images.append(image)
        else:
            self._images.clear()


class FrameSupply:
    """The frames of another source, with the seconds that they cost.

    ahead: how many images a thread of its own reads beforehand; 0 for no thread. OpenCV decodes
    outside of Python's global lock, so the thread and the tracker run at the same time.
    """

    def __init__(
        self,
        frames: FrameSource,
        ahead: int = 0,
        kept: KeptFrames | None = None,
        key: Hashable = None,
    ) -> None:
        self.name = frames.name
        self.fps = frames.fps
        self.count = frames.count
        self.waited = 0.0
        """Seconds that were spent waiting for images."""
        self.reading = 0.0
        """CPU seconds that reading them took, in whatever thread."""
        self._frames = frames
        self._kept = kept or KeptFrames(0)
        self._key = key
        self._ahead = 0 if self._kept.holds(key) else ahead

    def __iter__(self) -> Iterator[Image]:
        """RGB frames, uint8 (H, W, 3); raises what the source raises, at the same frame."""
        source = self._read()
        try:
            while True:
                start = time.perf_counter()
                image = next(source, None)
                self.waited += time.perf_counter() - start
                if image is None:
                    return
                yield image
        finally:
            source.close()

    def _read(self) -> Generator[Image, None, None]:
        source = self._kept.of(self._key, self._frames)
        if self._ahead:
            yield from self._read_ahead(source)
            return
        while (image := self._next(source)) is not None:
            yield image

    def _read_ahead(self, source: Iterator[Image]) -> Generator[Image, None, None]:
        coming: Queue[Image | Exception | None] = Queue(self._ahead)
        stopped = Event()
        reader = Thread(target=self._fill, args=(source, coming, stopped), name='frames')
        reader.start()
        try:
            while (image := coming.get()) is not None:
                if isinstance(image, Exception):
                    raise image
                yield image
        finally:
            stopped.set()
            while reader.is_alive():  # It may wait for room in the queue.
                with suppress(Empty):
                    coming.get(timeout=0.01)

    def _fill(
        self,
        source: Iterator[Image],
        coming: Queue[Image | Exception | None],
        stopped: Event,
    ) -> None:
        """Life of the reading thread: None comes last, or the exception that ended it."""
        while not stopped.is_set():
            try:
                image: Image | Exception | None = self._next(source)
            except Exception as error:
                image = error
            coming.put(image)
            if image is None or isinstance(image, Exception):
                return

    def _next(self, source: Iterator[Image]) -> Image | None:
        start = time.thread_time()
        try:
            return next(source, None)
        finally:
            self.reading += time.thread_time() - start
