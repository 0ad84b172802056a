"""Images for a tracker that is timed, read beforehand where a core is free for it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor

from tracker_core.tracker import Image
from tracker_core.video import FrameSource


class FrameSupply:
    """The frames of another source, with the seconds that were spent waiting for them.

    ahead: how many images a thread of its own reads beforehand; 0 for no thread. OpenCV decodes
    outside of Python's global lock, so the thread and the tracker run at the same time.
    """

    def __init__(self, frames: FrameSource, ahead: int = 0) -> None:
        self.name = frames.name
        self.fps = frames.fps
        self.count = frames.count
        self.waited = 0.0
        self._frames = frames
        self._ahead = ahead

    def __iter__(self) -> Iterator[Image]:
        """RGB frames, uint8 (H, W, 3); raises what the source raises, at the same frame."""
        source = _read(self._frames, self._ahead)
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


def _read(frames: FrameSource, ahead: int) -> Generator[Image, None, None]:
    source = iter(frames)
    if not ahead:
        yield from source
        return
    reader = ThreadPoolExecutor(1, 'frames')
    try:
        coming = deque(reader.submit(next, source, None) for _ in range(ahead))
        while (image := coming.popleft().result()) is not None:
            coming.append(reader.submit(next, source, None))
            yield image
    finally:
        reader.shutdown(cancel_futures=True)
