"""Tables as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence as List

from tracker_core.benchmark.evaluation import Evaluation

#: Column title, name of the property of `Summary`, whether it is printed in per cent.
MEASURES = (
    ('AUC', 'auc'),
    ('Precision (20 px)', 'precision20'),
    ('Norm. precision (0.20)', 'normalized20'),
    ('Norm. precision (area)', 'normalized_area'),
    ('OP50', 'op50'),
    ('OP75', 'op75'),
)
#: Likewise, of `Got10kScore`.
GOT10K_MEASURES = (
    ('AO', 'average_overlap'),
    ('SR 0.50', 'success50'),
    ('SR 0.75', 'success75'),
)


def markdown(header: List[str], rows: List[List[str]]) -> str:
    """A Markdown table whose source is aligned; all columns but the first to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    rule = ['-' * max(widths[0], 3)] + ['-' * max(width - 1, 2) + ':' for width in widths[1:]]
    lines = [header, rule, *rows]
    return '\n'.join(
        '| '
        + ' | '.join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        + ' |'
        for line in lines
    )


def summary_table(evaluations: List[Evaluation]) -> tuple[list[str], list[list[str]]]:
    """Header and one row per tracker, the best first; on GOT-10k with its own measures."""
    official = GOT10K_MEASURES if any(each.got10k for each in evaluations) else ()
    titles = [title for title, _ in (*official, *MEASURES)]
    ordered = sorted(evaluations, key=lambda each: -each.summary.auc)
    rows = [_summary_row(each, [name for _, name in official]) for each in ordered]
    return ['Tracker', *titles, 'Frames/s', 'Sequences'], rows


def most_complete(evaluations: List[Evaluation]) -> list[Evaluation]:
    """Those with results on as many sequences as any: only their means can be compared."""
    most = max(len(each.scores) for each in evaluations)
    return [each for each in evaluations if len(each.scores) == most]


def sequence_table(evaluations: List[Evaluation]) -> tuple[list[str], list[list[str]]]:
    """Header and one row per sequence with the AUC and precision of every tracker."""
    ordered = sorted(evaluations, key=lambda each: -each.summary.auc)
    names = sorted({name for each in evaluations for name in each.scores})
    rows = []
    for name in names:
        scores = [each.scores.get(name) for each in ordered]
        rows.append([name, *(f'{s.auc:.3f} / {s.precision20:.3f}' if s else '-' for s in scores)])
    return ['Sequence (AUC / precision)', *(each.label for each in ordered)], rows


def _summary_row(evaluation: Evaluation, official: list[str]) -> list[str]:
    cells = [f'{getattr(evaluation.got10k, name):.3f}' for name in official]
    for _, name in MEASURES:
        spread = evaluation.spread(name)
        text = f'{getattr(evaluation.summary, name):.3f}'
        cells.append(text if math.isnan(spread) else f'{text} ± {spread:.3f}')
    speed = f'{evaluation.speed.total:.1f}' if evaluation.speed else '-'
    done = len(evaluation.scores)
    count = f'{done}' if not evaluation.missing else f'{done} of {done + len(evaluation.missing)}'
    return [evaluation.label, *cells, speed, count]
