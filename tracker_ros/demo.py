"""Follow a target with the real nodes: a camera, the tracker and a recorder, in processes.

python -m tracker_ros.demo                                  the scene rendered by the package
python -m tracker_ros.demo --video clip.mp4 --box 10,20,50,80
python -m tracker_ros.demo --video OTB/Crossing             truth and first box from the folder
python -m tracker_ros.demo --video /dev/video0              draw the box (needs a display)

Exit status: 0 if the target was followed, 3 if not, 1 or 2 if something did not work.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import rclpy
from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

from tracker_core import Box, tracker_names
from tracker_core.first_box import ask_for_box, parse_box
from tracker_core.synthetic import DEMO_SEED
from tracker_core.tracker import check_box
from tracker_ros.demo_footage import SCENE, Footage, open_footage
from tracker_ros.demo_processes import ChildFailed, Children
from tracker_ros.demo_recorder import NOT_FOLLOWED
from tracker_ros.msg import TargetInit
from tracker_ros.shutdown import shut_down

CAMERA, TRACKER, RECORDER = (
    f'tracker_ros.{name}' for name in ('demo_camera', 'tracker_node', 'demo_recorder')
)
#: Seconds for a node to load everything and subscribe on a busy machine.
READY_TIMEOUT = 120.0
#: Seconds for the last image to be tracked after the camera has ended.
GRACE = 2.0
#: Seconds for the recorder to draw and write the pictures.
WRITING_TIMEOUT = 600.0


def main(argv: list[str] | None = None) -> int:
    """Run the demo; returns the exit status described above."""
    arguments = _parser().parse_args(argv)
    # A terminated demo ends its children in the same way as an interrupted one.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        footage = open_footage(arguments.video, arguments.seed)
        box = _first_box(arguments.box, footage)
        return _run(arguments, box)
    except (OSError, ValueError, ChildFailed) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted: all processes are stopped, nothing was written', file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'python -m tracker_ros.demo',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--video',
        default=SCENE,
        help='video file, folder of frames (OTB layout: with truth) or /dev/videoN; '
        'default: the rendered scene',
    )
    parser.add_argument('--box', help='target in the first image: left,top,width,height in pixels')
    parser.add_argument('--model', default='dimp18', help=f'one of: {", ".join(tracker_names())}')
    parser.add_argument('--weights', default='', help='weights file (default: the shipped ones)')
    parser.add_argument(
        '--seconds', type=float, default=20.0, help='longest duration; default: %(default)g'
    )
    parser.add_argument(
        '--rate', type=float, default=0.0, help='images per second (default: those of the video)'
    )
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--output', type=Path, default=Path('demo_output'), metavar='DIR')
    parser.add_argument(
        '--seed', type=int, default=DEMO_SEED, help='another scene; not every one is fair'
    )
    return parser


def _first_box(text: str | None, footage: Footage) -> Box:
    """Box in the first image: given, known or drawn by the user; ValueError for a useless one."""
    given = parse_box([text]) if text else None
    first = next(iter(footage), None)
    if first is None:
        raise ValueError(f'{footage.name} holds no images')
    known = first.truth if first.visible > 0 else None
    image = first.image()
    box = given or known or ask_for_box(image, os.environ)
    check_box(box, image)
    return box


def _run(arguments: argparse.Namespace, box: Box) -> int:
    environment = demo_environment()
    os.environ.update(environment)
    print(f'ROS_DOMAIN_ID={environment["ROS_DOMAIN_ID"]}, logs in {arguments.output / "logs"}')
    with (
        Children(arguments.output / 'logs', {**os.environ, **environment}) as children,
        _director() as director,
    ):
        _start_listeners(children, arguments)
        director.wait_until(director.is_everybody_there, children)
        children.start(CAMERA, _camera_arguments(arguments))
        director.wait_until(
            lambda: director.first is not None or children.status(CAMERA) == 0, children
        )
        if director.first is None:
            raise ChildFailed('the footage was over before its first image had arrived')
        director.announce(box)
        director.play(children, arguments.seconds)
        for name, seconds in ((CAMERA, 0.0), (TRACKER, GRACE), (RECORDER, 0.0)):
            director.idle(seconds)
            children.signal(name, signal.SIGINT)
        status = children.wait(RECORDER, WRITING_TIMEOUT)
        if status == NOT_FOLLOWED:
            _explain(children, arguments.output)
        return status


def _explain(children: Children, output: Path) -> None:
    """Show the tracker's log where it has found nothing at all, by the recorder's report."""
    report = json.loads((output / 'report.json').read_text(encoding='utf-8'))
    if not report['tracked']:
        print(children.tail(TRACKER), file=sys.stderr)


def demo_environment() -> dict[str, str]:
    """Environment variables: a private ROS domain and what large images need (see the README)."""
    profile = str(_transport_profile())
    return {
        'ROS_DOMAIN_ID': str(random.SystemRandom().randint(1, 101)),
        'ROS_AUTOMATIC_DISCOVERY_RANGE': 'LOCALHOST',
        'FASTRTPS_DEFAULT_PROFILES_FILE': profile,
        'FASTDDS_DEFAULT_PROFILES_FILE': profile,
        'MALLOC_MMAP_THRESHOLD_': '33554432',
        'MALLOC_TRIM_THRESHOLD_': '268435456',
    }


def _transport_profile() -> Path:
    """Fast DDS profile of the installed package, or that of a source checkout."""
    folders = [Path(__file__).parent.parent]
    with contextlib.suppress(PackageNotFoundError):
        folders.insert(0, Path(get_package_share_directory('tracker_ros')))
    paths = [folder / 'config' / 'fastdds_images.xml' for folder in folders]
    for path in paths:
        if path.is_file():
            return path
    raise FileNotFoundError(f'build the package again: there is no {" or ".join(map(str, paths))}')


def _start_listeners(children: Children, arguments: argparse.Namespace) -> None:
    """Start the tracker and the recorder; the camera comes when they are ready."""
    tracker = {'model': arguments.model, 'device': arguments.device, 'weights': arguments.weights}
    topics = ['-p', 'image_topics:=["/camera/image_raw"]']
    children.start(TRACKER, ['--ros-args', *_parameters(tracker), *topics])
    recorder = {'output': str(arguments.output), 'label': arguments.model}
    remaps = [
        *('-r', '__ns:=/camera'),
        *('-r', 'truth:=/camera/demo_camera/truth'),
        *('-r', 'target:=/tracker/target'),
    ]
    children.start(RECORDER, ['--ros-args', *_parameters(recorder), *remaps], show=True)


def _camera_arguments(arguments: argparse.Namespace) -> list[str]:
    video = arguments.video
    if video != SCENE and Path(video).exists():
        video = str(Path(video).absolute())
    values = {
        'video': video,
        'seed': arguments.seed,
        'rate': arguments.rate,
        'wait_for_subscribers': 2,
    }
    return ['--ros-args', '-r', '__ns:=/camera', *_parameters(values)]


def _parameters(values: dict[str, Any]) -> list[str]:
    """Command-line words that set parameters; text is quoted, for 0 is a number to YAML."""
    words = []
    for name, value in values.items():
        text = "'" + value.replace("'", "''") + "'" if isinstance(value, str) else str(value)
        words += ['-p', f'{name}:={text}']
    return words


class _Director(Node):
    """Watches the others become ready and says where the target is."""

    def __init__(self) -> None:
        super().__init__('demo')
        kept = QoSProfile(
            depth=300,
            reliability=ReliabilityPolicy.RELIABLE,
            durability=DurabilityPolicy.TRANSIENT_LOCAL,
        )
        self.first: CameraInfo | None = None
        self._init = self.create_publisher(TargetInit, '/tracker/init', 1)
        self.create_subscription(CameraInfo, '/camera/camera_info', self._on_info, kept)

    def _on_info(self, info: CameraInfo) -> None:
        self.first = self.first or info

    def is_everybody_there(self) -> bool:
        """Whether tracker and recorder listen to everything they need."""
        return (
            self.count_subscribers('/camera/image_raw') >= 2
            and self._init.get_subscription_count() >= 1
            and self.count_subscribers('/tracker/target') >= 1
        )

    def wait_until(self, ready: Callable[[], bool], children: Children) -> None:
        """Serve ROS until `ready`; ChildFailed where a child ends or it takes too long."""
        end = time.monotonic() + READY_TIMEOUT
        while not ready():
            children.check()
            if time.monotonic() > end:
                tails = '\n'.join(children.tail(name) for name in (TRACKER, RECORDER))
                raise ChildFailed(f'the nodes were not ready within {READY_TIMEOUT:g} s\n{tails}')
            rclpy.spin_once(self, timeout_sec=0.05)

    def announce(self, box: Box) -> None:
        """Publish the initial box with the stamp of the first image."""
        assert self.first is not None
        left, top, width, height = map(float, box.as_ltwh())
        self._init.publish(
            TargetInit(header=self.first.header, left=left, top=top, width=width, height=height)
        )

    def play(self, children: Children, seconds: float) -> None:
        """Wait for the given time or for the end of the footage."""
        end = time.monotonic() + seconds
        while time.monotonic() < end and children.status(CAMERA) is None:
            children.check()
            rclpy.spin_once(self, timeout_sec=0.05)
        children.check()

    def idle(self, seconds: float) -> None:
        """Serve ROS for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            rclpy.spin_once(self, timeout_sec=0.05)


@contextmanager
def _director() -> Iterator[_Director]:
    rclpy.init(args=[], signal_handler_options=rclpy.signals.SignalHandlerOptions.NO)
    try:
        yield _Director()
    finally:
        shut_down()


if __name__ == '__main__':
    sys.exit(main())
