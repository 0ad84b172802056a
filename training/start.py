"""Weights that a run starts from, and what is known of them and goes with those it makes."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from tracker_core import weights
from training import checkpoint
from training.recipe import Recipe, RecipeError


@dataclass(frozen=True)
class Start:
    """What a run takes over from the weights that it starts from."""

    before: weights.WeightsInfo
    examples: int = 0
    """Training examples of the run that made them; of a weights file it is not known."""


def start_from(network: nn.Module, path: Path, tracker: str, fresh: tuple[str, ...] = ()) -> Start:
    """Give a network the weights of a checkpoint, or of a weights file (.safetensors).

    fresh: parts of the network, by the beginnings of their names, that stay as they are. Raises
    RecipeError for one that does not exist, WeightsError for another network's file.
    """
    kept = _tensors_of(network, fresh)
    if path.suffix == weights.SUFFIX:
        start = Start(weights.load_into(network, path, tracker))
    else:
        state = checkpoint.load(path)
        of = f'{path}, a checkpoint of {checkpoint.tracker_of(state)},'
        weights.load_tensors(network, state['exported'], of)
        known = _joined([state])
        # Settings fit one tracker, e.g. confidences; its network may be that of another too.
        settings = known.settings if known.tracker == tracker else {}
        start = Start(replace(known, tracker=tracker, settings=settings), state['examples'])
    network.load_state_dict(kept, strict=False)
    return start


def combine(states: list[dict[str, Any]], notes: str) -> weights.WeightsInfo:
    """What is known of weights made by the runs of some checkpoints of one tracker.

    notes: how they were trained; follows on what is known of the weights they started from.
    """
    known = _joined(states)
    return replace(known, notes='; then '.join(filter(None, (known.notes, notes))))


def nothing(recipe: Recipe) -> weights.WeightsInfo:
    """What is known of weights that are drawn at random."""
    return weights.WeightsInfo(recipe.tracker, licence='')


def _joined(states: list[dict[str, Any]]) -> weights.WeightsInfo:
    """What the runs started from and what they trained on; settings of the first such weights."""
    earlier = [weights.WeightsInfo(**state['before']) for state in states if 'before' in state]
    recipes = [state['recipe'] for state in states]
    data = [each.training_data for each in earlier] + [each['training_data'] for each in recipes]
    licences = [each.licence for each in earlier] + [each['licence'] for each in recipes]
    terms = itertools.chain(*(licence.split('; ') for licence in licences))
    return weights.WeightsInfo(
        tracker=checkpoint.tracker_of(states[0]),
        training_data=tuple(dict.fromkeys(itertools.chain(*data))),
        licence='; '.join(dict.fromkeys(each for each in terms if each)) or 'unknown',
        settings=next((each.settings for each in earlier if each.settings), {}),
        notes='; then '.join(filter(None, dict.fromkeys(each.notes for each in earlier))),
    )


def _tensors_of(network: nn.Module, parts: tuple[str, ...]) -> dict[str, Tensor]:
    """Copies of the tensors of parts of a network."""
    tensors = network.state_dict()
    chosen: dict[str, Tensor] = {}
    for part in parts:
        found = {k: v.clone() for k, v in tensors.items() if k.startswith(f'{part}.')}
        if not found:
            valid = ', '.join(dict.fromkeys(name.split('.')[0] for name in tensors))
            raise RecipeError(f'the network has no part {part!r}; it has {valid}')
        chosen |= found
    return chosen
