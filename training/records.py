"""What a run leaves behind about itself: recipe, versions and a log."""

from __future__ import annotations

import json
import platform
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import torch
import yaml
from tqdm import tqdm

import tracker_core
from tracker_core.atomic import replacing
from training.recipe import Recipe, as_plain

_PACKAGES = ('numpy', 'safetensors', 'torchvision')


class RunLog:
    """What is told about a run, on the standard output and with the time in `log.txt`."""

    def __init__(self, folder: Path, *, silent: bool = False) -> None:
        self._path, self._silent = folder / 'log.txt', silent

    def say(self, text: str) -> None:
        """Print a line and append it to the file."""
        if self._silent:
            return
        tqdm.write(text)
        self.note(text)

    def note(self, text: str) -> None:
        """Append a line to the file only."""
        if self._silent:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open('a', encoding='utf-8') as file:
            file.write(f'{time.strftime("%Y-%m-%d %H:%M:%S")} {text}\n')


def describe(folder: Path, recipe: Recipe, processes: int) -> None:
    """Write `recipe.yaml` and `versions.json` into the folder of a run."""
    text = yaml.safe_dump(as_plain(recipe), sort_keys=False)
    with replacing(folder / 'recipe.yaml') as path:
        path.write_text(text)
    with replacing(folder / 'versions.json') as path:
        path.write_text(json.dumps(find_versions(processes), indent=2))


def find_versions(processes: int = 1) -> dict[str, Any]:
    """What else the course of a run depends on, by name."""
    found = torch.cuda.is_available()
    gpus = [torch.cuda.get_device_name(n) for n in range(torch.cuda.device_count() * found)]
    return {
        'tracker_core': tracker_core.__version__,
        'git': find_commit(Path(__file__).resolve().parents[1]),
        'torch': torch.__version__,
        'cuda': torch.version.cuda,
        'gpus': gpus,
        **{name: version for name in _PACKAGES if (version := _version(name))},
        'opencv': cv2.__version__,
        'python': platform.python_version(),
        'platform': platform.platform(),
        'threads': torch.get_num_threads(),
        'processes': processes,
        'command': shlex.join(sys.argv),
    }


def find_commit(checkout: Path) -> dict[str, Any] | None:
    """Commit of a checkout and whether its files are `changed`; None where it is none."""
    top = _git(checkout, 'rev-parse', '--show-toplevel')
    commit = _git(checkout, 'rev-parse', 'HEAD')
    changes = _git(checkout, 'status', '--porcelain')
    # Not of another checkout around it, such as one that holds an environment with the package.
    if not top or not commit or changes is None or Path(top).resolve() != checkout.resolve():
        return None
    return {'commit': commit, 'changed': bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    """Output of git; None where that fails or there is no git."""
    command = ['git', '-C', str(folder), *arguments]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() if ended.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
