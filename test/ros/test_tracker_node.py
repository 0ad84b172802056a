"""Beginning and end of the node, and cameras of all kinds."""

import itertools
import os
import re
import signal
import time

import pytest
from geometry_msgs.msg import Point
from harness import PATIENCE, Camera, header_of, overlap, scene, stamp_of
from sensor_msgs.msg import CompressedImage, Image
from tracker_ros.msg import Target

from tracker_core import Box
from tracker_ros.conversions import encode
from tracker_ros.parameters import NodeSettings, ParameterError
from tracker_ros.tracker_node import build

pytestmark = pytest.mark.ros


@pytest.mark.parametrize(
    ('parameters', 'reason'),
    [
        ({'model': 'simfc'}, "unknown tracker 'simfc'; valid: siamfc"),
        ({'image_topics': "['bad topic']"}, 'parameter image_topics: Invalid topic name'),
        ({'cameras': '[]'}, 'a parameter has no value, such as an empty list'),
        ({'modle': 'siamfc'}, 'unknown parameter modle (did you mean model?); valid: model'),
    ],
)
def test_what_cannot_work_is_said_in_one_line(start_tracker, parameters, reason):
    tracker = start_tracker(ready=False, **parameters)
    assert tracker.wait() == 1
    lines = tracker.log.strip().splitlines()
    assert len(lines) == 1, tracker.log
    assert reason in lines[0]
    assert '[FATAL]' in lines[0]


def image_topics(node):
    """Return the topics of a node that have to do with /camera/image, and their kinds."""
    found = node.subscriptions
    return {s.topic_name: s.msg_type for s in found if s.topic_name.startswith('/camera/image')}


@pytest.mark.parametrize(
    ('transport', 'topic', 'kind', 'expected'),
    [
        ('raw', '/camera/image', Image, '/camera/image'),
        ('raw', '/camera/image/compressed', CompressedImage, '/camera/image/compressed'),
        ('compressed', '/camera/image', CompressedImage, '/camera/image/compressed'),
        ('compressed', '/camera/image/compressed', CompressedImage, '/camera/image/compressed'),
    ],
)
def test_a_topic_may_name_the_transport(make_node, transport, topic, kind, expected):
    node = make_node(image_transport=transport, image_topics=[topic])
    assert image_topics(node)[expected] is kind
    assert node.cameras[0].image_topic == expected
    assert image_topics(node)['/camera/image_mouse_left'] is Point
    assert image_topics(node)[f'{expected}_mouse_left'] is Point


def test_a_plane_that_cannot_be_shown_does_not_end_the_node(node, monkeypatch):
    monkeypatch.setattr(node.cameras[0], 'refresh_plane', lambda: 1 / 0)
    node._refresh_planes()


@pytest.mark.parametrize(
    ('changes', 'reason'),
    [
        ({'weights': '/does/not/exist.safetensors'}, '/does/not/exist.safetensors'),
        ({'settings_file': '/does/not/exist.yaml'}, 'parameter settings_file: .*No such file'),
        ({'settings_file': 'bad.yaml'}, 'parameter settings_file: while parsing'),
        ({'settings_file': 'list.yaml'}, 'must hold a mapping'),
        ({'settings_file': 'unknown.yaml'}, "unknown setting 'scalez'"),
    ],
)
def test_trackers_that_cannot_be_built(tmp_path, monkeypatch, changes, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'bad.yaml').write_text('a: [')
    (tmp_path / 'list.yaml').write_text('[1, 2]')
    (tmp_path / 'unknown.yaml').write_text('scalez: 3')
    settings = NodeSettings(**{'weights': 'random', **changes})
    with pytest.raises(ParameterError, match=reason):
        build(settings)


def test_files_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path))
    (tmp_path / 'mine.yaml').write_text('scales: 1\n')
    tracker = build(NodeSettings(model='siamfc', weights='random', settings_file='~/mine.yaml'))
    assert tracker.settings.scales == 1
    with pytest.raises(ParameterError, match=re.escape(str(tmp_path / 'mine.safetensors'))):
        build(NodeSettings(model='siamfc', weights='~/mine.safetensors'))


@pytest.fixture(scope='module')
def light_dimp(tmp_path_factory):
    """Settings file for the DiMP family: small search regions, few copies of the first frame."""
    path = tmp_path_factory.mktemp('settings') / 'light.yaml'
    path.write_text('image_size: 96\nrotations: []\nblurs: [[2, 2]]\nnot_found: -1.0e+9\n')
    return str(path)


@pytest.mark.parametrize('model', ['dimp18', 'dimp50', 'prdimp50', 'super_dimp'])
def test_models_of_the_dimp_family_are_built_by_name(model, light_dimp):
    tracker = build(NodeSettings(model=model, weights='random', settings_file=light_dimp))
    assert tracker.response_map.shape == (7, 7), 'it is warm'


def test_a_model_without_shipped_weights_says_what_to_do():
    with pytest.raises(ParameterError, match=r'no weights .*dimp50.* import'):
        build(NodeSettings(model='dimp50'))


def test_dimp_behind_the_same_topics(start_tracker, ros, light_dimp):
    tracker = start_tracker(model='dimp18', settings_file=light_dimp)
    camera = Camera(ros, f'/{tracker.name}/camera', f'/{tracker.name}/overlay')
    targets = tracker.targets()
    responses = ros.inbox(Image, f'/{tracker.name}/response')
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    found = camera.follow(targets, range(1, 4))
    assert len(found) == 3 and all(0 <= message.confidence <= 1 for message in found)
    assert stamp_of(found[-1]) == camera.stamp(3)
    response = responses.wait()
    assert (response.encoding, response.height, response.width) == ('32FC1', 7, 7)


def test_a_terminated_node_ends_cleanly_even_at_work(start_tracker, ros):
    # That Ctrl-C does so too is seen where the shared node ends.
    tracker = start_tracker()
    camera = Camera(ros, f'/{tracker.name}/camera', f'/{tracker.name}/overlay')
    targets = tracker.targets()
    for k in range(30):
        camera.deliver(k)
    assert tracker.set_target(scene(0)[1], camera.stamp(0)).success
    targets.wait()  # and catches up through the rest
    assert tracker.stop(signal.SIGTERM) == 0
    assert 'rror' not in tracker.log, tracker.log


def test_two_cameras_are_tracked_independently(start_tracker, ros):
    tracker = start_tracker(
        cameras='[front, rear]', image_topics='[/two/front/image, /two/rear/image]'
    )
    front, rear = (
        Camera(ros, f'/two/{name}/image', f'/{tracker.name}/{name}/overlay')
        for name in ('front', 'rear')
    )
    front_targets, rear_targets = tracker.targets('front/'), tracker.targets('rear/')
    assert tracker.set_target(scene(0)[1], front.deliver(0), 'cup', 'front/').success
    rear.deliver(20)
    found = front.follow(front_targets, range(1, 3))
    assert overlap(found[-1], 2) > 0.7
    assert not rear_targets.messages
    assert tracker.set_target(scene(20)[1], rear.stamp(20), 'ball', 'rear/').success
    found = rear.follow(rear_targets, range(21, 23))
    assert overlap(found[-1], 22) > 0.7
    assert {m.target_id for m in rear_targets.messages} == {'ball'}
    assert tracker.trigger('reset', 'front/').message == ''
    assert rear.follow(rear_targets, range(23, 24))
    assert {m.target_id for m in front_targets.messages} == {'cup'}


def test_compressed_images_and_broken_ones_among_them(start_tracker, ros):
    tracker = start_tracker(
        image_transport='compressed', image_reliability='reliable', image_topics='[/jpeg/image]'
    )
    camera = Camera(ros, '/jpeg/image/compressed', f'/{tracker.name}/overlay', compressed=True)
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    broken = CompressedImage(header=header_of(camera.stamp(1)), format='jpeg')
    broken.data.frombytes(os.urandom(2000))
    tracker.says(
        'an image is skipped: the compressed image cannot be decoded',
        lambda: camera.publisher.publish(broken),
    )
    found = camera.follow(targets, range(2, 4))
    assert overlap(found[-1], 3) > 0.7
    assert all(stamp_of(m) != camera.stamp(1) for m in targets.messages)


@pytest.mark.parametrize(
    'change', [{'step': 7}, {'height': 0, 'width': 0}, {'encoding': 'strange'}, {'height': 300}]
)
def test_broken_images_are_skipped_and_the_target_stays(tracker, camera, change):
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    message = camera.message(1, camera.stamp(1))
    for name, value in change.items():
        setattr(message, name, value)
    deadline = time.monotonic() + PATIENCE
    diagnostics = tracker.diagnostics()
    while not diagnostics.poll(lambda m: bad_images(m, tracker), 0, 0.5):
        assert time.monotonic() < deadline
        camera.publisher.publish(message)
    found = camera.follow(targets, range(2, 4))
    assert overlap(found[-1], 3) > 0.7
    assert found[-1].state == Target.TRACKING


def test_another_resolution_ends_the_target_with_a_reason(tracker, camera):
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    camera.follow(targets, range(1, 2))
    large = encode(scene(2, (400, 300))[0], 'rgb8', header_of(camera.stamp(2)))
    tracker.says(
        'the image size changed from 320 x 240 to 400 x 300 px',
        lambda: camera.publisher.publish(large),
    )
    last = targets.wait(lambda m: m.state == Target.LOST)
    assert (last.confidence, stamp_of(last)) == (0.0, camera.stamp(2))
    camera.publisher.publish(large)
    assert tracker.set_target(Box(100, 90, 48, 48)).success


def test_a_camera_that_stops_and_returns(start_tracker, ros):
    tracker = start_tracker(stale_seconds=2.0)
    camera = Camera(ros, f'/{tracker.name}/camera', f'/{tracker.name}/overlay')
    targets, diagnostics = tracker.targets(), tracker.diagnostics()
    diagnostics.wait(lambda m: said(m, tracker).startswith('no image so far: the publisher of'))
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    camera.follow(targets, range(1, 3))
    stale = diagnostics.wait(lambda m: said(m, tracker).startswith('no image for'))
    assert status_for(stale, tracker).level == b'\x03'
    seen = len(diagnostics.messages)
    for k in range(3, 1000):
        (found,) = camera.follow(targets, range(k, k + 1))
        assert overlap(found, k) > 0.7
        if diagnostics.poll(lambda m: said(m, tracker) == 'tracking', seen, 0.1):
            break
    else:
        pytest.fail('the diagnostics do not say that the camera is back')


def test_a_recording_that_starts_again_is_followed(tracker, camera):
    targets = tracker.targets()
    assert tracker.set_target(scene(40)[1], camera.deliver(40)).success
    start = len(targets.messages)
    tracker.says('the time of the images jumped back', lambda: camera.deliver(0))
    assert stamp_of(targets.wait(lambda m: stamp_of(m) == camera.stamp(0), start))
    answer = tracker.set_target(scene(0)[1], camera.stamp(5) + 10**9)
    assert not answer.success


def test_a_fast_camera_does_not_make_the_node_lag(start_tracker, ros, tmp_path):
    settings = tmp_path / 'slow.yaml'
    settings.write_text('scales: 5\n')
    tracker = start_tracker(settings_file=settings, device='cpu')
    camera = Camera(ros, f'/{tracker.name}/camera', f'/{tracker.name}/overlay')
    targets = tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0)).success
    message = camera.message(0, camera.stamp(0))
    sent = []  # for each result: how many images had been sent when it came
    deadline = time.monotonic() + PATIENCE
    for k in itertools.count(1):
        message.header = header_of(camera.stamp(k))
        camera.publisher.publish(message)
        time.sleep(1 / 60)
        sent += [k] * (len(targets.messages) - len(sent))
        if len(sent) > 12 or time.monotonic() > deadline:
            break
    taken = [round((stamp_of(m) - camera.stamp(0)) / 33_333_333) for m in targets.messages]
    assert len(sent) > 6
    per_result = sent[-1] / len(sent)
    assert per_result > 2, 'the tracker kept up with the camera: this tested nothing'
    # Work on an image begins when the result before it is there. The image is then the newest:
    # behind what was sent until then by what the transport takes, not by a growing queue.
    behind = [before - number for before, number in zip(sent, taken[1:], strict=False)]
    assert sum(behind) / len(behind) < per_result
    assert behind[-1] < 4 * per_result


def status_for(message, tracker):
    return next((s for s in message.status if s.name == tracker.name), None)


def said(message, tracker):
    status = status_for(message, tracker)
    return status.message if status else ''


def bad_images(message, tracker):
    return said(message, tracker) == 'images that cannot be decoded'
