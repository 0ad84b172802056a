"""What is said of a camera that delivers nothing; topics in the real graph."""

import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

import rclpy
from geometry_msgs.msg import Point
from harness import until
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from tracker_ros import missing_images
from tracker_ros.missing_images import MissingImages

TOPIC = '/missing/image'
BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Log:
    """Keeps the warnings."""

    def __init__(self):
        self.warnings = []

    def warning(self, text):
        self.warnings.append(text)


@pytest.fixture
def robot(ros):
    """A node other than that of the watcher."""
    node = rclpy.create_node('robot')
    yield node
    node.destroy_node()


@pytest.fixture
def watch(ros, monkeypatch):
    """Start a watcher whose patience is at an end."""

    def start(**options):
        monkeypatch.setattr(missing_images, 'PATIENCE', 0.0)
        options = {'kind': Image, 'reliable': False, **options}
        return MissingImages(ros.node, Log(), TOPIC, **options)

    return start


def reasons(watcher, robot, kind, topic=TOPIC, qos=10):
    """Publish a kind of messages, and return what is said once that is known."""
    before = watcher.reason(None, 2.0)
    robot.create_publisher(kind, topic, qos)
    until(lambda: watcher.reason(None, 2.0) != before, 'another reason')
    return watcher.reason(None, 2.0)


def test_where_nobody_publishes_the_topics_with_images_are_named(watch, robot, ros):
    watcher = watch()
    assert watcher.reason(None, 2.0).startswith(f'nobody publishes {TOPIC}')
    said = reasons(watcher, robot, CompressedImage, '/missing/front/compressed')
    assert ' (there are images on ' in said and '/missing/front/compressed' in said
    # The watcher's own node shows an overlay, which is no camera.
    made = ros.node.create_publisher(Image, '/missing/own', 1)
    until(lambda: ros.node.count_publishers('/missing/own') > 0, 'the own publisher')
    assert '/missing/own' not in watcher.reason(None, 2.0)
    ros.node.destroy_publisher(made)


def test_where_there_are_compressed_images_the_transport_is_named(watch, robot):
    said = reasons(watch(), robot, CompressedImage, f'{TOPIC}/compressed')
    assert said == (
        f'nobody publishes {TOPIC}, but {TOPIC}/compressed: set image_transport to compressed'
    )


def test_messages_of_another_type_are_named(watch, robot):
    assert reasons(watch(), robot, Point) == (
        f'{TOPIC} has messages of geometry_msgs/msg/Point, not of sensor_msgs/msg/Image'
    )


def test_compressed_images_are_not_images(watch, robot):
    said = reasons(watch(), robot, CompressedImage)
    assert said.endswith('sensor_msgs/msg/CompressedImage, not of sensor_msgs/msg/Image')
    assert watch(kind=CompressedImage).reason(None, 2.0).endswith('sends none')


def test_a_reliability_that_does_not_fit_is_named(watch, robot):
    said = reasons(watch(reliable=True), robot, Image, qos=BEST_EFFORT)
    assert said.endswith('set image_reliability to best_effort')
    assert watch().reason(None, 2.0) == f'the publisher of {TOPIC} sends none'


def test_the_log_says_each_reason_once_until_images_are_back(watch, robot):
    watcher = watch()
    log = watcher._log
    for _ in range(3):
        watcher.reason(None, 2.0)
    assert len(log.warnings) == 1
    assert log.warnings[0].startswith(f'no image for 0 s: nobody publishes {TOPIC}')
    reasons(watcher, robot, Image)
    assert log.warnings[1] == f'no image for 0 s: the publisher of {TOPIC} sends none'
    assert watcher.reason(1.0, 2.0) == ''
    watcher.reason(6.4, 2.0)
    assert log.warnings[2] == f'no image for 6 s: the publisher of {TOPIC} sends none'
    assert len(log.warnings) == 3


def test_the_log_waits_a_little(watch, monkeypatch):
    watcher = watch()
    monkeypatch.setattr(missing_images, 'PATIENCE', 60.0)
    assert watcher.reason(None, 2.0) and watcher.reason(5.0, 2.0)
    assert watcher._log.warnings == []
