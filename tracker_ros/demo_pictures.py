"""The overlay video and the contact sheet of a run of the demo."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tracker_core import Box
from tracker_core.atomic import replacing
from tracker_core.drawing import STATE_COLORS, TRUTH_COLOR, draw_box, draw_estimate, draw_text
from tracker_core.video import VideoWriter
from tracker_ros.demo_report import SECOND, Record

Pixels = NDArray[np.uint8]

_SHEET = (4, 3)
_TILE = 400
_BACKGROUND = 24


class Album:
    """Images of a run, kept as JPEG until the run is over and then shown in a handy size."""

    def __init__(self, widths: tuple[int, int] = (640, 960)) -> None:
        """`widths`: smallest and largest width of the pictures in pixels."""
        self._widths = widths
        self._images: dict[int, tuple[bytes, float]] = {}

    def __len__(self) -> int:
        return len(self._images)

    def add(self, stamp: int, image: Pixels) -> None:
        """Keep an RGB image by its stamp in nanoseconds."""
        scale = min(self._widths[1] / image.shape[1], 1.0)
        if scale < 1:
            smaller = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            image = smaller.astype(np.uint8, copy=False)
        _, data = cv2.imencode('.jpg', np.ascontiguousarray(image[..., ::-1]))
        self._images[stamp] = data.tobytes(), scale

    def stamps(self) -> list[int]:
        """Stamps of the images in order of time."""
        return sorted(self._images)

    def get(self, stamp: int) -> tuple[Pixels, float]:
        """Return an image (h, w, 3) RGB and its size relative to the one that was added."""
        data, scale = self._images[stamp]
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None, 'it was encoded here'
        larger = max(self._widths[0] / image.shape[1], 1.0)
        if larger > 1:
            image = cv2.resize(image, None, fx=larger, fy=larger, interpolation=cv2.INTER_CUBIC)
        rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB)
        return rgb.astype(np.uint8, copy=False), scale * larger


def write_pictures(album: Album, record: Record, label: str, folder: Path) -> list[Path]:
    """Write overlay.mp4 and contact_sheet.png; returns their paths (none without images)."""
    stamps = album.stamps()
    if not stamps:
        return []
    seconds = (stamps[-1] - stamps[0]) / SECOND
    fps = (len(stamps) - 1) / seconds if seconds > 0 else 1.0
    video, sheet = folder / 'overlay.mp4', folder / 'contact_sheet.png'
    with VideoWriter(video, fps) as writer:
        for picture in _pictures(album, record, label, stamps):
            writer.write(picture)
    chosen = _choose(record, [s for s in stamps if s in record.results] or stamps)
    with replacing(sheet) as temporary:
        picture = contact_sheet(list(_pictures(album, record, label, chosen)))
        cv2.imwrite(str(temporary), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    return [video, sheet]


def _pictures(album: Album, record: Record, label: str, stamps: list[int]) -> Iterator[Pixels]:
    """Draw what was known about each image; one that was not tracked has the box before it."""
    tracked, start = sorted(record.results), album.stamps()[0]
    for stamp in stamps:
        image, scale = album.get(stamp)
        truth, result = record.truths.get(stamp), record.results.get(stamp)
        if truth is not None and truth.visible > 0:
            draw_box(image, _scaled(truth.box, scale), TRUTH_COLOR, 1)
        words = [f'{(stamp - start) / SECOND:.1f} s']
        before = bisect.bisect(tracked, stamp)
        if result is not None:
            box = _scaled(result.estimate.box, scale)
            image = draw_estimate(image, replace(result.estimate, box=box), label)
            words.append(f'{(result.received - stamp) / 1e6:.0f} ms')
        elif before:
            earlier = tracked[before - 1]
            estimate = record.results[earlier].estimate
            draw_box(image, _scaled(estimate.box, scale), STATE_COLORS[estimate.state], 1)
            words.append(f'box of {(stamp - earlier) / 1e6:.0f} ms before')
        overlap = record.iou(stamp)
        words += [f'IoU {overlap:.2f}'] if overlap is not None else []
        draw_text(image, '   '.join(words), (8, image.shape[0] - 8), TRUTH_COLOR)
        yield image


def _choose(record: Record, stamps: list[int]) -> list[int]:
    """Images for the sheet: evenly over the run, one of them where the tracker was least sure."""
    picks = np.linspace(0, len(stamps) - 1, min(_SHEET[0] * _SHEET[1], len(stamps)))
    chosen = [stamps[round(pick)] for pick in picks]
    if len(chosen) > 2 and record.results:
        unsure = min(stamps, key=lambda stamp: _confidence(record, stamp))
        inner = range(1, len(chosen) - 1)
        chosen[min(inner, key=lambda i: abs(chosen[i] - unsure))] = unsure
    return sorted(chosen)


def _confidence(record: Record, stamp: int) -> float:
    result = record.results.get(stamp)
    return result.estimate.confidence if result is not None else 1.0


def _scaled(box: Box, scale: float) -> Box:
    return Box(*(scale * value for value in box.as_ltwh()))


def contact_sheet(pictures: list[Pixels]) -> Pixels:
    """Arrange pictures (h, w, 3) of any sizes in rows of four."""
    height = round(_TILE * pictures[0].shape[0] / pictures[0].shape[1])
    tiles = [cv2.resize(p, (_TILE, height), interpolation=cv2.INTER_AREA) for p in pictures]
    blank = np.full((height, _TILE, 3), _BACKGROUND, np.uint8)
    tiles += [blank] * (-len(tiles) % _SHEET[0])
    rows = [np.hstack(tiles[i : i + _SHEET[0]]) for i in range(0, len(tiles), _SHEET[0])]
    return np.vstack(rows).astype(np.uint8, copy=False)
