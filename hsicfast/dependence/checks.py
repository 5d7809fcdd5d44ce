"""What the public functions accept: a check returns the clean value, or raises an error that says what is wrong."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike

from hsicfast.arrays import Floats
from hsicfast.engines import scans
from hsicfast.engines.layer import threads_for
from hsicfast.errors import InputError, check_one_of, check_share

KernelName = Literal["gaussian", "laplace", "matern32", "matern52", "energy", "linear", "dirac", "sobolev"]
GoalEngineName = Literal["auto", "spectral", "ordered", "tile", "gpu"]
EngineName = Literal["auto", "tile", "gpu"]
IndependenceTest = Literal["permutation", "asymptotic", "gamma"]
Precision = Literal["double", "single"]
PRECISIONS = get_args(Precision)
# The unbiased index divides by n - 3.
MIN_SAMPLES = 4
# The state of the permutations' random stream.
SEED_BITS = 64
TESTS = (None, *get_args(IndependenceTest))


def numbers(x: ArrayLike, name: str, finite: bool = True) -> Floats:
    """`x`, which the caller calls `name`, as doubles; with `finite` all of them finite, else masked ones are NaN."""
    given = np.asarray(x)
    if given.dtype.kind not in "biuf":
        raise InputError(f"{name} must hold numbers, but its type is {given.dtype}; convert it with astype(float)")
    array = np.asarray(given, dtype=np.float64)
    hidden = int(np.ma.count_masked(x)) if isinstance(x, np.ma.MaskedArray) else 0
    if hidden and finite:
        raise InputError(f"{name} must have no masked values, but {hidden} are masked; drop them")
    if hidden:
        array = np.where(np.ma.getmaskarray(np.ma.asarray(x)), np.nan, array)
    if finite and not np.isfinite(array).all():
        raise InputError(
            f"{name} must be finite, but {np.count_nonzero(~np.isfinite(array))} values are not; drop them"
        )
    return array


def samples(x: ArrayLike, name: str, finite: bool = True) -> Floats:
    """`x` (n,) or (n, d) as (d, n), contiguous, checked."""
    array = numbers(x, name, finite)
    if array.ndim not in (1, 2) or array.size == 0:
        raise InputError(f"{name} must have shape (n,) or (n, d), but got {array.shape}; reshape it")
    if len(array) < MIN_SAMPLES:
        raise InputError(f"at least {MIN_SAMPLES} samples are needed, but {name} has {len(array)}; add some")
    return np.ascontiguousarray(array.reshape(len(array), -1).T)


def carried(u: ArrayLike) -> Floats:
    """`u` (n,) or (n, d) in the unit interval, as (d, n)."""
    x = samples(u, "u", finite=False)
    with threads_for(x.size):
        within = scans.all_within(x.reshape(-1), 0.0, 1.0)
    if not within:  # of a NaN, too
        numbers(u, "u")
        raise InputError(
            f"carried values must lie in [0, 1], but u runs from {x.min():.6g} to {x.max():.6g}; "
            "carry them with hyperparameter.to_unit or by ranks"
        )
    return x


def widths(width: ArrayLike | None, n: int) -> Floats:
    """Lengths (n,) of the intervals that values stand for; (0,) if all are points."""
    if width is None:
        return np.empty(0)
    lengths = numbers(width, "width")
    if lengths.shape != (n,) or lengths.min() < 0 or lengths.max() > 1:
        raise InputError(
            f"width must hold {n} lengths in [0, 1], but got shape {lengths.shape}; use hyperparameter.width"
        )
    return lengths if lengths.any() else np.empty(0)


def check_test(test: str | None, n_permutations: Any, seed: Any, confidence: float) -> None:
    """Raise an InputError unless these options of a test are usable.

    Parameters
    ----------
    test : {None, "permutation", "asymptotic", "gamma"}
    n_permutations : int >= 1
    seed : int in [0, 2^64)
    confidence : float in (0, 1)
    """
    check_one_of("test", test, TESTS)
    if not _is_whole(n_permutations):
        raise InputError(f"n_permutations must be a whole number, but got {n_permutations!r}; 1000 is usual")
    if n_permutations < 1:
        raise InputError(f"`n_permutations >= 1` must hold, but got {n_permutations}; 1000 is usual")
    if not _is_whole(seed):
        raise InputError(f"seed must be a whole number, but got {seed!r}; use 0 or above")
    if seed < 0:
        raise InputError(f"`seed >= 0` must hold, but got {seed}; use 0 or above")
    if seed >= 2**SEED_BITS:
        raise InputError(f"`seed < 2**{SEED_BITS}` must hold, but got {seed}; use a smaller one")
    check_share("confidence", confidence, usual=0.9)


def _is_whole(value: Any) -> bool:
    """Whether `value` is an integer of Python or NumPy; True and False do not count."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_precision(precision: str, engine: str) -> None:
    """Raise an InputError unless `engine` can compute in `precision`."""
    check_one_of("precision", precision, PRECISIONS)
    if precision == "single" and engine != "tile":
        raise InputError(f"precision='single' needs engine='tile', but got engine={engine!r}; the others are double")
