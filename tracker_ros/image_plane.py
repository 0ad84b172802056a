"""The camera image as something that RViz's Publish Point tool can be clicked on."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from geometry_msgs.msg import Point, PointStamped, TransformStamped
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile
from std_msgs.msg import ColorRGBA
from visualization_msgs.msg import Marker, MarkerArray, UVCoordinate

from tracker_core.drawing import draw_text
from tracker_ros.conversions import Pixels

METRES_PER_PIXEL = 0.01

#: Widest texture, in pixels; larger images are shown reduced, clicks count in their own pixels.
_MAX_WIDTH = 1280
_MARK_COLOR = (255, 255, 255)
#: Two triangles, as (u, v) with v down from the upper left corner of the image.
_CORNERS = ((0, 0), (0, 1), (1, 1), (0, 0), (1, 1), (1, 0))


class ImagePlane:
    """A textured rectangle: pixel (x, y) lies at (x, -y, 0) times METRES_PER_PIXEL in `frame_id`.

    RViz knows neither clicks into its image displays nor boxes, but picks points on geometry.
    """

    def __init__(self, node: Node, topic: str, frame_id: str) -> None:
        self.frame_id = frame_id
        self._publisher = node.create_publisher(MarkerArray, topic, QoSProfile(depth=1))

    def wanted(self) -> bool:
        """Whether somebody looks at the plane."""
        return bool(self._publisher.get_subscription_count())

    def pixel_of(self, click: PointStamped) -> tuple[float, float]:
        """Return the pixel (x, y) of a point clicked on the plane."""
        return click.point.x / METRES_PER_PIXEL, -click.point.y / METRES_PER_PIXEL

    def show(self, image: Pixels, corner: tuple[float, float] | None) -> None:
        """Show an RGB image, with a mark at the first of two corners where there is one."""
        # RViz adds a texture to those already there when a marker is changed in place, and the
        # image grows darker and darker. So it is deleted first; with an id of its own, because
        # RViz reports an error where an id occurs twice in one message.
        gone = Marker(ns='image', id=1, action=Marker.DELETEALL)
        gone.header.frame_id = self.frame_id
        self._publisher.publish(MarkerArray(markers=[gone, self._quad(image, corner)]))

    def _quad(self, image: Pixels, corner: tuple[float, float] | None) -> Marker:
        height, width = image.shape[:2]
        quad = Marker(ns='image', type=Marker.TRIANGLE_LIST, action=Marker.ADD)
        quad.header.frame_id = self.frame_id
        quad.pose.orientation.w = quad.scale.x = quad.scale.y = quad.scale.z = 1.0
        quad.color = ColorRGBA(r=1.0, g=1.0, b=1.0, a=1.0)
        right, bottom = width * METRES_PER_PIXEL, -height * METRES_PER_PIXEL
        quad.points = [Point(x=u * right, y=v * bottom, z=0.0) for u, v in _CORNERS]
        quad.uv_coordinates = [UVCoordinate(u=float(u), v=float(v)) for u, v in _CORNERS]
        quad.texture_resource = 'embedded://image'
        quad.texture.format = 'jpg'
        quad.texture.data.frombytes(_jpeg(image, corner))
        return quad


def _jpeg(image: Pixels, corner: tuple[float, float] | None) -> bytes:
    scale = min(1.0, _MAX_WIDTH / image.shape[1])
    size = (round(image.shape[1] * scale), max(round(image.shape[0] * scale), 1))
    reduced = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    canvas = np.asarray(reduced, np.uint8)
    if corner is not None:
        x, y = (round(value * scale) for value in corner)
        cv2.drawMarker(canvas, (x, y), _MARK_COLOR, cv2.MARKER_CROSS, 24, 2)
        draw_text(canvas, 'click on the opposite corner', (x + 14, y - 8), _MARK_COLOR)
    return bytes(cv2.imencode('.jpg', canvas[..., ::-1])[1])


def announce_frames(node: Node, frame_ids: list[str]) -> Any:
    """Publish fixed transforms to the planes' frames, so that RViz knows them.

    Returns the publisher, which must be kept; None without tf2_msgs, which comes with RViz.
    """
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        node.get_logger().info(
            'tf2_msgs is not installed: RViz cannot show the image to be clicked on'
        )
        return None
    qos = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    publisher = node.create_publisher(TFMessage, '/tf_static', qos)
    publisher.publish(TFMessage(transforms=[_transform(node, frame) for frame in frame_ids]))
    return publisher


def _transform(node: Node, frame_id: str) -> TransformStamped:
    transform = TransformStamped(child_frame_id=frame_id)
    transform.header.frame_id = 'tracker_images'
    transform.header.stamp = node.get_clock().now().to_msg()
    transform.transform.rotation.w = 1.0
    return transform
