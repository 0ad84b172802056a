"""Windows: one place through the frames of a recording, and never across a cut."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from training.crops import CropSettings, load_source
from training.datasets import DataError
from training.sampling import FrameFilter
from training.sources import WindowSource, parse_source
from training.windows import WindowSettings, read_windows

SETTINGS = WindowSettings(span=6, kept=3, targets=2)


def _scene(index: int, seed: int = 1) -> np.ndarray:
    """A textured square that moves by 3 px a frame over another texture."""
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 255, (180, 240), dtype=np.uint8), (0, 0), 2)
    image = cv2.normalize(image, None, 0, 255, cv2.NORM_MINMAX)
    image[60:120, 20 + 3 * index : 80 + 3 * index] = image[:60, 100:160][::-1]
    return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)


def _write(path: Path, images: list[np.ndarray]) -> Path:
    codec = cv2.VideoWriter_fourcc(*'mp4v')
    video = cv2.VideoWriter(str(path), codec, 25.0, (240, 180))
    for image in images:
        video.write(image)
    video.release()
    return path


@pytest.fixture
def video(tmp_path: Path) -> Path:
    return _write(tmp_path / 'film.mp4', [_scene(index) for index in range(20)])


def test_box_stays_while_the_frames_go_on(video: Path) -> None:
    views = list(read_windows(video, 1000, settings=SETTINGS))
    assert [view.frame for view in views[:3]] == [0, 2, 5]
    assert len({view.sequence for view in views}) == len(views) // 3 == 3 * 2
    for window in range(0, len(views), 3):
        assert len({view.box for view in views[window : window + 3]}) == 1
    assert {view.scene for view in views} == {'film'}
    later = next(view for view in views if view.frame == 12)
    assert np.abs(later.image.astype(int) - _scene(12)).mean() < 10


def test_few_frames_are_spread_over_the_recording(video: Path) -> None:
    views = list(read_windows(video, 12, settings=SETTINGS))
    assert sorted({view.frame for view in views}) == [0, 2, 5, 12, 14, 17]


def test_no_window_crosses_a_cut(tmp_path: Path) -> None:
    images = [_scene(i) for i in range(8)] + [255 - _scene(i, 5) // 3 for i in range(4)]
    views = list(read_windows(_write(tmp_path / 'cut.mp4', images), 1000, settings=SETTINGS))
    assert views and {view.frame for view in views} == {0, 2, 5}


def test_short_recording_has_none(tmp_path: Path) -> None:
    short = _write(tmp_path / 'short.mp4', [_scene(index) for index in range(5)])
    assert list(read_windows(short, 1000, settings=SETTINGS)) == []


def test_recording_or_folder_of_recordings_is_a_source(video: Path, tmp_path: Path) -> None:
    source = parse_source({'path': '*', 'kind': 'windows', 'span': 6, 'kept': 3})
    assert isinstance(source, WindowSource) and source.targets == 3
    loaded = [
        load_source(source, data, tmp_path / 'cache', CropSettings(), FrameFilter(max_share=0.9))
        for data in (video, video.parent)
    ]
    assert len(loaded[0]) == len(loaded[1]) > 3
    window = loaded[0][0]
    assert window.crops.shape == (3, 303, 303, 4) and window.frames.tolist() == [0, 2, 5]
    assert len(list((tmp_path / 'cache').glob('film*'))) == 1  # cut once


def test_recordings_without_windows_are_an_error(tmp_path: Path) -> None:
    (tmp_path / 'data').mkdir()
    _write(tmp_path / 'data' / 'short.mp4', [_scene(index) for index in range(5)])
    source = parse_source({'path': '*', 'kind': 'windows'})
    with pytest.raises(DataError, match=r'no usable target.*too short'):
        load_source(source, tmp_path / 'data', tmp_path / 'c', CropSettings(), FrameFilter())
    with pytest.raises(DataError, match=r'nothing\.mcap does not exist'):
        load_source(
            source, tmp_path / 'nothing.mcap', tmp_path / 'c', CropSettings(), FrameFilter()
        )


def test_recordings_without_windows_are_counted_beside_others(
    video: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _write(video.parent / 'short.mp4', [_scene(index) for index in range(5)])
    source = parse_source({'path': '*.mp4', 'kind': 'windows', 'span': 6})
    filter_ = FrameFilter(max_share=0.9)
    assert load_source(source, video.parent, tmp_path / 'cache', CropSettings(), filter_)
    assert '(windows): 1 of 2 parts hold no usable target' in capsys.readouterr().err


def test_bag_is_read_like_a_video(tmp_path: Path) -> None:
    pytest.importorskip('rosbags', reason='recordings need rosbags: pip install rosbags')
    from rosbags.rosbag2 import StoragePlugin, Writer
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS2_JAZZY)
    message = types.types
    stamp = message['builtin_interfaces/msg/Time'](sec=5, nanosec=0)
    header = message['std_msgs/msg/Header'](stamp=stamp, frame_id='camera')
    bag = tmp_path / 'bag'
    with Writer(bag, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        kind = 'sensor_msgs/msg/Image'
        connection = writer.add_connection('/camera/image', kind, typestore=types)
        for index in range(12):
            image = message[kind](
                header=header, height=180, width=240, encoding='bgr8', is_bigendian=0,
                step=720, data=_scene(index).ravel(),
            )  # fmt: skip
            writer.write(connection, 10**9 + index, types.serialize_cdr(image, kind))
    (file,) = bag.glob('*.mcap')
    for path in (bag, file):
        views = list(read_windows(path, 1000, settings=SETTINGS))
        assert {view.frame for view in views} == {0, 2, 5, 6, 8, 11}
        assert np.array_equal(views[1].image, _scene(2)[..., ::-1])
