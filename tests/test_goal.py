"""Who ended among the best: few trials, and many, where a sample says about where the edge lies."""

import numpy as np
import pytest

from hsicfast import columns, goal

OBJECTIVES = {
    "smooth": lambda rng, n: rng.standard_normal(n),
    "sorted": lambda rng, n: np.sort(rng.random(n)),  # a sample at even steps knows nothing of chance
    "waves": lambda rng, n: np.arange(n) % 4.0,  # the sample meets one value alone
    "levels": lambda rng, n: rng.integers(0, 5, n) / 4,
    "failed": lambda rng, n: np.where(rng.random(n) < 0.4, np.nan, rng.random(n)),
    "endless": lambda rng, n: np.where(rng.random(n) < 0.3, rng.choice([np.inf, -np.inf, np.nan], n), rng.random(n)),
    "all failed": lambda rng, n: np.full(n, np.nan),
}


def met_by_sorting(y, share, minimize):
    loss = np.where(np.isfinite(y), y if minimize else -y, np.inf)
    finite = np.sort(loss[np.isfinite(loss)])
    if len(finite) == 0:
        return np.zeros(len(y), dtype=bool)
    return loss <= finite[min(max(round(share * len(y)), 1), len(finite)) - 1]


@pytest.mark.parametrize("minimize", [True, False])
@pytest.mark.parametrize("law", OBJECTIVES)
@pytest.mark.parametrize("many", [10**9, 100])
def test_best_fraction(monkeypatch, many, law, minimize):
    monkeypatch.setattr(goal, "MANY", many)
    monkeypatch.setattr(goal, "SAMPLE", 100)
    y = OBJECTIVES[law](np.random.default_rng(0), 400)
    for share in (0.001, 0.1, 0.5, 0.999):
        found = goal.best_fraction(y, share, minimize)
        assert np.array_equal(found.met, met_by_sorting(y, share, minimize))
        worst = y[found.met].max() if minimize and found.met.any() else y[found.met].min(initial=np.inf)
        assert found.threshold == worst if found.met.any() else np.isnan(found.threshold)


def test_a_sample_finds_the_edge_of_smooth_objectives(monkeypatch):
    monkeypatch.setattr(goal, "SAMPLE", 100)
    y = np.random.default_rng(1).standard_normal(400)
    assert goal._smallest(y, 40) == np.sort(y)[40]


@pytest.mark.parametrize("n", [1, 15, 16, 17, 300])
def test_columns(n):
    x = np.random.default_rng(2).random(n)
    x[0] = -np.inf
    inside, below, endless = columns.between(x, 0.3, 0.6)
    assert np.array_equal(inside, x[(x > 0.3) & (x <= 0.6)])
    assert (below, endless) == (np.count_nonzero(x <= 0.3), 1)
    assert columns.all_within(x[1:], 0.0, 1.0)
    assert not columns.all_within(x, 0.0, 1.0)
    x[0] = np.nan
    assert not columns.all_within(x, 0.0, 1.0)
