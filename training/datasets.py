"""Readers of annotated data: every reader yields views, one target in one image at a time."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

S = TypeVar('S')
T = TypeVar('T')
Image = NDArray[np.uint8]
Ltwh = tuple[float, float, float, float]
IMAGE_SUFFIXES = ('.jpg', '.jpeg', '.png')


class DataError(ValueError):
    """Training data is missing or cannot be used; the message says what to do."""


class UnreadableError(DataError):
    """An image file is missing or damaged."""


def collect(items: Iterable[S], work: Callable[[S], T]) -> list[T]:
    """Results of some work; where it fails, one DataError has the messages of all failures."""
    results, problems = [], []
    for item in items:
        try:
            results.append(work(item))
        except DataError as error:
            problems.append(str(error))
    if problems:
        raise DataError('\n'.join(dict.fromkeys(problems)))
    return results


@dataclass(frozen=True)
class View:
    """One target in one image.

    image: uint8 (H, W, 3) RGB. box: (left, top, width, height) in pixels, pixel i covers [i, i+1).
    mask: uint8 (H, W), 255 on the target, or None where only the box is known. Views of one
    `sequence` show the same target; everything of one `scene` looks alike (several targets of a
    clip or of a photograph) and must stay on one side of a split.
    """

    sequence: str
    scene: str
    frame: int
    image: Image
    box: Ltwh
    mask: Image | None = None


def scene_of(name: str) -> str:
    """Name of the recording a sequence was taken from: targets `_t0`, `_t1` share theirs."""
    return re.sub(r'_t\d+$', '', name)


def find_folders(root: Path, pattern: str, exclude: tuple[str, ...] = ()) -> list[Path]:
    """Folders that match a glob pattern below `root`, in order, without the excluded names.

    Raises DataError where nothing matches.
    """
    if not root.is_dir():
        raise DataError(
            f'the data folder {root} does not exist: set `data` in the recipe or pass --data'
        )
    found = [path for path in sorted(root.glob(pattern)) if path.is_dir()]
    kept = [path for path in found if not any(path.match(other) for other in exclude)]
    if not kept:
        raise DataError(
            f'no folder in {root} matches {pattern!r}: correct `path` of this source or remove it'
        )
    return kept


def read_clip(folder: Path, max_frames: int) -> Iterator[View]:
    """Views of a folder with `clip.mp4`, `groundtruth.txt` and perhaps `mask/`.

    Of a longer clip `max_frames` frames are taken, evenly spaced; frames without target (nan in
    `groundtruth.txt`) are left out. Masks are `mask/000001.png` for the first frame, and so on.
    Raises DataError where boxes and frames differ in number.
    """
    path = folder / 'groundtruth.txt'
    boxes = read_boxes(path)
    usable = find_usable(boxes, path)
    wanted = set(spread(len(boxes), max_frames))
    video = cv2.VideoCapture(str(folder / 'clip.mp4'))
    if not video.isOpened():
        raise DataError(f'{folder / "clip.mp4"} cannot be opened as a video')
    try:
        for frame, box in enumerate(boxes):
            if not video.grab():
                raise DataError(f'{path}: {len(boxes)} boxes, but the video has {frame} frames')
            if frame in wanted and usable[frame]:
                decoded, image = video.retrieve()
                if not decoded:
                    raise DataError(f'{folder / "clip.mp4"}: frame {frame} cannot be decoded')
                image = as_rgb(image)
                mask = _read_mask(folder / 'mask' / f'{frame + 1:06d}.png', image.shape[:2])
                name = folder.name
                yield View(name, scene_of(name), frame, image, _as_ltwh(box), mask)
        further = sum(1 for _ in iter(video.grab, False))
        if further:
            frames = len(boxes) + further
            raise DataError(f'{path}: {len(boxes)} boxes, but the video has {frames} frames')
    finally:
        video.release()


def count_photographs(folder: Path) -> int:
    """How many images a folder with `annotations.json` has."""
    return len(_read_records(folder / 'annotations.json'))


def find_photographs(folder: Path) -> list[Path]:
    """Images of a folder with `annotations.json` that are no masks; DataError where none is."""
    masks = {
        instance['mask']
        for record in _read_records(folder / 'annotations.json')
        if isinstance(record, dict)
        for instance in record.get('instances', ())
        if 'mask' in instance
    }
    found = [path for path in sorted(folder.iterdir()) if _is_photograph(path)]
    found = [path for path in found if path.name not in masks]
    if not found:
        raise DataError(f'{folder} holds no photograph ({", ".join(IMAGE_SUFFIXES)})')
    return found


def _is_photograph(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.stem.endswith('_mask')


def read_instances(folder: Path, chosen: slice = slice(None)) -> Iterator[View]:
    """One-frame sequences of a folder with `annotations.json` (see `_instances_of`).

    chosen: which of its images are read.
    """
    for record in _read_records(folder / 'annotations.json')[chosen]:
        file = record['file'] if isinstance(record, dict) else f'{record}.jpg'
        image = read_image(folder / file)
        scene = f'{folder.name}/{Path(file).stem}'
        for number, mask in enumerate(_instances_of(folder, file, record, image.shape[:2])):
            if mask.any():
                box = _as_ltwh(cv2.boundingRect(mask))
                yield View(f'{scene}/{number}', scene, 0, image, box, mask)


def _read_records(path: Path) -> list[Any]:
    try:
        records = json.loads(path.read_text())['images']
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f'{path} cannot be used: it needs `images`, a list ({error})') from error
    return list(records)


def read_backgrounds(folder: Path) -> Iterator[View]:
    """Whole images without a target, for pasting; the box is the image."""
    for path in sorted(folder.iterdir()):
        if _is_photograph(path):
            image = read_image(path)
            height, width = image.shape[:2]
            name = f'{folder.name}/{path.stem}'
            yield View(name, name, 0, image, (0.0, 0.0, float(width), float(height)))


def _instances_of(folder: Path, file: str, record: Any, shape: tuple[int, int]) -> Iterator[Image]:
    """Masks, 255 on the target, of all instances of one image.

    An instance has `polygons` (flat x, y lists) or the name of a `mask` image and its `value`
    there; an image given only by its name has one instance, the non-zero part of NAME_mask.png.
    """
    if not isinstance(record, dict):
        record = {'instances': [{'mask': f'{Path(file).stem}_mask.png', 'value': None}]}
    for instance in record.get('instances', ()):
        if 'polygons' in instance:
            mask = np.zeros(shape, np.uint8)
            for polygon in instance['polygons']:
                if len(polygon) < 6 or len(polygon) % 2:
                    raise DataError(f'{folder / file}: a polygon needs x, y of three points')
                points = np.round(np.reshape(polygon, (-1, 2))).astype(np.int32)
                cv2.fillPoly(mask, [points], 255)
            yield mask
        elif 'mask' in instance:
            labels = _read_mask(folder / instance['mask'], shape)
            if labels is None:
                raise DataError(f'{folder / instance["mask"]} is missing')
            value = instance['value']
            chosen = labels > 127 if value is None else labels == value
            yield np.where(chosen, 255, 0).astype(np.uint8)


def read_boxes(path: Path) -> NDArray[np.float64]:
    """Boxes (N, 4) of a text file, one `left,top,width,height` per line; nan = no target."""
    if not path.is_file():
        raise DataError(f'{path} is missing: a sequence needs one box per frame')
    try:
        rows = path.read_text('utf-8').split('\n')
        boxes = np.loadtxt([*filter(str.strip, rows)] or ['empty'], delimiter=',', ndmin=2)
    except ValueError as error:
        raise DataError(f'{path}: every line must be left,top,width,height ({error})') from error
    if boxes.shape[1] != 4:
        count = boxes.shape[1]
        raise DataError(f'{path}: every line must be left,top,width,height, not {count} numbers')
    return boxes


def find_usable(boxes: NDArray[np.float64], path: Path) -> NDArray[np.bool_]:
    """Which of the boxes (N, 4) of a file show a target; how many do not is told."""
    present = np.isfinite(boxes).all(axis=1)
    sized = (np.nan_to_num(boxes[:, 2:]) > 0).all(axis=1)
    flat = np.count_nonzero(present & ~sized)
    tell_unused(path, {'without target': int(np.sum(~present)), 'box without area': int(flat)})
    return np.logical_and(present, sized)


def tell_unused(path: Path, counts: Mapping[str, int]) -> None:
    """Say how many boxes of a file are not used for which reason, if any."""
    reasons = ', '.join(f'{count} x {why}' for why, count in counts.items() if count)
    if reasons:
        tqdm.write(f'{path}: boxes not used: {reasons}', file=sys.stderr)


def read_image(path: Path) -> Image:
    """Image file as uint8 (H, W, 3) RGB."""
    data = path.read_bytes() if path.is_file() else b''
    check_end(data, path)
    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise UnreadableError(f'{path} is missing or no image')
    return as_rgb(image)


def check_end(data: bytes, origin: object) -> None:
    """Raise UnreadableError for a JPEG or PNG that is cut off: decoders make up what is missing.

    Anything may follow its end.
    """
    cut_off = False
    if data.startswith(b'\x89PNG'):
        cut_off = b'IEND' not in data
    elif data.startswith(b'\xff\xd8'):
        place = 2
        # Whatever stands before the pixels may hold a small picture with an end of its own.
        while data[place : place + 1] == b'\xff' and data[place + 1 : place + 2] != b'\xda':
            is_filler = data[place + 1 : place + 2] == b'\xff'
            place += 1 if is_filler else 2 + int.from_bytes(data[place + 2 : place + 4], 'big')
        cut_off = data.find(b'\xff\xd9', place) < 0
    if cut_off:
        raise UnreadableError(f'{origin} is cut off: its end is missing')


def as_rgb(image: Any) -> Image:
    """BGR image of OpenCV as contiguous uint8 (H, W, 3) RGB."""
    return np.ascontiguousarray(image[..., ::-1], np.uint8)


def _read_mask(path: Path, shape: tuple[int, ...]) -> Image | None:
    """Grey values (H, W) of a mask file, None where there is none."""
    if not path.is_file():
        return None
    mask = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    if mask is None or mask.shape != shape:
        found = 'no image' if mask is None else f'of size {mask.shape}'
        raise DataError(f'{path} is {found}, but its image is of size {shape}')
    return np.asarray(mask, np.uint8)


def _as_ltwh(box: Any) -> Ltwh:
    left, top, width, height = map(float, box)
    return left, top, width, height


def spread(count: int, most: int) -> NDArray[np.intp]:
    """At most `most` of the indices 0..count-1, evenly spaced."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.intp))
