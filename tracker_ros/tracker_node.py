"""The node that tracks one target per camera; see the README for its interface."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PointStamped
from rclpy.clock import Clock, ClockType
from rclpy.executors import ExternalShutdownException, SingleThreadedExecutor
from rclpy.node import Node

from tracker_core import Box, Tracker, build_tracker
from tracker_core.factory import choose_device
from tracker_ros.camera import Camera
from tracker_ros.diagnostics import status_of
from tracker_ros.image_plane import announce_frames
from tracker_ros.parameters import NodeSettings, ParameterError, Parameters
from tracker_ros.shutdown import shut_down

#: Seconds between two images on the plane that RViz shows.
PLANE_PERIOD = 0.5
#: Seconds between two diagnostic messages.
DIAGNOSTICS_PERIOD = 1.0
#: Longest time, in seconds, to wait at the end for an image that is being tracked.
CLOSE_TIMEOUT = 10.0


class TrackerNode(Node):
    """Tracks one target per camera.

    Callbacks run on one thread and never wait for a tracker: each camera has a worker thread that
    takes the newest image whenever it is free. Measured with 60 ms of work per image at 30 Hz: the
    image is 17 ms old when the work begins (318 ms with the work in the callback of a queue of
    ten), and a service answers within 4 ms (100 ms).

    Raises ParameterError, saying what is wrong and what is valid.
    """

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(
                'tracker', automatically_declare_parameters_from_overrides=True, **options
            )
        except ValueError as error:  # of rclpy, which does not say which one it is
            raise ParameterError(
                f'a parameter has no value, such as an empty list: {error}'
            ) from None
        self.cameras: list[Camera] = []
        self.parameters = Parameters(self)
        settings = self.parameters.current
        self._about = {'model': settings.model, 'device': _device(settings)}
        for name, topic in zip(settings.cameras, settings.image_topics, strict=True):
            self.cameras.append(self._camera(name, topic))
        self._planes = {camera.plane.frame_id: camera for camera in self.cameras}
        self._frames = announce_frames(self, list(self._planes))
        self._diagnostics = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        self.create_subscription(
            PointStamped, settings.clicked_point_topic, self._on_clicked_point, 10
        )
        # A simulated clock may stand still.
        clock = Clock(clock_type=ClockType.STEADY_TIME)
        self.create_timer(DIAGNOSTICS_PERIOD, self._publish_diagnostics, clock=clock)
        self.create_timer(PLANE_PERIOD, self._refresh_planes, clock=clock)
        for camera in self.cameras:
            camera.track.begin()

    def close(self) -> None:
        """Stop the workers; what they are at is finished first."""
        for camera in self.cameras:
            if not camera.track.close(CLOSE_TIMEOUT):
                self.get_logger().warning('a tracker did not finish its image in time')

    def _camera(self, name: str, topic: str) -> Camera:
        settings = self.parameters.current
        camera = Camera(self, self.parameters, name, topic, build(settings))
        self.get_logger().info(
            f'{settings.model} on {self._about["device"]} waits for images on '
            f'{camera.image_topic} and for an initial box'
        )
        return camera

    def _on_clicked_point(self, click: PointStamped) -> None:
        camera = self._planes.get(click.header.frame_id)
        if camera is not None:
            camera.on_clicked_point(click)
            return
        self.get_logger().warning(
            f'a point clicked in the frame {click.header.frame_id!r} is ignored: set the fixed '
            f'frame of RViz to {" or ".join(self._planes)} and click on the image there',
            throttle_duration_sec=5.0,
        )

    def _refresh_planes(self) -> None:
        for camera in self.cameras:
            try:
                camera.refresh_plane()
            except Exception as error:
                if not self.context.ok():
                    raise
                self.get_logger().error(
                    f'RViz cannot be shown an image: {error}', throttle_duration_sec=5.0
                )

    def _publish_diagnostics(self) -> None:
        message = DiagnosticArray()
        message.header.stamp = self.get_clock().now().to_msg()
        own_name = self.get_fully_qualified_name().lstrip('/')
        for camera in self.cameras:
            name = f'{own_name}: {camera.name}' if camera.name else own_name
            about = {**self._about, 'image topic': camera.image_topic}
            stale = self.parameters.current.stale_seconds
            activity = camera.track.activity()
            why_stale = camera.missing_images.reason(activity.image_age, stale)
            status = status_of(name, activity, stale, about, why_stale)
            status.hardware_id = camera.image_topic
            message.status.append(status)
        self._diagnostics.publish(message)


def _device(settings: NodeSettings) -> str:
    try:
        return str(choose_device(settings.device))
    except ValueError as error:
        raise ParameterError(f'parameter device: {error}') from None


def build(settings: NodeSettings) -> Tracker:
    """Build the tracker that the parameters ask for, and run it once so that it is warm.

    Raises ParameterError, saying what is wrong and what is valid.
    """
    try:
        tracker = build_tracker(
            settings.model,
            _at_home(settings.weights) or None,
            device=settings.device,
            settings=_read_settings(settings.settings_file),
        )
    except (ValueError, OSError) as error:
        raise ParameterError(str(error)) from None
    # The first image takes far longer than the others: memory is claimed, kernels are chosen.
    noise = np.random.default_rng(0).integers(0, 256, (240, 320, 3), np.uint8)
    tracker.initialize(noise, Box(140, 100, 40, 40))
    tracker.track(noise)
    return tracker


def _at_home(path: str) -> str:
    """Path without ~, which no shell replaces behind := or in a YAML file."""
    return str(Path(path).expanduser()) if path.startswith('~/') else path


def _read_settings(path: str) -> dict[str, Any]:
    if not path:
        return {}
    try:
        settings = yaml.safe_load(Path(_at_home(path)).read_text(encoding='utf-8'))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ParameterError(f'parameter settings_file: {" ".join(str(error).split())}') from None
    if settings is None:
        return {}
    if not isinstance(settings, dict):
        raise ParameterError(
            f'parameter settings_file: {path} must hold a mapping of settings, not {settings!r}'
        )
    return settings


def main(args: list[str] | None = None) -> int:
    """Run the node; returns the exit code."""
    try:
        rclpy.init(args=args)
    except RuntimeError as error:  # arguments or a parameter file that cannot be read
        return _refuse(f'the ROS arguments cannot be used: {error}')
    node = None
    try:
        node = TrackerNode()
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        executor.spin()
    except ParameterError as error:
        return _refuse(str(error))
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal ends the context; whatever was using it just then may complain.
        if rclpy.ok():
            raise
    finally:
        # Launch may pass on a second Ctrl-C, which would break off the clearing up.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        if node is not None:
            node.close()
            node.destroy_node()
        shut_down()
    return 0


def _refuse(reason: str) -> int:
    rclpy.logging.get_logger('tracker').fatal(' '.join(reason.split()))
    return 1


if __name__ == '__main__':
    sys.exit(main())
