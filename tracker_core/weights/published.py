"""Read published checkpoints without executing anything in them."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from tracker_core.weights.errors import WeightsError

#: Parts of published backbones that no tracker uses.
_UNUSED = re.compile(r'feature_extractor\.(layer4|fc)\.')
#: What DataParallel puts before every name.
_PARALLEL = 'module.'
_UNSUPPORTED = re.compile(r'GLOBAL ([\w.]+)')
#: Classes whose absence is expected before a file is given up as hostile or foreign.
_MAX_CLASSES = 64


class _Inert:
    """Stands for any class that a checkpoint names; keeps its attributes and does nothing."""

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        """Accept and forget everything."""


@dataclass(frozen=True)
class Checkpoint:
    """What a published checkpoint says."""

    tensors: dict[str, Tensor]
    """State dict of the network, without the unused fourth stage and `fc` of its backbone."""
    builder: str = ''
    """Name of the function that built the network, e.g. ``dimpnet18``, where it is noted."""
    arguments: dict[str, Any] = field(default_factory=dict)
    """Keyword arguments of that function."""


def read_checkpoint(source: str | os.PathLike[str]) -> Checkpoint:
    """Read a plain dictionary of tensors or a training checkpoint with `net` and `constructor`.

    Both file formats of torch are read, and networks that were wrapped for several GPUs. Classes
    named in the file are replaced by one that does nothing, so that no code runs, whatever the
    file holds. Raises FileNotFoundError, and WeightsError for anything else.
    """
    content = _load(source)
    if not isinstance(content, dict):
        raise WeightsError(f'{source} holds a {type(content).__name__}, not a dictionary')
    tensors = content.get('net', content)
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and isinstance(t, Tensor) for name, t in tensors.items()
    ):
        raise WeightsError(
            f'{source} is neither a dictionary of tensors nor a checkpoint with one under `net`; '
            f'it holds: {", ".join(map(str, list(content)[:8]))}'
        )
    if all(name.startswith(_PARALLEL) for name in tensors):
        tensors = {name.removeprefix(_PARALLEL): t for name, t in tensors.items()}
    used = {name: t for name, t in tensors.items() if not _UNUSED.match(name)}
    constructor = getattr(content.get('constructor'), '__dict__', {})
    arguments = constructor.get('kwds', {})
    plain = arguments if isinstance(arguments, dict) else {}
    return Checkpoint(used, str(constructor.get('fun_name', '')), plain)


def _load(source: str | os.PathLike[str]) -> Any:
    """Load a file, adding an inert class for every unknown name it turns out to need."""
    inert: dict[str, type] = {}
    while True:
        try:
            with torch.serialization.safe_globals([(c, name) for name, c in inert.items()]):
                return torch.load(source, map_location='cpu', weights_only=True)
        except FileNotFoundError:
            raise FileNotFoundError(f'no checkpoint {source}') from None
        except Exception as error:
            found = _UNSUPPORTED.search(str(error))
            if found is None or found[1] in inert or len(inert) >= _MAX_CLASSES:
                reason = f'{source} is not a checkpoint that can be read safely: {_gist(error)}'
                raise WeightsError(reason) from None
            inert[found[1]] = type(found[1].rpartition('.')[2], (_Inert,), {})


def _gist(error: Exception) -> str:
    """Line of a message of torch that says what is wrong; the rest is advice not to follow."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    found = [line for line in lines if 'WeightsUnpickler error' in line]
    return (found or lines)[0].strip()
