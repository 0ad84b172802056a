"""The whole demo: three nodes in processes, exit status, files, and no orphans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from harness import PATIENCE, scene, until

from tracker_core import Box
from tracker_core.video import VideoWriter, open_video
from tracker_ros.demo import TRACKER, _explain, _first_box, main
from tracker_ros.demo_footage import Footage, _plain_shots, open_footage
from tracker_ros.demo_processes import Children

pytestmark = pytest.mark.ros
FRAMES = 45
#: Random weights follow this clip, a bright square on a dull ground. It is played so slowly that
#: a busy machine tracks enough of it.
QUICK = ('--model', 'siamfc', '--weights', 'random', '--rate', '3')


@pytest.fixture(scope='module')
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A video with truth."""
    folder = tmp_path_factory.mktemp('clip')
    rows = []
    with VideoWriter(folder / 'clip.mp4', 10.0) as writer:
        for index in range(FRAMES):
            image, box = scene(index)
            writer.write(image)
            rows.append(','.join(f'{value:g}' for value in box.as_ltwh()))
    (folder / 'groundtruth.txt').write_text('\n'.join(rows) + '\n')
    return folder / 'clip.mp4'


class Demo:
    """A running demo with its output in files."""

    def __init__(self, folder: Path, *arguments: object) -> None:
        self.output, self._text = folder / 'out', folder / 'text'
        command = [sys.executable, '-m', 'tracker_ros.demo', '--output', self.output, *arguments]
        environment = {k: v for k, v in os.environ.items() if 'DISPLAY' not in k}
        with self._text.open('w') as text:
            self.process = subprocess.Popen(
                list(map(str, command)), stdout=text, stderr=subprocess.STDOUT, env=environment
            )

    @property
    def text(self) -> str:
        return self._text.read_text()

    def finish(self) -> int:
        return self.process.wait(5 * PATIENCE)

    def children(self) -> list[str]:
        """Command lines of processes that write to this demo's output or belong to it."""
        found = []
        for path in Path('/proc').glob('[0-9]*/environ'):
            try:
                environment = path.read_bytes()
                words = (path.parent / 'cmdline').read_bytes().replace(b'\0', b' ').decode()
            except OSError:
                continue
            if f'TRACKER_DEMO_TEST={self.output}'.encode() in environment:
                found.append(words)
        return [words for words in found if 'tracker_ros.demo ' not in words]


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    demos: list[Demo] = []

    def begin(*arguments: object) -> Demo:
        # Children inherit it, which is how they are found.
        monkeypatch.setenv('TRACKER_DEMO_TEST', str(tmp_path / 'out'))
        demos.append(Demo(tmp_path, *arguments))
        return demos[-1]

    yield begin
    for demo in demos:
        demo.process.kill()
        demo.process.wait()


def test_following_is_success_and_leaves_pictures(start, clip: Path) -> None:  # type: ignore[no-untyped-def]
    demo = start('--video', clip, *QUICK)
    assert demo.finish() == 0, demo.text
    assert '\nFOLLOWED: mean IoU' in demo.text
    report = json.loads((demo.output / 'report.json').read_text())
    assert report['followed']
    assert report['mean_iou'] >= 0.5
    assert report['images'] >= 35
    video = open_video(demo.output / 'overlay.mp4')
    assert sum(1 for _ in video) >= 25
    sheet = cv2.imread(str(demo.output / 'contact_sheet.png'))
    assert sheet.shape[1] == 1600
    lines = [line for line in demo.text.splitlines() if ' ms ' in line and '/' in line]
    assert len(lines) >= 3, 'a line per second'
    assert not demo.children()


def test_a_box_on_the_background_is_failure(start, clip: Path) -> None:  # type: ignore[no-untyped-def]
    demo = start('--video', clip, '--box', '10,190,48,48', *QUICK)
    assert demo.finish() == 3, demo.text
    assert '\nNOT FOLLOWED: mean IoU' in demo.text
    assert not json.loads((demo.output / 'report.json').read_text())['followed']
    assert (demo.output / 'overlay.mp4').stat().st_size > 0


def test_the_log_of_a_node_that_fails_is_shown(start, clip: Path) -> None:  # type: ignore[no-untyped-def]
    demo = start('--video', clip, '--weights', '/nowhere/weights.safetensors')
    assert demo.finish() == 1
    assert 'tracker_node ended with status' in demo.text
    assert '/nowhere/weights.safetensors' in demo.text
    assert 'Traceback' not in demo.text
    assert not demo.children()


def test_footage_of_a_single_image_is_no_reason_to_wait(start, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    cv2.imwrite(str(tmp_path / 'single.png'), scene(0)[0])
    demo = start('--video', tmp_path / 'single.png', '--box', '120,120,48,48', *QUICK)
    until(lambda: demo.process.poll() is not None, 'the end of the demo')
    assert demo.finish() in (1, 3), demo.text
    assert 'was over before its first image' in demo.text or 'NOT FOLLOWED' in demo.text
    assert not demo.children()


@pytest.mark.parametrize('tracked', [0, 1])
def test_the_log_of_a_tracker_that_found_nothing_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tracked: int
) -> None:
    (tmp_path / 'report.json').write_text(json.dumps({'tracked': tracked}))
    with Children(tmp_path, {}) as children:
        children.log(TRACKER).write_text("not tracking 'target': because\n")
        _explain(children, tmp_path)
    assert ("tracker_node.log:\n  not tracking 'target': because" in capsys.readouterr().err) == (
        tracked == 0
    )


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_the_demo(start, clip: Path, number: signal.Signals) -> None:  # type: ignore[no-untyped-def]
    demo = start('--video', clip, *QUICK)
    until(lambda: ' time ' in demo.text or demo.process.poll() is not None, 'the first line')
    assert len(demo.children()) == 3, demo.text
    demo.process.send_signal(number)
    status = demo.process.wait(PATIENCE)
    if number != signal.SIGKILL:
        assert status == 130
        assert 'interrupted' in demo.text
    deadline = time.monotonic() + PATIENCE
    while demo.children() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not demo.children()
    assert not (demo.output / 'overlay.mp4').exists()


def test_input_that_cannot_work_is_refused_at_once(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(signal, 'signal', lambda *_: None)
    for name in ('DISPLAY', 'WAYLAND_DISPLAY'):
        monkeypatch.delenv(name, raising=False)
    lonely = tmp_path / 'lonely.mp4'
    lonely.write_bytes(clip.read_bytes())
    for arguments, message in (
        (['--video', '/nowhere.mp4'], 'no video file or folder /nowhere.mp4'),
        (['--video', str(lonely)], 'no display to draw a box on: give it with --box'),
        (['--box', '1,2,3'], "not '1,2,3'"),
        (['--video', str(clip), '--box', '1,2,3,4,5'], "not '1,2,3,4,5'"),
        (['--video', str(clip), '--box', '400,10,20,20'], 'lies outside the image'),
    ):
        assert main(arguments) == 1
        assert message in capsys.readouterr().err


def test_box_may_be_given_drawn_or_known(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = open_footage(str(clip))
    assert _first_box('1,2,3,4', known) == Box(1, 2, 3, 4)
    assert _first_box(None, known) == scene(0)[1]
    unknown = Footage(
        'plain', 10.0, lambda: _plain_shots(open_video(clip)), truth=False, live=False
    )
    monkeypatch.setenv('DISPLAY', ':0')
    monkeypatch.setattr(cv2, 'selectROI', lambda *_: (5, 6, 7, 8))
    monkeypatch.setattr(cv2, 'destroyWindow', lambda *_: None)
    assert _first_box(None, unknown) == Box(5, 6, 7, 8)
