"""Examples without those whose images cannot be read."""

from __future__ import annotations

import functools
import multiprocessing
import sys
import zlib
from typing import Any

from torch.utils.data import Dataset
from tqdm import tqdm

from training.datasets import DataError, UnreadableError

#: Failures that are allowed: this many, or this share of the examples if that is more.
_ALLOWED, _ALLOWED_SHARE = 100, 0.01
_SLOTS = 2**16


class ReadableExamples(Dataset[dict[str, Any]]):
    """Examples by key (epoch, position); for one that cannot be read there is the next that can.

    Which one depends on the key and the files alone, so that a run that is resumed sees the same.
    Every message is told once. Too many failures among `count` examples, those of an epoch if not
    given, end with DataError.
    """

    def __init__(self, examples: Any, count: int | None = None) -> None:
        self.examples = examples
        self._count = len(examples) if count is None else count
        # Shared by the processes that load.
        self._failures = multiprocessing.Value('l', 0)
        self._told = _told()

    def __len__(self) -> int:
        return len(self.examples)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Any]:
        """Return the example of a key, or one of the following positions of its epoch."""
        epoch, position = key
        count = len(self.examples)
        for further in range(count):
            try:
                example: dict[str, Any] = self.examples[epoch, (position + further) % count]
                return example
            except UnreadableError as error:
                self._note(error)
                last = error
        raise last

    def _note(self, error: UnreadableError) -> None:
        slot = zlib.crc32(str(error).encode()) % _SLOTS
        with self._failures:
            is_new, self._told[slot] = not self._told[slot], 1
            self._failures.value += 1
            failures = self._failures.value
        if is_new:
            tqdm.write(f'{error}; another example is used instead', file=sys.stderr)
        if failures > max(_ALLOWED, _ALLOWED_SHARE * self._count):
            raise DataError(
                f'{failures} times in {self._count} examples an image could not be read, last: '
                f'{error}; check-data --decode lists them all'
            ) from error


@functools.cache
def _told() -> Any:
    """Which messages this run has told, by their check sums; shared with its processes."""
    return multiprocessing.RawArray('B', _SLOTS)
