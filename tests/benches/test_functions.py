"""The functions of known answers depend on what they say, and on nothing else."""

import math
from itertools import product

import numpy as np
import pytest

from benches.functions import FUNCTIONS, NEW_FUNCTIONS, matching

ALL = (*FUNCTIONS, *NEW_FUNCTIONS)


def same(one, other):
    return one == other or (math.isnan(one) and math.isnan(other))


def outcomes_differ(function, name):
    """Whether the value changes at any of 300 points if `name` alone is drawn anew; a child keeps its coordinate."""
    random = np.random.default_rng(1)
    place = list(function.space).index(name)
    for point in random.random((300, len(function.space))):
        other = point.copy()
        other[place] = random.random()
        if not same(*(function.formula(function.space.from_unit(here)) for here in (point, other))):
            return True
    return False


@pytest.mark.parametrize("function", ALL, ids=lambda function: function.name)
def test_a_function_depends_on_the_relevant_hyperparameters_alone(function):
    assert {name for name in function.space if outcomes_differ(function, name)} == function.relevant


@pytest.mark.parametrize("function", NEW_FUNCTIONS, ids=lambda function: function.name)
def test_a_new_function_has_what_the_six_lack(function):
    """8 to 14 hyperparameters of several types, unequal laws, conditions below conditions, and diverging trials."""
    laws = [hyperparameter.law for hyperparameter in function.space.values() if hyperparameter.law is not None]
    nested = [name for name in function.space if " and " in function.space.group(name)]
    diverged = np.isnan(function.trials(2000, 0).objective).mean()
    assert 8 <= len(function.space) <= 14
    assert len({type(hyperparameter) for hyperparameter in function.space.values()}) == 4
    assert laws
    assert nested
    assert 0.05 < diverged < 0.2


def test_the_pairs_of_matching_have_no_effect_on_the_mean():
    inert = {"average": False, "interval": 1, "shuffle": True}
    pairs = [
        ({"activation": ["relu", "tanh"]}, {"init": ["he", "xavier"]}, {"layers": 7, "decay": 1e-3}),
        # decay is symmetric about 1e-4 in the logarithm
        ({"layers": range(1, 10)}, {"decay": [1e-5, 1e-3]}, {"activation": "relu", "init": "he"}),
    ]
    for one, other, rest in pairs:
        (first, firsts), (second, seconds) = *one.items(), *other.items()
        loss = {
            (a, b): matching({**inert, "rate": 0.01, **rest, first: a, second: b}) for a, b in product(firsts, seconds)
        }
        overall = np.mean(list(loss.values()))
        assert np.ptp(list(loss.values())) > 0.5
        for a in firsts:
            assert np.mean([loss[a, b] for b in seconds]) == pytest.approx(overall)
        for b in seconds:
            assert np.mean([loss[a, b] for a in firsts]) == pytest.approx(overall)


def test_the_trials_of_the_six_are_the_same_as_before_the_new_ones_came():
    """Values of the code that knew the six alone: five trials of seed 3."""
    before = {
        "Ishigami": [5.781370233, 4.020472956, 3.317903113, 2.449315675, 3.035032813],
        "Sobol g": [0.586880946, 0.652580152, 0.645937892, 0.877574492, 0.150701666],
        "Friedman #1": [5.245544329, 10.267476664, 11.264523378, 12.810067287, 14.922310208],
        "optimiser": [0.948404424, 1.033547307, 4.404822042, 0.026550835, 1.609905089],
        "machine": [1.250743731, 0.675978303, 1.607968131, 1.532244582, 0.957103567],
        "augmentation": [0.98189661, 1.786452079, 2.29768066, 1.447550823, 1.593092708],
    }
    for function in FUNCTIONS:
        np.testing.assert_allclose(function.trials(5, 3).objective, before[function.name], rtol=0, atol=1e-8)


def test_names_differ():
    """The peers' answers are kept by the function's name."""
    assert len({function.name for function in ALL}) == len(ALL)
