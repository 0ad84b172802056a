"""Sources of the demo camera and the truth that comes with them."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from tracker_core import Box
from tracker_core.synthetic import DEMO_FPS, DEMO_SCENE
from tracker_core.video import VideoWriter
from tracker_ros import demo_footage
from tracker_ros.demo_footage import open_footage

FRAMES = [np.full((48, 64, 3), 40 * i, np.uint8) for i in range(4)]


def write_clip(folder: Path, name: str = 'clip.mp4') -> Path:
    with VideoWriter(folder / name, 10.0) as writer:
        for frame in FRAMES:
            writer.write(frame)
    return folder / name


def write_otb(folder: Path) -> None:
    (folder / 'img').mkdir()
    for index, frame in enumerate(FRAMES):
        cv2.imwrite(str(folder / 'img' / f'{index + 1:04d}.png'), frame)
    (folder / 'groundtruth_rect.txt').write_text('11,21,8,9\n12,21,8,9\n13\t21\t8\t9\n')


def test_scene_has_truth() -> None:
    footage = open_footage()
    assert (footage.truth, footage.live, footage.fps) == (True, False, DEMO_FPS)
    shot = next(iter(footage))
    assert shot.image().shape == (DEMO_SCENE.size[1], DEMO_SCENE.size[0], 3)
    assert shot.truth is not None
    assert shot.visible == pytest.approx(1)


def test_video_without_annotation_has_no_truth(tmp_path: Path) -> None:
    footage = open_footage(str(write_clip(tmp_path)))
    shots = list(footage)
    assert (footage.fps, footage.truth, len(shots)) == (10.0, False, 4)
    assert all(shot.truth is None for shot in shots)


def test_annotation_beside_the_only_video_is_used(tmp_path: Path) -> None:
    clip = write_clip(tmp_path)
    (tmp_path / 'groundtruth.txt').write_text('1,2,3,4\nnan,nan,nan,nan\n5,6,7,8\n5,6,7,8\n')
    for source in (str(clip), str(tmp_path)):
        shots = list(open_footage(source))
        assert shots[0].truth == Box(1, 2, 3, 4)
        assert shots[1].visible == 0
        assert shots[2].truth == Box(5, 6, 7, 8)


def test_annotation_beside_several_videos_belongs_to_none(tmp_path: Path) -> None:
    clip = write_clip(tmp_path)
    write_clip(tmp_path, 'other.mp4')
    (tmp_path / 'groundtruth.txt').write_text('1,2,3,4\n')
    assert not open_footage(str(clip)).truth


def test_otb_folder_counts_pixels_from_one_and_may_be_annotated_in_part(tmp_path: Path) -> None:
    write_otb(tmp_path)
    shots = list(open_footage(str(tmp_path)))
    assert shots[0].truth == Box(10, 20, 8, 9)
    assert [shot.image()[0, 0, 0] for shot in shots] == [0, 40, 80, 120]
    assert shots[3].truth is None


def test_footage_can_be_played_again(tmp_path: Path) -> None:
    footage = open_footage(str(write_clip(tmp_path)))
    assert len(list(footage)) == len(list(footage)) == 4


@pytest.mark.parametrize('name', ['0001', '0'])
def test_a_folder_with_the_name_of_a_camera_is_played_at_its_rate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / name / '1.png'), FRAMES[0])
    footage = open_footage(name)
    assert (footage.live, len(list(footage))) == (False, 1)


def test_a_clip_in_shared_memory_is_played_at_its_rate() -> None:
    with TemporaryDirectory(dir='/dev/shm') as folder:
        assert not open_footage(str(write_clip(Path(folder)))).live


@pytest.mark.parametrize('source', ['0', '/dev/null'])
def test_a_camera_sets_the_pace(monkeypatch: pytest.MonkeyPatch, source: str) -> None:
    monkeypatch.setattr(demo_footage, 'open_video', lambda _: SimpleNamespace(name='', fps=30.0))
    assert open_footage(source).live


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r'nothing\.mp4'):
        open_footage(str(tmp_path / 'nothing.mp4'))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match='empty'):
        open_footage(str(tmp_path / 'empty'))
