"""Videos with a box file and rosbag2 recordings, written here by the library itself."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.crops import CropSettings, cut_view, load_source
from training.datasets import DataError
from training.frames import load_tracks
from training.readers.recording import (
    _TARGET,
    _TARGET_DEFINITION,
    is_bag,
    read_frames,
    read_recording,
)
from training.sampling import FrameFilter
from training.sources import RecordingSource

pytest.importorskip('rosbags', reason='recordings need rosbags: pip install rosbags')

from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

BOXES = [(30.0 + 3 * i, 45.0, 40.0, 30.0) for i in range(6)]
WriteBag = Callable[..., Path]


@pytest.fixture
def write_bag(moving_frame) -> WriteBag:
    """Return the writer of recordings: (folder, storage, topics={name: kind}, boxes=False).

    targets: who is shown in every image, instead of a dog that is now and then absent. first,
    late: nanoseconds that are added to the stamps of the boxes of the first and the other images.
    """
    types = get_typestore(Stores.ROS2_JAZZY)
    types.register(get_types_from_msg(_TARGET_DEFINITION, _TARGET))
    message = types.types

    def header(index: int):
        stamp = message['builtin_interfaces/msg/Time'](sec=5, nanosec=index * 40_000_000)
        return message['std_msgs/msg/Header'](stamp=stamp, frame_id='camera')

    def image(kind: str, index: int):
        pixels = moving_frame(3, index)
        if kind == 'jpeg':
            data = cv2.imencode('.jpg', pixels[..., ::-1])[1].ravel()
            make = message['sensor_msgs/msg/CompressedImage']
            return make(header=header(index), format='jpeg', data=data)
        stored = np.ascontiguousarray(pixels[..., ::-1] if kind == 'bgr8' else pixels)
        return message['sensor_msgs/msg/Image'](
            header=header(index), height=120, width=160, encoding=kind, is_bigendian=0,
            step=480, data=stored.ravel(),
        )  # fmt: skip

    def target(index: int, name: str, state: int = 0):
        left, top, width, height = BOXES[index]
        return message[_TARGET](
            header=header(index), target_id=name, left=left, top=top, width=width, height=height,
            confidence=0.9, state=state, processing_time=0.01,
        )  # fmt: skip

    def write(
        folder: Path,
        storage,
        topics: dict[str, str],
        boxes: bool = False,
        targets=(),
        first=0,
        late=0,
    ) -> Path:
        with Writer(folder, version=9, storage_plugin=storage) as writer:
            for topic, kind in topics.items():
                name = 'CompressedImage' if kind == 'jpeg' else 'Image'
                connection = writer.add_connection(
                    topic, f'sensor_msgs/msg/{name}', typestore=types
                )
                for index in range(6):
                    data = types.serialize_cdr(image(kind, index), connection.msgtype)
                    writer.write(connection, 10**9 + index, data)
            if boxes:
                connection = writer.add_connection('/tracker/target', _TARGET, typestore=types)
                states = (0,) * 6 if targets else (0, 0, 2, 1, 0, 0)
                for index, state in enumerate(states):
                    for name in targets or ['dog']:
                        shown = target(index, name, state)
                        shown.header.stamp.nanosec += late if index else first
                        data = types.serialize_cdr(shown, _TARGET)
                        writer.write(connection, 10**9 + 50 + index, data)
        return folder

    return write


@pytest.fixture(params=[StoragePlugin.MCAP, StoragePlugin.SQLITE3], ids=['mcap', 'db3'])
def storage(request: pytest.FixtureRequest):
    """Both formats of storage."""
    return request.param


@pytest.mark.parametrize('kind', ['rgb8', 'bgr8', 'jpeg'])
def test_images_are_rgb_whatever_is_recorded(
    tmp_path: Path, write_bag, moving_frame, storage, kind
):
    bag = write_bag(tmp_path / 'bag', storage, {'/camera/image': kind})
    assert is_bag(bag)
    images = list(read_frames(bag))
    assert len(images) == 6
    difference = images[4].astype(int) - moving_frame(3, 4)
    assert np.abs(difference).mean() < (8 if kind == 'jpeg' else 1e-9)


def test_a_single_file_of_storage_will_do(tmp_path: Path, write_bag):
    bag = write_bag(tmp_path / 'bag', StoragePlugin.MCAP, {'/camera/image': 'rgb8'})
    (file,) = bag.glob('*.mcap')
    lone = tmp_path / 'lone.mcap'
    lone.write_bytes(file.read_bytes())
    assert len(list(read_frames(lone))) == 6


def test_truncated_recordings_are_named(tmp_path: Path, write_bag, storage):
    bag = write_bag(tmp_path / 'bag', storage, {'/camera/image': 'rgb8'})
    (file,) = (path for path in bag.iterdir() if path.suffix in ('.mcap', '.db3'))
    whole = file.read_bytes()
    for share in np.linspace(0, 0.97, 25):
        file.write_bytes(whole[: int(share * len(whole))])
        for path in (bag, file):
            with pytest.raises(DataError, match=path.name):
                list(read_frames(path))


def test_boxes_from_messages_belong_to_the_image_with_their_stamp(
    tmp_path: Path, write_bag, storage
):
    bag = write_bag(tmp_path / 'bag', storage, {'/camera/image': 'rgb8'}, boxes=True)
    views = list(read_recording(bag, 100))
    assert [view.frame for view in views] == [0, 1, 4, 5], 'only where it is TRACKING'
    assert [view.box for view in views] == [BOXES[i] for i in (0, 1, 4, 5)]
    assert {(view.sequence, view.scene) for view in views} == {('bag/tracker/target/dog', 'bag')}
    assert [view.frame for view in read_recording(bag, 2)] == [0, 5]


def test_boxes_from_a_file_go_by_the_number_of_the_image(tmp_path: Path, write_bag):
    bag = write_bag(tmp_path / 'bag', StoragePlugin.MCAP, {'/camera/image': 'jpeg'}, boxes=True)
    lines = [','.join(map(str, box)) for box in BOXES]
    lines[1], lines[2] = 'nan,nan,nan,nan', '10,10,0,5'
    (tmp_path / 'bag.txt').write_text('\n'.join(lines) + '\n')
    views = list(read_recording(bag, 100))
    assert [view.frame for view in views] == [0, 3, 4, 5]
    assert {view.sequence for view in views} == {'bag'}


def test_the_topic_must_be_chosen_where_there_are_several(tmp_path: Path, write_bag):
    bag = write_bag(
        tmp_path / 'bag', StoragePlugin.MCAP, {'/front/image': 'rgb8', '/rear/image': 'jpeg'}
    )
    with pytest.raises(DataError, match=r'needs `topic`.*/front/image \(6 images\), /rear/image'):
        list(read_frames(bag))
    assert len(list(read_frames(bag, '/rear/image'))) == 6
    with pytest.raises(DataError, match="no images on '/left'; topics with images: /front/image"):
        list(read_frames(bag, '/left'))


def test_what_cannot_be_used_is_said(tmp_path: Path, write_bag):
    bag = write_bag(tmp_path / 'bag', StoragePlugin.MCAP, {'/camera/image': 'rgb8'})
    with pytest.raises(DataError, match=r'without boxes: write .*bag\.txt.*unlabelled'):
        list(read_recording(bag, 10))
    broken = tmp_path / 'broken.mcap'
    broken.write_bytes(b'\x00' * 100)
    with pytest.raises(DataError, match=r'broken\.mcap cannot be read as a rosbag2 recording'):
        list(read_frames(broken))
    strange = write_bag(tmp_path / 'strange', StoragePlugin.MCAP, {'/camera/image': 'yuv999'})
    with pytest.raises(DataError, match="unknown image encoding 'yuv999'"):
        list(read_frames(strange))
    with pytest.raises(DataError, match='empty holds no images, that is no sensor_msgs'):
        list(read_frames(write_bag(tmp_path / 'empty', StoragePlugin.MCAP, {}, boxes=True)))


def test_a_video_with_a_box_file(tmp_path: Path, write_clip):
    clip = write_clip(tmp_path / 'c', 1, absent=(2,)) / 'clip.mp4'
    clip.with_suffix('.txt').write_text((tmp_path / 'c' / 'groundtruth.txt').read_text())
    views = list(read_recording(clip, 100))
    assert [view.frame for view in views] == [0, 1, 3, 4, 5, 6, 7]
    assert views[1].box == (33.0, 45.0, 40.0, 30.0)
    assert len(list(read_frames(clip))) == 8
    (tmp_path / 'fake.mp4').write_bytes(b'no video')
    (tmp_path / 'fake.txt').write_text('1,2,3,4\n')
    with pytest.raises(DataError, match=r'fake\.mp4'):
        list(read_recording(tmp_path / 'fake.mp4', 10))


def test_two_targets_of_a_recording_are_two_sequences(tmp_path: Path, write_bag):
    targets = {'boxes': True, 'targets': ('cat', 'dog')}
    write_bag(tmp_path / 'data' / 'bag', StoragePlugin.MCAP, {'/image': 'rgb8'}, **targets)
    source = RecordingSource('bag', 'recordings')
    arguments = source, tmp_path / 'data', tmp_path / 'cache'
    sequences = load_source(*arguments, CropSettings(), FrameFilter())
    tracks = load_tracks(*arguments, FrameFilter())
    for found in (sequences, tracks):
        assert [each.name for each in found] == [f'bag/tracker/target/{t}' for t in ('cat', 'dog')]
        assert [each.frames.tolist() for each in found] == [list(range(6))] * 2
    views = list(read_recording(tmp_path / 'data' / 'bag', 100))
    assert np.array_equal(sequences[1].crops[4], cut_view(views[9], CropSettings()))
    assert tracks[1].boxes_ltwh.tolist() == [list(box) for box in BOXES]


def test_stamps_that_no_image_has_are_counted(tmp_path: Path, write_bag, capsys):
    targets = {'boxes': True, 'targets': ('cat', 'dog')}
    topics = {'/image': 'rgb8'}
    bag = write_bag(tmp_path / 'bag', StoragePlugin.MCAP, topics, **targets, late=7)
    assert [view.frame for view in read_recording(bag, 100)] == [0, 0]
    expected = 'bag: boxes not used: 10 x with a stamp that no image has\n'
    assert capsys.readouterr().err.endswith(expected)
    bag = write_bag(tmp_path / 'none', StoragePlugin.MCAP, topics, **targets, first=7, late=7)
    with pytest.raises(DataError, match='none of its 12 boxes has the stamp of one of its 6 im'):
        list(read_recording(bag, 100))


@pytest.mark.parametrize('lines', [4, 9])
def test_a_box_file_must_have_a_line_per_image(tmp_path: Path, write_clip, lines):
    clip = write_clip(tmp_path / 'c', 1) / 'clip.mp4'
    clip.with_suffix('.txt').write_text('30,45,40,30\n' * lines)
    with pytest.raises(DataError, match=rf'clip.txt: {lines} boxes, but .*clip.mp4 has 8 images'):
        list(read_recording(clip, 100))
