"""The tracking of one target in the images of one camera, on a thread of its own."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from tracker_core import Estimate, Tracker, TrackState
from tracker_ros.conversions import Pixels, ResponseMap, decode
from tracker_ros.diagnostics import Activity, Counters
from tracker_ros.frame_buffer import Frame, FrameBuffer
from tracker_ros.image_check import ImageCheck
from tracker_ros.parameters import Parameters
from tracker_ros.start_request import StartRequest

#: While catching up, images are left out such that they pass this many times as fast as they were
#: taken. A delay of one second is then made up within one second, however slow the tracker is.
CATCH_UP_SPEED = 2.0

_FOREVER = 1 << 62


@dataclass(eq=False)
class _Target:
    """What is being tracked. Its identity tells a worker whether it still is."""

    target_id: str
    frame: Frame
    """The last image looked at."""
    size: tuple[int, ...]
    """(height, width) of the images, in pixels."""
    estimate: Estimate
    seconds: float = 0.0
    """Time that the last image took."""
    behind: bool = True
    """Whether older images than the newest are still to be passed."""


class Sink(Protocol):
    """Where results go."""

    def publish(
        self,
        frame: Frame,
        target_id: str,
        estimate: Estimate,
        seconds: float,
        size: tuple[int, ...],
    ) -> None:
        """Publish an estimate; called while the lock of the track is held."""

    def wants_pictures(self) -> bool:
        """Whether somebody looks at the overlay or the response map."""

    def show(
        self,
        frame: Frame,
        image: Pixels,
        label: str,
        estimate: Estimate | None,
        response: ResponseMap | None,
    ) -> None:
        """Publish the overlay and the response map, if somebody looks at them."""


class CameraTrack:
    """Keeps the images of one camera, and tracks one target in them.

    A worker thread takes the newest image whenever it is free, so that results never lag behind
    the camera. A target that starts on an earlier image first catches up through the kept ones.

    The tracker belongs to the worker alone. Everything else that the public methods share with it
    is guarded by one lock, which is never held while an image is decoded or tracked: no public
    method waits for the tracker. After `reset`, `pause` and `close` nothing more is published.
    """

    def __init__(
        self,
        tracker: Tracker,
        sink: Sink,
        parameters: Parameters,
        clock: Callable[[], int],
        log: Any,
    ) -> None:
        """`clock`: ROS time in ns. `log`: the node's logger."""
        self._tracker, self._sink, self._parameters = tracker, sink, parameters
        self._clock, self._log = clock, log
        self._changed = threading.Condition()
        self._buffer = FrameBuffer()
        self._counters = Counters()
        self._check = ImageCheck()
        self._request: StartRequest | None = None
        self._starting: StartRequest | None = None
        self._target: _Target | None = None
        self._shown: Frame | None = None
        self._failure = ''
        self._paused = False
        self._pause_next = False  # the target that is about to start
        self._closing = False
        self._thread = threading.Thread(target=self._work, name='tracker', daemon=True)

    def begin(self) -> None:
        """Start the worker thread."""
        self._thread.start()

    def close(self, timeout: float) -> bool:
        """Stop the worker; returns whether it ended within `timeout` seconds."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    # ---- called by the node

    @property
    def newest(self) -> Frame | None:
        """The newest image."""
        with self._changed:
            return self._buffer.newest

    def add(self, message: Any, stamp: int) -> None:
        """Take an image. `stamp` in ns; 0, from cameras without a clock, counts as now."""
        limits = self._parameters.current
        with self._changed:
            self._counters.received += 1
            frame = Frame(
                self._counters.received, stamp or self._clock(), message, time.monotonic()
            )
            jumped_back = self._buffer.add(
                frame, limits.history_seconds, limits.history_megabytes << 20
            )
            self._changed.notify()
        if jumped_back:
            self._log.warning(
                'the time of the images jumped back: earlier images are forgotten',
                throttle_duration_sec=5.0,
            )

    def start(self, request: StartRequest) -> None:
        """Start on a box; an earlier box that still waits for its image is given up."""
        limits = self._parameters.current
        with self._changed:
            problem = request.find_frame(self._buffer, limits)
            replaced = self._request
            if not problem:
                self._request, self._pause_next = request, False
                self._changed.notify()
        if problem:
            request.reply(problem)
        elif replaced:
            replaced.reply('another initial box came before it started')

    def reset(self) -> bool:
        """Forget the target; returns whether there was one."""
        with self._changed:
            waiting = self._request
            known = self._has_target()
            self._target = self._request = self._starting = None
            self._paused, self._pause_next, self._failure = False, False, ''
        if waiting:
            waiting.reply('the tracker was reset before it started')
        return known

    def pause(self) -> bool:
        """Track no more images until `resume` or `start`; returns whether there is a target.

        One that is about to start counts, and starts paused.
        """
        with self._changed:
            self._paused = self._pause_next = self._has_target()
            return self._paused

    def resume(self) -> bool:
        """Go on with the newest image; returns whether tracking was paused."""
        with self._changed:
            was_paused, self._paused, self._pause_next = self._paused, False, False
            self._changed.notify()
            return was_paused

    def _has_target(self) -> bool:
        """Whether there is a target, or a box for one. The lock is held."""
        return (self._target, self._request, self._starting) != (None, None, None)

    def activity(self) -> Activity:
        """Return what happened since the last call, for the diagnostics."""
        with self._changed:
            target, newest = self._target, self._buffer.newest
            return self._counters.take(
                target_id=target.target_id if target else '',
                state=target.estimate.state if target else None,
                paused=self._paused,
                catching_up=bool(target and target.behind),
                failure=self._failure,
                image_age=time.monotonic() - newest.received if newest else None,
                kept_images=len(self._buffer),
                kept_bytes=self._buffer.size_bytes,
            )

    # ---- the worker thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while (step := self._next_step()) is None and not self._closing:
                    self._changed.wait(self._patience())
                if self._closing or step is None:
                    return
            try:
                step()
            except Exception:
                if not self._closing:
                    self._give_up('the target is given up', traceback.format_exc())

    def _patience(self) -> float | None:
        """Seconds after which to look again although nothing arrived."""
        if self._request is None or self._request.deadline == float('inf'):
            return None
        return max(self._request.deadline - time.monotonic(), 0.0) + 0.01

    def _next_step(self) -> Callable[[], None] | None:
        """Return what to do next, None for nothing. The lock is held."""
        request, target = self._request, self._target
        if request is not None:
            problem = request.find_frame(self._buffer, self._parameters.current)
            if problem or request.frame is not None:
                self._request = None
            if problem:
                self._paused = self._paused and target is not None
                return partial(request.reply, problem)
            if request.frame is not None:
                self._starting = request
                return partial(self._start, request, request.frame)
        if target is not None and not self._paused:
            frame = self._next_frame(target)
            return partial(self._track, target, frame) if frame else None
        newest = self._buffer.newest
        if newest is None or newest is self._shown:
            return None
        self._shown = newest
        return partial(self._show_untracked, newest, 'paused' if self._paused else 'no target')

    def _next_frame(self, target: _Target) -> Frame | None:
        """Return the next image for a target. The lock is held."""
        advance = round(CATCH_UP_SPEED * target.seconds * 1e9) if target.behind else _FOREVER
        frame = self._buffer.next_after(target.frame, advance)
        if frame is None or frame is self._buffer.newest:
            target.behind = False
        return frame

    def _start(self, request: StartRequest, frame: Frame) -> None:
        started = time.perf_counter()
        try:
            image = decode(frame.message)
            self._tracker.initialize(image, request.box)
        except ValueError as error:
            self._finish_start(request, None, str(error))
            return
        except Exception as error:
            self._give_up('the tracker failed to start', traceback.format_exc())
            self._finish_start(request, None, f'the tracker failed: {error}')
            return
        estimate = Estimate(request.box, 1.0, TrackState.TRACKING)
        target = _Target(request.target_id, frame, image.shape[:2], estimate)
        self._finish_start(request, target, None, time.perf_counter() - started)
        self._show(target, frame, image, estimate)

    def _finish_start(
        self,
        request: StartRequest,
        target: _Target | None,
        problem: str | None,
        seconds: float = 0.0,
    ) -> None:
        """Make a started target the current one, unless it was reset meanwhile, and reply."""
        with self._changed:
            if self._starting is not request:
                problem = problem or 'the tracker was reset before it started'
            elif target is not None:
                self._target, self._paused, self._failure = target, self._pause_next, ''
                if not self._paused:
                    self._report(target, target.frame, seconds)
            self._starting = None
            self._paused = self._paused and self._has_target()
        request.reply(problem)

    def _track(self, target: _Target, frame: Frame) -> None:
        started = time.perf_counter()
        try:
            image = decode(frame.message)
        except ValueError as error:
            self._skip(target, frame, error)
            return
        if image.shape[:2] != target.size:
            self._lose(target, frame, _size_change(target.size, image.shape[:2]))
            return
        try:
            estimate = self._tracker.track(image)
        except Exception:
            self._lose(target, frame, traceback.format_exc())
            return
        with self._changed:
            if self._target is not target or self._paused:
                return
            self._counters.skipped += max(frame.number - target.frame.number - 1, 0)
            target.frame, target.estimate = frame, estimate
            target.seconds = time.perf_counter() - started
            self._report(target, frame, target.seconds)
        self._show(target, frame, image, estimate)

    def _report(self, target: _Target, frame: Frame, seconds: float) -> None:
        """Publish and count an estimate. The lock is held."""
        self._sink.publish(frame, target.target_id, target.estimate, seconds, target.size)
        self._counters.add_tracked(seconds, (self._clock() - frame.stamp) / 1e9)

    def _skip(self, target: _Target, frame: Frame, error: ValueError) -> None:
        """Pass over an image that cannot be decoded; the target stays."""
        with self._changed:
            self._counters.bad += 1
            self._counters.skipped += max(frame.number - target.frame.number - 1, 0)
            target.frame = frame
        self._log.warning(f'an image is skipped: {error}', throttle_duration_sec=5.0)

    def _lose(self, target: _Target, frame: Frame, reason: str) -> None:
        """Give a target up: a last message says that it is lost."""
        with self._changed:
            if self._target is not target:
                return
            target.estimate = Estimate(target.estimate.box, 0.0, TrackState.LOST)
            if not self._paused:
                self._report(target, frame, 0.0)
        self._fail(f'target {target.target_id!r} is given up', reason)

    def _give_up(self, what: str, reason: str) -> None:
        """Give the target up, where there is one, after an error that nobody expected."""
        with self._changed:
            target = self._target
        with contextlib.suppress(Exception):  # it may be the publishing that fails
            if target is not None:
                self._lose(target, target.frame, reason)
                return
        self._fail(what, reason)

    def _fail(self, what: str, reason: str) -> None:
        """Forget the target because of an error, and remember that for the diagnostics."""
        reason = reason.strip()
        with self._changed:
            self._target, self._paused = None, False
            self._failure = reason.splitlines()[-1]
        self._log.error(f'{what}: {reason}\nA new initial box starts again.')

    def _show(self, target: _Target, frame: Frame, image: Pixels, estimate: Estimate) -> None:
        with self._changed:
            current = self._target is target and not self._paused
        if current and self._sink.wants_pictures():
            response = self._tracker.response_map
            self._sink.show(frame, image, target.target_id, estimate, response)

    def _show_untracked(self, frame: Frame, label: str) -> None:
        """Show an image to those who look; without them, see whether it can be decoded."""
        pictures = self._sink.wants_pictures()
        try:
            if not pictures:
                self._check.check(frame)
                return
            image = decode(frame.message)
        except ValueError as error:
            with self._changed:
                self._counters.bad += 1
            self._log.warning(f'an image cannot be decoded: {error}', throttle_duration_sec=5.0)
            return
        self._sink.show(frame, image, label, None, None)


def _size_change(before: tuple[int, ...], after: tuple[int, ...]) -> str:
    return (
        f'the image size changed from {before[1]} x {before[0]} to {after[1]} x {after[0]} px, '
        'and its box with it'
    )
