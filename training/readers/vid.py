"""ImageNet VID (ILSVRC2015): an XML file per frame, any number of targets."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from training.readers.target import Findings, Selection, Target


@dataclass
class _Rows:
    """What the files of a recording say about one target."""

    frames: list[int] = field(default_factory=list)
    boxes: list[list[float]] = field(default_factory=list)
    occluded: list[bool] = field(default_factory=list)


def read_vid(root: Path, selection: Selection, findings: Findings) -> Iterator[Target]:
    """Targets of ``Annotations/VID/<split>/.../<video>/000000.xml`` with ``Data/VID/...``.

    Splits: ``train`` (default) and ``val``. Frames that are marked as occluded are visible, but
    not clear.
    """
    folder = root / 'Annotations' / 'VID' / (selection.split or 'train')
    if not findings.has(folder):
        return
    files = (*folder.glob('*/*.xml'), *folder.glob('*/*/*.xml'))
    videos = sorted({path.parent for path in files})
    if not videos:
        findings.problems.append(f'{folder} holds no .xml files')
    for video in videos:
        if video.name not in selection.without:
            images = root / 'Data' / video.relative_to(root / 'Annotations')
            yield from _read_video(video, images, selection, findings)


def _read_video(
    video: Path, images: Path, selection: Selection, findings: Findings
) -> Iterator[Target]:
    tracks: dict[str, _Rows] = defaultdict(_Rows)
    size = (0, 0)
    files = sorted(video.glob('*.xml'))
    there = findings.existing(images, [f'{path.stem}.JPEG' for path in files])
    present = {int(path.stem) for path, found in zip(files, there.tolist(), strict=True) if found}
    for path in files:
        try:
            size = _add(tracks, path)
        except (ElementTree.ParseError, TypeError, ValueError):
            findings.problems.append(f'{path} is no annotation of ImageNet VID')
    for number, rows in sorted(tracks.items()):
        frames, boxes = np.array(rows.frames), np.array(rows.boxes)
        unclear = np.array(rows.occluded) & (selection.visibility == 'clear')
        kept = findings.usable(boxes, {'target occluded': unclear})
        kept &= np.isin(frames, list(present))
        if kept.any():
            name = f'{video.name}/{number}'
            yield Target(name, video.name, images, '%06d.JPEG', frames[kept], boxes[kept], size)


def _add(tracks: dict[str, _Rows], path: Path) -> tuple[int, int]:
    """Add the objects of one frame to their tracks; returns the size of the image."""
    tree = ElementTree.parse(path).getroot()
    for instance in tree.iterfind('object'):
        corners = [_number(instance, f'bndbox/{key}') for key in ('xmin', 'ymin', 'xmax', 'ymax')]
        left, top, right, bottom = corners
        rows = tracks[instance.findtext('trackid', '0')]
        rows.frames.append(int(path.stem))
        rows.boxes.append([left, top, right - left, bottom - top])
        rows.occluded.append(instance.findtext('occluded', '0') == '1')
    return int(_number(tree, 'size/width')), int(_number(tree, 'size/height'))


def _number(node: ElementTree.Element, path: str) -> float:
    return float(node.findtext(path))  # type: ignore[arg-type]  # None is the caller's TypeError
