"""The checked faces of the core: ``goal_hsic``, ``hsic`` and ``Spectrum``.

These functions check their input and leave the rest to :mod:`hsicfast.dependence.goal_oriented`,
:mod:`hsicfast.dependence.two_samples` and :mod:`hsicfast.dependence.spectrum`.

Any number of Numba's threads gives the same bits. The number of BLAS threads may change the last digits of what BLAS
and LAPACK compute from matrices, and nothing else: p-values of test="asymptotic", which come from eigenvalues, and
indices of intervals (`width`) and of two hyperparameters, which come from features.
"""

from __future__ import annotations

import math
from typing import Literal, Self

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Floats
from hsicfast.dependence import bandwidth as bandwidths
from hsicfast.dependence import checks, inference, spectrum
from hsicfast.dependence.checks import EngineName, GoalEngineName, IndependenceTest, KernelName, Precision
from hsicfast.dependence.estimate import HSICResult
from hsicfast.dependence.goal_engines import GoalSample
from hsicfast.dependence.goal_oriented import GoalHSIC, maximised
from hsicfast.dependence.two_samples import TwoSamples
from hsicfast.dependence.units import bandwidth_in, in_own_units, lost, sized
from hsicfast.engines import gpu, kernels, matrices, tiles
from hsicfast.engines.layer import safely
from hsicfast.errors import InputError, check_share, keyword_only_after
from hsicfast.trials.goal import best_fraction, losses_of, near_edge

__all__ = ["HSICResult", "Spectrum", "center", "goal_hsic", "gram", "hsic"]


@keyword_only_after(2, last="engine")
def goal_hsic(
    u: ArrayLike,
    y: ArrayLike,
    *,
    goal: float = 0.1,
    kernel: KernelName = "gaussian",
    bandwidth: Literal["median", "max"] | float = "median",
    minimize: bool = True,
    test: IndependenceTest | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
    engine: GoalEngineName = "auto",
    width: ArrayLike | None = None,
    confidence: float = 0.9,
    precision: Precision = "double",
) -> HSICResult:
    """Goal-oriented index of one hyperparameter, or of several together, with values mapped to [0, 1].

    ``S = HSIC(U, Z) = (1/n^2) sum_ij w_i w_j k(u_i, u_j)`` with ``Z = 1{y among the best goal n}``,
    ``w = z - mean(z)`` (Novello et al. 2023, eq. 8, with mean(z) for the nominal quantile).

    Parameters
    ----------
    u : array_like (n,) or (n, d)
        Values mapped to [0, 1].
    y : array_like (n,)
        Objective of each trial; NaN, inf and masked values miss the goal.
    goal : float in (0, 1)
        The fraction of trials that count as good.
    kernel : str
        One of ``hsicfast.engines.kernels.KERNELS``.
    bandwidth : {"median", "max"} or float > 0
        "median" is the median of the non-zero distances. "max" is the bandwidth in (1e-4, 5) that maximises S, found
        again in each permutation.
    minimize : bool
        Whether small y are good.
    test : {None, "permutation", "asymptotic", "gamma"}
        How the p-value is computed; bandwidth="max" needs "permutation".
    n_permutations : int >= 1
    seed : int in [0, 2^64)
        Seed of the permutations.
    engine : {"auto", "spectral", "ordered", "tile", "gpu"}
        "auto" takes the cheapest (:mod:`hsicfast.dependence.goal_engines`). For many samples a CUDA device makes the
        tiles, if the program has imported torch and torch sees one.
    width : array_like (n,), optional
        If values stand for intervals of [0, 1] (an Int, Choice or Bool), their lengths; `u` holds their middles. The
        kernel is then the mean over both intervals.
    confidence : float in (0, 1)
        Coverage of the confidence interval.
    precision : {"double", "single"}
        Precision of the kernel values under engine="tile". They are added up in double either way; single values have
        an error of 1e-6 of their sums.

    Raises
    ------
    InputError
        Values outside [0, 1] or not finite, lengths that differ, fewer than 4 samples, a bad option.

    Examples
    --------
    >>> u = np.linspace(0, 1, 1000)
    >>> result = goal_hsic(u, (u - 0.5) ** 2, bandwidth=0.2, test="permutation")
    >>> result.engine, result.pvalue < 0.01, result.statistic > result.null_mean
    ('spectral', True, True)
    """
    with safely():
        x = checks.carried(u)
        n = x.shape[1]
        objective = checks.numbers(y, "y", finite=False)
        if objective.ndim != 1 or len(objective) != n:
            raise InputError(f"u and y must have one length, but got {n} and {objective.shape}; drop the surplus")
        lengths = checks.widths(width, n)
        kind = kernels.find(kernel)
        checks.check_test(test, n_permutations, seed, confidence)
        checks.check_precision(precision, engine)
        losses = losses_of(objective, minimize)
        z = best_fraction(losses, goal).met
        if not z.any() or z.all() or ((x[:, 0] == x[:, -1]).all() and np.all(x == x[:, :1])):
            # If all trials agree in the goal or in u, the two are exactly independent.
            pvalue = None if test is None else 1.0
            return HSICResult(0.0, 0.0, pvalue, inference.EXACTLY_ZERO, math.nan, n, 0.0, "spectral", 0.0)
        # "max" looks at bandwidths of these units.
        x, exponent = (x, 0) if bandwidth == "max" else sized(x, kind)
        sample = GoalSample(x, np.ldexp(lengths, -exponent), z, kind, near_edge(losses, goal), precision)
        index = GoalHSIC(sample, engine)
        if bandwidth == "max":
            return maximised(index, test, n_permutations, seed, confidence)
        h = index.bandwidth(bandwidth_in(bandwidth, exponent))
        estimate = index.estimate(h)
        pvalue = None
        if test == "permutation":
            pvalue = index.permutation_pvalue(h, estimate.statistic, n_permutations, seed)
        elif test is not None:
            pvalue = estimate.pvalue(test)
        found = estimate.result(pvalue, confidence, h)
        return in_own_units(found, bandwidth_in(h, -exponent), lost(kind, exponent))


@keyword_only_after(2, last="engine")
def hsic(
    x: ArrayLike,
    y: ArrayLike,
    *,
    kernel_x: KernelName = "gaussian",
    kernel_y: KernelName = "gaussian",
    bandwidth_x: Literal["median"] | float = "median",
    bandwidth_y: Literal["median"] | float = "median",
    test: IndependenceTest | None = None,
    n_permutations: int = 1000,
    seed: int = 0,
    engine: EngineName = "auto",
    confidence: float | None = None,
    precision: Precision = "double",
) -> HSICResult:
    """HSIC of two samples with any kernels, in O(n) memory except for permutations of few samples.

    ``HSIC = (1/n^2) sum_ij k~_ij l~_ij`` with both kernels centred (V-statistic, Gretton et al. 2005, eq. 4). The
    result's `unbiased` is the U-statistic (Song et al. 2012, eq. 5), whose mean is the index itself; with K0, L0 the
    Gram matrices less their diagonals
    ``1/(n (n - 3)) (tr K0 L0 + 1'K0 1 1'L0 1 / ((n - 1)(n - 2)) - 2/(n - 2) 1'K0 L0 1)``.

    Parameters
    ----------
    x, y : array_like (n,) or (n, d)
        Finite numbers, in any units: the bandwidth goes along. Under "energy" the index grows with them, and under
        "linear" with their square, so that it may be 0 or inf where that is no double.
    kernel_x, kernel_y : str
        One of ``hsicfast.engines.kernels.KERNELS``.
    bandwidth_x, bandwidth_y : "median" or float > 0
    test : {None, "permutation", "asymptotic", "gamma"}
    n_permutations : int >= 1
        Up to 3,000 samples, permutations keep both Gram matrices, 138 MiB at most.
    seed : int in [0, 2^64)
    engine : {"auto", "tile", "gpu"}
    confidence : float in (0, 1), optional
        Coverage of the confidence interval, which costs a second pass over the pairs; without it there is none.
    precision : {"double", "single"}
        Precision of the kernel values under engine="tile", as in :func:`goal_hsic`; single is a third faster.

    Raises
    ------
    InputError
        Values not finite, lengths that differ, fewer than 4 samples, a bad option.

    Examples
    --------
    >>> x = np.arange(8.0)
    >>> round(hsic(x, x, kernel_x="linear", kernel_y="linear").statistic, 6)  # the squared variance
    27.5625
    """
    with safely():
        a, b = checks.samples(x, "x"), checks.samples(y, "y")
        if a.shape[1] != b.shape[1]:
            raise InputError(f"x and y must have one length, but got {a.shape[1]} and {b.shape[1]}; drop the surplus")
        if engine not in ("auto", "tile", "gpu"):
            raise InputError(
                f"engine must be 'auto', 'tile' or 'gpu', but got {engine!r}; goal_hsic alone has the others"
            )
        if engine == "gpu":
            gpu.check()
        checks.check_test(test, n_permutations, seed, 0.9 if confidence is None else confidence)
        checks.check_precision(precision, engine)
        kind_x, kind_y = kernels.find(kernel_x), kernels.find(kernel_y)
        kind_x.check_domain(a, "x")
        kind_y.check_domain(b, "y")
        n = a.shape[1]
        if np.all(a == a[:, :1]) or np.all(b == b[:, :1]):
            sought, pvalue = None if confidence is None else inference.EXACTLY_ZERO, None if test is None else 1.0
            return HSICResult(0.0, 0.0, pvalue, sought, (math.nan, math.nan), n, 0.0, "tile", 0.0)
        (a, of_x), (b, of_y) = sized(a, kind_x), sized(b, kind_y)
        h_x = bandwidths.resolve(a, kind_x, bandwidth_in(bandwidth_x, of_x))
        h_y = bandwidths.resolve(b, kind_y, bandwidth_in(bandwidth_y, of_y))
        both = TwoSamples(a, b, kind_x, kind_y, h_x, h_y, engine, precision)
        found = both.result(test, n_permutations, seed, confidence)
        own = bandwidth_in(h_x, -of_x), bandwidth_in(h_y, -of_y)
        return in_own_units(found, own, lost(kind_x, of_x) + lost(kind_y, of_y))


class Spectrum(spectrum.SpectralMoments):
    """HSIC of values in [0, 1] with a number for each sample, over a stream or a cluster, in memory that does not grow.

    Batches add up. Spectra of machines that each saw a part of the samples add up, too. The same sums give the index at
    any bandwidth from `smallest` on; :mod:`hsicfast.dependence.spectrum` says how.

    Parameters
    ----------
    smallest : float > 0
        Smallest bandwidth that will be asked for; it takes 700 / `smallest` doubles of memory.

    Raises
    ------
    InputError
        If `smallest` is not above 0.

    Examples
    --------
    >>> u = np.linspace(0, 1, 1000)
    >>> one, other = Spectrum().update(u[:300], u[:300] < 0.1), Spectrum().update(u[300:], u[300:] < 0.1)
    >>> round(one.merge(other).hsic(0.2).statistic, 9), round(goal_hsic(u, u, goal=0.1, bandwidth=0.2).statistic, 9)
    (0.008018359, 0.008018359)
    """

    def __init__(self, smallest: float = 0.1) -> None:
        if not 0 < smallest < math.inf:
            raise InputError(f"`smallest > 0` must hold, but got smallest={smallest}; 0.1 suits carried values")
        super().__init__(smallest)

    def update(self, u: ArrayLike, w: ArrayLike, ordered: Floats | None = None) -> Self:
        """Add samples: values `u` (n,) in [0, 1], and for each a number `w`, such as whether it met the goal.

        The same values in ascending order, as `ordered`, save time.
        """
        values, weights = checks.numbers(u, "u"), np.asarray(w)
        if weights.dtype != bool or isinstance(w, np.ma.MaskedArray):
            weights = checks.numbers(w, "w")
        if values.ndim != 1 or values.shape != weights.shape:
            raise InputError(
                f"u and w must have one shape (n,), but got {values.shape} and {weights.shape}; update with one batch"
            )
        if len(values) and not (values.min() >= 0 and values.max() <= 1):
            raise InputError(
                f"carried values must lie in [0, 1], but u runs from {values.min():.6g} to {values.max():.6g}; "
                "carry them with hyperparameter.to_unit or by ranks"
            )
        return super().update(values, weights, ordered)

    def hsic(self, bandwidth: float, test: IndependenceTest | None = None, confidence: float = 0.9) -> HSICResult:
        """The index of all samples so far under the Gaussian kernel; `test` may be "asymptotic" or "gamma".

        The interval takes the numbers w as they are. If they are a goal whose edge was found from the same samples, the
        interval of :func:`goal_hsic` is narrower.
        """
        if self.n < checks.MIN_SAMPLES:
            raise InputError(
                f"at least {checks.MIN_SAMPLES} samples are needed, but this spectrum has {self.n}; update it with more"
            )
        if test not in (None, "asymptotic", "gamma"):
            raise InputError(f"a spectrum is tested by 'asymptotic' or 'gamma', but got {test!r}; it keeps no samples")
        check_share("confidence", confidence, usual=0.9)
        estimate = self.estimate(bandwidth)
        return estimate.result(None if test is None else estimate.pvalue(test), confidence, bandwidth)


def gram(x: ArrayLike, kernel: KernelName = "gaussian", bandwidth: Literal["median"] | float = "median") -> Floats:
    """The Gram matrix (n, n) of `x` (n,) or (n, d), computed in parallel without temporaries.

    Examples
    --------
    >>> gram([0.0, 1.0, 2.0, 4.0], "energy")[0].tolist()
    [-0.0, -1.0, -2.0, -4.0]
    """
    a = checks.samples(x, "x")
    kind = kernels.find(kernel)
    kind.check_domain(a, "x")
    out = np.empty((a.shape[1], a.shape[1]))
    a, exponent = sized(a, kind)
    tiles.gram(a, kind.code, bandwidths.resolve(a, kind, bandwidth_in(bandwidth, exponent)), out)
    return np.asarray(np.ldexp(out, lost(kind, exponent)))


def center(k: Floats) -> Floats:
    """Centre a symmetric matrix (n, n) of float64 in place, ``H K H`` with ``H = I - 1/n``, and return it.

    Examples
    --------
    >>> center(np.eye(2)).tolist()
    [[0.5, -0.5], [-0.5, 0.5]]
    """
    square = isinstance(k, np.ndarray) and k.ndim == 2 and k.shape[0] == k.shape[1]
    if not square or k.dtype != np.float64 or not k.flags.writeable:
        raise InputError(
            f"center works in place on a writeable square float64 array, but got "
            f"{type(k).__name__} {getattr(k, 'shape', '')} {getattr(k, 'dtype', '')}; pass np.array(k, dtype=float)"
        )
    matrices.center(k)
    return k
