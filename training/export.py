"""From a checkpoint to the weights file that `build_tracker` loads."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from tracker_core import weights
from training import checkpoint
from training.checkpoint import CheckpointError
from training.start import combine


def find_checkpoint(path: Path) -> Path:
    """Checkpoint that a path names: of the folder of a run `best.pt`, or else `last.pt`."""
    if not path.is_dir():
        return path
    best = path / 'best.pt'
    return best if best.is_file() else path / 'last.pt'


def export(
    sources: Sequence[Path], target: Path | None = None, max_bytes: int | None = None
) -> Path:
    """Write the weights of a checkpoint as fp16 safetensors with their origin; returns the file.

    The settings of the weights that a run started from go with those it made.

    target: if None it has the name of the tracker and lies beside the first checkpoint. Of runs
    that each trained other parts of one network, all checkpoints are given: every part is taken
    from the run that trained it. A file of more than `max_bytes` has its largest tensors in 8
    bits. Raises CheckpointError where the checkpoints do not fit together.
    """
    states = [checkpoint.load(source) for source in sources]
    info = combine(states, '; '.join(_describe(state) for state in states))
    target = target or sources[0].parent / f'{info.tracker}{weights.SUFFIX}'
    return weights.save(target, _merge(states), info, max_bytes=max_bytes)


def _merge(states: list[dict[str, Any]]) -> dict[str, Tensor]:
    tensors = dict(states[0]['exported'])
    trained = [_prefixes(state) for state in states]
    if any(state['recipe']['recipe'] != states[0]['recipe']['recipe'] for state in states):
        raise CheckpointError('the checkpoints are of different networks')
    pairs = [(prefix, state) for own, state in zip(trained, states, strict=True) for prefix in own]
    # A part of a part last: that of the run which trained the whole is left as it was drawn.
    for prefix, state in sorted(pairs, key=lambda pair: len(pair[0])):
        tensors |= {k: v for k, v in state['exported'].items() if k.startswith(prefix)}
    named = [prefix for prefix, _ in pairs]
    if len(states) > 1 and len(set(named)) < len(named):
        raise CheckpointError(
            f'several checkpoints trained the same part (of {", ".join(sorted(set(named)))}): '
            'name one for each part'
        )
    return tensors


def _prefixes(state: dict[str, Any]) -> tuple[str, ...]:
    """Beginnings of the names of the tensors that a run trained; '' for all."""
    parts = state['recipe']['settings'].get('parts', ('',))
    return tuple('feature_extractor.' if part == 'backbone' else part for part in parts)


def _describe(state: dict[str, Any]) -> str:
    recipe = state['recipe']
    held_out = (*recipe['held_out'], *(each['path'] for each in recipe.get('validation', ())))
    schedule, parts = recipe['schedule'], recipe['settings'].get('parts', ())
    trained = ', '.join(parts) or ('all, without labels' if recipe['recipe'] == 'udt' else 'all')
    return (
        f'{trained}: {state["examples"]} training examples, {state["step"]} '
        f'steps in batches of {schedule["batch_size"]}, {state["epoch"]} of {schedule["epochs"]} '
        f'epochs; held out for validation: {", ".join(held_out) or "nothing"}'
    )
