"""Score the results of trackers on a data set."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from tracker_core.benchmark import one_pass
from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset
from tracker_core.benchmark.got10k import Got10kScore, score_got10k, sequence_overlaps
from tracker_core.benchmark.one_pass import Convention, SequenceScore, Summary
from tracker_core.benchmark.results import ResultFolder
from tracker_core.benchmark.vot_supervised import (
    Trajectory,
    VotScore,
    VotSequence,
    score_vot,
)
from tracker_core.sequence import Boxes


@dataclass(frozen=True)
class Speed:
    """Frames per second of the tracker alone, without reading images."""

    total: float
    """Frames divided by all seconds, initialisation included (pytracking)."""
    mean: float
    """Mean of 1 / t over frames (got10k toolkit), after the first frame."""
    initialization: float
    """Mean seconds of the first frame."""


@dataclass(frozen=True)
class Evaluation:
    """One tracker on one data set."""

    label: str
    scores: dict[str, SequenceScore]
    """By sequence, the mean over repetitions."""
    runs: tuple[Summary, ...]
    """One per repetition that is complete."""
    speed: Speed | None
    missing: tuple[str, ...]
    """Sequences without results."""
    got10k: Got10kScore | None = None
    """Only for GOT-10k."""

    @property
    def summary(self) -> Summary:
        """Mean over the sequences that have results."""
        return one_pass.summarize(list(self.scores.values()))

    def spread(self, measure: str) -> float:
        """Standard deviation over repetitions of a property of `Summary`; nan for one."""
        values = [getattr(run, measure) for run in self.runs]
        return float(np.std(values, ddof=1)) if len(values) > 1 else float('nan')


@dataclass(frozen=True)
class VotEvaluation:
    """One tracker on one VOT data set with the supervised protocol."""

    label: str
    score: VotScore
    speed: Speed | None
    missing: tuple[str, ...]


def evaluate(
    dataset: Dataset, folder: ResultFolder, convention: Convention | None = None
) -> Evaluation:
    """Score what is there; sequences of which only the first box is public are left out.

    Says on the error stream which results are cut or padded, as they are too long or too short.
    Raises ValueError, naming the file, for results that do not fit the annotation or were made
    with another one.
    """
    folder.check_annotations(dataset.sequences)
    public = [each for each in dataset.sequences if each.is_public]
    runs: dict[str, list[SequenceScore]] = {}
    for sequence in public:
        done = folder.repetitions(sequence.name)
        if done:
            runs[sequence.name] = [
                _score(sequence, folder, repetition, convention)
                for repetition in range(1, done + 1)
            ]
    complete = min(map(len, runs.values()), default=0)
    return Evaluation(
        label=folder.label,
        scores={name: one_pass.merge(each) for name, each in runs.items()},
        runs=tuple(
            one_pass.summarize([each[run] for each in runs.values()]) for run in range(complete)
        ),
        speed=measure_speed(folder, runs),
        missing=tuple(each.name for each in public if each.name not in runs),
        got10k=_got10k(dataset, folder) if dataset.family == 'got10k' and runs else None,
    )


def evaluate_vot(dataset: Dataset, folder: ResultFolder) -> VotEvaluation:
    """Score supervised results.

    Raises ValueError for damaged ones, those made with another annotation, and a data set that is
    not VOT.
    """
    if dataset.eao_interval is None:
        raise ValueError(f'{dataset.title} has no VOT protocol')
    folder.check_annotations(dataset.sequences)
    done = [each for each in dataset.sequences if folder.has(each.name)]
    if not done:
        raise ValueError(f'no results in {folder.path}')
    count = min(folder.repetitions(each.name) for each in done)
    sequences = [_vot_sequence(each, folder, count) for each in done]
    return VotEvaluation(
        label=folder.label,
        score=score_vot(sequences, dataset.eao_interval),
        speed=measure_speed(folder, [each.name for each in done]),
        missing=tuple(each.name for each in dataset.sequences if not folder.has(each.name)),
    )


def fitted(boxes: Boxes, count: int, family: str, name: str) -> Boxes:
    """Cut predictions that are too long, pad those that are too short with empty boxes.

    As pytracking does; for LaSOT too short is an error.
    """
    if len(boxes) < count and family == 'lasot':
        raise ValueError(f'{name}: {len(boxes)} boxes for {count} frames; run it again')
    padding = np.zeros((max(count - len(boxes), 0), 4))
    return np.concatenate([boxes[:count], padding])


def measure_speed(folder: ResultFolder, sequences: Iterable[str]) -> Speed | None:
    """Speed over the first repetition of some sequences; None without time files."""
    recorded = [folder.seconds(name) for name in sequences]
    times = [each for each in recorded if each is not None and len(each) > 1]
    if not times:
        return None
    later = np.concatenate([each[1:] for each in times])
    return Speed(
        total=sum(int((each > 0).sum()) for each in times)
        / max(sum(float(each.sum()) for each in times), 1e-9),
        mean=float(np.mean(1 / later[later > 0])) if (later > 0).any() else float('nan'),
        initialization=float(np.mean([each[0] for each in times])),
    )


def _score(
    sequence: BenchmarkSequence,
    folder: ResultFolder,
    repetition: int,
    convention: Convention | None,
) -> SequenceScore:
    path = folder.boxes_path(sequence.name, repetition)
    family = convention.family if convention else ''
    found, count = folder.boxes(sequence.name, repetition), len(sequence.truth)
    boxes = fitted(found, count, family, str(path))
    if len(found) != count:
        done = 'cut' if len(found) > count else 'padded with empty ones'
        print(f'{path}: {len(found)} boxes for {count} frames, {done}', file=sys.stderr)
    published = np.array([folder.origin, folder.origin, 0, 0])
    return one_pass.score(
        sequence.name,
        boxes + published,
        sequence.truth + published,
        sequence.visible,
        convention,
        padded=max(count - len(found), 0),
    )


def _vot_sequence(
    sequence: BenchmarkSequence, folder: ResultFolder, repetitions: int
) -> VotSequence:
    if sequence.polygons is None:
        raise ValueError(f'{sequence.name} has no regions')
    runs = []
    for repetition in range(1, repetitions + 1):
        path = folder.boxes_path(sequence.name, repetition)
        run = Trajectory.parse(folder.lines(sequence.name, repetition), str(path))
        if len(run.codes) != len(sequence.polygons):
            raise ValueError(
                f'{path} has {len(run.codes)} lines for {len(sequence.polygons)} frames'
            )
        runs.append(run)
    return VotSequence(sequence.name, sequence.polygons, sequence.image_size(), tuple(runs))


def _got10k(dataset: Dataset, folder: ResultFolder) -> Got10kScore:
    pooled = []
    for sequence in dataset.sequences:
        for repetition in range(1, folder.repetitions(sequence.name) + 1):
            boxes = folder.boxes(sequence.name, repetition)
            size = sequence.image_size()
            pooled.append(sequence_overlaps(boxes, sequence.truth, sequence.visible, size))
    return score_got10k(pooled)
