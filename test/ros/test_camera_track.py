"""The worker thread, with a tracker that the test holds up and lets go."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip('tracker_ros.msg', reason='tracker_ros is not built: run colcon build')

from tracker_core import Box, Estimate, TrackState
from tracker_ros.camera_track import CameraTrack
from tracker_ros.conversions import encode
from tracker_ros.parameters import NodeSettings
from tracker_ros.start_request import StartRequest

FRAME_TIME = 33_000_000
BOX = Box(2, 2, 4, 4)
PATIENCE = 30.0


class HeldTracker:
    """Takes as long as the test wants; tells an image by the value of its pixels."""

    response_map = None

    def __init__(self):
        self.free = threading.Event()
        self.free.set()
        self.busy = threading.Event()
        self.seconds = 0.0
        self.error = None
        self.seen = []

    def initialize(self, image, box):
        self._work(image)
        if box.width < 0:
            raise ValueError('box is bad')

    def track(self, image):
        self._work(image)
        return Estimate(BOX, 0.9, TrackState.TRACKING)

    def _work(self, image):
        self.busy.set()
        assert self.free.wait(PATIENCE)
        time.sleep(self.seconds)
        self.seen.append(int(image[0, 0, 0]))
        if self.error:
            raise self.error


class Sink:
    """Remembers what was published."""

    def __init__(self):
        self.published = []

    def publish(self, frame, target_id, estimate, seconds, size):
        self.published.append(
            SimpleNamespace(frame=frame, id=target_id, estimate=estimate, size=size)
        )

    def wants_pictures(self):
        return False


class Rig:
    """A track with its surroundings."""

    def __init__(self, **settings):
        self.tracker, self.sink, self.log = HeldTracker(), Sink(), []
        parameters = SimpleNamespace(current=NodeSettings(**settings))
        say = lambda message, **_: self.log.append(message)  # noqa: E731
        log = SimpleNamespace(info=say, warning=say, error=say)
        self.track = CameraTrack(self.tracker, self.sink, parameters, lambda: 0, log)
        self.track.begin()

    def add(self, *numbers, shape=(20, 30)):
        for k in numbers:
            image = np.full((*shape, 3), k, np.uint8)
            message = encode(image, 'rgb8', _header())
            self.track.add(message, 10**9 + k * FRAME_TIME)

    def start(self, k=None, box=BOX, wait=True):
        """Start on frame k (None: the newest); returns the list that gets the answer."""
        answers = []
        done = threading.Event()

        def reply(problem):
            answers.append(problem)
            done.set()

        stamp = None if k is None else 10**9 + k * FRAME_TIME
        deadline = time.monotonic() + 0.3
        self.track.start(StartRequest(box, 'cup', reply, stamp=stamp, deadline=deadline))
        assert not wait or done.wait(PATIENCE)
        return answers

    def hold(self):
        """Hold the tracker up in whatever it does next."""
        self.tracker.free.clear()
        self.tracker.busy.clear()

    def wait_until_held(self):
        assert self.tracker.busy.wait(PATIENCE)

    def let_go(self):
        self.tracker.free.set()

    def wait_published(self, count):
        until(lambda: len(self.sink.published) >= count)
        return self.sink.published


def _header():
    from std_msgs.msg import Header

    return Header()


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.fixture
def rig():
    rig = Rig(init_timeout=0.3)
    yield rig
    rig.let_go()
    assert rig.track.close(PATIENCE)


def test_frames_that_arrive_during_the_work_replace_each_other(rig):
    rig.add(0)
    assert rig.start() == [None]
    rig.hold()
    rig.add(1)
    rig.wait_until_held()
    rig.add(*range(2, 60))
    rig.let_go()
    rig.wait_published(3)
    assert rig.tracker.seen == [0, 1, 59]
    activity = rig.track.activity()
    assert round(activity.skipped / activity.received * 60) == 57


def test_catching_up_passes_all_frames_when_the_tracker_is_fast(rig):
    rig.add(*range(10))
    assert rig.start(k=2) == [None]
    rig.wait_published(8)
    assert rig.tracker.seen == list(range(2, 10))


def test_catching_up_skips_frames_when_the_tracker_is_slow():
    rig = Rig(history_seconds=100.0)
    rig.add(*range(40))
    rig.tracker.seconds = 0.1  # three frame times
    rig.start(k=0)
    until(lambda: rig.tracker.seen[-1:] == [39])
    rig.track.close(PATIENCE)
    steps = np.diff(rig.tracker.seen)
    # Twice as fast as the frames were taken: six frame times or a little more in each step.
    assert steps[0] == 1
    assert steps[1:-1].min() >= 7
    assert len(steps) < 8


def test_reset_while_catching_up_takes_effect_at_once(rig):
    rig.add(*range(30))
    rig.hold()
    answers = rig.start(k=0, wait=False)
    rig.wait_until_held()
    assert rig.track.reset()
    rig.let_go()
    until(lambda: answers)
    assert answers == ['the tracker was reset before it started']
    assert rig.sink.published == []
    assert rig.tracker.seen == [0]


def test_nothing_is_published_after_reset_for_the_frame_in_work(rig):
    rig.add(0)
    rig.start()
    rig.hold()
    rig.add(1)
    rig.wait_until_held()
    assert rig.track.reset()
    assert not rig.track.reset()
    rig.let_go()
    until(lambda: rig.tracker.seen == [0, 1])
    rig.add(2)
    assert rig.start() == [None]
    assert [p.frame.number for p in rig.sink.published] == [1, 3]


@pytest.mark.parametrize('ending', ['reset', 'pause'])
def test_no_picture_shows_a_target_that_ended_while_it_started(rig, monkeypatch, ending):
    shown = []
    monkeypatch.setattr(rig.sink, 'wants_pictures', lambda: True)
    monkeypatch.setattr(rig.sink, 'show', lambda *values: shown.append(values[2]), raising=False)
    rig.add(0)
    until(lambda: shown == ['no target'])
    rig.hold()
    answers = rig.start(wait=False)
    rig.wait_until_held()
    assert getattr(rig.track, ending)()
    rig.let_go()
    until(lambda: answers)
    rig.add(1)
    until(lambda: len(shown) > 1)
    assert shown[1:] == ['paused' if ending == 'pause' else 'no target']


def test_nothing_is_published_while_paused(rig):
    rig.add(0)
    rig.start()
    rig.hold()
    rig.add(1)
    rig.wait_until_held()
    assert rig.track.pause()
    rig.let_go()
    until(lambda: rig.tracker.seen == [0, 1])
    rig.add(2, 3)
    assert rig.track.resume()
    rig.wait_published(2)
    assert [p.frame.number for p in rig.sink.published] == [1, 4]


@pytest.mark.parametrize('again', [False, True])
def test_a_target_paused_while_it_starts_starts_paused(rig, again):
    rig.add(0)
    if again:
        rig.start()
        assert rig.track.pause()  # ended by the new box
    before = len(rig.sink.published)
    rig.hold()
    answers = rig.start(wait=False)
    rig.wait_until_held()
    assert rig.track.pause()
    rig.let_go()
    until(lambda: answers)
    rig.add(1)
    assert rig.track.activity().paused
    assert len(rig.sink.published) == before
    assert rig.track.resume()
    assert rig.wait_published(before + 1)[-1].frame.number == 2


def test_a_pause_ends_with_a_target_that_does_not_start(rig):
    answers = rig.start(wait=False)
    assert rig.track.pause()
    until(lambda: answers)
    assert not rig.track.activity().paused
    assert not rig.track.resume()


def test_a_refused_box_leaves_a_pause(rig):
    rig.add(0)
    rig.start()
    assert rig.track.pause()
    assert rig.start(box=Box(0, 0, -1, 3)) == ['box is bad']
    assert rig.track.resume()


def test_a_box_replaced_or_reset_while_it_waits_is_answered(rig):
    first, second = rig.start(wait=False), rig.start(wait=False)
    assert first == ['another initial box came before it started']
    assert rig.track.reset()
    assert second == ['the tracker was reset before it started']


def test_a_box_waits_for_the_first_frame_but_not_for_ever(rig):
    answers = rig.start(wait=False)
    rig.add(0)
    until(lambda: answers)
    assert answers == [None]
    other = Rig(init_timeout=0.3)
    assert other.start() == ['no image arrived within 0.3 s']
    other.track.close(PATIENCE)


def test_a_box_for_the_newest_frame_takes_no_stale_one():
    rig = Rig(stale_seconds=0.1)
    rig.add(0)
    time.sleep(0.15)
    answers = rig.start(wait=False)
    rig.add(1)
    until(lambda: answers)
    assert (answers, rig.tracker.seen) == ([None], [1])
    time.sleep(0.15)
    assert rig.start() == ['no image for 0 s']
    rig.track.close(PATIENCE)


def test_a_box_slightly_newer_than_the_last_frame_takes_that_one_in_the_end(rig):
    rig.add(0)
    assert rig.start(k=1) == [None]  # 33 ms: within the tolerance
    assert rig.tracker.seen == [0]


def test_a_box_for_a_frame_that_was_dropped_is_refused():
    rig = Rig(history_seconds=0.2)
    rig.add(*range(30))
    (problem,) = rig.start(k=3)
    assert 'stamped 0.858 s before the newest image' in problem
    assert 'kept for 0.198 s' in problem
    rig.track.close(PATIENCE)


def test_a_tracker_that_fails_says_lost_and_starts_again(rig):
    rig.add(0)
    rig.start()
    rig.tracker.error = RuntimeError('out of memory')
    rig.add(1)
    last = rig.wait_published(2)[-1].estimate
    assert (last.state, last.confidence, last.box) == (TrackState.LOST, 0.0, BOX)
    until(lambda: any('out of memory' in line for line in rig.log))
    assert rig.track.activity().failure == 'RuntimeError: out of memory'
    rig.track.reset()
    assert rig.track.activity().failure == ''
    rig.tracker.error = None
    rig.add(2)
    assert rig.start() == [None]
    assert rig.track.activity().failure == ''


def test_whatever_else_fails_says_lost(rig, monkeypatch):
    rig.add(0)
    rig.start()
    monkeypatch.setattr(rig.sink, 'wants_pictures', lambda: 1 / 0)
    rig.add(1)
    assert rig.wait_published(3)[-1].estimate.state is TrackState.LOST
    until(lambda: any('is given up' in line for line in rig.log))
    assert rig.track.activity().failure == 'ZeroDivisionError: division by zero'
    monkeypatch.undo()
    assert rig.start() == [None]
    monkeypatch.setattr(rig.sink, 'publish', lambda *_: 1 / 0)
    rig.add(2)
    until(lambda: sum('is given up' in line for line in rig.log) == 2)
    monkeypatch.undo()
    assert rig.start() == [None]


def test_a_tracker_that_fails_to_start_says_so(rig):
    rig.add(0)
    rig.tracker.error = RuntimeError('no memory')
    assert rig.start() == ['the tracker failed: no memory']
    rig.tracker.error = None
    assert rig.start() == [None]


def test_a_target_that_ends_because_another_fails_to_start_says_lost(rig):
    rig.add(0)
    rig.start()
    rig.tracker.error = RuntimeError('no memory')
    rig.start()
    assert [p.estimate.state for p in rig.sink.published] == [TrackState.TRACKING, TrackState.LOST]
    assert rig.track.activity().failure == 'RuntimeError: no memory'


def test_a_refused_box_leaves_the_target(rig):
    rig.add(0)
    rig.start()
    assert rig.start(box=Box(0, 0, -1, 3)) == ['box is bad']
    rig.add(1)
    assert rig.wait_published(2)[-1].id == 'cup'


def test_another_image_size_gives_the_target_up(rig):
    rig.add(0)
    rig.start()
    rig.add(1, shape=(10, 15))
    assert rig.wait_published(2)[-1].estimate.state is TrackState.LOST
    until(lambda: any('from 30 x 20 to 15 x 10 px' in line for line in rig.log))
    rig.add(2, shape=(10, 15))
    assert rig.start() == [None]


def test_an_undecodable_frame_is_passed_over(rig):
    rig.add(0)
    rig.start()
    broken = encode(np.zeros((20, 30, 3), np.uint8), 'rgb8', _header())
    broken.step = 5
    rig.track.add(broken, 10**9 + FRAME_TIME)
    until(lambda: rig.track._counters.bad == 1)
    rig.add(2)
    rig.wait_published(2)
    assert rig.tracker.seen == [0, 2]


@pytest.mark.parametrize('pictures', [False, True])
def test_undecodable_frames_are_counted_without_a_target(rig, monkeypatch, pictures):
    monkeypatch.setattr(rig.sink, 'wants_pictures', lambda: pictures)
    for k in range(2):
        rig.track.add(encode(np.zeros((20, 30), np.uint8), 'rgb99', _header()), k + 1)
        until(lambda: rig.track._counters.bad == k + 1)  # noqa: B023
    assert "an image cannot be decoded: unknown image encoding 'rgb99'" in rig.log[0]


def test_time_that_jumps_back_is_followed(rig):
    rig.add(100)
    rig.start()
    rig.add(1)
    rig.wait_published(2)
    assert rig.tracker.seen == [100, 1]
    assert any('jumped back' in line for line in rig.log)
    assert rig.track.activity().kept_images == 1
    assert 'forgotten because the time of the images jumped back' in rig.start(k=100)[0]


def test_frames_out_of_order_are_passed_in_order_and_none_is_forgotten(rig):
    rig.add(0, 1)
    rig.start(k=0)
    rig.wait_published(2)
    rig.add(4, 3, 6, 5, 8)
    until(lambda: rig.tracker.seen[-1] == 8)
    assert rig.tracker.seen == sorted(rig.tracker.seen)
    assert rig.track.activity().skipped >= 0
    assert rig.track.activity().kept_images == 7
    assert rig.start(k=3) == [None]
    assert not rig.log


def test_cameras_without_a_clock(rig):
    rig.track.add(encode(np.zeros((20, 30, 3), np.uint8), 'rgb8', _header()), 0)
    assert rig.start() == [None]


def test_close_ends_the_thread_even_with_work_to_do(rig):
    rig.add(*range(30))
    rig.hold()
    rig.start(k=0, wait=False)
    rig.wait_until_held()
    assert not rig.track.close(0.05)
    rig.let_go()
    assert rig.track.close(PATIENCE)
    assert len(rig.tracker.seen) == 1


def test_the_diagnostics_say_why_a_target_was_given_up(rig):
    rig.add(0)
    rig.start()
    rig.add(1, shape=(10, 15))
    until(lambda: rig.track.activity().failure)
    assert rig.track.activity().failure.startswith('the image size changed from 30 x 20')
    assert rig.track.activity().state is None


def test_a_tracker_that_fails_during_a_pause_ends_without_a_message(rig):
    rig.add(0)
    rig.start()
    rig.hold()
    rig.tracker.error = RuntimeError('broken')
    rig.add(1)
    rig.wait_until_held()
    assert rig.track.pause()
    rig.let_go()
    until(lambda: rig.track.activity().failure)
    assert len(rig.sink.published) == 1
    assert not rig.track.resume()
