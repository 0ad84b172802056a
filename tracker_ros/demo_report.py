"""What happened in a run of the demo, counted, and whether the target was followed."""

from __future__ import annotations

import statistics
from collections.abc import Iterable
from dataclasses import dataclass, field

from tracker_core import Box, Estimate, TrackState

SECOND = 1_000_000_000

#: The criterion with truth: mean IoU over the tracked images in which at least half of the target
#: is visible, and over those of the last second.
MEAN_IOU = 0.5
FINAL_IOU = 0.3
#: The criterion without truth, which can only tell what the tracker believes.
TRACKING_SHARE = 0.8
#: Fewer tracked images than this say nothing.
ENOUGH = 10


@dataclass(frozen=True, slots=True)
class Result:
    """An estimate and when it arrived, nanoseconds since the epoch."""

    estimate: Estimate
    received: int


@dataclass(frozen=True, slots=True)
class Truth:
    """Where the target really was and which fraction (0..1) of it could be seen."""

    box: Box
    visible: float


@dataclass(slots=True)
class Record:
    """Everything known about a run, by the stamp of the image in nanoseconds."""

    images: list[int] = field(default_factory=list)
    results: dict[int, Result] = field(default_factory=dict)
    truths: dict[int, Truth] = field(default_factory=dict)

    def iou(self, stamp: int) -> float | None:
        """Overlap of result and truth of an image, None where unknown or not to be judged."""
        result, truth = self.results.get(stamp), self.truths.get(stamp)
        if result is None or truth is None or truth.visible < 0.5:
            return None
        return result.estimate.box.iou(truth.box)

    def ious(self, stamps: Iterable[int]) -> list[float]:
        """Overlaps of all images among `stamps` for which there is one."""
        return [iou for stamp in stamps if (iou := self.iou(stamp)) is not None]

    def latencies(self, stamps: Iterable[int]) -> list[float]:
        """Milliseconds from stamp to arrival of the results of images."""
        found = ((stamp, self.results[stamp]) for stamp in stamps if stamp in self.results)
        return sorted((result.received - stamp) / 1e6 for stamp, result in found)

    def dropped(self) -> int:
        """Images since the first tracked one that were passed over for newer ones."""
        if not self.results:
            return 0
        first, last = min(self.results), max(self.results)
        between = [stamp for stamp in self.images if first <= stamp <= last]
        return sum(stamp not in self.results for stamp in between)

    def last_second(self) -> list[int]:
        """Stamps of the results for images of the last second of the run."""
        end = max(self.images, default=0)
        return [stamp for stamp in self.results if stamp > end - SECOND]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the target was followed, and the sentence that says why."""

    followed: bool
    reason: str


def judge(record: Record) -> Verdict:
    """Judge a run by truth where it is known, otherwise by what the tracker says of itself."""
    if len(record.results) < ENOUGH:
        return Verdict(False, f'only {len(record.results)} images were tracked')
    if not record.last_second():
        return Verdict(False, 'no image of the last second was tracked')
    return _judge_by_truth(record) if record.truths else _judge_by_states(record)


def _judge_by_truth(record: Record) -> Verdict:
    overlaps, final = record.ious(record.results), record.ious(record.last_second())
    if len(overlaps) < ENOUGH:
        return Verdict(False, f'only {len(overlaps)} tracked images show the target')
    mean = statistics.fmean(overlaps)
    reason = f'mean IoU {mean:.2f} over {len(overlaps)} images (at least {MEAN_IOU:g} is needed)'
    if final:
        last = statistics.fmean(final)
        reason += f', {last:.2f} in the last second (at least {FINAL_IOU:g})'
        return Verdict(mean >= MEAN_IOU and last >= FINAL_IOU, reason)
    return Verdict(mean >= MEAN_IOU, f'{reason}; the target was out of sight in the last second')


def _judge_by_states(record: Record) -> Verdict:
    states = [result.estimate.state for result in record.results.values()]
    share = states.count(TrackState.TRACKING) / len(states)
    final = [record.results[stamp].estimate.state for stamp in record.last_second()]
    lost = final.count(TrackState.LOST) > len(final) / 2
    reason = (
        f'the tracker was sure of itself in {share:.0%} of {len(states)} images (at least '
        f'{TRACKING_SHARE:.0%} are needed) and ended {"lost" if lost else "on a target"}; '
        f'without truth nobody can say whether it was the right one'
    )
    return Verdict(share >= TRACKING_SHARE and not lost, reason)


HEADER = ' time   in  tracked  dropped    fps   latency median/p95   confidence  state       IoU'


class LiveLine:
    """Makes one line per second of what is new in a record."""

    def __init__(self) -> None:
        self._images = self._dropped = self._results = 0
        self._time = 0

    def text(self, record: Record, now: int) -> str:
        """Return the line for the time since the last call; `now` in nanoseconds."""
        stamps = list(record.results)[self._results :]
        seconds = (now - self._time) / SECOND if self._time else 1.0
        dropped = record.dropped()
        parts = [
            f'{(now - record.images[0]) / SECOND:4.0f}s' if record.images else '   -s',
            f'{len(record.images) - self._images:5d} {len(stamps):8d}',
            f'{dropped - self._dropped:8d} {len(stamps) / seconds:6.1f}',
            _latency_text(record.latencies(stamps)),
            _state_text([record.results[stamp].estimate for stamp in stamps]),
            _mean_text(record.ious(stamps)),
        ]
        self._images, self._results, self._dropped = (
            len(record.images),
            len(record.results),
            dropped,
        )
        self._time = now
        return ' '.join(parts)


def _latency_text(latencies: list[float]) -> str:
    if not latencies:
        return f'{"-":>20s}'
    return f'{statistics.median(latencies):8.0f} / {percentile(latencies, 0.95):4.0f} ms  '


def _state_text(estimates: list[Estimate]) -> str:
    if not estimates:
        return f'{"-":>11s}  {"-":10s}'
    confidence = statistics.fmean(e.confidence for e in estimates)
    return f'{confidence:11.2f}  {estimates[-1].state.name.lower():10s}'


def _mean_text(overlaps: list[float]) -> str:
    return f'{statistics.fmean(overlaps):5.2f}' if overlaps else '    -'


def percentile(ordered: list[float], share: float) -> float:
    """Value of an ascending list below which `share` (0..1) of it lies."""
    return ordered[min(int(share * len(ordered)), len(ordered) - 1)]


def summary(record: Record) -> dict[str, float | int | None]:
    """Numbers of the whole run."""
    latencies = record.latencies(record.results)
    overlaps = record.ious(record.results)
    tracked = sorted(record.results)
    seconds = (tracked[-1] - tracked[0]) / SECOND if len(tracked) > 1 else 0.0
    return {
        'images': len(record.images),
        'tracked': len(tracked),
        'dropped': record.dropped(),
        'fps': round((len(tracked) - 1) / seconds, 2) if seconds else None,
        'latency_median_ms': round(statistics.median(latencies), 1) if latencies else None,
        'latency_p95_ms': round(percentile(latencies, 0.95), 1) if latencies else None,
        'mean_iou': round(statistics.fmean(overlaps), 4) if overlaps else None,
        'judged_images': len(overlaps),
    }
