"""A camera for trials: publishes a synthetic scene, a video, a folder of frames or a device.

Topics: image_raw (or image_raw/compressed), camera_info with the same stamp, and ~/truth: a
Target message with the stamp of its image, the visible fraction of the target as confidence, and
the state LOST where it is hidden or absent. Nothing is published there where truth is unknown.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from typing import Any

import cv2
import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from tracker_core import Estimate, TrackState
from tracker_core.synthetic import DEMO_SEED
from tracker_ros.conversions import encode, target_message
from tracker_ros.demo_footage import SCENE, Footage, Pixels, Shot, open_footage
from tracker_ros.msg import Target
from tracker_ros.shutdown import shut_down

#: A late subscriber still gets the last of these, so that no image of a short run is unaccounted.
_KEPT = QoSProfile(
    depth=300,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
#: Reliable, so that every subscriber matches; one that asks for best effort gets best effort.
_NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE)

_PARAMETERS: dict[str, tuple[Any, str]] = {
    'video': (
        SCENE,
        "'scene' (rendered here), a video file, a folder of frames or OTB sequence, /dev/videoN",
    ),
    'seed': (DEMO_SEED, 'Which synthetic scene; only the default one was tuned to be fair'),
    'rate': (0.0, 'Images per second; 0: the rate of the source'),
    'loop': (False, 'Start again at the end'),
    'image_transport': ('raw', "'raw' or 'compressed' (JPEG)"),
    'frame_id': ('camera', 'Frame in the headers'),
    'wait_for_subscribers': (0, 'Subscriptions of the image that are waited for at the start'),
}


class DemoCamera(Node):
    """Publishes shots in real time; those whose time has passed are left out."""

    def __init__(self) -> None:
        super().__init__('demo_camera')
        self._values = {
            name: self.declare_parameter(
                name, default, ParameterDescriptor(description=text)
            ).value
            for name, (default, text) in _PARAMETERS.items()
        }
        self._compressed = self._check()
        kind, topic = (Image, 'image_raw')
        if self._compressed:
            kind, topic = CompressedImage, 'image_raw/compressed'
        self._images = self.create_publisher(kind, topic, _NEWEST)
        self._infos = self.create_publisher(CameraInfo, 'camera_info', _KEPT)
        self._truths = self.create_publisher(Target, '~/truth', _KEPT)
        self.footage: Footage = open_footage(self._values['video'], self._values['seed'])

    def _check(self) -> bool:
        """Refuse values that mean nothing; return whether images are compressed."""
        transport = self._values['image_transport']
        if transport not in ('raw', 'compressed'):
            raise ValueError(f"image_transport must be 'raw' or 'compressed', not {transport!r}")
        if self._values['rate'] < 0:
            raise ValueError(f'rate must not be negative, it is {self._values["rate"]:g}')
        return bool(transport == 'compressed')

    def play(self) -> int:
        """Publish until the end of the footage; returns the number of images published."""
        while self._images.get_subscription_count() < self._values['wait_for_subscribers']:
            rclpy.spin_once(self, timeout_sec=0.05)
        fps = self._values['rate'] or self.footage.fps
        self.get_logger().info(f'{self.footage.name} at {fps:g} images/s')
        start, published = 0.0, 0
        for index, shot in enumerate(self._shots()):
            late = published and time.monotonic() > start + (index + 1) / fps
            if late and not self.footage.live:
                continue
            image = shot.image()
            if not published:
                # The clock starts here: the first image takes far longer than the others.
                start = time.monotonic()
            self._wait(time.monotonic() if self.footage.live else start + index / fps)
            self._publish(image, shot)
            published += 1
        return published

    def _shots(self) -> Iterator[Shot]:
        rounds: Any = itertools.count() if self._values['loop'] else range(1)
        return itertools.chain.from_iterable(self.footage for _ in rounds)

    def _wait(self, until: float) -> None:
        """Serve ROS until a time on the monotonic clock."""
        rclpy.spin_once(self, timeout_sec=0)
        while (left := until - time.monotonic()) > 0:
            time.sleep(min(left, 0.05))
            rclpy.spin_once(self, timeout_sec=0)

    def _publish(self, pixels: Pixels, shot: Shot) -> None:
        header = Header(frame_id=self._values['frame_id'])
        image = self._message(pixels, header)
        header.stamp = image.header.stamp = self.get_clock().now().to_msg()
        height, width = pixels.shape[:2]
        self._infos.publish(CameraInfo(header=header, height=height, width=width))
        if shot.truth is not None:
            state = TrackState.TRACKING if shot.visible >= 0.5 else TrackState.UNCERTAIN
            state = state if shot.visible > 0 else TrackState.LOST
            estimate = Estimate(shot.truth, shot.visible, state)
            self._truths.publish(target_message(header, 'truth', estimate, 0.0))
        self._images.publish(image)

    def _message(self, image: Pixels, header: Header) -> Image | CompressedImage:
        if not self._compressed:
            return encode(image, 'rgb8', header)
        _, data = cv2.imencode('.jpg', cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        message = CompressedImage(header=header, format='rgb8; jpeg compressed bgr8')
        message.data.frombytes(data.tobytes())
        return message


def main(args: list[str] | None = None) -> int:
    """Run the node; 1 where the source or a parameter cannot be used."""
    # On a busy machine several threads per image only wait for each other.
    cv2.setNumThreads(1)
    rclpy.init(args=args)
    try:
        node = DemoCamera()
        node.get_logger().info(f'{node.play()} images published')
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except RuntimeError:
        # A signal ends ROS; whatever is using it just then complains.
        if rclpy.ok():
            raise
    finally:
        shut_down()
    return 0


if __name__ == '__main__':
    sys.exit(main())
