"""Finding files of a data set, with errors that say which one was expected where."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker_core.sequence import Boxes, absent_as_nan, frame_lines
from tracker_core.video import image_paths

_TABLES = Path(__file__).with_name('tables')


@dataclass(frozen=True)
class Entry:
    """A sequence in the table of a data set; frame numbers as in the names of the images."""

    name: str
    start: int
    end: int
    skip: int
    """Frames, and lines of the annotation, that are left out at the start."""
    images: str
    annotation: str


def table(name: str) -> list[Entry]:
    """Read a table of sequences that comes with the package."""
    with (_TABLES / f'{name}.csv').open(encoding='utf-8', newline='') as file:
        return [
            Entry(
                row['name'],
                int(row['start']),
                int(row['end']),
                int(row['skip']),
                row['images'],
                row['annotation'],
            )
            for row in csv.DictReader(file)
        ]


def subset(name: str) -> list[str]:
    """Read a list of sequence names that comes with the package."""
    lists: dict[str, list[str]] = json.loads((_TABLES / 'subsets.json').read_text('utf-8'))
    return lists[name]


def chosen(names: Sequence[str], only: Sequence[str] | None, title: str) -> list[str]:
    """Return `names`, or those in `only`; ValueError for one that is not there."""
    unknown = [name for name in only or () if name not in names]
    if unknown:
        raise ValueError(
            f'{title} has no sequence {", ".join(unknown)}; it has: {", ".join(sorted(names))}'
        )
    return [name for name in names if only is None or name in only]


def require(path: Path, title: str) -> Path:
    """Return `path`; FileNotFoundError where it is missing."""
    if not path.exists():
        raise FileNotFoundError(f'{title}: expected {path}')
    return path


def listed(path: Path, title: str) -> list[str]:
    """Read names, one per line; ValueError for none, FileNotFoundError."""
    lines = require(path, title).read_text(encoding='utf-8-sig').splitlines()
    names = [line.strip() for line in lines if line.strip()]
    if not names:
        raise ValueError(f'{title}: {path} is empty')
    return names


def images(folder: Path, title: str) -> list[Path]:
    """All images of a folder in order; FileNotFoundError for none."""
    found = image_paths(require(folder, title))
    if not found:
        raise FileNotFoundError(f'{title}: expected images in {folder}')
    return found


def images_between(folder: Path, start: int, end: int, title: str) -> list[Path]:
    """Images numbered `start` to `end`, both included, however many digits they have."""
    by_number = {int(path.stem): path for path in images(folder, title) if path.stem.isdigit()}
    missing = [number for number in range(start, end + 1) if number not in by_number]
    if missing:
        raise FileNotFoundError(
            f'{title}: expected images {start} to {end} in {folder}; {len(missing)} are missing, '
            f'the first is number {missing[0]}'
        )
    return [by_number[number] for number in range(start, end + 1)]


def numbers(path: Path, title: str, columns: Sequence[int] = ()) -> NDArray[np.float64]:
    """Read rows of numbers, separated by commas, tabs or spaces, as (N, columns).

    columns: the permitted numbers of columns, any when empty. Raises ValueError naming the line
    that differs or is blank, FileNotFoundError.
    """
    rows = list(_rows(path, frame_lines(require(path, title)), title))
    if not rows:
        raise ValueError(f'{title}: {path} is empty')
    if len({len(row) for row in rows}) > 1 or (columns and len(rows[0]) not in columns):
        first = next((i for i, row in enumerate(rows) if len(row) != len(rows[0])), 0)
        wanted = ' or '.join(map(str, columns)) or str(len(rows[0]))
        raise ValueError(f'{title}: {path}, row {first + 1}: expected {wanted} numbers')
    return np.array(rows)


def leading_numbers(path: Path, title: str, count: int) -> NDArray[np.float64]:
    """Read the first `count` numbers of each line, whatever words follow, as (N, count)."""
    rows = [line.split()[:count] for line in frame_lines(require(path, title))]
    try:
        return np.array(rows, dtype=np.float64).reshape(len(rows), count)
    except ValueError:
        raise ValueError(f'{title}: expected {count} numbers per line in {path}') from None


def boxes(path: Path, title: str) -> Boxes:
    """Read (N, 4) boxes; a row with any nan, or without area, becomes a row of nan."""
    return absent_as_nan(numbers(path, title, (4,)))


def startable(truth: Boxes, path: Path, title: str) -> Boxes:
    """Return `truth`, read from `path`; ValueError where a tracker cannot start on its first."""
    if not truth[0, 2:].min() > 0 or not np.isfinite(truth[0]).all():
        raise ValueError(f'{title}: the first region in {path} must be a box with an area')
    return truth


def flags(path: Path, title: str) -> NDArray[np.float64]:
    """Read numbers in any arrangement of lines and separators as one row."""
    lines = require(path, title).read_text(encoding='utf-8-sig').splitlines()
    return np.array([value for row in _rows(path, lines, title) for value in row])


def _rows(path: Path, lines: list[str], title: str) -> Iterator[list[float]]:
    for number, line in enumerate(lines, start=1):
        words = line.replace(',', ' ').replace(';', ' ').split()
        try:
            yield [float(word) for word in words]
        except ValueError:
            raise ValueError(f'{title}: {path}:{number} is not numbers: {line!r}') from None
