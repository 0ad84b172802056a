"""Paired comparison with a bootstrap."""

import numpy as np
import pytest

from tracker_core.benchmark.compare import compare, comparison_text
from tracker_core.benchmark.one_pass import SequenceScore


def scores(values: list[float]) -> dict[str, SequenceScore]:
    """Sequences s0, s1, ... whose AUC and precision are the given values."""
    return {
        f's{i}': SequenceScore(
            f's{i}', np.full(21, v), np.full(51, v), np.full(51, v), np.full(3, v)
        )
        for i, v in enumerate(values)
    }


def test_a_constant_gain_is_certain():
    result = compare(scores([0.1, 0.5, 0.3]), scores([0.2, 0.6, 0.4]))
    assert (result.mean, result.low, result.high) == pytest.approx((0.1, 0.1, 0.1))
    assert result.verdict == 'better'
    back = compare(scores([0.2, 0.6, 0.4]), scores([0.1, 0.5, 0.3]), 'precision20')
    assert back.verdict == 'worse'
    assert back.mean == pytest.approx(-0.1)


def test_gains_that_cancel_are_no_difference():
    result = compare(scores([0.5] * 8), scores([0.3, 0.7] * 4))
    assert result.verdict == 'no clear difference'
    assert result.low < 0 < result.high


def test_the_interval_is_that_of_a_normal_mean():
    """Many sequences with spread 0.1: the 95 % interval is about 1.96 * 0.1 / sqrt(n)."""
    rng = np.random.default_rng(1)
    gains = rng.normal(0.02, 0.1, 400)
    result = compare(scores([0.5] * 400), scores((0.5 + gains).tolist()))
    half = 1.96 * gains.std() / 20
    assert result.high - result.low == pytest.approx(2 * half, rel=0.1)
    assert result.mean == pytest.approx(gains.mean())
    wider = compare(scores([0.5] * 400), scores((0.5 + gains).tolist()), confidence=0.99)
    assert wider.low < result.low < result.high < wider.high


def test_only_common_sequences_count_and_the_same_seed_gives_the_same():
    first, second = scores([0.1, 0.2, 0.3]), scores([0.2, 0.2, 0.2])
    del second['s1']
    result = compare(first, second)
    assert result.names == ('s0', 's2')
    np.testing.assert_array_equal(
        compare(first, second).differences, compare(first, second).differences
    )
    assert compare(first, second).low == result.low
    with pytest.raises(ValueError, match='at least two'):
        compare(first, {'s0': second['s0']})


def test_text_lists_sequences_from_worst_to_best():
    text = comparison_text('a', 'b', [compare(scores([0.5, 0.5]), scores([0.9, 0.4]))])
    assert text.index('s1') < text.index('s0')
    assert 'auc: b is +0.150 against a (95 % interval -0.100 to +0.400, 2 sequences)' in text
