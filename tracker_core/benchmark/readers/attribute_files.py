"""Attributes of sequences as the benchmarks publish them: rows of flags in a fixed order."""

from __future__ import annotations

from pathlib import Path

from tracker_core.benchmark.readers import files

#: Order of the 11 flags of OTB and TC-128.
OTB = (
    'illumination variation',
    'out-of-plane rotation',
    'scale variation',
    'occlusion',
    'deformation',
    'motion blur',
    'fast motion',
    'in-plane rotation',
    'out of view',
    'background clutter',
    'low resolution',
)
#: Order of the 12 flags of UAV123 and UAV20L.
UAV = (
    'scale variation',
    'aspect ratio change',
    'low resolution',
    'fast motion',
    'full occlusion',
    'partial occlusion',
    'out of view',
    'background clutter',
    'illumination variation',
    'viewpoint change',
    'camera motion',
    'similar object',
)


def read_attributes(path: Path, names: tuple[str, ...], title: str) -> tuple[str, ...]:
    """Those of `names` whose flag in `path` is not 0; none where `path` does not exist.

    Raises ValueError where the number of flags differs from that of `names`.
    """
    if not path.is_file():
        return ()
    flags = files.flags(path, title)
    if len(flags) != len(names):
        raise ValueError(f'{title}: {path} has {len(flags)} flags, expected {len(names)}')
    return tuple(name for name, flag in zip(names, flags, strict=True) if flag)
