"""From a checkpoint to the weights file that `build_tracker` loads."""

from __future__ import annotations

from pathlib import Path

from tracker_core import weights
from training import checkpoint


def export(source: Path, target: Path) -> Path:
    """Write the weights of a checkpoint as fp16 safetensors with their origin."""
    state = checkpoint.load(source)
    recipe = state['recipe']
    schedule = recipe['schedule']
    notes = (
        f'{state["pairs"]} training pairs; the last {state["step"]} steps in batches of '
        f'{schedule["batch_size"]}, learning rate {schedule["initial_rate"]:g} to '
        f'{schedule["final_rate"]:g}; '
        f'held out for validation: {", ".join(recipe["held_out"]) or "nothing"}'
    )
    info = weights.WeightsInfo(
        tracker=recipe['recipe'],
        training_data=tuple(recipe['training_data']),
        licence=recipe['licence'] or 'unknown',
        notes=notes,
    )
    return weights.save(target, state['exported'], info)
