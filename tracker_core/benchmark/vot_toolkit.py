"""Trackers for the official vot-toolkit (anchor-based protocol of VOT2020 and later).

The toolkit starts trackers as processes and talks to them over TraX. In the environment of this
package: ``pip install vot-trax``; in one of its own: ``pip install vot-toolkit==0.7.4
attributee==0.1.8`` (tried with 0.7.4; 0.8.1 and 0.9.0 fail in the anchor-based experiment with
"ObjectQuery.state must be a Region"). Then

    python -m tracker_core.benchmark.vot_toolkit --write-ini trackers.ini siamfc csrt
    vot test siamfc                                   (in the folder of trackers.ini)
    vot initialize --workspace . vot2022/shorttermbox
    vot evaluate --workspace . siamfc csrt
    vot analysis --workspace . siamfc csrt
"""

from __future__ import annotations

import argparse
import configparser
import importlib
import os
import shlex
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import tracker_core
from tracker_core import Box, Tracker
from tracker_core.atomic import replacing
from tracker_core.benchmark.trackers import TrackerSpec, known_trackers
from tracker_core.video import read_image


def main(argv: list[str] | None = None) -> int:
    """Write trackers.ini, or serve one tracker until the toolkit quits; returns the status."""
    parser = argparse.ArgumentParser(
        'python -m tracker_core.benchmark.vot_toolkit',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('trackers', nargs='+', help=f'of {", ".join(known_trackers())}')
    parser.add_argument('--write-ini', type=Path, metavar='FILE', help='list trackers for vot')
    parser.add_argument('--weights', help="weights file or 'random'; folder of ONNX files")
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    arguments = parser.parse_args(argv)
    try:
        specs = [
            TrackerSpec(name, name, arguments.weights, arguments.device)
            for name in arguments.trackers
        ]
        if arguments.write_ini:
            write_ini(arguments.write_ini, specs)
            return 0
        if len(specs) != 1:
            raise ValueError('one tracker is served at a time; --write-ini takes several')
        serve(specs[0].build(), _trax())
    except (OSError, ValueError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


def write_ini(path: Path, specs: list[TrackerSpec]) -> None:
    """Write (or complete) the registry in which vot-toolkit looks for trackers.

    Raises ValueError for an unknown tracker.
    """
    registry = configparser.ConfigParser(interpolation=None)
    registry.optionxform = str  # type: ignore[assignment, method-assign]
    registry.read(path, encoding='utf-8')
    for spec in specs:
        if spec.name not in known_trackers():
            raise ValueError(
                f'unknown tracker {spec.name!r}; valid: {", ".join(known_trackers())}'
            )
        words = [sys.executable, '-m', 'tracker_core.benchmark.vot_toolkit', spec.name]
        if spec.weights:
            known = spec.weights == 'random'
            words += ['--weights', spec.weights if known else str(Path(spec.weights).resolve())]
        words += ['--device', spec.device]
        registry[spec.label] = {
            'label': spec.label,
            'protocol': 'trax',
            'command': shlex.join(words),
            'timeout': '120',
            'env_PYTHONPATH': _python_path(),
        }
    with replacing(path) as temporary, temporary.open('w', encoding='utf-8') as file:
        registry.write(file)


def serve(tracker: Tracker, trax: Any) -> None:
    """Answer the toolkit's requests with boxes until it quits.

    trax: the module of that name. The toolkit turns masks and polygons into boxes for us.
    """
    formats = [trax.Region.RECTANGLE], [trax.Image.PATH]
    with trax.Server(*formats, tracker_name=type(tracker).__name__) as server:
        while True:
            request = server.wait()
            if request.type not in (trax.TraxStatus.INITIALIZE, trax.TraxStatus.FRAME):
                return
            image = read_image(Path(request.image[trax.ImageChannel.COLOR].path()))
            if request.type == trax.TraxStatus.INITIALIZE:
                region = request.objects[0][0]
                tracker.initialize(image, Box(*map(float, region.bounds())))
                server.status([(region, {})])
            else:
                estimate = tracker.track(image)
                answer = trax.Rectangle.create(*estimate.box.as_ltwh())
                server.status([(answer, {'confidence': estimate.confidence})])


def _python_path() -> str:
    """Where this package was imported from, then what the toolkit's own environment says."""
    own = str(Path(tracker_core.__file__).parents[1])
    return f'{own}{os.pathsep}${{PYTHONPATH}}'


def _trax() -> ModuleType:
    try:
        return importlib.import_module('trax')
    except ImportError as error:
        raise RuntimeError(f'no TraX protocol ({error}): pip install vot-trax') from None


if __name__ == '__main__':
    sys.exit(main())
