"""Measures of one-pass evaluation: success, precision, normalised precision (OTB, LaSOT, ...).

Boxes are float (N, 4) left, top, width, height in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence as List
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from tracker_core.sequence import Boxes

Curve = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: 21 overlaps: 0, .05, ... 1.
OVERLAP_THRESHOLDS: Curve = np.arange(0, 1.05, 0.05)
#: 51 distances in pixels: 0, 1, ... 50.
DISTANCE_THRESHOLDS: Curve = np.arange(0, 51, dtype=np.float64)
#: 51 distances in target sizes: 0, .01, ... .50.
NORMALIZED_THRESHOLDS: Curve = np.arange(0, 51, dtype=np.float64) / 100

Rule = Literal['exclude', 'pytracking', 'pysot']
#: How frames without a usable annotation are counted; see `Convention`.
RULES: tuple[Rule, ...] = ('exclude', 'pytracking', 'pysot')


@dataclass(frozen=True)
class Convention:
    """How toolkits differ; all agree where every frame has an annotation.

    rule: 'exclude' leaves frames out in which the target is absent. 'pytracking' (the toolkit
    behind most published numbers) counts them as failures of overlap, as hits of normalised
    precision, and takes an annotation that touches x = 0 or y = 0 for absent; 'pysot' counts them
    as hits of both precisions. family: 'uav' and 'lasot' have their own exceptions in
    'pytracking'. truncate: cut the predictions to integers first, as the result files behind many
    published numbers were. least_size: lower bound in pixels of the divisor of the normalised
    error (1 in the got10k toolkit).
    """

    rule: Rule = 'exclude'
    family: str = ''
    truncate: bool = False
    least_size: float = 0.0


@dataclass(frozen=True)
class SequenceScore:
    """Curves of one sequence; each entry is a share of frames in [0, 1]."""

    name: str
    success: Curve
    precision: Curve
    normalized: Curve
    overlaps: Curve
    """Per frame, nan where the target is absent."""

    @property
    def auc(self) -> float:
        """Area under the success curve."""
        return float(self.success.mean())

    @property
    def precision20(self) -> float:
        """Share of frames with a centre error of at most 20 px."""
        return float(self.precision[20])


@dataclass(frozen=True)
class Summary:
    """Mean curves over sequences of equal weight, and the numbers that papers print."""

    success: Curve
    precision: Curve
    normalized: Curve

    @property
    def auc(self) -> float:
        """Area under the success curve."""
        return float(self.success.mean())

    @property
    def op50(self) -> float:
        """Share of frames with an overlap above 0.5."""
        return float(self.success[10])

    @property
    def op75(self) -> float:
        """Share of frames with an overlap above 0.75."""
        return float(self.success[15])

    @property
    def precision20(self) -> float:
        """Share of frames with a centre error of at most 20 px."""
        return float(self.precision[20])

    @property
    def normalized20(self) -> float:
        """Normalised precision at 0.20 of the target size (pytracking, pysot)."""
        return float(self.normalized[20])

    @property
    def normalized_area(self) -> float:
        """Mean of the normalised precision over 0 ... 0.5 (LaSOT, TrackingNet, got10k toolkit)."""
        return float(self.normalized.mean())


def overlaps(boxes: Boxes, truth: Boxes) -> Curve:
    """Intersection over union of each pair of rows; nan where either has nan, 0 without area.

    Never above 1, which rounding would make of some equal boxes.
    """
    low = np.maximum(boxes[:, :2], truth[:, :2])
    high = np.minimum(boxes[:, :2] + boxes[:, 2:], truth[:, :2] + truth[:, 2:])
    common = np.prod(np.clip(high - low, 0, None), axis=1)
    union = boxes[:, 2] * boxes[:, 3] + truth[:, 2] * truth[:, 3] - common
    with np.errstate(divide='ignore', invalid='ignore'):
        shares: Curve = np.where(union == 0, 0.0, np.minimum(common / union, 1.0))
    return shares


def center_errors(boxes: Boxes, truth: Boxes) -> Curve:
    """Distance of the centres in pixels per row."""
    distances: Curve = np.linalg.norm(_center(boxes) - _center(truth), axis=1)
    return distances


def normalized_errors(boxes: Boxes, truth: Boxes, least_size: float = 0.0) -> Curve:
    """Distance of the centres per row, x divided by the true width and y by the true height."""
    size = np.maximum(truth[:, 2:], least_size)
    with np.errstate(divide='ignore', invalid='ignore'):
        distances: Curve = np.linalg.norm((_center(boxes) - _center(truth)) / size, axis=1)
    return distances


def score(
    name: str,
    boxes: Boxes,
    truth: Boxes,
    visible: Flags | None = None,
    convention: Convention | None = None,
    padded: int = 0,
) -> SequenceScore:
    """Score one sequence.

    boxes, truth: (N, 4) of equal length; rows of nan in `truth` are frames without the target.
    visible: False where the target is hidden (LaSOT, GOT-10k). padded: how many of the last boxes
    stand for missing ones. The first prediction is replaced by the annotation, as everywhere.
    Raises ValueError where lengths differ or a prediction is not finite or has a negative side.
    """
    convention = convention or Convention()
    boxes = _checked(name, boxes, truth)
    if convention.truncate:
        boxes = np.trunc(boxes)
    if convention.rule == 'pytracking':
        made = len(boxes) - padded
        boxes[:made] = _without_empty(boxes[:made], truth[:made])
    boxes[0] = truth[0]
    valid = _valid(truth, visible, convention)
    overlap = np.where(valid, overlaps(boxes, truth), np.nan)
    error, relative = _errors(boxes, truth, valid, visible, convention)
    kept = valid if convention.rule == 'exclude' else np.ones(len(truth), bool)
    counted = np.where(valid, overlap, -1.0)[kept]
    return SequenceScore(
        name=name,
        success=_shares(counted[:, None] > OVERLAP_THRESHOLDS),
        precision=_shares(error[kept][:, None] <= DISTANCE_THRESHOLDS),
        normalized=_shares(relative[kept][:, None] <= NORMALIZED_THRESHOLDS),
        overlaps=overlap,
    )


def merge(runs: List[SequenceScore]) -> SequenceScore:
    """Mean of several runs on one sequence."""
    return SequenceScore(
        name=runs[0].name,
        success=np.mean([run.success for run in runs], axis=0),
        precision=np.mean([run.precision for run in runs], axis=0),
        normalized=np.mean([run.normalized for run in runs], axis=0),
        overlaps=np.mean([run.overlaps for run in runs], axis=0),
    )


def summarize(scores: List[SequenceScore]) -> Summary:
    """Mean over sequences of equal weight; ValueError for none."""
    if not scores:
        raise ValueError('no sequence to summarize')
    return Summary(
        success=np.mean([each.success for each in scores], axis=0),
        precision=np.mean([each.precision for each in scores], axis=0),
        normalized=np.mean([each.normalized for each in scores], axis=0),
    )


def _center(boxes: Boxes) -> Boxes:
    center: Boxes = boxes[:, :2] + boxes[:, 2:] / 2
    return center


def _shares(hits: NDArray[np.bool_]) -> Curve:
    """Share of rows per column; 0 for no rows."""
    shares: Curve = hits.mean(axis=0) if len(hits) else np.zeros(hits.shape[1])
    return shares


def _checked(name: str, boxes: Boxes, truth: Boxes) -> Boxes:
    if boxes.shape != truth.shape:
        raise ValueError(f'{name}: {len(boxes)} predictions for {len(truth)} annotated frames')
    if not np.isfinite(boxes).all() or (boxes[:, 2:] < 0).any():
        row = int(np.argmax(~np.isfinite(boxes).all(axis=1) | (boxes[:, 2:] < 0).any(axis=1)))
        raise ValueError(f'{name}: frame {row} holds the impossible box {boxes[row].tolist()}')
    copied: Boxes = boxes.copy()
    return copied


def _valid(truth: Boxes, visible: Flags | None, convention: Convention) -> Flags:
    """Frames whose annotation takes part."""
    needed = truth if convention.rule == 'pytracking' else truth[:, 2:]
    valid: Flags = np.nan_to_num(needed, nan=-1.0).min(axis=1) > 0
    valid &= np.isfinite(truth.sum(axis=1))
    return valid if visible is None else valid & visible


def _without_empty(boxes: Boxes, truth: Boxes) -> Boxes:
    """Replace predictions without area by that of the frame before (pytracking)."""
    repaired: Boxes = boxes.copy()
    empty = (boxes[:, 2:] == 0).any(axis=1) & ~np.isnan(truth).any(axis=1)
    for index in np.flatnonzero(empty[1:]) + 1:
        repaired[index] = repaired[index - 1]
    return repaired


def _errors(
    boxes: Boxes, truth: Boxes, valid: Flags, visible: Flags | None, convention: Convention
) -> tuple[Curve, Curve]:
    """Centre error and normalised error; -1 always counts as a hit, infinity never."""
    error = center_errors(boxes, truth)
    relative = normalized_errors(boxes, truth, convention.least_size)
    if convention.rule == 'pysot':
        center = np.nan_to_num(_center(truth) - 0.5, nan=-1.0)
        placed = valid & (center > 0).all(axis=1)
        miss = -1.0 if visible is None else np.where(visible, -1.0, np.inf)
        return np.where(placed, error, miss), np.where(placed, relative, miss)
    hit = -1.0 if convention.family == 'uav' else np.inf
    error, relative = np.where(valid, error, hit), np.where(valid, relative, -1.0)
    if convention.family == 'lasot' and visible is not None:
        error, relative = np.where(visible, error, np.inf), np.where(visible, relative, np.inf)
    return error, relative
