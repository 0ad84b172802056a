"""Result files in the layouts that the benchmarks' own toolkits and servers read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tracker_core.atomic import replacing
from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, Protocol, ResultLayout
from tracker_core.sequence import Boxes, read_boxes, write_boxes

Seconds = NDArray[np.float64]
RECORD = 'run.json'
#: Entry of the record: digest of the annotation by sequence.
_ANNOTATIONS = 'annotations'
#: Entry of the record: later runs that added results with another version or number of threads.
LATER = 'later'
_KINDS: dict[str, type] = {'weights': dict, _ANNOTATIONS: dict, LATER: list}
_MAKERS = ('version', 'threads')


@dataclass(frozen=True)
class ResultFolder:
    """Results of one tracker on one data set: ``<root>/<data set>/<tracker>``.

    'flat' layout: ``<sequence>.txt`` and ``times/<sequence>_time.txt``, later repetitions in
    ``repeat_002`` and so on. 'nested': ``<sequence>/<sequence>_001.txt`` and
    ``<sequence>/<sequence>_time.txt`` with one column per repetition. The file of the boxes is
    written last: where it exists, the sequence is done.
    """

    path: Path
    layout: ResultLayout = 'flat'
    protocol: Protocol = 'one-pass'
    decimals: int = 3
    origin: int = 0

    @classmethod
    def of(cls, root: Path, dataset: Dataset, label: str) -> ResultFolder:
        """Folder of one tracker under the root of all results."""
        path = root / dataset.name / label
        return cls(path, dataset.layout, dataset.protocol, dataset.decimals, dataset.origin)

    @property
    def label(self) -> str:
        """Name of the tracker."""
        return self.path.name

    def boxes_path(self, sequence: str, repetition: int = 1) -> Path:
        """File of the boxes; repetitions count from 1."""
        if self.layout == 'nested':
            folder = self.path / 'baseline' if self.protocol == 'vot' else self.path
            return folder / sequence / f'{sequence}_{repetition:03d}.txt'
        return self._run_folder(repetition) / f'{sequence}.txt'

    def times_path(self, sequence: str, repetition: int = 1) -> Path:
        """File of the seconds per frame."""
        if self.layout == 'nested':
            return self.boxes_path(sequence).with_name(f'{sequence}_time.txt')
        return self._run_folder(repetition) / 'times' / f'{sequence}_time.txt'

    def has(self, sequence: str, repetition: int = 1) -> bool:
        """Whether this repetition is done."""
        return self.boxes_path(sequence, repetition).is_file()

    def repetitions(self, sequence: str) -> int:
        """How many repetitions are done, without gaps."""
        count = 0
        while self.has(sequence, count + 1):
            count += 1
        return count

    def is_deterministic(self, sequence: str) -> bool:
        """Whether the first three repetitions are equal; then no more are needed."""
        if self.repetitions(sequence) < 3:
            return False
        first, second, third = (self.lines(sequence, repetition) for repetition in (1, 2, 3))
        return first == second == third

    def write(
        self, sequence: str, repetition: int, boxes: Boxes | list[str], seconds: Seconds
    ) -> None:
        """Write one repetition: (N, 4) boxes, or lines as they stand, and (N,) seconds."""
        times = self.times_path(sequence, repetition)
        if self.layout == 'nested' and repetition > 1 and times.is_file():
            earlier = np.loadtxt(times, delimiter=',', ndmin=2)[:, : repetition - 1]
            seconds = np.column_stack([earlier, seconds])
        with replacing(times) as temporary:
            np.savetxt(temporary, seconds, fmt='%.8f', delimiter=',')
        path = self.boxes_path(sequence, repetition)
        if isinstance(boxes, list):
            with replacing(path) as temporary:
                temporary.write_text('\n'.join(boxes) + '\n', encoding='utf-8')
        else:
            write_boxes(path, boxes + np.array([self.origin, self.origin, 0, 0]), self.decimals)

    def boxes(self, sequence: str, repetition: int = 1) -> Boxes:
        """Read (N, 4) boxes, the first pixel being 0; ValueError for a damaged file."""
        boxes = read_boxes(self.boxes_path(sequence, repetition))
        boxes[:, :2] -= self.origin
        return boxes

    def lines(self, sequence: str, repetition: int = 1) -> list[str]:
        """Lines of the result file as they stand."""
        return self.boxes_path(sequence, repetition).read_text(encoding='utf-8').splitlines()

    def seconds(self, sequence: str, repetition: int = 1) -> Seconds | None:
        """Seconds of the tracker per frame, the first one its initialisation; None if unknown."""
        path = self.times_path(sequence, repetition)
        if not path.is_file():
            return None
        columns = np.loadtxt(path, delimiter=',', ndmin=2)
        column = repetition - 1 if self.layout == 'nested' else 0
        return columns[:, column] if column < columns.shape[1] else None

    def record(self) -> dict[str, Any]:
        """What is known about the run; empty for results from elsewhere.

        Raises ValueError for a file that `claim` has not written.
        """
        path = self.path / RECORD
        if not path.is_file():
            return {}
        try:
            content: Any = json.loads(path.read_text(encoding='utf-8'))
            known = all(type(content.get(k, kind())) is kind for k, kind in _KINDS.items())
        except (ValueError, AttributeError):
            known = False
        if not known:
            raise ValueError(f'{path} is not a record of results: remove it or the folder')
        return dict(content)

    def claim(
        self,
        record: dict[str, Any],
        deciding: tuple[str, ...],
        sequences: Iterable[BenchmarkSequence] = (),
        adds: bool = True,
    ) -> None:
        """Write the record, or check that results which are there already were made alike.

        sequences: those that are evaluated; the digests of their annotations become part of the
        record. adds: whether results will be added; if not nothing is written. Raises ValueError
        where one of the `deciding` entries, or an annotation of which there are results, differs.
        Where the version or the number of threads does, it warns, and the record lists both.
        """
        sequences = list(sequences)
        present = self.record()
        for key in deciding if present else ():
            if present.get(key) != record.get(key):
                raise ValueError(
                    f'{self.path} holds results made with another {key}: {present.get(key)}, '
                    f'now {record.get(key)}. Give the new ones a name (--label) or remove the '
                    'folder'
                )
        self.check_annotations(sequences)
        if not adds:
            return
        new = {each.name: each.annotation_digest for each in sequences if not self.has(each.name)}
        known = {**present.get(_ANNOTATIONS, {}), **new}
        written = {**record, **present, **({_ANNOTATIONS: known} if known else {})}
        if present:
            written |= self._later(present, record)
        if written != present:
            with replacing(self.path / RECORD) as temporary:
                temporary.write_text(json.dumps(written, indent=2) + '\n', encoding='utf-8')

    def _later(self, present: dict[str, Any], record: dict[str, Any]) -> dict[str, Any]:
        """The list of later runs, with this one where none before it was like it."""
        later = list(present.get(LATER, []))
        made = [{key: each.get(key) for key in _MAKERS} for each in (present, *later)]
        now = {key: record.get(key) for key in _MAKERS}
        if now not in made:
            warnings.warn(
                f'{self.path} holds results made with {made}; those made now, with {now}, are '
                f'added, and {RECORD} says so',
                stacklevel=3,
            )
            later.append({key: record.get(key) for key in (*_MAKERS, 'machine', 'date')})
        return {LATER: later} if later else {}

    def check_annotations(self, sequences: Iterable[BenchmarkSequence]) -> None:
        """Raise ValueError where results belong to another annotation of a sequence.

        Results without a record, or with an old one, are taken to belong.
        """
        known = self.record().get(_ANNOTATIONS, {})
        for each in sequences:
            digest = known.get(each.name)
            if digest and self.has(each.name) and digest != each.annotation_digest:
                raise ValueError(
                    f'{self.boxes_path(each.name)} was made with another annotation of '
                    f'{each.name} ({digest}, now {each.annotation_digest}): another data set, or '
                    'a changed one. Use another folder (--results) or remove the file'
                )

    def _run_folder(self, repetition: int) -> Path:
        return self.path if repetition == 1 else self.path / f'repeat_{repetition:03d}'


def result_folders(root: Path, dataset: Dataset) -> list[ResultFolder]:
    """Results of every tracker on a data set, by name."""
    parent = root / dataset.name
    found = sorted(path for path in parent.iterdir() if path.is_dir()) if parent.is_dir() else []
    return [
        ResultFolder.of(root, dataset, path.name) for path in found if any(path.rglob('*.txt'))
    ]
