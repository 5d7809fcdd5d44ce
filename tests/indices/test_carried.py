"""Values carried to [0, 1]."""

import numpy as np
import pytest

from hsicfast.indices.carried import ranked


def test_ties_share_an_interval():
    u, width = ranked(np.array([3.0, 1.0, 3.0, 3.0, 2.0]))
    assert u.tolist() == pytest.approx([0.7, 0.1, 0.7, 0.7, 0.3])
    assert width.tolist() == pytest.approx([0.6, 0.0, 0.6, 0.6, 0.0])
