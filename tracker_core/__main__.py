"""Track one object through a video and save what was found.

python -m tracker_core clip.mp4 --model dimp18 --box 120 80 60 90 --output out.mp4
python -m tracker_core frames/  --box 120,80,60,90 --save boxes.txt
python -m tracker_core clip.mp4                      (draw the box with the mouse)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import numpy as np
from tqdm import tqdm

from tracker_core import Box, Estimate, Tracker, TrackState, build_tracker, tracker_names
from tracker_core.drawing import draw_estimate
from tracker_core.first_box import ask_for_box, parse_box
from tracker_core.sequence import write_boxes
from tracker_core.tracker import Image
from tracker_core.video import FrameSource, IncompleteVideoWarning, VideoWriter, open_video


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        return _run(arguments)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted: nothing was written', file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'python -m tracker_core',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('video', help='video file, folder of images, or camera number')
    parser.add_argument('--model', default='dimp18', help=f'one of: {", ".join(tracker_names())}')
    parser.add_argument(
        '--box',
        nargs='+',
        metavar='N',
        help='target in the first frame: LEFT TOP WIDTH HEIGHT in pixels; without it, draw it',
    )
    parser.add_argument('--weights', help="weights file, or 'random' (default: the shipped ones)")
    parser.add_argument('--device', default='auto', help='auto, cpu, cuda or cuda:N')
    parser.add_argument('--output', help='write a video with the box drawn, e.g. out.mp4')
    parser.add_argument('--save', help='write one box per line: left,top,width,height')
    return parser


def _run(arguments: argparse.Namespace) -> int:
    """Track and save, also what came before a failure or Ctrl-C; returns the status."""
    box = parse_box(arguments.box) if arguments.box else None
    source = open_video(arguments.video)
    output = VideoWriter(arguments.output, source.fps) if arguments.output else None
    tracker = build_tracker(arguments.model, arguments.weights, device=arguments.device)
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        raise ValueError(f'{arguments.video} holds no frames')
    box = box or ask_for_box(first, os.environ)
    estimates: list[Estimate] = []
    status = 0
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter('error', IncompleteVideoWarning)
        writer = stack.enter_context(output) if output else None
        try:
            for frame, estimate in _track(tracker, chain([first], frames), box, source):
                estimates.append(estimate)
                if writer:
                    writer.write(draw_estimate(frame, estimate, arguments.model))
        except (OSError, ValueError, IncompleteVideoWarning) as error:
            if not estimates:
                raise
            print(f'error: {error}', file=sys.stderr)
            status = 1
        except KeyboardInterrupt:
            if not estimates:
                raise
            print('interrupted: what was tracked so far is kept', file=sys.stderr)
            # Nothing else ends a camera.
            status = 0 if source.count is None else 130
    _report(arguments, estimates, time.perf_counter() - start)
    return status


def _track(
    tracker: Tracker, frames: Iterable[Image], box: Box, source: FrameSource
) -> Iterator[tuple[Image, Estimate]]:
    """Yield every frame with its estimate; that of the first frame is the given box."""
    for index, frame in enumerate(
        tqdm(frames, total=source.count, unit='frame', desc=source.name)
    ):
        if index == 0:
            tracker.initialize(frame, box)
            yield frame, Estimate(box, 1.0, TrackState.TRACKING)
        else:
            yield frame, tracker.track(frame)


def _report(arguments: argparse.Namespace, estimates: list[Estimate], seconds: float) -> None:
    if arguments.save:
        write_boxes(arguments.save, np.array([e.box.as_ltwh() for e in estimates]))
    states = Counter(e.state.name.lower() for e in estimates)
    summary = ', '.join(f'{count} {state}' for state, count in states.most_common())
    print(f'{len(estimates)} frames in {seconds:.1f} s: {summary}')
    for path in filter(None, (arguments.output, arguments.save)):
        print(f'written: {path}')


if __name__ == '__main__':
    sys.exit(main())
