"""The supervised protocol of VOT2013 to VOT2019 and its measures, computed as pysot does.

A tracker is started again five frames after each failure (no overlap with the target). Accuracy
is the mean overlap while it tracks, robustness the failures per 100 frames, and the expected
average overlap (EAO) joins the two.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from collections.abc import Sequence as List
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker_core import Box, Tracker
from tracker_core.benchmark.dataset import BenchmarkSequence
from tracker_core.benchmark.readers.vot import as_polygons, start_box
from tracker_core.benchmark.results import Seconds
from tracker_core.benchmark.vot_overlap import pixel_overlap, pixel_overlaps

Curve = NDArray[np.float64]

#: Codes in place of a region.
SKIPPED, STARTED, FAILED = 0, 1, 2
_REGION = -1
#: Frames from a failure to the next start.
RESTART_AFTER = 5
#: Frames from a start, itself included, that accuracy leaves out.
BURN_IN = 10


@dataclass(frozen=True)
class Trajectory:
    """What a tracker did in one supervised run over a sequence of N frames."""

    codes: NDArray[np.int64]
    """(N,): 0 skipped, 1 started here, 2 failed here, -1 a region."""
    regions: NDArray[np.float64]
    """(N, 8) corners; nan where `codes` is not -1."""

    @property
    def failures(self) -> NDArray[np.int64]:
        """Indices of the frames in which the tracker failed."""
        return np.flatnonzero(self.codes == FAILED)

    @classmethod
    def parse(cls, lines: List[str], name: str = 'trajectory') -> Trajectory:
        """Read the lines of a result file; ValueError for a line that is no code or region."""
        codes = np.full(len(lines), _REGION)
        regions = np.full((len(lines), 8), np.nan)
        for index, line in enumerate(lines):
            try:
                values = [float(word) for word in line.split(',')]
            except ValueError:
                values = []
            if len(values) == 1:
                codes[index] = int(values[0])
            elif len(values) in (4, 8):
                regions[index] = as_polygons(np.array([values]))[0]
            else:
                raise ValueError(
                    f'{name}, line {index + 1}: expected a code or a region: {line!r}'
                )
        return cls(codes, regions)


@dataclass(frozen=True)
class VotSequence:
    """Annotation and runs of one sequence."""

    name: str
    truth: NDArray[np.float64]
    """(N, 8) corners."""
    image_size: tuple[int, int]
    runs: tuple[Trajectory, ...]


@dataclass(frozen=True)
class VotScore:
    """The numbers of the VOT tables."""

    accuracy: float
    robustness: float
    """Failures per 100 frames."""
    failures: float
    """In the whole data set, mean over runs."""
    eao: float
    curve: Curve
    """Expected average overlap by sequence length; index 0 is length 1."""
    accuracies: Mapping[str, float]
    """Mean overlap by sequence; nan where the tracker never got past the burn-in."""
    failure_counts: Mapping[str, float]
    """Failures by sequence, mean over runs."""


def run_supervised(
    tracker: Tracker, sequence: BenchmarkSequence, progress: Callable[[int], None]
) -> tuple[list[str], Seconds]:
    """Run the protocol on one sequence.

    Returns one line per frame (a code, or left,top,width,height) and the seconds of the tracker
    per frame, 0 where it was not asked. Raises ValueError where the sequence has no polygons or
    fewer images than annotations.
    """
    if sequence.polygons is None:
        raise ValueError(f'{sequence.name} has no regions for the VOT protocol')
    polygons = sequence.polygons
    lines: list[str] = []
    seconds = np.zeros(len(polygons))
    start = 0
    for index, image in enumerate(sequence.frames):
        if index >= len(polygons):
            break
        size = (image.shape[1], image.shape[0])
        began = time.perf_counter()
        if index < start:
            lines.append(str(SKIPPED))
        elif index == start:
            tracker.initialize(image, _start_box(sequence, index))
            seconds[index] = time.perf_counter() - began
            lines.append(str(STARTED))
        else:
            box = tracker.track(image).box
            seconds[index] = time.perf_counter() - began
            lines.append(_line(box, polygons[index], size))
            if lines[-1] == str(FAILED):
                start = index + RESTART_AFTER
        progress(1)
    if len(lines) < len(polygons):
        raise ValueError(f'{sequence.name}: {len(lines)} frames for {len(polygons)} regions')
    return lines, seconds


def score_vot(sequences: List[VotSequence], interval: tuple[int, int]) -> VotScore:
    """Score a data set; every sequence needs the same number of runs (ValueError otherwise).

    interval: shortest and longest sequence length that count for EAO, e.g. (100, 356) for VOT2018.
    """
    counts = {len(each.runs) for each in sequences}
    if len(counts) != 1 or 0 in counts:
        raise ValueError(f'every sequence needs the same number of runs, not {sorted(counts)}')
    measured = [[_overlaps(run, each) for run in each.runs] for each in sequences]
    accuracies = [
        _accuracy_overlaps(each.runs, [bounded for bounded, _ in overlaps])
        for each, overlaps in zip(sequences, measured, strict=True)
    ]
    failures = {
        each.name: float(np.mean([len(run.failures) for run in each.runs])) for each in sequences
    }
    frames = sum(len(each.truth) for each in sequences)
    curve = _expected_overlap(sequences, [[less for _, less in each] for each in measured])
    low, high = interval
    return VotScore(
        accuracy=_mean(np.concatenate(accuracies)),
        robustness=100 * sum(failures.values()) / frames,
        failures=sum(failures.values()),
        eao=_mean(curve[low - 1 : high]),
        curve=curve,
        accuracies={
            each.name: _mean(values) for each, values in zip(sequences, accuracies, strict=True)
        },
        failure_counts=failures,
    )


def _overlaps(run: Trajectory, sequence: VotSequence) -> tuple[Curve, Curve]:
    """Overlaps per frame within the image, and within one pixel less, as EAO is computed."""
    width, height = sequence.image_size
    bounded = pixel_overlaps(run.regions, sequence.truth, (width, height))
    reach = np.fmax(run.regions, sequence.truth)
    beyond = (reach[:, ::2].max(axis=1) > width - 1) | (reach[:, 1::2].max(axis=1) > height - 1)
    less = bounded.copy()
    less[beyond] = pixel_overlaps(
        run.regions[beyond], sequence.truth[beyond], (width - 1, height - 1)
    )
    return bounded, less


def _expected_overlap(sequences: List[VotSequence], overlaps: List[list[Curve]]) -> Curve:
    """Expected average overlap by length, up to the longest sequence."""
    longest = max(len(each.truth) for each in sequences)
    fragments, weights = [], []
    for sequence, per_run in zip(sequences, overlaps, strict=True):
        for run, values in zip(sequence.runs, per_run, strict=True):
            for fragment in _fragments(values, run.failures, longest):
                fragments.append(fragment)
                weights.append(1 / len(sequence.runs))
    return _expected(np.stack(fragments), np.array(weights))


def _start_box(sequence: BenchmarkSequence, index: int) -> Box:
    """Where a tracker starts: the truth itself where that is a box."""
    if sequence.polygons is None or sequence.start is None:
        return Box(*map(float, sequence.truth[index]))
    return start_box(sequence.polygons[index])


def _line(box: Box, truth: NDArray[np.float64], size: tuple[int, int]) -> str:
    """Line of a result file for a tracked frame: the box, or the code of a failure."""
    polygon = as_polygons(np.array([box.as_ltwh()]))[0]
    if not box.is_finite() or pixel_overlap(polygon, truth, size) <= 0:
        return str(FAILED)
    return ','.join(f'{value:.4f}' for value in box.as_ltwh())


def _accuracy_overlaps(runs: List[Trajectory], overlaps: List[Curve]) -> Curve:
    """Overlap per frame, mean over the runs that tracked there after their burn-in."""
    counted = []
    for run, values in zip(runs, overlaps, strict=True):
        kept = values.copy()
        for start in np.flatnonzero(run.codes == STARTED):
            kept[start : start + BURN_IN] = np.nan
        counted.append(kept)
    return _column_means(np.stack(counted))


def _fragments(overlaps: Curve, failures: NDArray[np.int64], longest: int) -> list[Curve]:
    """Cut overlaps at the starts; a fragment that ended in a failure goes on with zeros."""
    count = len(overlaps)
    if len(failures) == 0:
        return [_padded(overlaps, longest, np.nan)]
    cuts = [0, *(int(f) + RESTART_AFTER for f in failures if f + RESTART_AFTER <= count)]
    pieces = []
    for begin, end in zip(cuts, [*cuts[1:], None], strict=True):
        if end is not None:
            pieces.append(_padded(np.nan_to_num(overlaps[begin : end + 1]), longest, 0.0))
        elif begin < count:
            pieces.append(_padded(np.nan_to_num(overlaps[begin:]), longest, np.nan))
    return pieces


def _padded(values: Curve, length: int, padding: float) -> Curve:
    return np.concatenate([values, np.full(length - len(values), padding)])[:length]


def _expected(fragments: Curve, weights: Curve) -> Curve:
    """Weighted mean over fragments of the mean of their first frames, the start left out."""
    later = fragments[:, 1:]
    present = ~np.isnan(later)
    means = np.cumsum(np.nan_to_num(later), axis=1) / np.arange(1, fragments.shape[1])
    shares = weights[:, None] * present
    total = shares.sum(axis=0)
    with np.errstate(invalid='ignore'):
        expected = (shares * means).sum(axis=0) / total
    return np.concatenate([[1.0], expected])


def _column_means(values: Curve) -> Curve:
    """Means of columns without nan; nan for a column of nan."""
    counts = (~np.isnan(values)).sum(axis=0)
    with np.errstate(invalid='ignore'):
        means: Curve = np.nansum(values, axis=0) / counts
    return means


def _mean(values: Curve) -> float:
    present = values[~np.isnan(values)]
    return float(present.mean()) if len(present) else float('nan')
