"""Spectra add up, over batches and machines, and say what the whole sample says."""

import naive
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsicfast import InputError, Spectrum, goal_hsic
from hsicfast.dependence import spectrum


def close(a, b, rel=1e-11):
    return a == pytest.approx(b, rel=rel, abs=1e-17)


class TestReference:
    @pytest.mark.parametrize("h", [0.02, 0.1, 0.5, 2.0])
    def test_numbers_are_hsic_with_a_linear_kernel(self, h):
        u, w = np.random.default_rng(0).random((2, 90))
        result = Spectrum(0.01).update(u, w).hsic(h)
        assert close(result.statistic, naive.hsic(u, w, "gaussian", "linear", h))
        assert close(result.unbiased, naive.u_statistic(u, w, "gaussian", "linear", h), 1e-10)

    @pytest.mark.parametrize("h", [0.03, 0.3, 3.0, "median", "max"])
    def test_cells_say_what_the_samples_say_one_by_one(self, monkeypatch, h):
        u, y = np.random.default_rng(3).random((2, 300))
        y += np.abs(u - 0.4)
        one_by_one = goal_hsic(u, y, bandwidth=h)
        monkeypatch.setattr(spectrum, "MOST_TURNS", 0)
        monkeypatch.setattr(spectrum, "MOST_PRODUCTS", 0)
        cells = goal_hsic(u, y, bandwidth=h)
        assert close(cells.statistic, one_by_one.statistic)
        assert close(cells.unbiased, one_by_one.unbiased, 1e-10)
        assert close(cells.null_mean, one_by_one.null_mean)
        assert cells.ci == pytest.approx(one_by_one.ci, rel=1e-8)

    @pytest.mark.parametrize("test", ["asymptotic", "gamma"])
    def test_says_what_goal_hsic_says(self, test):
        u, y = np.random.default_rng(1).random((2, 5000))
        y += 0.1 * u
        met = y <= np.sort(y)[499]
        whole = goal_hsic(u, y, goal=0.1, bandwidth=0.3, test=test)
        result = Spectrum().update(u, met).hsic(0.3, test=test)
        assert whole.engine == "spectral"
        assert close(result.statistic, whole.statistic)
        assert result.pvalue == pytest.approx(whole.pvalue, rel=1e-9)
        # a stream does not know that the goal's edge was found from the same samples: its interval is another
        assert result.ci == pytest.approx(whole.ci, rel=0.2)


class TestLaws:
    @given(st.integers(4, 80), st.lists(st.integers(0, 80), max_size=3), st.booleans(), st.integers(0, 10**6))
    def test_batches_and_parts_add_up(self, n, cuts, goals, seed):
        u, w = np.random.default_rng(seed).random((2, n))
        if goals:
            w = w < 0.4
        whole = Spectrum().update(u, w).hsic(0.2)
        parts = zip(np.split(u, sorted(cuts)), np.split(w, sorted(cuts)), strict=True)
        merged = Spectrum()
        for number, (values, weights) in enumerate(parts):
            if number % 2:
                merged.update(values, weights)
            else:
                merged.merge(Spectrum().update(values, weights))
        assert merged.n == n
        assert close(merged.hsic(0.2).statistic, whole.statistic, 1e-9)
        assert merged.hsic(0.2).ci == pytest.approx(whole.ci, rel=1e-7, abs=1e-12)

    @given(st.floats(0.05, 4.0), st.integers(0, 10**6))
    def test_coarser_cells_say_the_same(self, h, seed):
        u, w = np.random.default_rng(seed).random((2, 50))
        fine, coarse = Spectrum(1e-3).update(u, w).hsic(h), Spectrum(0.05).update(u, w).hsic(h)
        assert close(fine.statistic, coarse.statistic, 1e-10)

    def test_order_at_hand_says_the_same(self):
        u = np.random.default_rng(2).random(3000)
        plain, ordered = (Spectrum().update(u, u < 0.2, order).hsic(0.1) for order in (None, np.sort(u)))
        assert close(ordered.statistic, plain.statistic)


class TestCorners:
    def test_edges_of_the_interval_and_one_value(self):
        assert Spectrum().update([0.0, 1.0, 0.0, 1.0], [True, False, True, False]).hsic(0.5).statistic > 0
        constant = Spectrum().update([1.0] * 5, [True, False, True, False, False]).hsic(0.5)
        assert constant.statistic == pytest.approx(0, abs=1e-30)

    @pytest.mark.parametrize(
        ("u", "w", "said"),
        [
            ([0.5, 1.5], [0, 1], r"must lie in \[0, 1\], but u runs from 0.5 to 1.5"),
            ([0.5, np.nan], [0, 1], "u must be finite, but 1 values are not"),
            ([0.5, 0.6], [0, np.inf], "w must be finite, but 1 values are not"),
            ([0.5, 0.6], [0], r"one shape \(n,\), but got \(2,\) and \(1,\)"),
            ([[0.5], [0.6]], [0, 1], r"one shape \(n,\), but got \(2, 1\)"),
            (["a", "b"], [0, 1], "u must hold numbers"),
        ],
    )
    def test_bad_samples(self, u, w, said):
        with pytest.raises(InputError, match=said):
            Spectrum().update(u, w)

    def test_bad_questions(self):
        with pytest.raises(InputError, match="`smallest > 0` must hold, but got smallest=0"):
            Spectrum(0)
        with pytest.raises(InputError, match=r"at least 4 samples are needed, but this spectrum has 3"):
            Spectrum().update([0.1, 0.2, 0.3], [0, 1, 0]).hsic(0.3)
        spectrum = Spectrum(0.2).update([0.1, 0.2, 0.3, 0.4], [0, 1, 0, 1])
        with pytest.raises(
            InputError, match=r"`bandwidth >= smallest` must hold, but got bandwidth=0\.1, smallest=0\.2"
        ):
            spectrum.hsic(0.1)
        with pytest.raises(InputError, match="tested by 'asymptotic' or 'gamma', but got 'permutation'"):
            spectrum.hsic(0.3, test="permutation")
        with pytest.raises(InputError, match=r"made for one smallest bandwidth, but got 0\.2 and 0\.001"):
            spectrum.merge(Spectrum(0.001))
