"""Watches a demo: prints a line per second; at the end writes pictures and a verdict.

Topics: image_raw, camera_info, truth and target. Interrupt it (SIGINT) to end the recording; it
then writes overlay.mp4, contact_sheet.png and report.json into the folder given by the parameter
`output`, and exits with 0 if the target was followed and with 3 if it was not.
"""

from __future__ import annotations

import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import rclpy
from rcl_interfaces.msg import ParameterDescriptor
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from tracker_core import Estimate, TrackState
from tracker_core.atomic import replacing
from tracker_ros.conversions import box_of, decode, nanoseconds
from tracker_ros.demo_pictures import Album, write_pictures
from tracker_ros.demo_report import HEADER, LiveLine, Record, Result, Truth, judge, summary
from tracker_ros.msg import Target
from tracker_ros.shutdown import shut_down

#: Exit status for a target that was not followed (1 and 2 are errors, also of the command line).
NOT_FOLLOWED = 3

_KEPT = QoSProfile(
    depth=300,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)
_IMAGES = QoSProfile(depth=5, reliability=ReliabilityPolicy.BEST_EFFORT)


class DemoRecorder(Node):
    """Collects images, results and truth by the stamp of the image."""

    def __init__(self) -> None:
        super().__init__('demo_recorder')
        self.output = Path(self._parameter('output', 'demo_output', 'Folder for what is written'))
        self.label = self._parameter('label', '', 'Words beside the box in the pictures')
        self.record, self.album = Record(), Album()
        self._line = LiveLine()
        self._lines = 0
        self.create_subscription(Image, 'image_raw', self._on_image, _IMAGES)
        self.create_subscription(CameraInfo, 'camera_info', self._on_info, _KEPT)
        self.create_subscription(Target, 'truth', self._on_truth, _KEPT)
        self.create_subscription(Target, 'target', self._on_target, 300)
        self.create_timer(1.0, self._print_line)

    def _parameter(self, name: str, default: str, description: str) -> str:
        about = ParameterDescriptor(description=description)
        return str(self.declare_parameter(name, default, about).value)

    def _on_info(self, info: CameraInfo) -> None:
        self.record.images.append(nanoseconds(info.header.stamp))

    def _on_image(self, message: Image) -> None:
        self.album.add(nanoseconds(message.header.stamp), decode(message))

    def _on_truth(self, message: Target) -> None:
        truth = Truth(box_of(message), message.confidence)
        self.record.truths[nanoseconds(message.header.stamp)] = truth

    def _on_target(self, message: Target) -> None:
        estimate = Estimate(box_of(message), message.confidence, TrackState(message.state))
        stamp = nanoseconds(message.header.stamp)
        self.record.results[stamp] = Result(estimate, time.time_ns())

    def _print_line(self) -> None:
        if not self.record.images:
            return
        if self._lines % 20 == 0:
            print(HEADER, flush=True)
        self._lines += 1
        print(self._line.text(self.record, time.time_ns()), flush=True)


def _finish(node: DemoRecorder) -> int:
    """Write everything, print the verdict and return the exit status."""
    verdict, numbers = judge(node.record), summary(node.record)
    written = write_pictures(node.album, node.record, node.label, node.output)
    report: dict[str, Any] = {'followed': verdict.followed, 'reason': verdict.reason, **numbers}
    with replacing(node.output / 'report.json') as temporary:
        temporary.write_text(json.dumps(report, indent=2) + '\n', encoding='utf-8')
    print(
        f'\n{numbers["images"]} images, {numbers["tracked"]} tracked at {numbers["fps"]} fps, '
        f'{numbers["dropped"]} dropped, latency median {numbers["latency_median_ms"]} ms, '
        f'95 % below {numbers["latency_p95_ms"]} ms'
    )
    for path in [*written, node.output / 'report.json']:
        print(f'written: {path}')
    print(f'{"FOLLOWED" if verdict.followed else "NOT FOLLOWED"}: {verdict.reason}', flush=True)
    return 0 if verdict.followed else NOT_FOLLOWED


def main(args: list[str] | None = None) -> int:
    """Run the node until it is interrupted; see the module's description."""
    # Terminated (SIGTERM), it ends at once and writes nothing.
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.SIGINT)
    node = DemoRecorder()
    try:
        rclpy.spin(node)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        shut_down()
    # From here on the recording is over and a further interrupt ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _finish(node)


if __name__ == '__main__':
    sys.exit(main())
