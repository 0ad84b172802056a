"""What is published besides the target."""

import numpy as np
import pytest
from harness import at, header_of, overlap, scene, stamp_of
from rclpy.parameter import Parameter
from sensor_msgs.msg import Image, RegionOfInterest

from tracker_core import Box, TrackState
from tracker_core.drawing import STATE_COLORS
from tracker_ros.conversions import box_of_roi, decode, encode

pytestmark = pytest.mark.ros


def test_region_of_interest(tracker, camera, ros):
    regions = ros.inbox(RegionOfInterest, '/tracker/roi')
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    assert box_of_roi(regions.wait()) == scene(0)[1]
    camera.follow(tracker.targets(), range(1, 3))
    found = regions.wait(lambda roi: box_of_roi(roi).iou(scene(2)[1]) > 0.7, 1)
    assert not found.do_rectify


def test_overlay_shows_the_box_and_without_a_target_the_image(tracker, camera):
    overlays = camera.overlays
    start = camera.deliver(0)
    plain = overlays.wait(at(start))
    assert (plain.encoding, plain.header.frame_id) == ('rgb8', 'camera')
    image, box = scene(0)
    changed = np.abs(decode(plain).astype(int) - image).max(axis=2) > 0
    assert 0 < changed[:30].sum() < 3000  # 'no target', in the upper left corner
    assert not changed[30:].any()
    seen = len(overlays.messages)
    assert tracker.set_target(box, start).success
    drawn = decode(overlays.wait(at(start), seen))
    left, top = round(box.left), round(box.top)
    assert tuple(drawn[top, left + 20]) == STATE_COLORS[TrackState.TRACKING]
    np.testing.assert_array_equal(
        drawn[top + 4 : top + 40, left + 4 : left + 40],
        image[top + 4 : top + 40, left + 4 : left + 40],
    )


def test_response_map_while_somebody_subscribes(tracker, camera, ros):
    responses = ros.inbox(Image, '/tracker/response')
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    camera.follow(tracker.targets(), range(1, 3))
    message = responses.wait(at(camera.stamp(2)))
    assert message.encoding == '32FC1'
    values = np.frombuffer(message.data, np.float32).reshape(message.height, message.width)
    assert np.isfinite(values).all()
    # The target moved little: the peak lies near the centre of the search region.
    peak = np.unravel_index(values.argmax(), values.shape)
    assert np.abs(np.array(peak) / values.shape - 0.5).max() < 0.25


def test_pictures_can_be_switched_off(tracker, camera, ros):
    overlays = camera.overlays
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    assert ros.set_parameter('tracker', Parameter('publish_overlay', value=False)).successful
    try:
        for k in range(1, 200):
            stamp = camera.publish(k)
            if targets.poll(at(stamp), 0, 1.0):
                break
        assert overlap(targets.messages[-1], k) > 0.5
        assert tracker.set_target(Box(10.0, 10.0, 50.0, 50.0)).success
        assert stamp_of(overlays.messages[-1]) == camera.stamp(0)
    finally:
        assert ros.set_parameter('tracker', Parameter('publish_overlay', value=True)).successful


def test_detections_where_vision_msgs_is_installed(tracker, camera, ros):
    vision_msgs = pytest.importorskip('vision_msgs.msg', reason='vision_msgs is not installed')
    detections = ros.inbox(vision_msgs.Detection2DArray, '/tracker/detections')
    start = camera.deliver(0)
    assert tracker.set_target(scene(0)[1], start, 'cup').success
    (detection,) = detections.wait(at(start)).detections
    center = detection.bbox.center.position
    assert (center.x, center.y) == scene(0)[1].center
    assert (detection.bbox.size_x, detection.bbox.size_y) == (48.0, 48.0)
    (result,) = detection.results
    assert (detection.id, result.hypothesis.class_id, result.hypothesis.score) == ('cup', 'cup', 1)
    camera.follow(tracker.targets(), range(1, 2))
    # Another size gives the target up, and what is lost is not detected.
    other = encode(scene(3, (400, 300))[0], 'rgb8', header_of(camera.stamp(3)))
    tracker.says('the image size changed', lambda: camera.publisher.publish(other))
    assert list(detections.wait(at(camera.stamp(3))).detections) == []
