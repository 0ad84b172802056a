"""Track one object through a video and save what was found.

python -m tracker_core clip.mp4 --model siamfc --box 120 80 60 90 --output out.mp4
python -m tracker_core frames/  --box 120,80,60,90 --save boxes.txt
python -m tracker_core clip.mp4                      (draw the box with the mouse)
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain

import cv2
import numpy as np
from tqdm import tqdm

from tracker_core import Box, Estimate, Tracker, TrackState, build_tracker, tracker_names
from tracker_core.drawing import draw_estimate
from tracker_core.sequence import write_boxes
from tracker_core.tracker import Image
from tracker_core.video import FrameSource, VideoWriter, open_video


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        _run(arguments)
    except (OSError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print('interrupted: nothing was written', file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        'python -m tracker_core',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument('video', help='video file, folder of images, or camera number')
    parser.add_argument('--model', default='siamfc', help=f'one of: {", ".join(tracker_names())}')
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


def _run(arguments: argparse.Namespace) -> None:
    box = parse_box(arguments.box) if arguments.box else None
    source = open_video(arguments.video)
    tracker = build_tracker(arguments.model, arguments.weights, device=arguments.device)
    frames = iter(source)
    first = next(frames, None)
    if first is None:
        raise ValueError(f'{arguments.video} holds no frames')
    box = box or _draw_box(first)
    estimates: list[Estimate] = []
    start = time.perf_counter()
    with contextlib.ExitStack() as stack:
        writer = None
        if arguments.output:
            writer = stack.enter_context(VideoWriter(arguments.output, source.fps))
        for frame, estimate in _track(tracker, chain([first], frames), box, source):
            estimates.append(estimate)
            if writer:
                writer.write(draw_estimate(frame, estimate, arguments.model))
    _report(arguments, estimates, time.perf_counter() - start)


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


def parse_box(numbers: list[str]) -> Box:
    """Parse '10 20 30 40' or '10,20,30,40' given as command-line words; ValueError otherwise."""
    words = ' '.join(numbers).replace(',', ' ').split()
    try:
        values = [float(word) for word in words]
    except ValueError:
        values = []
    if len(values) != 4:
        raise ValueError(f'--box takes LEFT TOP WIDTH HEIGHT, not {" ".join(numbers)!r}')
    return Box(*values)


def _draw_box(frame: Image) -> Box:
    """Let the user draw the target with the mouse; ValueError without a display or a box."""
    if sys.platform.startswith('linux') and not (
        os.environ.get('DISPLAY') or os.environ.get('WAYLAND_DISPLAY')
    ):
        raise ValueError('no display to draw a box on: give it with --box LEFT TOP WIDTH HEIGHT')
    title = 'Draw the target, then press Enter'
    try:
        selected = cv2.selectROI(title, np.ascontiguousarray(frame[..., ::-1]))
        cv2.destroyWindow(title)
    except cv2.error as error:
        raise ValueError(f'OpenCV cannot open a window ({error.err}): give --box') from None
    if min(selected[2:]) == 0:
        raise ValueError('no box was drawn')
    return Box(*map(float, selected))


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
