"""What the node publishes about the target of one camera."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import QoSProfile
from sensor_msgs.msg import Image, RegionOfInterest
from std_msgs.msg import Header

from tracker_core import Estimate, TrackState
from tracker_core.drawing import draw_estimate, draw_text
from tracker_ros.conversions import Pixels, ResponseMap, encode, roi_of_box, target_message
from tracker_ros.frame_buffer import Frame
from tracker_ros.msg import Target
from tracker_ros.parameters import Parameters

try:
    from vision_msgs.msg import Detection2D, Detection2DArray, ObjectHypothesisWithPose
except ImportError:  # an optional package
    Detection2DArray = None

_LABEL_COLOR = (255, 255, 255)


class Outputs:
    """The publishers of one camera; the `Sink` of its CameraTrack.

    Everything is reliable, so that any subscriber matches; pictures keep only the newest.
    """

    def __init__(self, node: Node, prefix: str, parameters: Parameters) -> None:
        """`prefix`: '~/' or '~/NAME/'."""
        self._parameters = parameters
        results, pictures = QoSProfile(depth=10), QoSProfile(depth=1)
        self._target = node.create_publisher(Target, f'{prefix}target', results)
        self._roi = node.create_publisher(RegionOfInterest, f'{prefix}roi', results)
        self._overlay = node.create_publisher(Image, f'{prefix}overlay', pictures)
        self._response = node.create_publisher(Image, f'{prefix}response', pictures)
        self._detections: Any = None
        if Detection2DArray is not None:
            self._detections = node.create_publisher(
                Detection2DArray, f'{prefix}detections', results
            )

    def publish(
        self,
        frame: Frame,
        target_id: str,
        estimate: Estimate,
        seconds: float,
        size: tuple[int, ...],
    ) -> None:
        """Publish an estimate. A lost target has no region and no detection."""
        header = frame.message.header
        found = None if estimate.state is TrackState.LOST else estimate
        roi = roi_of_box(found.box, size[1], size[0]) if found else None
        with _until_shutdown():
            self._target.publish(target_message(header, target_id, estimate, seconds))
            if roi is not None:
                self._roi.publish(roi)
            if self._detections is not None:
                self._detections.publish(_detections(header, target_id, found))

    def wants_pictures(self) -> bool:
        """Whether somebody looks at the overlay or the response map."""
        with _until_shutdown():
            return self._wanted(self._overlay) or self._wanted(self._response)
        return False

    def show(
        self,
        frame: Frame,
        image: Pixels,
        label: str,
        estimate: Estimate | None,
        response: ResponseMap | None,
    ) -> None:
        """Publish the overlay and the response map, if somebody looks at them."""
        header = frame.message.header
        with _until_shutdown():
            if self._wanted(self._overlay):
                self._overlay.publish(encode(_draw(image, label, estimate), 'rgb8', header))
            if response is not None and self._wanted(self._response):
                values = np.asarray(response, np.float32)
                self._response.publish(encode(values, '32FC1', header))

    def _wanted(self, publisher: Any) -> bool:
        return self._parameters.current.publish_overlay and publisher.get_subscription_count() > 0


@contextlib.contextmanager
def _until_shutdown() -> Iterator[None]:
    """Let pass what fails because a signal has ended ROS under the hands of the worker."""
    try:
        yield
    except Exception:
        if rclpy.ok():
            raise


def _draw(image: Pixels, label: str, estimate: Estimate | None) -> Pixels:
    if estimate is not None:
        return draw_estimate(image, estimate, label)
    canvas = np.array(image, order='C')
    draw_text(canvas, label, (6, 20), _LABEL_COLOR)
    return canvas


def _detections(header: Header, target_id: str, estimate: Estimate | None) -> Any:
    """Return a ``Detection2DArray`` with one detection, or with none for no estimate."""
    message = Detection2DArray(header=header)
    if estimate is None:
        return message
    detection = Detection2D(header=header, id=target_id)
    x, y = estimate.box.center
    detection.bbox.center.position.x, detection.bbox.center.position.y = float(x), float(y)
    detection.bbox.size_x = float(estimate.box.width)
    detection.bbox.size_y = float(estimate.box.height)
    hypothesis = ObjectHypothesisWithPose()
    hypothesis.hypothesis.class_id = target_id
    hypothesis.hypothesis.score = float(estimate.confidence)
    detection.results = [hypothesis]
    message.detections = [detection]
    return message
