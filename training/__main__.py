"""Command line of the training: see `python -m training --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from tracker_core.weights import WeightsError
from training import strict_yaml
from training.checkpoint import CheckpointError
from training.datasets import DataError
from training.loop import DivergedError, Run, StoppedError
from training.recipe import DiMPRecipe, Recipe, RecipeError, read_recipe

EPILOG = """\
examples:
  python -m training config/training/siamfc_small.yaml
  python -m training config/training/dimp18_recordings.yaml --data ~/recordings \
      --start-from tracker_core/pretrained/dimp18.safetensors
  python -m training config/training/siamfc_small.yaml --set schedule.epochs=2
  python -m training config/training/siamfc_small.yaml --resume runs/siamfc_small/last.pt
  python -m training config/training/siamfc_small.yaml --start-from mine.safetensors
  python -m training check-data config/training/siamfc_small.yaml
  tensorboard --logdir runs
  python -m training throughput config/training/siamfc_small.yaml --steps 20
  python -m training config/training/udt.yaml --data my_bag.mcap
  torchrun --nproc-per-node=2 -m training config/training/siamfc_small.yaml
  python -m training export runs/siamfc_small --output mine.safetensors
  python -m training calibrate mine.safetensors clips/a clips/b clips/c

Ctrl-C saves the run, a second one ends it at once; --resume goes on exactly where it stopped.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, or another command given as first argument; returns the exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        command = COMMANDS.get(arguments[0]) if arguments else None
        return _train(arguments) if command is None else command(arguments[1:])
    except (
        RecipeError,
        DataError,
        CheckpointError,
        WeightsError,
        DivergedError,
        OSError,
    ) as error:
        print(f'error: {_told(error)}', file=sys.stderr)
        return 1


def _told(error: Exception) -> str:
    """Message of an error; of one that a worker process raised, without its trace."""
    text = str(error)
    if not text.startswith('Caught '):
        return text
    return text.rstrip().rsplit('\n', 1)[-1].partition(': ')[2]


def _train(arguments: list[str]) -> int:
    options = _train_parser().parse_args(arguments)
    if options.fresh and not options.start_from:
        raise RecipeError('--fresh leaves out a part of --start-from FILE, which is missing')
    recipe = _read_recipe(options)
    folder = Path(recipe.output)
    if not options.resume and (folder / 'last.pt').exists():
        raise RecipeError(
            f'{folder} already holds a run: pass --resume {folder / "last.pt"} to go on with it, '
            'or another --output'
        )
    run = Run(recipe, folder)
    if options.resume:
        run.resume(options.resume)
    elif options.start_from:
        run.start_from(options.start_from, tuple(options.fresh))
    try:
        run.train(profile=options.profile)
    except StoppedError as stopped:
        text = f'{stopped}; go on with --resume {folder / "last.pt"}'
        run.log.note(text)
        print(text, file=sys.stderr)
        return 128 + stopped.number
    run.log.say(f'done; export the weights with: python -m training export {folder}')
    return 0


def _export(arguments: list[str]) -> int:
    from training.export import export, find_checkpoint

    parser = argparse.ArgumentParser(
        prog='python -m training export',
        description='Write the weights of a run in the format build_tracker() loads.',
    )
    parser.add_argument(
        'checkpoints',
        type=Path,
        nargs='+',
        metavar='RUN',
        help='folder of a run, of which best.pt is taken or else last.pt, or a checkpoint; '
        'several where each trained other parts',
    )
    parser.add_argument(
        '--output', type=Path, help='.safetensors file (default: named after the tracker, in RUN)'
    )
    parser.add_argument(
        '--max-megabytes',
        type=float,
        help='store the largest tensors in 8 bits, as many as it takes to get below this size',
    )
    options = parser.parse_args(arguments)
    limit = options.max_megabytes
    sources = [find_checkpoint(path) for path in options.checkpoints]
    written = export(sources, options.output, None if limit is None else int(limit * 1e6))
    print(f'wrote {written} from {", ".join(map(str, sources))}')
    return 0


def _calibrate(arguments: list[str]) -> int:
    from training.confidence import calibrate

    parser = argparse.ArgumentParser(
        prog='python -m training calibrate',
        description='Fit the confidence of weights on annotated clips and store it in the file.',
    )
    parser.add_argument('weights', type=Path, help='.safetensors file, rewritten in place')
    parser.add_argument(
        'clips',
        type=Path,
        nargs='+',
        help='folders with groundtruth.txt and clip.mp4 that were not trained on',
    )
    options = parser.parse_args(arguments)
    for name, value in asdict(calibrate(options.weights, options.clips)).items():
        print(f'{name.replace("_", " ")}: {value:.4g}')
    return 0


def _features(arguments: list[str]) -> int:
    from training.dimp_examples import store_features

    parser = argparse.ArgumentParser(
        prog='python -m training features',
        description='Store the features of a frozen backbone that a recipe trains on. Training '
        'may start once the first are there; stopped and started again it goes on.',
    )
    _add_recipe_options(parser)
    parser.add_argument('--shard', type=int, default=0, help='part of the work, from 0')
    parser.add_argument('--shards', type=int, default=1, help='number of parts')
    options = parser.parse_args(arguments)
    recipe = _read_recipe(options)
    if not isinstance(recipe, DiMPRecipe):
        raise RecipeError(
            f'{options.recipe} is a recipe of {recipe.recipe}, which stores no features of its '
            'own: name a recipe of DiMP, such as config/training/dimp18_small.yaml'
        )
    print(f'stored in {store_features(recipe, options.shard, options.shards)}')
    return 0


def _check_data(arguments: list[str]) -> int:
    from training import check_data

    parser = argparse.ArgumentParser(
        prog='python -m training check-data',
        description='Say what a recipe will train on, and show what the network will see.',
    )
    _add_recipe_options(parser)
    parser.add_argument(
        '--sheet', type=Path, default=Path('check_data.png'), help='picture to write'
    )
    parser.add_argument('--examples', type=int, default=8, help='rows of the picture')
    parser.add_argument('--decode', action='store_true', help='read every single image too')
    options = parser.parse_args(arguments)
    recipe = _read_recipe(options)
    print(check_data.describe(check_data.count_sources(recipe)))
    unreadable = check_data.unreadable_images(recipe) if options.decode else []
    for problem in unreadable:
        print(f'unreadable: {problem}', file=sys.stderr)
    check_data.write_contact_sheet(recipe, options.sheet, options.examples)
    print(f'wrote {options.sheet}')
    return 1 if unreadable else 0


def _throughput(arguments: list[str]) -> int:
    from training.throughput import measure, trace

    parser = argparse.ArgumentParser(
        prog='python -m training throughput',
        description='Measure how fast a recipe trains here, without training anything.',
    )
    _add_recipe_options(parser)
    parser.add_argument('--steps', type=int, default=20, help='number of batches to measure')
    parser.add_argument(
        '--profile', type=Path, metavar='FOLDER', help='also write a trace of some steps there'
    )
    options = parser.parse_args(arguments)
    recipe = _read_recipe(options)
    found = measure(recipe, options.steps, Path(recipe.output))
    print(f'{found.examples_per_second:.1f} examples per second')
    print(f'{1000 * found.seconds_per_step:.0f} ms per step of {recipe.schedule.batch_size}')
    print(f'{100 * found.waiting:.0f} % of the time waiting for data')
    if options.profile is not None:
        print(trace(recipe, options.profile))
    return 0


def _train_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog='python -m training',
        description='Train the network of a tracker as a recipe says.',
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_recipe_options(parser)
    start = parser.add_mutually_exclusive_group()
    start.add_argument(
        '--resume', type=Path, metavar='CHECKPOINT', help='go on with a run, exactly'
    )
    start.add_argument(
        '--start-from',
        type=Path,
        metavar='FILE',
        help='begin a new run with the weights of a checkpoint or of a .safetensors file',
    )
    parser.add_argument(
        '--fresh',
        action='append',
        default=[],
        metavar='PART',
        help='with --start-from: a part that begins anew, e.g. regressor_72; may be repeated',
    )
    parser.add_argument(
        '--profile',
        action='store_true',
        help='also write where the time of some steps goes into the folder of the run',
    )
    return parser


def _add_recipe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        'recipe', type=Path, help='YAML file, e.g. config/training/siamfc_small.yaml'
    )
    parser.add_argument('--data', help='folder with the data, or one recording, instead of `data`')
    parser.add_argument('--output', help='folder of the run, instead of `output` in the recipe')
    parser.add_argument(
        '--set',
        action='append',
        default=[],
        metavar='KEY=VALUE',
        help='change one value of the recipe, e.g. schedule.epochs=2; may be repeated',
    )


def _read_recipe(options: argparse.Namespace) -> Recipe:
    changes = dict(_parse_change(text) for text in options.set)
    for key in ('data', 'output'):
        if getattr(options, key) is not None:
            changes[key] = getattr(options, key)
    return read_recipe(options.recipe, changes)


def _parse_change(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition('=')
    if not separator:
        raise RecipeError(f'--set {text!r}: write KEY=VALUE, e.g. schedule.epochs=2')
    try:
        return key, strict_yaml.load(value)
    except yaml.YAMLError as error:
        raise RecipeError(f'--set {text!r}: {value!r} is no valid YAML') from error


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    'calibrate': _calibrate,
    'check-data': _check_data,
    'export': _export,
    'features': _features,
    'throughput': _throughput,
}


if __name__ == '__main__':
    sys.exit(main())
