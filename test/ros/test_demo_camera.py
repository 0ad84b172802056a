"""The demo camera as a process: images, stamps, truth, pace and errors over DDS."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from harness import PATIENCE, Inbox, stamp_of, until

from tracker_core.synthetic import DEMO_SCENE, DEMO_SEED, Scene
from tracker_core.video import VideoWriter
from tracker_ros.conversions import box_of, decode

pytestmark = pytest.mark.ros
FPS = 10.0


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """A video of twelve frames, each of another brightness, with truth for all but the fourth."""
    with VideoWriter(tmp_path / 'clip.mp4', FPS) as writer:
        for index in range(12):
            writer.write(np.full((48, 64, 3), 20 * index, np.uint8))
    rows = ['nan,nan,nan,nan' if i == 3 else f'{i},2,30,20' for i in range(12)]
    (tmp_path / 'groundtruth.txt').write_text('\n'.join(rows) + '\n')
    return tmp_path / 'clip.mp4'


class CameraProcess:
    """A demo camera, and what it publishes."""

    def __init__(self, ros: Any, folder: Path, listen: bool = True, **parameters: Any) -> None:
        from sensor_msgs.msg import CameraInfo, CompressedImage, Image
        from tracker_ros.msg import Target

        from tracker_ros.demo_camera import _KEPT

        namespace = f'cam_{os.urandom(3).hex()}'
        arguments = ['--ros-args', '-r', f'__ns:=/{namespace}']
        for name, value in {'wait_for_subscribers': 1, **parameters}.items():
            arguments += ['-p', f'{name}:={value}']
        self.log_path = folder / f'{namespace}.log'
        with self.log_path.open('w') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'tracker_ros.demo_camera', *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        if not listen:
            return
        compressed = parameters.get('image_transport') == 'compressed'
        kind, topic = (CompressedImage, '/compressed') if compressed else (Image, '')
        self.infos = ros.inbox(CameraInfo, f'/{namespace}/camera_info', _KEPT)
        self.truths: Inbox = ros.inbox(Target, f'/{namespace}/demo_camera/truth', _KEPT)
        self.images = ros.inbox(kind, f'/{namespace}/image_raw{topic}', 50)

    @property
    def log(self) -> str:
        return self.log_path.read_text()

    def finish(self) -> int:
        """Wait until it has played everything."""
        return self.process.wait(PATIENCE)


@pytest.fixture
def start(ros: Any, tmp_path: Path) -> Iterator[Any]:
    cameras: list[CameraProcess] = []

    def begin(**parameters: Any) -> CameraProcess:
        cameras.append(CameraProcess(ros, tmp_path, **parameters))
        return cameras[-1]

    yield begin
    for camera in cameras:
        if camera.process.poll() is None:
            camera.process.send_signal(signal.SIGINT)
            assert camera.finish() == 0, camera.log
        assert 'Traceback' not in camera.log


def test_plays_a_video_once_with_truth_of_the_same_stamp(start: Any, clip: Path) -> None:
    camera = start(video=clip)
    assert camera.finish() == 0, camera.log
    infos = {stamp_of(m): m for m in camera.infos.messages}
    # A busy machine may leave out a frame that is late, never change its content or truth.
    assert 8 <= len(infos) <= 12
    truths = {stamp_of(m): m for m in camera.truths.messages}
    assert truths.keys() == infos.keys()
    images = camera.images.messages
    assert len(images) >= 6, 'best effort: a few may get lost'
    for message in images:
        frame = round(decode(message).mean() / 20)
        truth = truths[stamp_of(message)]
        assert (infos[stamp_of(message)].width, infos[stamp_of(message)].height) == (64, 48)
        assert message.header.frame_id == truth.header.frame_id == 'camera'
        if frame == 3:
            assert (truth.state, truth.confidence) == (truth.LOST, 0)
        else:
            assert box_of(truth).as_ltwh() == (frame, 2, 30, 20)
            assert (truth.state, truth.confidence) == (truth.TRACKING, 1)


def test_keeps_the_rate_it_is_told(start: Any, clip: Path) -> None:
    camera = start(video=clip, rate=5.0, loop=True)
    until(lambda: len(camera.infos.messages) >= 15, 'images after the end of the video')
    stamps = np.array([stamp_of(m) for m in camera.infos.messages])
    steps = np.diff(stamps) / 1e9
    assert np.median(steps) == pytest.approx(0.2, abs=0.05)
    assert steps.min() > 0.02


def test_a_camera_that_cannot_keep_up_leaves_images_out(start: Any) -> None:
    camera = start(rate=300.0)
    assert camera.finish() == 0, camera.log
    # Its own words: what was received by now depends on how busy the listener is.
    published = int(re.findall(r'(\d+) images published', camera.log)[0])
    assert 2 <= published < len(Scene(DEMO_SCENE, DEMO_SEED))
    times = [float(second) for second in re.findall(r'\[INFO\] \[([\d.]+)\]', camera.log)]
    assert times[-1] - times[0] < 20, 'it does not fall behind'


def test_compresses_on_demand(start: Any, clip: Path) -> None:
    camera = start(video=clip, image_transport='compressed')
    assert camera.finish() == 0, camera.log
    message = camera.images.wait()
    assert 'jpeg' in message.format
    assert decode(message).shape == (48, 64, 3)


def test_shows_the_scene_with_its_truth(start: Any) -> None:
    camera = start()
    message = camera.images.wait()
    truth = camera.truths.wait(lambda m: stamp_of(m) == stamp_of(message))
    scene = Scene(DEMO_SCENE, DEMO_SEED)
    frames = [i for i in range(len(scene)) if scene.box(i) == box_of(truth)]
    assert len(frames) == 1
    assert np.array_equal(decode(message), scene.render(frames[0]).image)


def test_says_what_is_wrong(start: Any) -> None:
    wrong: tuple[tuple[dict[str, Any], str], ...] = (
        ({'video': '/no/clip.mp4'}, 'no video file or folder /no/clip.mp4'),
        ({'image_transport': 'fast'}, "must be 'raw' or 'compressed', not 'fast'"),
        ({'rate': -1.0}, 'rate must not be negative'),
    )
    cameras = [start(listen=False, **parameters) for parameters, _ in wrong]
    for camera, (_, message) in zip(cameras, wrong, strict=True):
        assert camera.finish() == 1
        assert message in camera.log
