"""Real nodes in real processes, and a client in this one that talks to them over DDS.

Everything waits for events, with time limits that only a broken node exceeds.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy', reason='ROS 2 is not sourced')
pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter_client import AsyncParameterClient  # noqa: E402
from rclpy.publisher import Publisher  # noqa: E402
from rclpy.subscription import Subscription  # noqa: E402
from sensor_msgs.msg import CompressedImage, Image  # noqa: E402
from std_srvs.srv import Trigger  # noqa: E402
from tracker_ros.msg import Target, TargetInit  # noqa: E402
from tracker_ros.srv import SetTarget  # noqa: E402

from tracker_core import Box  # noqa: E402
from tracker_ros.conversions import box_of, encode  # noqa: E402

#: Longest wait for anything, in seconds; the machine may be busy with other things.
PATIENCE = 60.0
SIZE = (320, 240)
SIDE = 48


class Inbox:
    """Messages received on one topic."""

    def __init__(self, ros: RosClient, kind: type, topic: str, qos: Any) -> None:
        self.messages: list[Any] = []
        self.topic = topic
        self._changed = threading.Condition()
        self.subscription = ros.node.create_subscription(kind, topic, self._receive, qos)
        until(lambda: ros.node.count_publishers(topic) > 0, f'a publisher of {topic}')
        time.sleep(0.3)  # the publisher learns of its new subscriber a moment later

    def _receive(self, message: Any) -> None:
        with self._changed:
            self.messages.append(message)
            self._changed.notify_all()

    def wait(self, wanted: Callable[[Any], bool] = lambda _: True, since: int = 0) -> Any:
        """Return the first message after number `since` that is wanted."""
        found = self.poll(wanted, since, PATIENCE)
        assert found is not None, f'nothing of the kind on {self.topic} in {PATIENCE} s: ' + (
            str(self.messages[-1])[:500] if self.messages else 'no message at all'
        )
        return found

    def poll(self, wanted: Callable[[Any], bool], since: int, timeout: float) -> Any:
        """Like `wait`, but None after `timeout` seconds."""

        def first() -> Any:
            return next((m for m in self.messages[since:] if wanted(m)), None)

        with self._changed:
            self._changed.wait_for(lambda: first() is not None, timeout)
            return first()


class RosClient:
    """A node of the test, spinning on a thread."""

    def __init__(self) -> None:
        self.node = rclpy.create_node('tester')
        self._entities: list[Any] = []
        self._inboxes: dict[str, Inbox] = {}
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        with contextlib.suppress(rclpy.executors.ExternalShutdownException):
            self._executor.spin()

    def close(self) -> None:
        self._executor.shutdown()
        self._thread.join(10)
        self.node.destroy_node()

    def forget(self) -> None:
        """Destroy what a test has created, where the executor does not use it just now."""
        self.result(self._executor.create_task(self._destroy_entities))

    def _destroy_entities(self) -> None:
        for entity in self._entities:
            if isinstance(entity, Subscription):
                self.node.destroy_subscription(entity)
            elif isinstance(entity, Publisher):
                self.node.destroy_publisher(entity)
            else:
                self.node.destroy_client(entity)
        self._entities.clear()

    def inbox(self, kind: type, topic: str, qos: Any = 10) -> Inbox:
        """Return an inbox without old messages; its subscription lasts for all tests."""
        if topic in self._inboxes:
            self._inboxes[topic].messages.clear()
        else:
            self._inboxes[topic] = Inbox(self, kind, topic, qos)
        return self._inboxes[topic]

    def publisher(self, kind: type, topic: str, qos: Any = 10) -> Any:
        """Return a publisher that has a subscriber."""
        publisher = self.node.create_publisher(kind, topic, qos)
        self._entities.append(publisher)
        until(lambda: publisher.get_subscription_count() > 0, f'a subscriber of {topic}')
        return publisher

    def call(self, kind: type, service: str, request: Any) -> Any:
        return self.result(self.call_async(kind, service, request))

    def call_async(self, kind: type, service: str, request: Any) -> Any:
        client = self.node.create_client(kind, service)
        self._entities.append(client)
        assert client.wait_for_service(PATIENCE), f'no service {service}'
        return client.call_async(request)

    def result(self, future: Any) -> Any:
        until(future.done, 'the answer of a service')
        return future.result()

    def set_parameter(self, node: str, parameter: rclpy.Parameter) -> Any:
        client = AsyncParameterClient(self.node, node)
        assert client.wait_for_services(PATIENCE)
        return self.result(client.set_parameters([parameter])).results[0]


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, f'{what} did not come within {PATIENCE} s'
        time.sleep(0.01)


class TrackerProcess:
    """A tracker node as a process of its own, with what a test needs to talk to it."""

    def __init__(
        self, ros: RosClient, folder: Path, name: str, parameters: dict[str, Any]
    ) -> None:
        self.ros, self.name = ros, name
        self._log = folder / f'{name}.log'
        arguments = ['--ros-args', '-r', f'__node:={name}']
        for key, value in parameters.items():
            arguments += ['-p', f'{key}:={value}']
        with self._log.open('w') as log:
            self.process = subprocess.Popen(
                [sys.executable, '-m', 'tracker_ros.tracker_node', *arguments],
                stdout=log,
                stderr=log,
                start_new_session=True,
                # Several threads of several processes hold each other up on a busy machine.
                env={**os.environ, 'OMP_NUM_THREADS': '1'},
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    def wait_until_ready(self) -> None:
        until(lambda: 'waits for images' in self.log or self.exited(), 'the start of the node')
        assert not self.exited(), self.log

    def exited(self) -> bool:
        return self.process.poll() is not None

    def wait(self) -> int:
        """Wait for its end and return its exit code."""
        return self.process.wait(PATIENCE)

    def stop(self, how: signal.Signals = signal.SIGINT) -> int:
        if not self.exited():
            self.process.send_signal(how)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise

    def says(self, text: str, action: Callable[[], Any]) -> None:
        """Act, and wait until the node's log has `text` anew."""
        before = len(self.log)
        action()
        until(lambda: text in self.log[before:], f'{text!r} in the log of {self.name}')

    def trigger(self, service: str, prefix: str = '') -> Any:
        return self.ros.call(Trigger, f'/{self.name}/{prefix}{service}', Trigger.Request())

    def set_target(self, box: Box, stamp: int = 0, target_id: str = '', prefix: str = '') -> Any:
        request = SetTarget.Request(target=init_message(box, stamp, target_id))
        return self.ros.call(SetTarget, f'/{self.name}/{prefix}set_target', request)

    def targets(self, prefix: str = '') -> Inbox:
        return self.ros.inbox(Target, f'/{self.name}/{prefix}target')

    def diagnostics(self) -> Inbox:
        return self.ros.inbox(DiagnosticArray, '/diagnostics')


class Camera:
    """Publishes a textured square that moves over a blurred background."""

    _last = 0

    def __init__(
        self, ros: RosClient, topic: str, overlay: str, *, compressed: bool = False
    ) -> None:
        """`overlay`: the node's overlay topic, which tells what images it has seen."""
        self.compressed = compressed
        self.overlays = ros.inbox(Image, overlay)
        kind = CompressedImage if compressed else Image
        self.publisher = ros.publisher(kind, topic)
        # Every camera begins later than the one before: time never jumps back by accident.
        Camera._last = self._start = max(time.time_ns(), Camera._last + 10**9)

    def stamp(self, k: int) -> int:
        """Time of frame k in ns, at 30 Hz."""
        stamp = self._start + k * 33_333_333
        Camera._last = max(Camera._last, stamp)
        return stamp

    def deliver(self, k: int) -> int:
        """Publish frame k until the node has seen it; returns its stamp."""
        seen = len(self.overlays.messages)
        stamp = self.publish(k)
        deadline = time.monotonic() + PATIENCE
        while not self.overlays.poll(at(stamp), seen, 2.0):  # best effort: it may get lost
            assert time.monotonic() < deadline, f'frame {k} did not arrive'
            self.publish(k)
        return stamp

    def publish(self, k: int, stamp: int | None = None) -> int:
        """Publish frame k; returns its stamp."""
        stamp = self.stamp(k) if stamp is None else stamp
        self.publisher.publish(self.message(k, stamp))
        return stamp

    def follow(self, targets: Inbox, frames: range) -> list[Any]:
        """Publish frames one by one; return what was found in each."""
        found = []
        for k in frames:
            stamp = self.deliver(k)
            found.append(targets.wait(at(stamp)))
        return found

    def message(self, k: int, stamp: int) -> Any:
        image = scene(k)[0]
        message = encode(image, 'rgb8', header_of(stamp))
        if self.compressed:
            message = CompressedImage(header=message.header, format='jpeg')
            message.data.frombytes(cv2.imencode('.jpg', image[..., ::-1])[1].tobytes())
        return message


def scene(k: int, size: tuple[int, int] = SIZE) -> tuple[np.ndarray, Box]:
    """Return frame k, RGB of the given (width, height), and where the square is in it."""
    noise = np.random.default_rng(1)
    width, height = size
    image = cv2.GaussianBlur(noise.integers(60, 120, (height, width, 3), np.uint8), (0, 0), 3)
    texture = noise.integers(0, 255, (6, 6, 3), np.uint8)
    left = round(120 + 60 * np.sin(0.1 * k))
    top = round(90 + 30 * np.cos(0.07 * k))
    square = cv2.resize(texture, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    image[top : top + SIDE, left : left + SIDE] = square
    return image, Box(float(left), float(top), float(SIDE), float(SIDE))


def header_of(stamp: int) -> Any:
    message = Image().header
    message.stamp = Time(sec=stamp // 10**9, nanosec=stamp % 10**9)
    message.frame_id = 'camera'
    return message


def at(stamp: int) -> Callable[[Any], bool]:
    """Return a test whether a message has this stamp."""
    return lambda message: stamp_of(message) == stamp


def overlap(message: Any, k: int) -> float:
    """IoU of a found target and the square in frame k."""
    return box_of(message).iou(scene(k)[1])


def stamp_of(message: Any) -> int:
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def init_message(box: Box, stamp: int = 0, target_id: str = '') -> TargetInit:
    left, top, width, height = map(float, box.as_ltwh())
    return TargetInit(
        header=header_of(stamp),
        target_id=target_id,
        left=left,
        top=top,
        width=width,
        height=height,
    )
