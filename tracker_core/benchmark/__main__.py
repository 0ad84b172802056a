"""Evaluate trackers.

python -m tracker_core.benchmark run --dataset folders --root DIR --trackers siamfc,csrt,kcf
python -m tracker_core.benchmark report --dataset folders --root DIR
python -m tracker_core.benchmark run --dataset synthetic    # rendered scenes, no files needed
python -m tracker_core.benchmark speed
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from tracker_core import tracker_names
from tracker_core.atomic import replacing
from tracker_core.benchmark.baselines import available_baselines
from tracker_core.benchmark.compare import MEASURES, compare, comparison_text
from tracker_core.benchmark.dataset import Dataset
from tracker_core.benchmark.evaluation import evaluate, evaluate_vot
from tracker_core.benchmark.one_pass import RULES, Convention
from tracker_core.benchmark.process_pool import limit_threads
from tracker_core.benchmark.readers import dataset_names, open_dataset
from tracker_core.benchmark.readers.scenes import SYNTHETIC
from tracker_core.benchmark.report import Report, html_report, markdown_report, update_document
from tracker_core.benchmark.results import ResultFolder, result_folders
from tracker_core.benchmark.runner import RunOptions, memory_megabytes, run
from tracker_core.benchmark.speed import measure, speed_table, steps_table, synthetic_video
from tracker_core.benchmark.submission import pack
from tracker_core.benchmark.tables import markdown, summary_table
from tracker_core.benchmark.trackers import TrackerSpec, known_trackers
from tracker_core.benchmark.vot_report import vot_html, vot_markdown, vot_table
from tracker_core.factory import default_settings, weights_name
from tracker_core.weights import default_path


def main(argv: list[str] | None = None) -> int:
    """Run the command line. 0: all went well, 1: some sequence failed, 2: could not start."""
    arguments = _parser().parse_args(argv)
    try:
        status: int = arguments.command(arguments)
    except (OSError, ValueError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print('interrupted: finished sequences are kept, run again to go on', file=sys.stderr)
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'python -m tracker_core.benchmark',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True)
    _add_run(commands.add_parser('run', help='run trackers over a data set'))
    _add_report(commands.add_parser('report', help='score results and write tables and plots'))
    _add_compare(commands.add_parser('compare', help='is B better than A? paired bootstrap'))
    _add_pack(commands.add_parser('pack', help='zip results for an evaluation server'))
    _add_speed(commands.add_parser('speed', help='frames per second and what takes the time'))
    return parser


def _add_dataset(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        '--dataset', default='folders', help=f'one of {", ".join(dataset_names())}'
    )
    parser.add_argument(
        '--root', help='folder of the data set (default: $DATASET_ROOT); synthetic has none'
    )
    parser.add_argument('--sequences', help='only these, separated by commas')
    parser.add_argument('--results', type=Path, default=Path('results'), help='where results go')


def _add_trackers(parser: argparse.ArgumentParser, default: tuple[str, ...]) -> None:
    parser.add_argument(
        '--trackers',
        default=','.join(default),
        help=f'separated by commas: {", ".join(known_trackers())}',
    )
    parser.add_argument('--weights', help="file or 'random', for trackers of this package")
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', dest='changes')
    parser.add_argument('--label', help='name for the results of a single tracker')
    parser.add_argument('--nano', metavar='DIR', help='folder of the ONNX files of nano')
    parser.add_argument('--vit', metavar='DIR', help='folder of the ONNX file of vit')
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--seed', type=int, default=0)


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_dataset(parser)
    _add_trackers(parser, tuple(filter(_has_weights, tracker_names())))
    parser.add_argument('--workers', type=int, default=1, help='processes')
    parser.add_argument('--threads', type=int, default=1, help='threads per process')
    parser.add_argument('--repeat', type=int, default=1, help='repetitions per sequence')
    parser.add_argument(
        '--keep',
        type=int,
        default=memory_megabytes() // 4,
        metavar='MB',
        help='memory in all for decoded images, for the next tracker on a sequence; 0: none '
        '(default: a quarter of what there is, %(default)s)',
    )
    parser.set_defaults(command=_run)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    _add_dataset(parser)
    parser.add_argument('first', metavar='A', help='label of the results to compare with')
    parser.add_argument('second', metavar='B', help='label of the results that are judged')
    parser.add_argument('--confidence', type=float, default=0.95)
    parser.set_defaults(command=_compare)


def _add_pack(parser: argparse.ArgumentParser) -> None:
    _add_dataset(parser)
    parser.add_argument('--trackers', help='labels separated by commas (default: all)')
    parser.set_defaults(command=_pack)


def _add_speed(parser: argparse.ArgumentParser) -> None:
    # One of each network: variants of it are as fast, and others run on random weights if named.
    own = filter(_has_weights, tracker_names())
    quick = (name for name in available_baselines() if name != 'mil')
    _add_trackers(parser, (*own, *quick))
    parser.add_argument('--frames', type=int, default=60)
    parser.add_argument('--threads', type=int, help='of PyTorch and OpenCV (default: theirs)')
    parser.set_defaults(command=_speed)


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_dataset(parser)
    parser.add_argument('--trackers', help='only these, separated by commas (default: all)')
    parser.add_argument('--convention', choices=RULES, default='exclude')
    parser.add_argument('--truncate', action='store_true', help='cut boxes to integers first')
    parser.add_argument('--output', type=Path, help='folder of the report (default: the results)')
    parser.add_argument(
        '--update', type=Path, metavar='FILE', help='put the table into a document'
    )
    parser.add_argument('--moments', type=int, default=3, help='worst moments per tracker')
    parser.set_defaults(command=_report)


def _run(arguments: argparse.Namespace) -> int:
    dataset = _open(arguments)
    specs = _specs(arguments)
    options = RunOptions(
        workers=arguments.workers,
        threads=arguments.threads,
        repeat=arguments.repeat,
        seed=arguments.seed,
        kept_megabytes=arguments.keep,
    )
    failures = run(dataset, specs, arguments.results, options)
    for title, reason in failures.items():
        print(f'failed: {title}: {reason}', file=sys.stderr)
    return 1 if failures else 0


def _report(arguments: argparse.Namespace) -> int:
    dataset = _open(arguments)
    folders = _folders(arguments, dataset)
    output = arguments.output or arguments.results / dataset.name
    if dataset.protocol == 'vot':
        vot = [evaluate_vot(dataset, folder) for folder in folders]
        print(markdown(*vot_table(vot)))
        return _write(output, vot_markdown(dataset, vot), vot_html(dataset, vot))
    convention = Convention(arguments.convention, dataset.family, arguments.truncate)
    pairs = [(evaluate(dataset, folder, convention), folder) for folder in folders]
    report = Report.of(dataset, pairs, convention)
    print(markdown(*summary_table(report.evaluations)))
    if arguments.update:
        update_document(arguments.update, report)
        print(f'updated: {arguments.update}')
    return _write(output, markdown_report(report), html_report(report, arguments.moments))


def _write(output: Path, markdown_text: str, html_text: str) -> int:
    for name, text in (('report.md', markdown_text), ('report.html', html_text)):
        with replacing(output / name) as temporary:
            temporary.write_text(text, encoding='utf-8')
        print(f'written: {output / name}')
    return 0


def _compare(arguments: argparse.Namespace) -> int:
    dataset = _open(arguments)
    arguments.trackers = f'{arguments.first},{arguments.second}'
    if not 0 < arguments.confidence < 1:
        raise ValueError(f'--confidence must lie between 0 and 1, not {arguments.confidence}')
    scores = {each.label: evaluate(dataset, each).scores for each in _folders(arguments, dataset)}
    first, second = scores[arguments.first], scores[arguments.second]
    comparisons = [
        compare(first, second, measure, confidence=arguments.confidence) for measure in MEASURES
    ]
    print(comparison_text(arguments.first, arguments.second, comparisons))
    return 0


def _pack(arguments: argparse.Namespace) -> int:
    dataset = _open(arguments)
    for folder in _folders(arguments, dataset):
        path = folder.path.with_name(f'{folder.label}.zip')
        count = pack(dataset, folder, path)
        print(f'written: {path} ({count} files)')
    return 0


def _speed(arguments: argparse.Namespace) -> int:
    if arguments.frames < 10:
        raise ValueError(f'--frames must be at least 10, not {arguments.frames}')
    if arguments.threads:
        limit_threads(arguments.threads)
    images, box = synthetic_video(arguments.frames, arguments.seed)
    results = []
    for spec in map(_with_any_weights, _specs(arguments)):
        results.append(measure(spec, images, box))
        print(f'{spec.label}: {results[-1].fps:.1f} frames/s', file=sys.stderr)
    print(f'{arguments.frames} frames of 640 x 480, medians, {results[0].device}\n')
    print(markdown(*speed_table(results)))
    print()
    print(markdown(*steps_table(results)))
    return 0


def _with_any_weights(spec: TrackerSpec) -> TrackerSpec:
    """Random weights where none are shipped; what they see counts as found, to be as slow."""
    if spec.weights is None and spec.name in tracker_names() and not _finds_weights(spec.name):
        decides = hasattr(default_settings(spec.name), 'not_found')
        found = {'not_found': -1e9} if decides else {}
        return replace(spec, weights='random', settings={**found, **spec.settings})
    return spec


def _finds_weights(name: str) -> bool:
    try:
        default_path(weights_name(name))
    except FileNotFoundError:
        return False
    return True


def _has_weights(name: str) -> bool:
    """Whether weights of just this name are shipped, not only those of a variant or instead."""
    return weights_name(name) == name and _finds_weights(name)


def _folders(arguments: argparse.Namespace, dataset: Dataset) -> list[ResultFolder]:
    wanted = arguments.trackers.split(',') if arguments.trackers else None
    found = result_folders(arguments.results, dataset)
    chosen = [each for each in found if wanted is None or each.label in wanted]
    if not chosen or (wanted and len(chosen) < len(wanted)):
        raise FileNotFoundError(
            f'{arguments.results / dataset.name} holds results of: '
            f'{", ".join(each.label for each in found) or "nothing"}; run the missing ones first'
        )
    return chosen


def _open(arguments: argparse.Namespace) -> Dataset:
    root = arguments.root
    if root is None and arguments.dataset != SYNTHETIC:
        root = os.environ.get('DATASET_ROOT')
    only = arguments.sequences.split(',') if arguments.sequences else None
    return open_dataset(arguments.dataset, root, only)


def _specs(arguments: argparse.Namespace) -> list[TrackerSpec]:
    names = arguments.trackers.split(',')
    settings = dict(map(_change, arguments.changes))
    if (arguments.label or settings) and len(names) > 1:
        raise ValueError('--label and --set take a single tracker in --trackers')
    label = arguments.label
    if label and (label == '..' or Path(label).name != label):
        raise ValueError(f'--label {arguments.label!r} is no name of a folder')
    folders = {'nano': arguments.nano, 'vit': arguments.vit}
    return [
        TrackerSpec(
            name=name,
            label=arguments.label or name,
            weights=folders.get(name, arguments.weights if name in tracker_names() else None),
            device=arguments.device,
            settings=settings,
            seed=arguments.seed,
        )
        for name in names
    ]


def _change(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition('=')
    if not separator:
        raise ValueError(f'--set takes KEY=VALUE, not {text!r}')
    try:
        return key, yaml.load(value, _Loader)
    except yaml.YAMLError:
        raise ValueError(f'--set {text!r}: {value!r} is no valid YAML') from None


class _Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, which is a word in YAML 1.1."""


_Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float', re.compile(r'[-+]?\d+(\.\d*)?[eE][-+]?\d+$'), list('-+0123456789')
)


if __name__ == '__main__':
    sys.exit(main())
