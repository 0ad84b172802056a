"""Published numbers of the trackers, to put beside our own."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

_TABLE = Path(__file__).parent / 'readers' / 'tables' / 'published.csv'


@dataclass(frozen=True)
class Published:
    """One published number."""

    tracker: str
    measure: str
    """As in `one_pass.Summary`, `got10k.Got10kScore` or `vot_supervised.VotScore`."""
    value: float
    """In [0, 1]; robustness is failures per 100 frames."""
    source: str


def published(dataset: str) -> list[Published]:
    """All published numbers on a data set, by tracker and measure; empty for none."""
    with _TABLE.open(encoding='utf-8', newline='') as file:
        return [
            Published(row['tracker'], row['measure'], float(row['value']), row['source'])
            for row in csv.DictReader(file)
            if row['dataset'] == dataset
        ]
