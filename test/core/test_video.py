import warnings

import cv2
import numpy as np
import pytest

from tracker_core.video import IncompleteVideoWarning, VideoFile, VideoWriter, open_video


def write_png(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image[..., ::-1])


def test_a_folder_gives_rgb_frames_in_numeric_order(tmp_path):
    for number in (10, 2, 1):
        write_png(tmp_path / f'{number}.png', np.full((8, 10, 3), (number, 0, 200), np.uint8))
    source = open_video(tmp_path)
    assert source.count == 3
    assert [tuple(frame[0, 0]) for frame in source] == [(1, 0, 200), (2, 0, 200), (10, 0, 200)]


def test_otb_layout_is_a_folder_with_img_in_it(tmp_path):
    write_png(tmp_path / 'Seq' / 'img' / '0001.png', np.zeros((8, 10, 3), np.uint8))
    source = open_video(tmp_path / 'Seq')
    assert (source.name, source.count) == ('Seq', 1)


@pytest.mark.parametrize('suffix', ['.mp4', '.avi', '.mkv', '.mov'])
def test_a_written_video_reads_back(tmp_path, suffix):
    colors = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    path = tmp_path / f'clip{suffix}'
    with VideoWriter(path, 12.5) as writer:
        for color in colors:
            writer.write(np.full((48, 64, 3), color, np.uint8)[:, ::-1])
        assert not path.exists()
    source = open_video(path)
    assert (source.name, source.count, source.fps) == ('clip', 3, 12.5)
    for _ in range(2):  # iterating again starts anew
        frames = list(source)
        assert len(frames) == 3
        for frame, color in zip(frames, colors, strict=True):
            assert frame.shape == (48, 64, 3)
            assert np.abs(frame.mean((0, 1)) - color).max() < 12


def test_an_interrupted_video_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        raise RuntimeError
    assert not list(tmp_path.iterdir())


def test_frames_of_another_size_are_resized(tmp_path):
    with VideoWriter(tmp_path / 'a.mp4') as writer:
        writer.write(np.zeros((48, 64, 3), np.uint8))
        writer.write(np.zeros((96, 64, 3), np.uint8))
    assert [frame.shape for frame in open_video(tmp_path / 'a.mp4')] == [(48, 64, 3)] * 2


@pytest.mark.parametrize(
    ('name', 'target', 'opened'),
    [
        ('3', None, 3),
        ('/dev/video2', None, 2),
        ('/dev/v4l/by-id/usb-cam', '/dev/video4', 4),
        ('/dev/video_front', None, '/dev/video_front'),
    ],
)
def test_names_of_cameras(monkeypatch, tmp_path, name, target, opened):
    asked = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        cv2, 'VideoCapture', lambda source: asked.append(source) or FakeCapture([], 0)
    )
    monkeypatch.setattr('pathlib.Path.resolve', lambda path: target or path)
    assert open_video(name).name == name
    assert asked == [opened]


def test_a_folder_with_a_number_for_a_name_is_no_camera(monkeypatch, tmp_path):
    write_png(tmp_path / '0001' / '1.png', np.zeros((8, 10, 3), np.uint8))
    monkeypatch.chdir(tmp_path)
    assert open_video('0001').count == 1


def test_errors_say_what_is_wrong(tmp_path):
    with pytest.raises(FileNotFoundError, match='no video file or folder'):
        open_video(tmp_path / 'absent.mp4')
    with pytest.raises(ValueError, match='holds no images'):
        open_video(tmp_path)
    (tmp_path / 'broken.mp4').write_bytes(b'nonsense')
    with pytest.raises(ValueError, match='cannot read'):
        open_video(tmp_path / 'broken.mp4')
    (tmp_path / 'broken.png').write_bytes(b'nonsense')
    with pytest.raises(ValueError, match=r'cannot read the image .*broken.png'):
        list(open_video(tmp_path))
    for name in ('a.x', 'a.gif', 'a.jpg', 'a'):
        with pytest.raises(ValueError, match=f'{name}: the name must end in .mp4'):
            VideoWriter(tmp_path / name)


class FakeCapture:
    """Says what it is told: the numbers of its frames, None where one cannot be read."""

    def __init__(self, reads, count):
        self.reads, self.count, self.now = list(reads), count, 0

    def read(self):
        number = self.reads.pop(0) if self.reads else None
        if number is None:
            return False, None
        self.now = number
        return True, np.full((4, 4, 3), number, np.uint8)

    def get(self, key):
        known = {cv2.CAP_PROP_FPS: 25, cv2.CAP_PROP_FRAME_COUNT: self.count}
        return known.get(key, self.now * 40.0)

    def isOpened(self):  # noqa: N802
        return True

    def release(self):
        pass


@pytest.mark.parametrize(
    ('reads', 'count', 'frames', 'message'),
    [
        ([0, 1, None, 3, 4], 5, [0, 1, 1, 3, 4], '4 of 5'),
        ([0, 1, None, None, 2, 4, 6], 7, [0, 1, 2, 2, 4, 4, 6], '5 of 7'),  # stored out of order
        ([0, 1, 2], 9, [0, 1, 2], '3 of 9'),
        ([0, 1, 2], 5, [0, 1, 2], None),  # the header of a whole video
        ([0, 1, 2], 2, [0, 1, 2], None),
        ([0, 1, 2], 0, [0, 1, 2], None),
    ],
)
def test_damaged_frames_shift_no_others_and_are_reported(
    monkeypatch, reads, count, frames, message
):
    monkeypatch.setattr(cv2, 'VideoCapture', lambda source: FakeCapture(reads, count))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        assert [frame[0, 0, 0] for frame in VideoFile('a', 'a.mp4')] == frames
    assert [each.category for each in caught] == [IncompleteVideoWarning] * (message is not None)
    assert message is None or f'a.mp4: {message} frames could be read' in str(caught[0].message)


def test_a_video_that_was_cut_off_is_reported(tmp_path):
    with VideoWriter(tmp_path / 'a.avi') as writer:
        for _ in range(20):
            writer.write(np.random.default_rng(0).integers(0, 255, (96, 128, 3), np.uint8))
    content = (tmp_path / 'a.avi').read_bytes()
    (tmp_path / 'a.avi').write_bytes(content[: len(content) // 2])
    with pytest.warns(IncompleteVideoWarning, match='of 20 frames could be read'):
        assert 5 < len(list(open_video(tmp_path / 'a.avi'))) < 15
