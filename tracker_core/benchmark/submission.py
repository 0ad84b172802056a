"""Zip files that the evaluation servers of GOT-10k and TrackingNet accept."""

from __future__ import annotations

import zipfile
from pathlib import Path

from tracker_core.atomic import replacing
from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.results import ResultFolder


def pack(dataset: Dataset, folder: ResultFolder, path: Path) -> int:
    """Write the results of one tracker as a zip; returns the number of files in it.

    GOT-10k: ``<sequence>/<sequence>_001.txt`` (and 002, ...) with ``<sequence>_time.txt``.
    Others: one ``<sequence>.txt`` per sequence, as the server of TrackingNet and the toolkits of
    OTB and LaSOT want it. Raises FileNotFoundError naming sequences that have not been run,
    ValueError for a file of the wrong length and for results made with another annotation.
    """
    missing = [each.name for each in dataset.sequences if not folder.has(each.name)]
    if missing:
        raise FileNotFoundError(
            f'{folder.label} lacks {len(missing)} of {len(dataset.sequences)} sequences of '
            f'{dataset.title}, the first is {missing[0]}: run it first'
        )
    folder.check_annotations(dataset.sequences)
    names = {}
    for sequence in dataset.sequences:
        repetitions = _packed_repetitions(folder, sequence.name)
        for repetition in repetitions:
            lines = len(folder.lines(sequence.name, repetition))
            if lines != sequence.length:
                file = folder.boxes_path(sequence.name, repetition)
                raise ValueError(f'{file} has {lines} lines for {sequence.length} frames')
        names.update(_entries(folder, sequence.name, repetitions))
    with (
        replacing(path) as temporary,
        zipfile.ZipFile(temporary, 'w', zipfile.ZIP_DEFLATED) as archive,
    ):
        for name, file in names.items():
            archive.write(file, name)
    return len(names)


def _packed_repetitions(folder: ResultFolder, sequence: str) -> range:
    """All of them, or the first where the server takes one."""
    return range(1, 2 if folder.layout == 'flat' else folder.repetitions(sequence) + 1)


def _entries(folder: ResultFolder, sequence: str, repetitions: range) -> dict[str, Path]:
    """Files by their names inside the zip."""
    files = [folder.boxes_path(sequence, repetition) for repetition in repetitions]
    if folder.layout == 'flat':
        return {file.name: file for file in files}
    return {f'{sequence}/{file.name}': file for file in [*files, folder.times_path(sequence)]}
