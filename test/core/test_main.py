"""The command line for one video."""

import cv2
import numpy as np
import pytest

from tracker_core import __main__ as command_line
from tracker_core.__main__ import main
from tracker_core.sequence import read_boxes
from tracker_core.video import VideoWriter, open_video


@pytest.fixture
def clip(tmp_path, frames):
    with VideoWriter(tmp_path / 'clip.mp4') as writer:
        for frame in frames:
            writer.write(frame)
    return tmp_path / 'clip.mp4'


def test_writes_boxes_and_video(clip, tmp_path, capsys):
    output, boxes = tmp_path / 'out.mp4', tmp_path / 'boxes.txt'
    arguments = [str(clip), '--box', '50', '40', '30', '30', '--weights', 'random']
    assert main([*arguments, '--output', str(output), '--save', str(boxes)]) == 0
    saved = read_boxes(boxes)
    assert saved.shape == (6, 4)
    np.testing.assert_array_equal(saved[0], [50, 40, 30, 30])
    drawn = list(open_video(output))
    assert len(drawn) == 6
    assert np.abs(drawn[0].astype(int) - next(iter(open_video(clip)))).max() > 50
    assert '6 frames' in capsys.readouterr().out


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (['absent.mp4', '--box', '1,2,3,4'], 'no video file or folder'),
        (['{clip}', '--box', '1,2,3'], '--box takes LEFT TOP WIDTH HEIGHT'),
        (['{clip}', '--box', '900,900,30,30', '--weights', 'random'], 'outside the image'),
        (['{clip}', '--box', '50,40,30,30', '--model', 'x'], 'unknown tracker'),
        (['{clip}', '--box', '50,40,30,30', '--weights', 'x.safetensors'], 'no weights file'),
        (['{clip}', '--weights', 'random'], 'no display'),
        (['{clip}', '--box', '50,40,30,30', '--output', 'a.gif', '--model', 'x'], 'must end in'),
    ],
)
def test_errors_are_one_line_and_a_status(clip, capsys, monkeypatch, arguments, message):
    monkeypatch.delenv('DISPLAY', raising=False)
    monkeypatch.delenv('WAYLAND_DISPLAY', raising=False)
    assert main([word.format(clip=clip) for word in arguments]) == 1
    errors = capsys.readouterr().err
    assert message in errors
    assert 'Traceback' not in errors


def test_a_failed_run_writes_nothing(clip, tmp_path):
    before = set(tmp_path.iterdir())
    output = tmp_path / 'out.mp4'
    assert main([str(clip), '--box', '900,0,9,9', '--weights', 'random', '--output', str(output)])
    assert set(tmp_path.iterdir()) == before


def test_what_was_tracked_before_an_unreadable_image_is_saved(frames, tmp_path, capsys):
    for index, frame in enumerate(frames):
        cv2.imwrite(str(tmp_path / f'{index}.png'), frame)
    (tmp_path / '4.png').write_bytes(b'nonsense')
    boxes, output = tmp_path / 'boxes.txt', tmp_path / 'out.mp4'
    arguments = [str(tmp_path), '--box', '50', '40', '30', '30', '--weights', 'random']
    assert main([*arguments, '--save', str(boxes), '--output', str(output)]) == 1
    assert len(read_boxes(boxes)) == len(list(open_video(output))) == 4
    assert 'cannot read the image' in capsys.readouterr().err


def test_a_damaged_video_is_saved_and_reported(frames, tmp_path, capsys):
    clip, boxes = tmp_path / 'clip.avi', tmp_path / 'boxes.txt'
    with VideoWriter(clip) as writer:
        for frame in frames * 2:
            writer.write(frame)
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    arguments = [str(clip), '--box', '50', '40', '30', '30', '--weights', 'random']
    assert main([*arguments, '--save', str(boxes)]) == 1
    assert 1 < len(read_boxes(boxes)) < 12
    assert 'of 12 frames could be read' in capsys.readouterr().err


@pytest.mark.parametrize(('count', 'status'), [(None, 0), (9, 130)])
def test_ctrl_c_saves_what_was_tracked(frames, tmp_path, monkeypatch, capsys, count, status):
    class Camera:
        name, fps = 'camera', 30.0

        def __iter__(self):
            yield from frames[:3]
            raise KeyboardInterrupt

    Camera.count = count
    monkeypatch.setattr(command_line, 'open_video', lambda source: Camera())
    boxes, output = tmp_path / 'boxes.txt', tmp_path / 'out.mp4'
    arguments = ['0', '--box', '50', '40', '30', '30', '--weights', 'random']
    assert main([*arguments, '--save', str(boxes), '--output', str(output)]) == status
    assert len(read_boxes(boxes)) == len(list(open_video(output))) == 3
    assert 'interrupted' in capsys.readouterr().err
