"""LaSOT, TrackingNet, GOT-10k and TC-128: one folder per sequence, or nearly so."""

from __future__ import annotations

import configparser
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.dataset import BenchmarkSequence, Dataset, ImageList
from tracker_core.benchmark.readers import attribute_files, files
from tracker_core.sequence import Boxes
from tracker_core.video import DEFAULT_FPS

Only = Sequence[str] | None


def read_lasot(root: Path, only: Only, name: str) -> Dataset:
    """Read the test part of LaSOT: ``<class>/<class-n>/img``, or ``<class-n>/img``.

    A frame is visible where neither ``full_occlusion.txt`` nor ``out_of_view.txt`` says 1; a
    sequence with such frames has the attribute of that name.
    """
    title = 'LaSOT (test)'
    wanted = files.chosen(files.subset('lasot_test'), only, title)
    return Dataset(
        name, title, tuple(_read_lasot(root, each, title) for each in wanted), family='lasot'
    )


def read_trackingnet(root: Path, only: Only, name: str) -> Dataset:
    """Read the test part of TrackingNet, of which only the first boxes are public.

    ``TEST/anno/<video>.txt``, ``TEST/frames/<video>/0.jpg`` (numbered without leading zeros).
    """
    title = 'TrackingNet (test)'
    folder = files.require(root / 'TEST', title) if root.name != 'TEST' else root
    annotations = sorted(files.require(folder / 'anno', title).glob('*.txt'))
    if not annotations:
        raise FileNotFoundError(f'{title}: expected {folder}/anno/VIDEO.txt')
    wanted = files.chosen([path.stem for path in annotations], only, title)
    return Dataset(
        name,
        title,
        tuple(_read_trackingnet(folder, each, title) for each in wanted),
        decimals=2,
    )


def read_got10k(root: Path, only: Only, name: str) -> Dataset:
    """Read the validation or test part of GOT-10k: ``val/list.txt``, ``val/<name>/00000001.jpg``.

    Of the test part only the first boxes are public. A frame is visible where ``cover.label`` is
    above 0. ``absence.label`` and ``cut_by_image.label`` give attributes where they are there.
    """
    part = name.removeprefix('got10k_')
    title = f'GOT-10k ({part})'
    folder = root if root.name == part else root / part
    wanted = files.chosen(files.listed(folder / 'list.txt', title), only, title)
    return Dataset(
        name,
        title,
        tuple(_read_got10k(folder / each, title) for each in wanted),
        layout='nested',
        family='got10k',
    )


def read_tc128(root: Path, only: Only, name: str) -> Dataset:
    """Read Temple-Color-128: ``<Name>/<Name>_gt.txt``, ``<Name>_frames.txt``, ``img/0001.jpg``.

    ``<Name>_att.txt`` has the flags of the attributes, in the order of OTB.
    """
    title = 'TC-128'
    names = sorted(path.parent.name for path in root.glob('*/*_gt.txt'))
    if not names:
        raise FileNotFoundError(f'{title}: expected {root}/NAME/NAME_gt.txt')
    wanted = files.chosen(names, only, title)
    return Dataset(name, title, tuple(_read_tc128(root / each, title) for each in wanted))


def _read_lasot(root: Path, name: str, title: str) -> BenchmarkSequence:
    label = f'{title}, {name}'
    kind = name.rsplit('-', 1)[0]
    folder = root / kind / name if (root / kind).is_dir() else root / name
    truth = _boxes(folder / 'groundtruth.txt', label)
    hidden = {
        kind: _flags(folder / f'{kind.replace(" ", "_")}.txt', label, len(truth)) > 0
        for kind in ('full occlusion', 'out of view')
    }
    visible = ~np.any(list(hidden.values()), axis=0)
    paths = files.images(folder / 'img', label)
    attributes = tuple(kind for kind, rows in hidden.items() if rows.any())
    return replace(_sequence(name, paths, truth, label, visible), attributes=attributes)


def _read_trackingnet(folder: Path, name: str, title: str) -> BenchmarkSequence:
    label = f'{title}, {name}'
    truth = _boxes(folder / 'anno' / f'{name}.txt', label)
    paths = files.images(folder / 'frames' / name, label)
    return _sequence(name, paths, truth, label)


def _read_got10k(folder: Path, title: str) -> BenchmarkSequence:
    label = f'{title}, {folder.name}'
    truth = _boxes(folder / 'groundtruth.txt', label)
    paths = files.images(folder, label)
    visible = None
    if len(truth) > 1:
        visible = _flags(folder / 'cover.label', label, len(truth)) > 0
    sequence = _sequence(folder.name, paths, truth, label, visible, _fps(folder / 'meta_info.ini'))
    labels = {'absence': 'absence.label', 'cut by the image border': 'cut_by_image.label'}
    held = (name for name, file in labels.items() if _any_flag(folder / file, label))
    return replace(sequence, attributes=tuple(held))


def _read_tc128(folder: Path, title: str) -> BenchmarkSequence:
    label = f'{title}, {folder.name}'
    truth = _boxes(folder / f'{folder.name}_gt.txt', label)
    span = files.flags(folder / f'{folder.name}_frames.txt', label)
    if len(span) != 2:
        raise ValueError(f'{label}: expected "start,end" in {folder.name}_frames.txt')
    paths = files.images_between(folder / 'img', int(span[0]), int(span[1]), label)
    flags = folder / f'{folder.name}_att.txt'
    attributes = attribute_files.read_attributes(flags, attribute_files.OTB, label)
    return replace(_sequence(folder.name, paths, truth, label), attributes=attributes)


def _boxes(path: Path, label: str) -> Boxes:
    return files.startable(files.boxes(path, label), path, label)


def _any_flag(path: Path, label: str) -> bool:
    return path.is_file() and bool((files.flags(path, label) > 0).any())


def _flags(path: Path, label: str, count: int) -> NDArray[np.float64]:
    values = files.flags(path, label)
    if len(values) != count:
        raise ValueError(f'{label}: {path} has {len(values)} values for {count} frames')
    return values


def _sequence(
    name: str,
    paths: list[Path],
    truth: Boxes,
    label: str,
    visible: NDArray[np.bool_] | None = None,
    fps: float = DEFAULT_FPS,
) -> BenchmarkSequence:
    if len(truth) not in (1, len(paths)):
        raise ValueError(f'{label}: {len(truth)} boxes for {len(paths)} images')
    return BenchmarkSequence(name, ImageList(name, paths, fps), truth, visible)


def _fps(path: Path) -> float:
    """Frame rate of a GOT-10k sequence; a default where it is not stated or impossible."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read(path, encoding='utf-8-sig')
    except (configparser.Error, UnicodeDecodeError) as error:
        raise ValueError(f'cannot read {path}: {" ".join(str(error).split())}') from None
    text = parser.get('METAINFO', 'anno_fps', fallback='')
    try:
        fps = float(text.lower().removesuffix('hz'))
    except ValueError:
        return DEFAULT_FPS
    return fps if 0 < fps < 1000 else DEFAULT_FPS
