"""Fixtures around real tracker nodes; see harness.py."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

# Before ROS starts: nobody else's nodes are to be seen here, nor ours elsewhere.
os.environ['ROS_DOMAIN_ID'] = str(1 + os.getpid() % 100)
os.environ['ROS_AUTOMATIC_DISCOVERY_RANGE'] = 'LOCALHOST'

#: A network with random weights follows the square of harness.scene(); one scale is fastest.
QUICK = {'model': 'siamfc', 'weights': 'random'}


@pytest.fixture(scope='session')
def ros() -> Iterator[Any]:
    """A node of the test."""
    import rclpy
    from harness import RosClient

    rclpy.init()
    client = RosClient()
    yield client
    client.close()
    rclpy.try_shutdown()


@pytest.fixture(autouse=True)
def _forget(request: pytest.FixtureRequest) -> Iterator[None]:
    yield
    if 'ros' in request.fixturenames:
        request.getfixturevalue('ros').forget()


@pytest.fixture(scope='session')
def quick(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Parameters of a node that needs no trained weights and is quick."""
    settings = tmp_path_factory.mktemp('settings') / 'quick.yaml'
    settings.write_text('scales: 1\n')
    # A camera of a test shows an image when the test is ready for it.
    return {**QUICK, 'settings_file': settings, 'stale_seconds': 60.0}


@pytest.fixture
def start_tracker(ros: Any, quick: dict[str, Any], tmp_path: Path) -> Iterator[Any]:
    """Return a function that starts a tracker node with parameters, as a process."""
    from harness import TrackerProcess

    started: list[Any] = []

    def start(*, ready: bool = True, **parameters: Any) -> Any:
        name = f'tracker_{os.urandom(3).hex()}'
        parameters = {'image_topics': f'[/{name}/camera]', **quick, **parameters}
        tracker = TrackerProcess(ros, tmp_path, name, parameters)
        started.append(tracker)
        if ready:
            tracker.wait_until_ready()
        return tracker

    yield start
    for tracker in started:
        tracker.stop()


@pytest.fixture(scope='session')
def shared_tracker(
    ros: Any, quick: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Any]:
    """One node for all tests that need no parameters of their own."""
    from harness import TrackerProcess

    parameters = {'image_topics': '[/tracker/camera]', 'init_timeout': 2.0, **quick}
    tracker = TrackerProcess(ros, tmp_path_factory.mktemp('tracker'), 'tracker', parameters)
    tracker.wait_until_ready()
    yield tracker
    assert tracker.stop() == 0, tracker.log
    assert 'Traceback' not in tracker.log, tracker.log


@pytest.fixture
def make_node(ros: Any, quick: dict[str, Any]) -> Iterator[Any]:
    """Return a function that makes a tracker node with parameters in this process.

    Nothing spins it: its callbacks are called by the test.
    """
    from rclpy.parameter import Parameter

    from tracker_ros.tracker_node import TrackerNode

    made: list[Any] = []

    def make(**parameters: Any) -> Any:
        values = {**quick, 'settings_file': str(quick['settings_file']), **parameters}
        overrides = [Parameter(name, value=value) for name, value in values.items()]
        made.append(TrackerNode(parameter_overrides=overrides))
        return made[-1]

    yield make
    for node in made:
        node.close()
        node.destroy_node()


@pytest.fixture
def node(make_node: Any) -> Any:
    """A tracker node in this process."""
    return make_node()


@pytest.fixture
def tracker(shared_tracker: Any) -> Any:
    """The shared node, without a target."""
    assert not shared_tracker.exited(), shared_tracker.log
    shared_tracker.trigger('reset')
    return shared_tracker


@pytest.fixture
def camera(ros: Any, tracker: Any) -> Any:
    """The camera of the shared node."""
    from harness import Camera

    return Camera(ros, '/tracker/camera', '/tracker/overlay')
