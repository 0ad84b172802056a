"""One camera of the node: its subscriptions and services around a CameraTrack."""

from __future__ import annotations

import time
from collections.abc import Callable

from geometry_msgs.msg import Point, PointStamped
from rclpy.callback_groups import ReentrantCallbackGroup
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CompressedImage, Image, RegionOfInterest
from std_srvs.srv import Trigger

from tracker_core import Box, Tracker
from tracker_ros.camera_track import CameraTrack
from tracker_ros.clicks import Clicks
from tracker_ros.conversions import box_of, box_of_roi, decode, nanoseconds
from tracker_ros.frame_buffer import Frame
from tracker_ros.image_plane import ImagePlane
from tracker_ros.missing_images import MissingImages
from tracker_ros.msg import TargetInit
from tracker_ros.outputs import Outputs
from tracker_ros.parameters import Parameters
from tracker_ros.srv import SetTarget
from tracker_ros.start_request import StartRequest

_COMPRESSED = '/compressed'


class Camera:
    """Everything of one camera but its tracker. Runs on the executor's thread."""

    def __init__(
        self, node: Node, parameters: Parameters, name: str, topic: str, tracker: Tracker
    ) -> None:
        self.name = name
        self._node, self._parameters = node, parameters
        self._log = node.get_logger().get_child(name) if name else node.get_logger()
        prefix = f'~/{name}/' if name else '~/'
        outputs = Outputs(node, prefix, parameters)
        self.track = CameraTrack(tracker, outputs, parameters, self._now, self._log)
        plane_frame = parameters.current.plane_frame
        self.plane = ImagePlane(
            node, f'{prefix}image_plane', f'{plane_frame}_{name}' if name else plane_frame
        )
        self._clicks = Clicks()
        self._shown: Frame | None = None  # on the plane, while somebody looks at it
        self._subscribe_to_images(topic)
        self._subscribe_to_boxes(prefix)
        self._serve(prefix)

    def _subscribe_to_images(self, topic: str) -> None:
        settings = self._parameters.current
        reliable = settings.image_reliability == 'reliable'
        qos = QoSProfile(
            depth=1,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        # Remapping applies to the image's own topic, as with image_transport.
        topic = self._node.resolve_topic_name(topic)
        base = topic.removesuffix(_COMPRESSED)
        compressed = settings.image_transport == 'compressed' or topic != base
        kind, suffix = (CompressedImage, _COMPRESSED) if compressed else (Image, '')
        self.image_topic = base + suffix
        self._node.create_subscription(kind, self.image_topic, self._on_image, qos)
        self.missing_images = MissingImages(
            self._node, self._log, self.image_topic, kind, reliable=reliable
        )
        # rqt_image_view names its clicks after the topic that it shows, whichever that is.
        for shown in sorted({base, self.image_topic}):
            self._node.create_subscription(Point, f'{shown}_mouse_left', self._on_mouse, 10)

    def _subscribe_to_boxes(self, prefix: str) -> None:
        node = self._node
        node.create_subscription(Point, f'{prefix}overlay_mouse_left', self._on_mouse, 10)
        node.create_subscription(TargetInit, f'{prefix}init', self._on_init, 10)
        node.create_subscription(RegionOfInterest, f'{prefix}init_roi', self._on_roi, 10)

    def _serve(self, prefix: str) -> None:
        # Its answer may wait for an image, which must be let in meanwhile.
        self._node.create_service(
            SetTarget,
            f'{prefix}set_target',
            self._on_set_target,
            callback_group=ReentrantCallbackGroup(),
        )
        for name, callback in (
            ('reset', self._on_reset),
            ('pause', self._on_pause),
            ('resume', self._on_resume),
        ):
            self._node.create_service(Trigger, prefix + name, callback)

    def _now(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    # ---- images and boxes

    def _on_image(self, message: Image | CompressedImage) -> None:
        self.track.add(message, nanoseconds(message.header.stamp))

    def _on_init(self, message: TargetInit) -> None:
        self._start(box_of(message), message)

    def _on_roi(self, message: RegionOfInterest) -> None:
        self._start(box_of_roi(message))

    async def _on_set_target(
        self, request: SetTarget.Request, response: SetTarget.Response
    ) -> SetTarget.Response:
        answer = Future(executor=self._node.executor)
        # With something to call the future wakes the executor, which returns to this coroutine.
        answer.add_done_callback(lambda _: None)
        self._start(box_of(request.target), request.target, answer=answer.set_result)
        problem = await answer
        response.success, response.message = problem is None, problem or ''
        return response

    def _start(
        self,
        box: Box,
        message: TargetInit | None = None,
        *,
        frame: Frame | None = None,
        answer: Callable[[str | None], None] | None = None,
    ) -> None:
        """Start on a box; the log and `answer` say what became of it."""
        settings = self._parameters.current
        target_id = (message.target_id if message else '') or settings.target_id

        def reply(problem: str | None) -> None:
            self._log_start(target_id, box, problem)
            if answer is not None:
                answer(problem)

        self.track.start(
            StartRequest(
                box,
                target_id,
                reply,
                stamp=(nanoseconds(message.header.stamp) or None) if message else None,
                frame=frame,
                deadline=time.monotonic() + settings.init_timeout,
            )
        )

    def _log_start(self, target_id: str, box: Box, problem: str | None) -> None:
        left, top, width, height = box.as_ltwh()
        what = f'{target_id!r} at ({left:g}, {top:g}), {width:g} x {height:g} px'
        if problem:
            self._log.warning(f'not tracking {what}: {problem}')
        else:
            self._log.info(f'tracking {what}')

    # ---- services

    def _on_reset(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._clicks.first = None
        known = self.track.reset()
        return _answer(response, True, '' if known else 'there was no target')

    def _on_pause(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        paused = self.track.pause()
        return _answer(response, paused, '' if paused else 'there is no target to pause')

    def _on_resume(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        resumed = self.track.resume()
        return _answer(response, resumed, '' if resumed else 'tracking was not paused')

    # ---- clicks

    def on_clicked_point(self, click: PointStamped) -> None:
        """Take a point that was clicked on the plane."""
        first = self._clicks.first
        frame = first.frame if first else self._shown or self.track.newest
        self._on_click(*self.plane.pixel_of(click), frame)

    def _on_mouse(self, click: Point) -> None:
        # The viewer goes on showing new images between the clicks, unlike the plane.
        self._on_click(click.x, click.y, self.track.newest)

    def _on_click(self, x: float, y: float, frame: Frame | None) -> None:
        if frame is None:
            self._log.warning('a click is ignored: there is no image yet')
            return
        settings = self._parameters.current
        try:
            box = self._clicks.click(
                x, y, frame, time.monotonic(), settings.click_box_size, settings.click_timeout
            )
        except ValueError as error:
            self._log.warning(str(error))
            return
        if box is None:
            self._log.info(f'first corner at ({x:.0f}, {y:.0f}); click on the opposite one')
        else:
            self._start(box, frame=frame)

    def refresh_plane(self) -> None:
        """Show the newest image on the plane, or the one of the first click while there is one."""
        if self._clicks.forget_after(self._parameters.current.click_timeout, time.monotonic()):
            self._log.info('the first corner is forgotten: no second one came')
        if not self.plane.wanted():
            self._shown = None
            return
        corner = self._clicks.first
        frame = corner.frame if corner else self.track.newest
        if frame is None:
            return
        try:
            image = decode(frame.message)
        except ValueError:
            return  # said by the track, for every such image
        self.plane.show(image, (corner.x, corner.y) if corner else None)
        self._shown = frame


def _answer(response: Trigger.Response, success: bool, message: str) -> Trigger.Response:
    response.success, response.message = success, message
    return response
