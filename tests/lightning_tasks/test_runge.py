"""Runge: its points, values, and what it refuses."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from lightning_tasks.runge import Runge, runge


def test_points_and_values_by_hand() -> None:
    split = Runge().load()
    x, y = split.train
    assert x.flatten().tolist() == pytest.approx(np.linspace(-1, 1, 11).tolist())
    assert y[[0, 5, 6]].flatten().tolist() == pytest.approx([1 / 26, 1.0, 0.5])
    assert len(split.test[0]) == 1000
    assert split.test[0].min() == -1
    assert split.test[0].max() == 1
    assert len(split.validation[0]) == 200


def test_validation_points_are_no_training_or_test_points() -> None:
    split = Runge().load()
    drawn = set(split.validation[0].flatten().tolist())
    assert not drawn & set(split.train[0].flatten().tolist())
    assert not drawn & set(split.test[0].flatten().tolist())
    x, y = (part.double().numpy() for part in split.validation)
    np.testing.assert_allclose(y, runge(x, 25.0), rtol=1e-5)


def test_sharpness_and_sizes_are_configurable() -> None:
    split = Runge(a=4.0, points=3, validation_points=5, test_points=7, seed=2).load()
    assert [len(pair[0]) for pair in (split.train, split.validation, split.test)] == [3, 5, 7]
    assert split.train[1].flatten().tolist() == pytest.approx([0.2, 1.0, 0.2])


def test_data_are_made_once_per_process() -> None:
    task = Runge()
    assert task.load() is pickle.loads(pickle.dumps(task)).load()


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"a": 0.0}, "`a > 0` must hold, but got a=0.0; pass `task.data.a=25`"),
        ({"a": float("nan")}, "`a > 0` must hold, but got a=nan"),
        ({"points": 1}, "`points >= 2` must hold, but got points=1; pass a larger `task.data.points=`"),
        ({"test_points": 0}, "`test_points >= 1` must hold, but got test_points=0"),
        ({"validation_points": 0}, "`validation_points >= 1` must hold, but got validation_points=0"),
    ],
)
def test_what_cannot_be_is_refused(values: dict[str, float], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        Runge(**values).prepare()
