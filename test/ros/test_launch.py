"""The launch file, where launch is installed."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip('launch.actions', reason='launch is not installed')
pytest.importorskip('launch_ros.actions', reason='launch_ros is not installed')

from harness import PATIENCE, Camera, TrackerProcess, overlap, scene, until
from rcl_interfaces.srv import GetParameters

pytestmark = pytest.mark.ros

LAUNCH = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
arguments = [tuple(a.split(':=', 1)) for a in sys.argv[2:]]
service = LaunchService()
service.include_launch_description(LaunchDescription([
    IncludeLaunchDescription(sys.argv[1], launch_arguments=arguments)]))
sys.exit(service.run())
"""


class LaunchedTracker(TrackerProcess):
    """The node as the launch file starts it."""

    def __init__(self, ros, folder, file, name, **arguments):
        self.ros, self.name = ros, name
        self._log = folder / 'launch.log'
        given = [f'{key}:={value}' for key, value in arguments.items()]
        with self._log.open('w') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-u', '-c', LAUNCH, file, *given],
                stdout=log,
                stderr=log,
                start_new_session=True,
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
            )


@pytest.fixture
def launch(ros, request, tmp_path):
    started = []

    def start(name, **arguments):
        file = request.config.rootpath / 'launch' / 'tracker.launch.py'
        started.append(LaunchedTracker(ros, tmp_path, file, name, **arguments))
        return started[-1]

    yield start
    for tracker in started:
        if not tracker.exited():
            os.killpg(tracker.process.pid, signal.SIGKILL)


#: Stands for RViz: takes ROS arguments as it does, and says which names it was given.
RVIZ = f"""#!{sys.executable}
import sys, rclpy
rclpy.init(args=sys.argv)
node = rclpy.create_node('rviz')
print('rviz sees', node.resolve_topic_name('/tracker/image_plane'), flush=True)
"""


@pytest.fixture
def rviz(tmp_path, monkeypatch):
    """A package rviz2."""
    prefix = tmp_path / 'rviz'
    program = prefix / 'lib' / 'rviz2' / 'rviz2'
    marker = prefix / 'share' / 'ament_index' / 'resource_index' / 'packages' / 'rviz2'
    for path, text in ((program, RVIZ), (marker, '')):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv('AMENT_PREFIX_PATH', f'{prefix}:{os.environ["AMENT_PREFIX_PATH"]}')


@pytest.mark.parametrize(
    ('namespace', 'topic'),
    [
        ('', '/tracker/image_plane'),
        ('robot', '/robot/tracker/image_plane'),
        ('/robot', '/robot/tracker/image_plane'),
    ],
)
def test_rviz_shows_the_topics_of_the_node(launch, rviz, namespace, topic):
    tracker = launch('tracker', rviz='true', namespace=namespace, model='none')
    until(lambda: tracker.log.count('process ') >= 4, 'the end of both processes')
    assert f'rviz sees {topic}\n' in tracker.log, tracker.log


def test_without_rviz_nothing_is_started(launch, monkeypatch):
    paths = os.environ['AMENT_PREFIX_PATH'].split(':')
    index = 'share/ament_index/resource_index/packages/rviz2'
    kept = [path for path in paths if not (Path(path) / index).exists()]
    if any((Path(path) / 'share/tracker_ros').exists() for path in set(paths) - set(kept)):
        pytest.skip('RViz is installed beside this package')
    monkeypatch.setenv('AMENT_PREFIX_PATH', ':'.join(kept))
    tracker = launch('tracker', rviz='true', weights='random', model='siamfc')
    assert tracker.wait() == 1
    assert 'rviz:=true needs RViz, which is not installed' in tracker.log
    assert 'process started' not in tracker.log


def test_a_launched_node_tracks_and_ends(launch, ros):
    tracker = launch(
        'robot/tracker',
        model='siamfc',
        weights='random',
        namespace='robot',
        image_topic='/launched/image',
        image_transport='compressed',
    )
    tracker.wait_until_ready()
    image = '/launched/image/compressed'
    camera = Camera(ros, image, '/robot/tracker/overlay', compressed=True)
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    assert overlap(camera.follow(targets, range(1, 3))[-1], 2) > 0.7
    request = GetParameters.Request(names=['weights', 'image_topics', 'device'])
    weights, topics, device = ros.call(
        GetParameters, '/robot/tracker/get_parameters', request
    ).values
    assert weights.string_value == 'random'
    assert list(topics.string_array_value) == ['/launched/image']
    assert device.string_value == 'auto'  # left to the node
    tracker.process.send_signal(signal.SIGINT)
    assert tracker.process.wait(PATIENCE) == 0
    assert 'process has finished cleanly' in tracker.log, tracker.log


def test_without_arguments_the_parameter_file_decides(launch, tmp_path):
    file = tmp_path / 'mine.yaml'
    file.write_text(
        "/**:\n  ros__parameters:\n    weights: 'random'\n    image_topics: ['/from/file']\n"
    )
    tracker = launch('tracker', params_file=file)
    tracker.wait_until_ready()
    assert 'waits for images on /from/file' in tracker.log


def test_a_parameter_file_that_is_not_there_is_no_reason_to_start_without(launch):
    tracker = launch('tracker', params_file='~/mine.yaml', model='siamfc')
    assert tracker.wait() == 1
    assert f'there is no params_file {Path.home()}/mine.yaml' in tracker.log
    assert 'process started' not in tracker.log


def test_a_wrong_model_is_explained(launch):
    tracker = launch('tracker', model='simfc')
    until(tracker.exited, 'the end of the launch')
    assert "unknown tracker 'simfc'; valid: siamfc" in tracker.log
    assert 'process has died' in tracker.log
    assert 'Traceback' not in tracker.log
