"""The weights format (safetensors with metadata) and the import of published checkpoints."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as serialize
from torch import Tensor, nn

import tracker_core
from tracker_core.atomic import replacing
from tracker_core.weights.errors import WeightsError
from tracker_core.weights.published import Checkpoint, read_checkpoint
from tracker_core.weights.quantization import dequantize, quantize_largest

__all__ = [
    'INSTALLED',
    'PRETRAINED',
    'SUFFIX',
    'Checkpoint',
    'WeightsError',
    'WeightsInfo',
    'default_path',
    'has_weights',
    'import_checkpoint',
    'installed_path',
    'load_into',
    'load_part',
    'load_tensors',
    'read_checkpoint',
    'read_info',
    'save',
    'shipped',
    'shipped_path',
]

#: Where the shipped weights lie.
PRETRAINED = Path(__file__).parent.with_name('pretrained')
#: Where the user's own weights lie, which are preferred.
INSTALLED = Path('~/.local/share/tracker_core/weights')
SUFFIX = '.safetensors'
_FORMAT = 'tracker_core 1'


@dataclass(frozen=True)
class WeightsInfo:
    """What a weights file says about itself."""

    tracker: str
    """Name of the network it belongs to, e.g. ``siamfc``."""
    training_data: tuple[str, ...] = ()
    licence: str = 'unknown'
    settings: Mapping[str, Any] = field(default_factory=dict)
    """Tracker settings that belong to these weights; used as its defaults."""
    code_version: str = tracker_core.__version__
    date: str = field(default_factory=lambda: datetime.date.today().isoformat())
    notes: str = ''


def save(
    path: str | os.PathLike[str],
    tensors: Mapping[str, Tensor],
    info: WeightsInfo,
    dtype: torch.dtype | None = torch.float16,
    max_bytes: int | None = None,
) -> Path:
    """Write tensors and metadata to `path`, whole or not at all.

    Floating-point tensors are stored as `dtype` (None: as they are). Where that is more than
    `max_bytes` altogether, the largest ones are stored in 8 bits until it is not. Raises
    WeightsError where a value is not finite in `dtype`.
    """
    path = Path(path)
    stored = {name: _stored(name, tensor, dtype) for name, tensor in tensors.items()}
    if max_bytes is not None:
        stored = quantize_largest(stored, max_bytes)
    metadata = {'format': _FORMAT, 'info': json.dumps(dataclasses.asdict(info))}
    with replacing(path) as temporary:
        # Not save_file(), whose files only their owner may read, whatever the umask.
        temporary.write_bytes(serialize(stored, metadata))
    return path


def _stored(name: str, tensor: Tensor, dtype: torch.dtype | None) -> Tensor:
    tensor = tensor.detach().cpu()
    if tensor.is_floating_point():
        tensor = tensor.to(dtype or tensor.dtype)
        if not torch.isfinite(tensor).all():
            raise WeightsError(f'{name} is not finite as {tensor.dtype}; nothing was written')
    return tensor.contiguous()


def read_info(path: str | os.PathLike[str]) -> WeightsInfo:
    """Read the metadata of a weights file.

    Raises FileNotFoundError, and WeightsError for a file that is damaged or of another format.
    """
    with _open(Path(path)) as file:
        return _info(file, Path(path))


def load_into(network: nn.Module, path: str | os.PathLike[str], tracker: str) -> WeightsInfo:
    """Fill `network` with the weights in `path`, which must be those of `tracker`, strictly.

    Raises FileNotFoundError, or WeightsError for another tracker's file and for missing,
    unexpected or wrongly shaped tensors, each with its name. The network is then unchanged.
    """
    path = Path(path)
    with _open(path) as file:
        info = _info(file, path)
        if info.tracker != tracker:
            raise WeightsError(f'{path} holds weights of {info.tracker!r}, not of {tracker!r}')
        tensors = _tensors(file, path)
    load_tensors(network, tensors, str(path))
    return info


def load_part(part: nn.Module, name: str, source: str) -> None:
    """Fill part of a network, strictly, from the part `name` of the network in a weights file.

    source: the file, or the name of shipped weights. Raises FileNotFoundError and WeightsError.
    """
    path = Path(source) if source.endswith(SUFFIX) else shipped_path(source)
    with _open(path) as file:
        _info(file, path)
        tensors = _tensors(file, path)
    prefix = f'{name}.'
    found = {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    load_tensors(part, found, f'{name} in {path}')


def load_tensors(network: nn.Module, tensors: Mapping[str, Tensor], source: str) -> None:
    """Copy `tensors` into `network`, strictly; WeightsError names every tensor that is wrong."""
    own = network.state_dict()
    problems = [f'missing {name}' for name in own.keys() - tensors.keys()]
    problems += [f'unexpected {name}' for name in tensors.keys() - own.keys()]
    for name in own.keys() & tensors.keys():
        expected, found = tuple(own[name].shape), tuple(tensors[name].shape)
        if expected != found:
            problems.append(f'{name} has shape {found} instead of {expected}')
        elif not torch.isfinite(tensors[name]).all():
            problems.append(f'{name} is not finite')
    if problems:
        raise WeightsError(_misfit(source, sorted(problems), len(own)))
    network.load_state_dict(dict(tensors))


def _misfit(source: str, problems: list[str], expected: int) -> str:
    """Sentence about tensors that do not fit; short where nearly nothing does."""
    if len(problems) <= expected // 2 + 8:
        return f'{source} does not fit: ' + '; '.join(problems)
    return (
        f'{source} belongs to another network: {len(problems)} tensors do not fit '
        f'({expected} are expected), e.g. ' + '; '.join(problems[:3])
    )


def _open(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f'no weights file {path}; shipped are: {", ".join(shipped())}')
    try:
        return safe_open(path, framework='pt')
    except (SafetensorError, OSError) as error:
        with path.open('rb') as file:
            own = file.read(9)[8:] == b'{'
        if own:
            raise WeightsError(f'{path} is damaged, or was not written to its end') from None
        raise WeightsError(
            f'{path} is not a safetensors file ({error}); a published checkpoint must first be '
            'converted: python -m tracker_core.weights import FILE --tracker NAME'
        ) from None


def _tensors(file: Any, path: Path) -> dict[str, Tensor]:
    stored = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    try:
        return dequantize(stored)
    except WeightsError as error:
        raise WeightsError(f'{path}: {error}') from None


def _info(file: Any, path: Path) -> WeightsInfo:
    """What a file says about itself; entries of later versions are ignored."""
    metadata = file.metadata() or {}
    if metadata.get('format') != _FORMAT:
        raise WeightsError(f'{path} was not written by tracker_core (no {_FORMAT!r} metadata)')
    try:
        content = json.loads(metadata.get('info', 'null'))
    except ValueError:
        content = None
    known = {each.name for each in dataclasses.fields(WeightsInfo)}
    # Where they are missing the defaults, this version and today, would be wrong.
    values: dict[str, Any] = {'code_version': 'unknown', 'date': 'unknown'}
    values |= {k: v for k, v in content.items() if k in known} if type(content) is dict else {}
    if not isinstance(values.get('tracker'), str):
        raise WeightsError(f'{path}: its metadata does not say whose weights it holds')
    for name, kind in (('training_data', list), ('settings', dict)):
        if not isinstance(values.get(name, kind()), kind):
            raise WeightsError(f'{path}: {name} in its metadata is {values[name]!r}')
    training_data = tuple(values.pop('training_data', ()))
    return WeightsInfo(**values, training_data=training_data)


def shipped() -> tuple[str, ...]:
    """Names of the weights that come with the package."""
    return tuple(sorted(path.stem for path in PRETRAINED.glob('*' + SUFFIX)))


def shipped_path(name: str) -> Path:
    """Path of the shipped weights `name`; FileNotFoundError with advice if there are none."""
    path = PRETRAINED / (name + SUFFIX)
    if not path.is_file():
        raise FileNotFoundError(
            f'no weights are shipped for {name} (shipped: {", ".join(shipped()) or "none"}); '
            "pass weights='FILE.safetensors', made by training or by "
            "'python -m tracker_core.weights import', or weights='random' for a trial"
        )
    return path


def installed_path(name: str) -> Path:
    """Where the user's own weights `name` lie, or would lie."""
    return INSTALLED.expanduser() / (name + SUFFIX)


def default_path(name: str) -> Path:
    """Path of the weights `name` used where no file is given: the user's, else the shipped ones.

    FileNotFoundError with advice if there are none.
    """
    path = installed_path(name)
    return path if path.is_file() else shipped_path(name)


def has_weights(name: str) -> bool:
    """Whether weights `name` are installed or shipped."""
    return installed_path(name).is_file() or name in shipped()


def import_checkpoint(source: str | os.PathLike[str], network: nn.Module) -> Checkpoint:
    """Fill `network` from a published checkpoint without executing anything in that file.

    Accepts what `published.read_checkpoint` does. Batch-norm counters, absent in old files, are
    set to 0. Raises WeightsError for anything else and for a checkpoint of another network.
    """
    checkpoint = read_checkpoint(source)
    tensors = checkpoint.tensors
    for name in network.state_dict():
        if name.endswith('num_batches_tracked'):
            tensors.setdefault(name, torch.tensor(0))
    built = f' (built by {checkpoint.builder})' if checkpoint.builder else ''
    load_tensors(network, tensors, f'{source}{built}')
    return checkpoint
