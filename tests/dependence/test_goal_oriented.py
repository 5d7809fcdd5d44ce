"""A goal's sums on both engines."""

import naive
import numpy as np
import pytest
from builders import uniform

from hsicfast import goal_hsic
from hsicfast.dependence.goal_engines import GoalSample
from hsicfast.dependence.goal_oriented import GoalHSIC
from hsicfast.engines.kernels import GAUSSIAN


@pytest.mark.parametrize("engine", ["spectral", "tile"])
def test_reference_of_a_goal(engine):
    u, y = np.random.default_rng(3).random((2, 70))
    want = naive.u_statistic(u, naive.goal(y, 0.2), "gaussian", "linear", 0.3)
    result = goal_hsic(u, y, goal=0.2, bandwidth=0.3, engine=engine)
    assert result.unbiased == pytest.approx(want, rel=1e-11)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_permuted_goals_of_both_engines(p):
    u = uniform(1, 50)
    z = np.arange(50) < 50 * p
    sample = GoalSample(u, np.empty(0), z, GAUSSIAN)
    first, second = (GoalHSIC(sample, engine) for engine in ("spectral", "tile"))
    assert np.allclose(first.permuted(0.3, 20, 5), second.permuted(0.3, 20, 5), rtol=1e-11)
