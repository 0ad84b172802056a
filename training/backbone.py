"""Weights that a frozen or fine-tuned backbone starts from."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from tracker_core.resnet import ResNet, resnet18, resnet50
from training.datasets import DataError

if TYPE_CHECKING:
    from training.recipe import DiMPRecipe


def load_backbone(recipe: DiMPRecipe) -> ResNet:
    """Backbone with the weights the recipe names; a file may hold more than three stages.

    Raises DataError where the file is missing or is no such backbone.
    """
    path = Path(recipe.data) / recipe.backbone
    if not path.is_file():
        raise DataError(f'no backbone weights at {path}: correct `backbone` in the recipe')
    network = resnet18() if recipe.recipe.endswith('18') else resnet50()
    unused = ('layer4.', 'fc.')
    try:
        state = torch.load(path, map_location='cpu', weights_only=True)
        state = {k: v.float() for k, v in state.items() if not k.startswith(unused)}
        network.load_state_dict(state)
    except Exception as error:  # of many kinds: the file may hold anything
        gist = str(error).strip().partition('\n')[0]
        raise DataError(f'{path} is not the backbone of {recipe.recipe}: {gist}') from error
    return network
