"""Two whole runs that several files look at."""

import pytest
from toys import ECONOMISE, QUICK, SPACE, train

from hsicfast.search.orchestrator import minimize


@pytest.fixture(scope="session")
def whole():
    return minimize(train, SPACE, n_trials=40, strategy=QUICK, seed=1)


@pytest.fixture(scope="session")
def economised():
    return minimize(train, SPACE, n_trials=40, strategy=ECONOMISE, seed=0, tolerance=0.05)
