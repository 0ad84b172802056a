"""Backbones come from files that may hold anything."""

from pathlib import Path
from typing import Any

import pytest
import torch

from training.backbone import load_backbone
from training.datasets import DataError
from training.recipe import DiMPRecipe


@pytest.mark.parametrize('content', [b'garbage', [1, 2], {'a': 'text'}, {'a': torch.ones(1)}])
def test_other_files_are_told_in_one_line(tmp_path: Path, content: Any) -> None:
    path = tmp_path / 'backbone.pth'
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        torch.save(content, path)
    recipe = DiMPRecipe(data=str(tmp_path), backbone='backbone.pth')
    with pytest.raises(DataError, match=r'backbone\.pth is not the backbone of dimp18: ') as told:
        load_backbone(recipe)
    assert '\n' not in str(told.value)
