"""The judgement on a camera, and the message."""

import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from diagnostic_msgs.msg import DiagnosticStatus
from harness import scene

from tracker_core import TrackState
from tracker_ros.diagnostics import Counters, status_of

NOW = {
    'target_id': '',
    'state': None,
    'paused': False,
    'catching_up': False,
    'failure': '',
    'image_age': 0.1,
    'kept_images': 3,
    'kept_bytes': 2**21,
}


def status(*, bad=0, **now):
    counters = Counters(bad=bad)
    return status_of('tracker', counters.take(**{**NOW, **now}), 2.0, {'model': 'siamfc'})


@pytest.mark.parametrize(
    ('situation', 'level', 'message'),
    [
        ({'image_age': None}, DiagnosticStatus.STALE, 'no image so far'),
        ({'image_age': 3.2}, DiagnosticStatus.STALE, 'no image for 3 s'),
        ({}, DiagnosticStatus.OK, 'no target'),
        ({'state': TrackState.TRACKING}, DiagnosticStatus.OK, 'tracking'),
        ({'state': TrackState.UNCERTAIN}, DiagnosticStatus.OK, 'uncertain'),
        ({'state': TrackState.LOST}, DiagnosticStatus.WARN, 'lost'),
        ({'state': TrackState.TRACKING, 'catching_up': True}, DiagnosticStatus.OK, 'catching up'),
        ({'state': TrackState.TRACKING, 'paused': True}, DiagnosticStatus.OK, 'paused'),
        ({'bad': 2}, DiagnosticStatus.WARN, 'images that cannot be decoded'),
        ({'failure': 'Oops'}, DiagnosticStatus.ERROR, 'target given up: Oops'),
        (
            {'failure': 'Oops', 'image_age': 5.1},
            DiagnosticStatus.ERROR,
            'no image for 5 s; target given up: Oops',
        ),
    ],
)
def test_level_and_message(situation, level, message):
    made = status(**situation)
    assert (made.level, made.message) == (level, message)


def test_why_no_image_arrives_is_said_with_it():
    why = 'nobody publishes /image'
    for age, message in ((None, f'no image so far: {why}'), (3.2, f'no image for 3 s: {why}')):
        activity = Counters().take(**{**NOW, 'image_age': age})
        assert status_of('tracker', activity, 2.0, {}, why).message == message


def test_counters_begin_anew_with_each_report():
    counters = Counters()
    counters.received = 30
    counters._since -= 10.0
    counters.skipped = 20
    for milliseconds in range(100, 0, -1):
        counters.add_tracked(milliseconds / 1e3, 2 * milliseconds / 1e3)
    first = counters.take(**NOW)
    assert first.received == pytest.approx(3.0, rel=0.05)
    assert first.received / first.tracked == pytest.approx(0.3)
    assert first.skipped / first.tracked == pytest.approx(0.2)
    assert first.processing == pytest.approx(0.0505)
    assert first.latency == pytest.approx((0.101, 0.190))
    counters.received += 5
    second = counters.take(**NOW)
    assert second.received > 1
    assert (second.tracked, second.skipped, second.latency) == (0, 0, None)


def test_values_have_the_units_of_their_names():
    counters = Counters()
    counters.add_tracked(0.0123, 0.05)
    made = status_of('tracker', counters.take(**NOW), 2.0, {'model': 'siamfc'})
    expected = {
        'model': 'siamfc',
        'paused': 'false',
        'latency median ms': '50.0',
        'latency p95 ms': '50.0',
        'processing median ms': '12.3',
        'kept images': '3',
        'kept MB': '2.0',
    }
    assert expected.items() <= {pair.key: pair.value for pair in made.values}.items()
    assert {pair.value for pair in status().values if pair.key.endswith(' ms')} == {''}


@pytest.mark.ros
def test_the_node_reports_once_a_second(tracker, camera):
    reports, targets = tracker.diagnostics(), tracker.targets()
    assert tracker.set_target(scene(0)[1], camera.deliver(0), 'cup').success
    seen = len(reports.messages)
    for k in range(1, 1000):
        camera.follow(targets, range(k, k + 1))
        report = reports.poll(lambda m: 'tracking' in str(m), seen, 0.05)
        if report:
            break
    (status,) = report.status
    values = {pair.key: pair.value for pair in status.values}
    assert status.name == 'tracker'
    assert (values['model'], values['device']) == ('siamfc', 'cpu')
    assert (values['state'], values['target id']) == ('tracking', 'cup')
    assert values['image topic'] == status.hardware_id == '/tracker/camera'
    assert float(values['images/s']) > 0
    assert float(values['tracked/s']) > 0
    assert 0 < float(values['processing median ms']) < 60000
    assert float(values['latency median ms']) <= float(values['latency p95 ms'])


@pytest.mark.ros
def test_reports_go_on_while_a_simulated_clock_stands_still(start_tracker):
    reports = start_tracker(use_sim_time=True).diagnostics()
    reports.wait()
    reports.wait(since=len(reports.messages))
