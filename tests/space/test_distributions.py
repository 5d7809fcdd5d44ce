"""The distributions that Optuna has for a hyperparameter."""

import pytest

from hsicfast.space.distributions import distribution
from hsicfast.space.search_space import Float, Int


@pytest.mark.parametrize(
    ("hyperparameter", "expected"),
    [
        (Float(1e-3, 1, log=True), {"low": 1e-3, "high": 1.0, "log": True, "step": None}),
        (Float(0, 0.35, step=0.1), {"low": 0.0, "high": 0.3, "log": False, "step": 0.1}),
        (Int(2, 9, step=3), {"low": 2, "high": 8, "log": False, "step": 3}),
        (Int(1, 64, log=True), {"low": 1, "high": 64, "log": True, "step": 1}),
    ],
)
def test_distribution(hyperparameter, expected, recwarn):
    own = distribution(hyperparameter)
    assert {name: getattr(own, name) for name in expected} == expected
    assert not recwarn.list
