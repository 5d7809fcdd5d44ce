"""One pass over a column, against numpy alone."""

import numpy as np
import pytest

from hsicfast.engines import scans


@pytest.mark.parametrize("n", [1, 15, 16, 17, 300])
def test_columns(n):
    x = np.random.default_rng(2).random(n)
    x[0] = -np.inf
    inside, below, endless = scans.between(x, 0.3, 0.6)
    assert np.array_equal(inside, x[(x > 0.3) & (x <= 0.6)])
    assert (below, endless) == (np.count_nonzero(x <= 0.3), 1)
    assert scans.all_within(x[1:], 0.0, 1.0)
    assert not scans.all_within(x, 0.0, 1.0)
    x[0] = np.nan
    assert not scans.all_within(x, 0.0, 1.0)
