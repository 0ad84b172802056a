"""OTB, UAV123 and NfS as converted for pytracking: tables of frame ranges with one annotation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, ImageList
from tracker_core.benchmark.readers import attribute_files, files
from tracker_core.benchmark.readers.attribute_files import read_attributes
from tracker_core.benchmark.readers.files import Entry
from tracker_core.sequence import absent_as_nan

Only = Sequence[str] | None


def read_otb(root: Path, only: Only, name: str) -> Dataset:
    """Read OTB-2013, OTB-50 or OTB-100: ``<Name>/img/0001.jpg``, ``groundtruth_rect.txt``.

    The first pixel is 1 in these files. Several start late, have two targets, or (Tiger1) leave
    out frames: see the table. Attributes are read where the toolkit's ``anno/att/<Name>.txt`` lie
    in the same root.
    """
    title = {'otb2013': 'OTB-2013', 'otb50': 'OTB-50', 'otb100': 'OTB-100'}[name]
    entries = {entry.name: entry for entry in files.table('otb100')}
    names = list(entries) if name == 'otb100' else files.subset(name)
    wanted = files.chosen(names, only, title)
    read = (_read(root, entries[each], title, origin=1) for each in wanted)
    sequences = (_described(each, root / 'anno', attribute_files.OTB, title) for each in read)
    return Dataset(name, title, tuple(sequences), origin=1)


def read_uav(root: Path, only: Only, name: str) -> Dataset:
    """Read UAV123, its variant with 10 frames per second, or UAV20L.

    ``data_seq/UAV123/<folder>/000001.jpg``, ``anno/UAV123/<name>.txt``; several sequences are
    cuts of one folder. Attributes: ``anno/UAV123/att/<name>.txt``.
    """
    title = {'uav123': 'UAV123', 'uav123_10fps': 'UAV123@10fps', 'uav20l': 'UAV20L'}[name]
    entries = files.table('uav20l' if name == 'uav20l' else 'uav123')
    if name == 'uav123_10fps':
        entries = [_every_third(entry) for entry in entries]
    by_name = {entry.name: entry for entry in entries}
    wanted = files.chosen(list(by_name), only, title)
    folder = (root / entries[0].annotation).parent
    read = (_read(root, by_name[each], title) for each in wanted)
    sequences = (_described(each, folder, attribute_files.UAV, title) for each in read)
    return Dataset(name, title, tuple(sequences), family='uav')


def read_nfs(root: Path, only: Only, name: str) -> Dataset:
    """Read NfS at 30 frames per second, in pytracking's conversion or as it is downloaded.

    Converted: ``anno/nfs_<Name>.txt``, ``sequences/<Name>/00001.jpg``. Original:
    ``<Name>/30/<Name>.txt`` with id, left, top, right, bottom, frame, lost, occluded, ... for 240
    frames per second, and ``<Name>/30/<Name>/*.jpg``. The flags give two attributes.
    """
    title = 'NfS (30 fps)'
    entries = {entry.name: entry for entry in files.table('nfs100')}
    wanted = files.chosen(list(entries), only, title)
    if (root / 'anno').is_dir():
        return Dataset(name, title, tuple(_read(root, entries[each], title) for each in wanted))
    return Dataset(name, title, tuple(_read_original_nfs(root, each, title) for each in wanted))


def _described(
    sequence: BenchmarkSequence, folder: Path, names: tuple[str, ...], title: str
) -> BenchmarkSequence:
    """The sequence with the attributes of ``<folder>/att``, which may be absent."""
    path = folder / 'att' / f'{sequence.name}.txt'
    label = f'{title}, {sequence.name}'
    return replace(sequence, attributes=read_attributes(path, names, label))


def _every_third(entry: Entry) -> Entry:
    """The entry in UAV123@10fps, which keeps every third frame and numbers them anew."""
    return replace(
        entry,
        start=(entry.start - 1) // 3 + 1,
        end=(entry.end - 1) // 3 + 1,
        images=entry.images.replace('UAV123', 'UAV123_10fps'),
        annotation=entry.annotation.replace('UAV123', 'UAV123_10fps'),
    )


def _read(root: Path, entry: Entry, title: str, origin: int = 0) -> BenchmarkSequence:
    label = f'{title}, {entry.name}'
    truth = files.boxes(root / entry.annotation, label)[entry.skip :]
    paths = files.images_between(root / entry.images, entry.start + entry.skip, entry.end, label)
    if len(truth) != len(paths):
        raise ValueError(
            f'{label}: {root / entry.annotation} has {len(truth) + entry.skip} boxes for frames '
            f'{entry.start} to {entry.end}'
        )
    files.startable(truth, root / entry.annotation, label)
    truth[:, :2] -= origin
    return BenchmarkSequence(entry.name, ImageList(entry.name, paths), truth)


def _read_original_nfs(root: Path, name: str, title: str) -> BenchmarkSequence:
    label = f'{title}, {name}'
    folder = root / name / '30'
    annotation = folder / f'{name}.txt'
    rows = files.leading_numbers(annotation, label, 5)
    paths = files.images(folder / name, label)
    truth = np.column_stack([rows[:, 1:3], rows[:, 3:5] - rows[:, 1:3]])
    if round(len(truth) / len(paths)) == 8:
        truth = truth[::8]
    if abs(len(truth) - len(paths)) > 1:
        raise ValueError(f'{label}: {len(truth)} boxes for {len(paths)} images')
    count = min(len(truth), len(paths))
    return BenchmarkSequence(
        name,
        ImageList(name, paths[:count]),
        files.startable(absent_as_nan(truth[:count]), annotation, label),
        attributes=_nfs_attributes(annotation),
    )


def _nfs_attributes(path: Path) -> tuple[str, ...]:
    """Attributes by the seventh and eighth column of an annotation as it is downloaded."""
    flags = [line.split()[6:8] for line in path.read_text('utf-8-sig').splitlines()]
    names = ('out of view', 'occlusion')
    return tuple(
        name for i, name in enumerate(names) if any(row[i : i + 1] == ['1'] for row in flags)
    )
