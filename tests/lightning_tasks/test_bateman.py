"""Bateman: the closed form and the matrix exponential agree, and both with what is known by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lightning_tasks.bateman import Bateman, closed_solution, matrix_solution

BOTH = pytest.mark.parametrize("solution", [closed_solution, matrix_solution])


@BOTH
def test_two_nuclides_by_hand(solution) -> None:
    # N2(t) = l1 / (l2 - l1) (exp(-l1 t) - exp(-l2 t)) from N(0) = (1, 0)
    times = np.array([0.0, 0.5, 3.0])
    found = solution(np.array([2.0, 0.5]), np.tile([1.0, 0.0], (3, 1)), times)
    first, second = np.exp(-2.0 * times), np.exp(-0.5 * times)
    np.testing.assert_allclose(found, np.column_stack([first, 2.0 / -1.5 * (first - second)]), rtol=1e-13, atol=1e-15)


@BOTH
def test_a_stable_end_keeps_everything(solution) -> None:
    found = solution(np.array([1.0, 3.0, 0.0]), np.array([[0.2, 0.3, 0.1]]), np.array([2.5]))
    assert found.sum() == pytest.approx(0.6, rel=1e-13)


@settings(deadline=None, max_examples=60)
@given(
    st.integers(2, 6),
    st.floats(1.3, 3.0),
    st.floats(0.05, 2.0),
    st.floats(0.0, 20.0),
    st.randoms(use_true_random=False),
)
def test_closed_form_against_the_matrix_exponential(length, ratio, slowest, time, random) -> None:
    constants = slowest * ratio ** np.arange(length)
    random.shuffle(constants)
    initial = np.random.default_rng(random.randrange(1000)).uniform(size=(4, length))
    times = time * np.array([0.0, 0.1, 0.5, 1.0])
    closed, matrix = closed_solution(constants, initial, times), matrix_solution(constants, initial, times)
    # each pair of constants costs the closed form a digit or less where they differ by 30% and more
    np.testing.assert_allclose(closed, matrix, atol=1e-10)
    np.testing.assert_allclose(matrix[0], initial[0], atol=1e-14)


def test_equal_constants_need_the_matrix() -> None:
    constants, initial, times = np.array([1.0, 1.0]), np.array([[1.0, 0.0]]), np.array([2.0])
    with pytest.raises(ValueError, match=r"the closed form needs decay constants that differ .* use matrix_solution"):
        closed_solution(constants, initial, times)
    # N2 = l t exp(-l t)
    assert matrix_solution(constants, initial, times)[0, 1] == pytest.approx(2 * np.exp(-2), rel=1e-13)


def test_the_data_are_the_solution() -> None:
    task = Bateman(length=3, decay_constants=[1.0, 0.2, 0.0], train_size=6, validation_size=4, test_size=5, horizon=7.0)
    split = task.load()
    assert [len(pair[0]) for pair in (split.train, split.validation, split.test)] == [6, 4, 5]
    inputs, targets = (part.double().numpy() for part in split.test)
    expected = closed_solution(np.array([1.0, 0.2, 0.0]), inputs[:, :3], 7.0 * inputs[:, 3])
    np.testing.assert_allclose(targets, expected, atol=1e-6)
    assert inputs.min() >= 0
    assert inputs.max() <= 1


def test_parts_differ_and_the_seed_repeats_them() -> None:
    sizes = {"train_size": 5, "validation_size": 5, "test_size": 5}
    one, two, other = (Bateman(**sizes, seed=seed).load().train[0].tolist() for seed in (1, 1, 2))
    assert one == two != other
    split = Bateman(**sizes).load()
    assert split.train[0].tolist() != split.validation[0].tolist()


def test_default_constants_fit_every_length() -> None:
    assert Bateman(length=4).constants[[0, -1]].tolist() == pytest.approx([3.0, 0.1])
    Bateman(length=12).prepare()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"length": 1}, "`length >= 2` must hold, but got length=1; pass a larger `task.data.length=`"),
        ({"train_size": 1}, "`train_size >= 2` must hold, but got train_size=1"),
        ({"test_size": 0}, "`test_size >= 1` must hold, but got test_size=0"),
        ({"horizon": 0.0}, "`horizon > 0` must hold, but got horizon=0.0; pass `task.data.horizon=10`"),
        ({"decay_constants": [1.0, 2.0]}, r"must hold 5 finite numbers, none negative, but got \[1.0, 2.0\]; pass"),
        ({"length": 2, "decay_constants": [1.0, -2.0]}, r"none negative, but got \[1.0, -2.0\]"),
    ],
)
def test_what_cannot_be_is_refused(values: dict, text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Bateman(**values).prepare()
