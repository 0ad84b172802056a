"""Starting, pausing and resetting, over every route."""

import time
from functools import partial

import pytest
from geometry_msgs.msg import Point, PointStamped
from harness import at, header_of, init_message, overlap, scene, stamp_of
from rclpy.parameter import Parameter
from rclpy.serialization import serialize_message
from sensor_msgs.msg import RegionOfInterest
from tracker_ros.msg import Target, TargetInit

from tracker_core import Box
from tracker_ros.conversions import encode

pytestmark = pytest.mark.ros


def test_service_starts_and_the_target_is_followed(tracker, camera):
    targets = tracker.targets()
    start = camera.deliver(0)
    answer = tracker.set_target(scene(0)[1], start, 'cup')
    assert (answer.success, answer.message) == (True, '')
    first = targets.wait(at(start))
    assert (first.target_id, first.confidence, first.state) == ('cup', 1.0, Target.TRACKING)
    assert overlap(first, 0) == 1.0
    found = camera.follow(targets, range(1, 12))
    assert min(overlap(message, k) for k, message in enumerate(found, 1)) > 0.7
    assert {message.header.frame_id for message in found} == {'camera'}
    assert {message.target_id for message in found} == {'cup'}
    assert all(0 < message.processing_time < 10 for message in found)
    assert all(0 <= message.confidence <= 1 for message in found)


def test_init_message_starts_and_gives_the_default_id(tracker, camera, ros):
    targets = tracker.targets()
    init = ros.publisher(TargetInit, '/tracker/init')
    start = camera.deliver(0)
    init.publish(init_message(scene(0)[1]))
    assert targets.wait(at(start)).target_id == 'target'
    assert overlap(camera.follow(targets, range(1, 3))[-1], 2) > 0.7


def test_region_of_interest_starts(tracker, camera, ros):
    targets = tracker.targets()
    init = ros.publisher(RegionOfInterest, '/tracker/init_roi')
    start = camera.deliver(0)
    left, top, width, height = (round(value) for value in scene(0)[1].as_ltwh())
    init.publish(RegionOfInterest(x_offset=left, y_offset=top, width=width, height=height))
    assert overlap(targets.wait(at(start)), 0) == 1.0


def test_two_clicked_points_start_on_the_image_of_the_first(tracker, camera, ros):
    targets = tracker.targets()
    clicks = ros.publisher(PointStamped, '/clicked_point')
    start = camera.deliver(0)
    box = scene(0)[1]
    tracker.says('first corner', lambda: click_plane(clicks, box.right, box.top))
    camera.deliver(5)
    click_plane(clicks, box.left, box.bottom)
    assert overlap(targets.wait(at(start)), 0) > 0.99


@pytest.mark.parametrize('clicks', [1, 2])
def test_clicks_are_taken_on_the_image_that_the_plane_shows(node, monkeypatch, clicks):
    (camera,) = node.cameras
    monkeypatch.setattr(camera.plane, 'wanted', lambda: True)
    starts = []
    monkeypatch.setattr(camera.track, 'start', starts.append)
    if clicks == 1:
        side = Parameter('click_box_size', Parameter.Type.INTEGER, 48)
        assert node.set_parameters([side])[0].successful
    shown, later = (encode(scene(k)[0], 'rgb8', header_of(k + 1)) for k in (0, 1))
    camera.track.add(shown, 1)
    camera.refresh_plane()
    camera.track.add(later, 2)
    for corner in (100, 140)[:clicks]:
        camera.on_clicked_point(plane_click(corner, corner))
    assert [request.frame.message for request in starts] == [shown]
    monkeypatch.setattr(camera.plane, 'wanted', lambda: False)
    camera.refresh_plane()
    for corner in (100, 140)[:clicks]:
        camera.on_clicked_point(plane_click(corner, corner))
    assert starts[-1].frame.message is later


@pytest.mark.parametrize('topic', ['/tracker/camera_mouse_left', '/tracker/overlay_mouse_left'])
def test_two_mouse_clicks_start(tracker, camera, ros, topic):
    targets = tracker.targets()
    clicks = ros.publisher(Point, topic)
    start = camera.deliver(0)
    box = scene(0)[1]
    tracker.says('first corner', lambda: clicks.publish(Point(x=box.left, y=box.top)))
    clicks.publish(Point(x=box.right, y=box.bottom))
    assert overlap(targets.wait(at(start)), 0) == 1.0


def test_one_click_with_a_configured_size_starts(tracker, camera, ros):
    size = partial(Parameter, 'click_box_size', Parameter.Type.INTEGER)
    assert ros.set_parameter('tracker', size(48)).successful
    try:
        targets = tracker.targets()
        clicks = ros.publisher(Point, '/tracker/camera_mouse_left')
        start = camera.deliver(0)
        x, y = scene(0)[1].center
        clicks.publish(Point(x=x, y=y))
        assert overlap(targets.wait(at(start)), 0) == 1.0
    finally:
        assert ros.set_parameter('tracker', size(0)).successful


def test_clicks_that_span_no_box_and_clicks_elsewhere_are_explained(tracker, camera, ros):
    points = ros.publisher(PointStamped, '/clicked_point')
    camera.deliver(0)
    tracker.says('first corner', lambda: click_plane(points, 50, 50))
    tracker.says('span 1.0 x 40.0 px only', lambda: click_plane(points, 51, 90))
    elsewhere = PointStamped()
    elsewhere.header.frame_id = 'map'
    tracker.says("frame 'map' is ignored", lambda: points.publish(elsewhere))


def test_late_init_starts_on_its_image_and_catches_up(tracker, camera):
    targets = tracker.targets()
    stamps = [camera.deliver(k) for k in range(40)]
    answer = tracker.set_target(scene(10)[1], stamps[10])
    assert answer.success, answer.message
    newest = targets.wait(at(stamps[-1]))
    assert overlap(targets.messages[0], 10) == 1.0
    assert stamp_of(targets.messages[0]) == stamps[10]
    assert overlap(newest, 39) > 0.7
    passed = [stamp_of(message) for message in targets.messages]
    assert passed == sorted(passed)
    # It moved on along the kept images: a jump from frame 10 to 39 would lose the square.
    assert len(passed) > 3


def test_late_init_takes_the_nearest_image(tracker, camera):
    targets = tracker.targets()
    stamps = [camera.deliver(k) for k in range(6)]
    assert tracker.set_target(scene(2)[1], stamps[2] + 12_000_000).success
    assert stamp_of(targets.wait()) == stamps[2]


def test_a_stamp_before_the_kept_images_is_refused(tracker, camera):
    start = camera.deliver(0)
    answer = tracker.set_target(scene(0)[1], start - 60 * 10**9)
    assert not answer.success
    assert '60.000 s before the newest image' in answer.message
    assert 'history_seconds' in answer.message


def test_a_stamp_after_the_images_is_refused(tracker, camera):
    start = camera.deliver(0)
    answer = tracker.set_target(scene(0)[1], start + 60 * 10**9)
    assert not answer.success
    assert '60.000 s after the newest image' in answer.message


def test_a_box_that_comes_before_its_image_waits_for_it(tracker, camera, ros):
    targets = tracker.targets()
    init = ros.publisher(TargetInit, '/tracker/init')
    camera.deliver(0)
    init.publish(init_message(scene(1)[1], camera.stamp(1)))
    time.sleep(0.3)  # most often the box is there first; either order must work
    stamp = camera.deliver(1)
    assert overlap(targets.wait(at(stamp)), 1) == 1.0


@pytest.mark.parametrize(
    ('box', 'reason'),
    [
        (Box(1000, 10, 48, 48), 'outside the image'),
        (Box(-100, -100, 48, 48), 'outside the image'),
        (Box(10, 10, 1, 48), 'at least'),
        (Box(0, 0, 1000, 1000), 'larger than the image'),
        (Box(float('nan'), 10, 48, 48), 'finite'),
        (Box(10, 10, -48, 48), 'at least'),
    ],
)
def test_unusable_boxes_are_refused_with_the_reason(tracker, camera, box, reason):
    targets = tracker.targets()
    camera.deliver(0)
    answer = tracker.set_target(box)
    assert not answer.success
    assert reason in answer.message
    assert not targets.messages


def test_a_refused_box_leaves_the_target_alone(tracker, camera):
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0), 'cup').success
    assert not tracker.set_target(Box(1000, 10, 48, 48)).success
    found = camera.follow(targets, range(1, 3))[-1]
    assert found.target_id == 'cup'
    assert overlap(found, 2) > 0.7


def test_a_new_box_replaces_the_target(tracker, camera):
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0), 'cup').success
    assert tracker.set_target(Box(20, 20, 40, 40), target_id='wall').success
    assert camera.follow(targets, range(1, 2))[-1].target_id == 'wall'


def test_reset_ends_the_messages(tracker, camera):
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    camera.follow(targets, range(1, 3))
    answer = tracker.trigger('reset')
    assert (answer.success, answer.message) == (True, '')
    for k in range(3, 6):
        camera.deliver(k)
    assert tracker.trigger('reset').message == 'there was no target'
    time.sleep(0.3)  # a message that should not be there would be under way
    assert stamp_of(targets.messages[-1]) == camera.stamp(2)


def test_pause_and_resume(tracker, camera):
    targets = tracker.targets()
    assert tracker.trigger('pause').message == 'there is no target to pause'
    assert tracker.trigger('resume').message == 'tracking was not paused'
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    camera.follow(targets, range(1, 3))
    assert tracker.trigger('pause').success
    stamps = [camera.deliver(k) for k in range(3, 6)]
    time.sleep(0.3)
    assert stamp_of(targets.messages[-1]) == camera.stamp(2)
    assert tracker.trigger('resume').success
    # It goes on with the newest image, not with those of the pause.
    assert overlap(targets.wait(lambda m: stamp_of(m) > camera.stamp(2)), 5) > 0.7
    assert stamp_of(targets.messages[-1]) == stamps[-1]


def test_a_new_box_ends_a_pause(tracker, camera):
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    assert tracker.trigger('pause').success
    assert tracker.set_target(scene(1)[1], camera.deliver(1)).success
    assert overlap(camera.follow(targets, range(2, 3))[-1], 2) > 0.7


def click_plane(publisher, x, y):
    """Click on the plane at a pixel, as RViz' Publish Point does."""
    publisher.publish(plane_click(x, y))


def plane_click(x, y):
    click = PointStamped()
    click.header.frame_id = 'tracker_image'
    click.point.x, click.point.y = 0.01 * x, -0.01 * y
    return click


def test_messages_of_rubbish_do_not_end_the_node(tracker, camera, ros):
    init = ros.publisher(TargetInit, '/tracker/init')
    good = serialize_message(init_message(scene(0)[1], target_id='AAAA'))
    init.publish(good[:14])
    init.publish(good[:4] + b'\xff' * 60)
    no_text = good.replace(b'AAAA', b'\xff\xfe\xff\xfe')
    tracker.says('at (120, 120), 48 x 48 px', lambda: init.publish(no_text))
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
