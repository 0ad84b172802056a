"""Videos with a box file, and rosbag2 recordings: read without ROS, by the library `rosbags`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from tracker_core.box import Box
from tracker_core.camera_image import decode_compressed, decode_raw
from tracker_core.sequence import VIDEO_SUFFIXES
from tracker_core.video import VideoFile
from training.datasets import (
    DataError,
    Image,
    View,
    check_end,
    find_usable,
    read_boxes,
    spread,
    tell_unused,
)

BAG_SUFFIXES = ('.mcap', '.db3')
_RAW = 'sensor_msgs/msg/Image'
_COMPRESSED = 'sensor_msgs/msg/CompressedImage'
_TARGET = 'tracker_ros/msg/Target'
#: For recordings that do not describe their messages themselves, as those of Humble.
_TARGET_DEFINITION = """
uint8 TRACKING=0
std_msgs/Header header
string target_id
float64 left
float64 top
float64 width
float64 height
float32 confidence
uint8 state
float32 processing_time
"""


class Shown(NamedTuple):
    """A target in one image of a recording."""

    target: str
    box: Box


def is_bag(path: Path) -> bool:
    """Whether a path is a rosbag2 recording: its folder, or one file of storage."""
    return (path / 'metadata.yaml').is_file() or path.suffix in BAG_SUFFIXES


def is_recording(path: Path) -> bool:
    """Whether `read_recording` takes a path: a video or a rosbag2 recording."""
    return is_bag(path) or (path.is_file() and path.suffix.lower() in VIDEO_SUFFIXES)


def read_frames(path: Path, topic: str = '') -> Iterator[Image]:
    """All images of a video or of a topic of a rosbag2 recording, uint8 (H, W, 3) RGB.

    topic: of ``sensor_msgs/Image`` or ``CompressedImage``; may be left out where there is but one.
    Raises DataError where nothing can be read, or the topic must be chosen.
    """
    for _, image in _stamped(path, topic):
        yield image


def count_frames(path: Path, topic: str = '') -> int:
    """Count the images that `read_frames` gives; DataError where it would raise one."""
    if is_bag(path):
        with _open_bag(path) as bag:
            return int(_choose(bag.connections, topic, path).msgcount)
    try:
        known = VideoFile(path.stem, str(path)).count
    except ValueError as error:
        raise DataError(str(error)) from error
    return known or sum(1 for _ in read_frames(path, topic))


def read_recording(path: Path, max_frames: int, topic: str = '') -> Iterator[View]:
    """Views of the targets in a video or a rosbag2 recording, whose boxes are known.

    Boxes stand in a text file of the same name (``clip.mp4``, ``clip.txt``: one line
    left,top,width,height per image, nan where the target is absent), or in the recording itself as
    ``tracker_ros/Target`` messages, which belong to the image with the same stamp; those that are
    not TRACKING are left out. Of a longer recording `max_frames` images are taken, evenly spaced.
    Raises DataError where lines and images differ in number, or no stamp is that of an image.
    """
    by_stamp = not box_file(path).is_file()
    shown = _shown_in_topics(path) if by_stamp else _shown_in_file(path)
    labelled = {key for key, targets in shown.items() if targets}
    if not labelled:
        raise DataError(
            f'{path} comes without boxes: write {box_file(path)}, one line left,top,width,height '
            f'per image, or record a topic of {_TARGET}; kind `unlabelled` needs none'
        )
    keys = sorted(labelled)
    wanted = {keys[index] for index in spread(len(keys), max_frames).tolist()}
    found = set()
    for number, (stamp, image) in enumerate(_stamped(path, topic)):
        key = stamp if by_stamp else number
        found.add(key)
        if key in wanted:
            for target, box in shown[key]:
                name = f'{path.stem}/{target}' if target else path.stem
                yield View(name, path.stem, number, image, box.as_ltwh())
    if by_stamp:
        _check_stamps(path, shown, found)
    elif len(found) != len(shown):
        raise DataError(
            f'{box_file(path)}: {len(shown)} boxes, but {path} has {len(found)} images'
        )


def _check_stamps(path: Path, shown: dict[int, list[Shown]], found: set[int]) -> None:
    """Say how many boxes belong to no image; DataError where none belongs to one."""
    count = sum(len(targets) for targets in shown.values())
    lost = sum(len(targets) for stamp, targets in shown.items() if stamp not in found)
    if lost == count:
        raise DataError(
            f'{path}: none of its {count} boxes has the stamp of one of its {len(found)} images; '
            'choose another `topic`, or record the images that the tracker got'
        )
    tell_unused(path, {'with a stamp that no image has': lost})


def box_file(path: Path) -> Path:
    """Text file in which the boxes of a recording may stand: the same name with ``.txt``."""
    return path.with_suffix('.txt') if path.suffix else path.with_name(f'{path.name}.txt')


def _shown_in_file(path: Path) -> dict[int, list[Shown]]:
    """Boxes by the number of the image."""
    rows = read_boxes(box_file(path))
    usable = find_usable(rows, box_file(path)).tolist()
    return {
        number: [Shown('', Box(*row))] if usable[number] else []
        for number, row in enumerate(rows.tolist())
    }


def _shown_in_topics(path: Path) -> dict[int, list[Shown]]:
    """Boxes of ``Target`` messages by the stamp of the image they belong to."""
    shown: dict[int, list[Shown]] = defaultdict(list)
    if not is_bag(path):
        return shown
    with _open_bag(path) as bag:
        connections = [each for each in bag.connections if each.msgtype == _TARGET]
        flat = 0
        for connection, _, data in bag.messages(connections) if connections else ():
            message = bag.deserialize(data, connection.msgtype)
            box = Box(message.left, message.top, message.width, message.height)
            if message.state != 0:
                continue
            if not box.is_finite() or min(box.width, box.height) <= 0:
                flat += 1
                continue
            target = f'{connection.topic.strip("/")}/{message.target_id}'
            shown[_nanoseconds(message.header.stamp)].append(Shown(target, box))
    tell_unused(path, {'TRACKING, but without area': flat})
    return shown


def _stamped(path: Path, topic: str) -> Iterator[tuple[int, Image]]:
    """Images with their stamps in nanoseconds; a video has none but 0."""
    if not is_bag(path):
        try:
            yield from ((0, image) for image in VideoFile(path.stem, str(path)))
        except ValueError as error:
            raise DataError(str(error)) from error
        return
    with _open_bag(path) as bag:
        connection = _choose(bag.connections, topic, path)
        for each, time, data in bag.messages([connection]):
            message = bag.deserialize(data, each.msgtype)
            stamp = _nanoseconds(message.header.stamp)
            try:
                is_compressed = each.msgtype == _COMPRESSED
                if is_compressed:
                    check_end(bytes(message.data), 'the image')
                decode = decode_compressed if is_compressed else decode_raw
                yield stamp, np.ascontiguousarray(decode(message))
            except ValueError as error:
                raise DataError(f'{path}, {each.topic} at {time} ns: {error}') from error


@contextmanager
def _open_bag(path: Path) -> Iterator[Any]:
    try:
        from rosbags.highlevel import AnyReader
        from rosbags.typesys import Stores, get_types_from_msg, get_typestore
    except ImportError as error:
        raise DataError('rosbag2 recordings need rosbags: pip install rosbags') from error
    types = get_typestore(Stores.ROS2_HUMBLE)
    types.register(get_types_from_msg(_TARGET_DEFINITION, _TARGET))
    try:
        with AnyReader([path], default_typestore=types) as bag:
            yield bag
    except DataError:
        raise
    except Exception as error:  # of the readers, and of the data base below them
        raise DataError(f'{path} cannot be read as a rosbag2 recording: {error}') from error


def _choose(connections: list[Any], topic: str, path: Path) -> Any:
    """The connection of a topic with images, or the only one there is."""
    images = [each for each in connections if each.msgtype in (_RAW, _COMPRESSED)]
    chosen = [each for each in images if not topic or each.topic == topic]
    if len(chosen) != 1:
        if not images:
            raise DataError(f'{path} holds no images, that is no {_RAW} or {_COMPRESSED}')
        found = ', '.join(f'{each.topic} ({each.msgcount} images)' for each in images)
        problem = f'has no images on {topic!r}' if topic else 'needs `topic` in its source'
        raise DataError(f'{path} {problem}; topics with images: {found}')
    return chosen[0]


def _nanoseconds(stamp: Any) -> int:
    return int(stamp.sec) * 1_000_000_000 + int(stamp.nanosec)
