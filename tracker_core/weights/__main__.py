"""Look at weights files and convert published checkpoints.

python -m tracker_core.weights show FILE.safetensors
python -m tracker_core.weights import dimp50.pth
python -m tracker_core.weights import checkpoint.pth --tracker prdimp18
python -m tracker_core.weights import fcot.pth --install
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import Any

from tracker_core.factory import build_network, default_settings, network_name, tracker_names
from tracker_core.settings import override
from tracker_core.weights import (
    SUFFIX,
    Checkpoint,
    WeightsInfo,
    default_path,
    has_weights,
    import_checkpoint,
    installed_path,
    read_info,
    save,
)


def _import(arguments: argparse.Namespace) -> None:
    source = Path(arguments.checkpoint)
    tracker = arguments.tracker or _tracker_of(source)
    network = build_network(tracker)
    checkpoint = import_checkpoint(source, network)
    if arguments.install:
        output = installed_path(network_name(tracker))
        output.parent.mkdir(parents=True, exist_ok=True)
    else:
        output = Path(arguments.output or source.with_suffix(SUFFIX))
    info = WeightsInfo(
        network_name(tracker),
        training_data=(f'as published in {source.name}',),
        licence=arguments.licence,
        settings=_settings_in(checkpoint, tracker),
        notes='imported from a published checkpoint',
    )
    save(output, network.state_dict(), info, dtype=None)
    file = '' if arguments.install else f", '{output}'"
    print(f"{output} written; use it with build_tracker('{tracker}'{file})")


def _settings_in(checkpoint: Checkpoint, tracker: str) -> dict[str, Any]:
    """Arguments of the published network that are settings of the tracker here."""
    default = default_settings(tracker)
    known = {field.name for field in dataclasses.fields(default)}
    found = {name: value for name, value in checkpoint.arguments.items() if name in known}
    changed = override(default, found)
    return {name: getattr(changed, name) for name in found}


def _tracker_of(source: Path) -> str:
    """Tracker that a file is named after: dimp50.pth, siamfc_alexnet_e50.pth."""
    named = [name for name in tracker_names() if source.name.startswith(name)]
    if not named:
        raise ValueError(
            f'{source.name} is not named after a tracker: say whose checkpoint it is with '
            f'--tracker, one of {", ".join(tracker_names())}'
        )
    return max(named, key=len)


def _show(arguments: argparse.Namespace) -> None:
    is_name = has_weights(arguments.file) and not Path(arguments.file).is_file()
    path = default_path(arguments.file) if is_name else arguments.file
    for key, value in dataclasses.asdict(read_info(path)).items():
        print(f'{key}: {value}')


def main(argv: list[str] | None = None) -> int:
    """Command line: show metadata, import published checkpoints."""
    parser = argparse.ArgumentParser(
        'python -m tracker_core.weights',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    show = commands.add_parser('show', help='print what a weights file says about itself')
    show.add_argument('file', help='weights file, or the name of shipped weights, e.g. dimp18')
    show.set_defaults(run=_show)
    importer = commands.add_parser('import', help='convert a published checkpoint')
    importer.add_argument('checkpoint', help='e.g. dimp50.pth; nothing in it is run')
    importer.add_argument('--tracker', help='its tracker (default: the one it is named after)')
    target = importer.add_mutually_exclusive_group()
    target.add_argument('--output', help='default: beside the checkpoint, .safetensors')
    target.add_argument(
        '--install',
        action='store_true',
        help='make it what the tracker uses where no file is given',
    )
    importer.add_argument('--licence', default='unknown', help='licence to note in the file')
    importer.set_defaults(run=_import)
    arguments = parser.parse_args(argv)
    try:
        arguments.run(arguments)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
