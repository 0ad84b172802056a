"""The image that RViz can be clicked on."""

import cv2
import numpy as np
import pytest
import yaml
from geometry_msgs.msg import PointStamped
from harness import at, overlap, scene
from rclpy.qos import DurabilityPolicy, QoSProfile
from visualization_msgs.msg import Marker, MarkerArray

from tracker_ros.parameters import NodeSettings

pytestmark = pytest.mark.ros


def texture_of(message):
    data = np.frombuffer(message.markers[1].texture.data, np.uint8)
    return cv2.imdecode(data, cv2.IMREAD_COLOR)[..., ::-1]


def test_the_image_is_shown_true_to_scale_and_anew(tracker, camera, ros):
    planes = ros.inbox(MarkerArray, '/tracker/image_plane')
    camera.deliver(0)
    gone, quad = planes.wait(lambda m: shows(m, 0)).markers
    assert (gone.action, quad.action) == (Marker.DELETEALL, Marker.ADD)
    # RViz reports an error where a namespace and id occur twice in one message.
    assert gone.ns == quad.ns
    assert gone.id != quad.id
    assert quad.header.frame_id == 'tracker_image'
    corners = {(round(p.x, 6), round(p.y, 6)) for p in quad.points}
    assert corners == {(0, 0), (3.2, 0), (0, -2.4), (3.2, -2.4)}
    for point, uv in zip(quad.points, quad.uv_coordinates, strict=True):
        assert (point.x, point.y) == pytest.approx((uv.u * 3.2, -uv.v * 2.4))
    camera.deliver(20)
    assert planes.wait(lambda m: shows(m, 20))


def test_the_image_of_the_first_click_stays_until_the_second(tracker, camera, ros):
    planes, targets = ros.inbox(MarkerArray, '/tracker/image_plane'), tracker.targets()
    clicks = ros.publisher(PointStamped, '/clicked_point')
    start = camera.deliver(0)
    planes.wait(lambda m: shows(m, 0))
    box = scene(0)[1]
    tracker.says('first corner', lambda: clicks.publish(click_at(box.left, box.top)))
    camera.deliver(20)
    seen = len(planes.messages)
    marked = planes.wait(lambda m: has_mark(m, box.left, box.top), seen)
    assert shows(marked, 0)
    clicks.publish(click_at(box.right, box.bottom))
    assert overlap(targets.wait(at(start)), 0) > 0.99
    assert planes.wait(lambda m: shows(m, 20), seen)


def test_the_frame_exists_where_tf2_is_installed(tracker, ros):
    tf2_msgs = pytest.importorskip('tf2_msgs.msg', reason='tf2_msgs is not installed')
    qos = QoSProfile(depth=10, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    (transform,) = ros.inbox(tf2_msgs.TFMessage, '/tf_static', qos).wait().transforms
    assert (transform.header.frame_id, transform.child_frame_id) == (
        'tracker_images',
        'tracker_image',
    )
    assert transform.transform.rotation.w == 1.0


def click_at(x, y):
    click = PointStamped()
    click.header.frame_id = 'tracker_image'
    click.point.x, click.point.y = 0.01 * x, -0.01 * y
    return click


def shows(message, k):
    """Whether the texture is frame k, but for what JPEG loses and a mark in it."""
    difference = np.abs(texture_of(message).astype(int) - scene(k)[0]).max(axis=2)
    return np.mean(difference > 60) < 0.03


def has_mark(message, x, y):
    around = texture_of(message)[round(y) - 3 : round(y) + 4, round(x) - 3 : round(x) + 4]
    return around.min(axis=2).max() > 200


def test_the_rviz_file_fits_the_node(request):
    path = request.config.rootpath / 'config' / 'tracker.rviz'
    manager = yaml.safe_load(path.read_text())['Visualization Manager']
    topics = {display['Topic']['Value'] for display in manager['Displays']}
    assert topics == {'/tracker/image_plane', '/tracker/overlay', '/tracker/response'}
    assert manager['Global Options']['Fixed Frame'] == NodeSettings().plane_frame
    (click,) = (t for t in manager['Tools'] if t['Class'].endswith('PublishPoint'))
    assert click['Topic']['Value'] == NodeSettings().clicked_point_topic
    # Deactivated after one click it would have to be chosen again for the second corner.
    assert click['Single click'] is False
