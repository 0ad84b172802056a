"""What happened at one camera lately, and the diagnostic status made of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue

from tracker_core import TrackState
from tracker_ros.conversions import state_name


@dataclass(frozen=True)
class Activity:
    """Rates since the last report, and the state now."""

    received: float
    """Images per second; likewise `tracked`, `skipped` and `bad`."""
    tracked: float
    skipped: float
    """Images passed over while there was a target, because newer ones had arrived."""
    bad: float
    """Images that could not be decoded."""
    latency: tuple[float, float] | None
    """Median and 95 % quantile of the age of an image, in s, when its result was published."""
    processing: float | None
    """Median time spent on an image, in s."""
    target_id: str
    state: TrackState | None
    """None: there is no target."""
    paused: bool
    catching_up: bool
    failure: str
    """Why the last target was given up; empty after the next start."""
    image_age: float | None
    """Seconds since the last image arrived; None: none ever did."""
    kept_images: int
    kept_bytes: int


@dataclass
class Counters:
    """Events since the last report. Not thread-safe: see CameraTrack."""

    received: int = 0
    """Images since the start; never reset."""
    skipped: int = 0
    bad: int = 0
    _processing: list[float] = field(default_factory=list)
    _latencies: list[float] = field(default_factory=list)
    _received_before: int = 0
    _since: float = field(default_factory=time.monotonic)

    def add_tracked(self, processing: float, latency: float) -> None:
        """Count an image whose result was published (times in s)."""
        self._processing.append(processing)
        self._latencies.append(latency)

    def take(self, **now: Any) -> Activity:
        """Return the activity since the last call and begin anew. `now`: its other fields."""
        moment = time.monotonic()
        seconds = max(moment - self._since, 1e-3)
        activity = Activity(
            received=(self.received - self._received_before) / seconds,
            tracked=len(self._processing) / seconds,
            skipped=self.skipped / seconds,
            bad=self.bad / seconds,
            latency=_median_and_p95(self._latencies),
            processing=statistics.median(self._processing) if self._processing else None,
            **now,
        )
        self._received_before, self._since = self.received, moment
        self.skipped = self.bad = 0
        self._processing, self._latencies = [], []
        return activity


def status_of(
    name: str,
    activity: Activity,
    stale_seconds: float,
    about: Mapping[str, str],
    why_stale: str = '',
) -> DiagnosticStatus:
    """Return the status of one camera.

    about: what does not change, such as the model. why_stale: why no image arrives, if known.
    """
    level, message = _judge(activity, stale_seconds, why_stale)
    status = DiagnosticStatus(name=name, level=level, message=message)
    values = {**about, **_values(activity)}
    status.values = [KeyValue(key=key, value=value) for key, value in values.items()]
    return status


def _judge(activity: Activity, stale_seconds: float, why_stale: str) -> tuple[bytes, str]:
    stale = ''
    if activity.image_age is None:
        stale = 'no image so far'
    elif activity.image_age > stale_seconds:
        stale = f'no image for {activity.image_age:.0f} s'
    if stale and why_stale:
        stale += f': {why_stale}'
    if activity.failure:
        given_up = f'target given up: {activity.failure}'
        return DiagnosticStatus.ERROR, f'{stale}; {given_up}' if stale else given_up
    if stale:
        return DiagnosticStatus.STALE, stale
    if activity.bad:
        return DiagnosticStatus.WARN, 'images that cannot be decoded'
    if activity.state is TrackState.LOST:
        return DiagnosticStatus.WARN, state_name(activity.state)
    return DiagnosticStatus.OK, _situation(activity)


def _situation(activity: Activity) -> str:
    if activity.paused:
        return 'paused'
    return 'catching up' if activity.catching_up else state_name(activity.state)


def _values(activity: Activity) -> dict[str, str]:
    median, p95 = activity.latency or (None, None)
    return {
        'state': state_name(activity.state),
        'target id': activity.target_id,
        'paused': str(activity.paused).lower(),
        'images/s': f'{activity.received:.1f}',
        'tracked/s': f'{activity.tracked:.1f}',
        'dropped/s': f'{activity.skipped:.1f}',
        'undecodable/s': f'{activity.bad:.1f}',
        'latency median ms': _milliseconds(median),
        'latency p95 ms': _milliseconds(p95),
        'processing median ms': _milliseconds(activity.processing),
        'kept images': str(activity.kept_images),
        'kept MB': f'{activity.kept_bytes / 2**20:.1f}',
    }


def _median_and_p95(values: list[float]) -> tuple[float, float] | None:
    if not values:
        return None
    ordered = sorted(values)
    return statistics.median(ordered), ordered[round(0.95 * (len(ordered) - 1))]


def _milliseconds(seconds: float | None) -> str:
    return '' if seconds is None else f'{seconds * 1e3:.1f}'
