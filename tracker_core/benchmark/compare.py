"""Is one tracker better than another? Paired differences per sequence, with a bootstrap."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tracker_core.benchmark.one_pass import SequenceScore
from tracker_core.benchmark.tables import markdown

Values = NDArray[np.float64]
MEASURES = ('auc', 'precision20')


@dataclass(frozen=True)
class Comparison:
    """Second tracker minus first, over the sequences that both have."""

    measure: str
    names: tuple[str, ...]
    differences: Values
    """One per sequence, in the order of `names`."""
    low: float
    high: float
    """Bounds of the confidence interval of the mean."""
    confidence: float

    @property
    def mean(self) -> float:
        """Mean difference."""
        return float(self.differences.mean())

    @property
    def verdict(self) -> str:
        """What the interval allows to say."""
        if self.low > 0:
            return 'better'
        return 'worse' if self.high < 0 else 'no clear difference'


def compare(
    first: Mapping[str, SequenceScore],
    second: Mapping[str, SequenceScore],
    measure: str = 'auc',
    *,
    confidence: float = 0.95,
    resamples: int = 10_000,
    seed: int = 0,
) -> Comparison:
    """Compare two trackers; sequences are resampled, as they are what varies.

    The interval is the percentile bootstrap of the mean paired difference. Raises ValueError
    where fewer than two sequences are common.
    """
    names = tuple(name for name in first if name in second)
    if len(names) < 2:
        raise ValueError(f'{len(names)} common sequences: at least two are needed to compare')
    differences = np.array(
        [getattr(second[name], measure) - getattr(first[name], measure) for name in names]
    )
    generator = np.random.default_rng(seed)
    drawn = generator.integers(0, len(names), (resamples, len(names)))
    means = differences[drawn].mean(axis=1)
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return Comparison(measure, names, differences, float(low), float(high), confidence)


def comparison_text(first: str, second: str, comparisons: list[Comparison]) -> str:
    """Table of the differences per sequence, and a sentence with the interval per measure."""
    titles = [f'{each.measure} {second} - {first}' for each in comparisons]
    order = np.argsort(comparisons[0].differences)
    rows = [
        [comparisons[0].names[i], *(f'{each.differences[i]:+.3f}' for each in comparisons)]
        for i in order
    ]
    lines = [markdown(['Sequence', *titles], rows), '']
    for each in comparisons:
        lines.append(
            f'{each.measure}: {second} is {each.mean:+.3f} against {first} '
            f'({100 * each.confidence:g} % interval {each.low:+.3f} to {each.high:+.3f}, '
            f'{len(each.names)} sequences): {each.verdict}'
        )
    return '\n'.join(lines)
