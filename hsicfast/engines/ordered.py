"""Compiled engine for one dimension: exact O(n) sums over sorted values, for Laplace, Matern and distance kernels.

Let N_s be a Poisson number of mean s and ``T_p(s) = P(N_s <= p) = exp(-s) sum_(q <= p) s^q / q!``. With
``s = c |x - y| / h`` Laplace is T_0, Matern 3/2 is T_1, Matern 5/2 is (T_1 + 2 T_2) / 3, and their squares are such
mixtures at 2s. Walking up the sorted values, the sums ``F_p = sum_(j < i) w_j T_p(s_ij)`` follow from those of the
value before, t below, as Poisson numbers add up:

    F_p <- sum_(q <= p) exp(-t) t^q / q! F_(p - q),    then F_p += w_i for the next.

Walking down gives the other side. Only steps between neighbours and decays below 1 occur, so that nothing overflows and
an offset costs no digits. If kernel values are near 1, the digits are in 1 - k, a mixture of ``1 - T_p``; a step adds
``(1 - T_p(t)) sum_(j < i) w_j`` to their sums G_p, and nothing cancels. The distance has no decay, and
``F_p = sum_j w_j |x_i - x_j|^p / p!``.

Functions here trust their input; :mod:`hsicfast.dependence.hsic` checks it. Threads: a walk is serial and writes only
its own row, so that any number of threads gives the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange
from numpy.typing import NDArray

from hsicfast.arrays import Floats
from hsicfast.engines import kernels, spectral

# The flags of hsicfast.engines.loops.FASTMATH without reassoc and arcp: reassociation would make F + F expm1(-t) an
# F (1 + expm1(-t)), and a million small steps would lose what expm1 keeps; a reciprocal would round each step again.
AS_WRITTEN = {"contract", "nsz"}
SLOT = 4096  # steps of a parallel iteration
LANES = 16  # permuted goals walked side by side, in vector registers
MOST_MEMBERS = 2**23  # entries of the membership matrix of some permutations, 64 MiB

KERNELS = (kernels.LAPLACE, kernels.MATERN32, kernels.MATERN52, kernels.ENERGY)
# (kernel, power): c, and the weights of T_0, T_1, ... in k^power; for the distance 0, and the weights of d^p / p!.
MIXTURES = {
    (kernels.LAPLACE.code, 1): (1.0, (1.0,)),
    (kernels.LAPLACE.code, 2): (2.0, (1.0,)),
    (kernels.MATERN32.code, 1): (math.sqrt(3), (0.0, 1.0)),
    (kernels.MATERN32.code, 2): (2 * math.sqrt(3), (0.0, 1 / 2, 1 / 2)),
    (kernels.MATERN52.code, 1): (math.sqrt(5), (0.0, 1 / 3, 2 / 3)),
    (kernels.MATERN52.code, 2): (2 * math.sqrt(5), (0.0, 1 / 6, 1 / 3, 1 / 3, 1 / 6)),
    (kernels.ENERGY.code, 1): (0.0, (0.0, -1.0)),
    (kernels.ENERGY.code, 2): (0.0, (0.0, 0.0, 2.0)),
}


def goal_sums(ordered: Floats, w: Floats, code: int, bandwidth: float, shift: float) -> Floats:
    """The sums of :func:`hsicfast.engines.tiles.weighted_rows` for sorted values, in O(n).

    They follow from the sums of k - r and k^2 - r, with r = 0 or 1, whichever is nearer to the shift c: ``k - c = (k -
    r) - (c - r)`` and ``(k - c)^2 = (k^2 - r) - 2c (k - r) + (c - r)^2``.

    Parameters
    ----------
    ordered : (n,), sorted
    w : (n,), in the same order
    shift : float
        Taken off every entry.

    Returns
    -------
    (n, 4): row i holds ``sum_j w_j k_ij``, ``sum_j k_ij``, ``sum_j k_ij^2``, ``k_ii``, all of k - shift

    Examples
    --------
    >>> goal_sums(np.array([0.0, 1.0, 3.0]), np.ones(3), kernels.ENERGY.code, np.nan, 0.0)[:, [0, 2]].tolist()
    [[-4.0, 10.0], [-3.0, 5.0], [-5.0, 13.0]]
    """
    n = len(ordered)
    near_one = shift > 0.5 and code != kernels.ENERGY.code
    rest = shift - near_one
    weights = np.ones((2, n))
    weights[0] = w
    out = np.empty((4, n))
    _sums(ordered, weights, code, bandwidth, 1, near_one, out[:2])
    _sums(ordered, weights[1:], code, bandwidth, 2, near_one, out[2:3])
    out[2] -= 2 * shift * out[1]
    out[2] += n * rest**2
    out[1] -= n * rest
    out[0] -= rest * w.sum()
    out[3] = (code != kernels.ENERGY.code) - shift
    return out.T


def subset_statistics(
    ordered: Floats, order: NDArray[np.int64], m: int, n_permutations: int, seed: int, code: int, bandwidth: float
) -> Floats:
    """Statistics ``(1/n^2) w^T K w`` of random goals of size m, w = z - m/n.

    Parameters
    ----------
    ordered : (n,), sorted
    order : (n,) int
        ``ordered[r]`` is the value of sample ``order[r]``. The subsets of samples are those of
        :func:`hsicfast.engines.spectral.subset_membership`, so that all hyperparameters see the same ones.
    m : int in [0, n]
    seed : int in [0, 2^64)

    Returns
    -------
    (n_permutations,); cost O(n_permutations n), in bounded memory
    """
    n = len(ordered)
    c, mixture = MIXTURES[code, 1]
    steps = _steps(ordered, c, bandwidth, False)
    padded = np.append(mixture, np.zeros(3 - len(mixture)))
    # The stream of a slot of DRAWS permutations starts at seed ^ (slot << 32). A chunk takes 4, 2 or 1 slots; its first
    # slot goes into the seed, as slot = first ^ (place in the chunk). The last slot is drawn whole, then cut.
    wanted = -(-n_permutations // spectral.DRAWS)
    slots = 4
    while slots > 1 and slots * spectral.DRAWS * n > MOST_MEMBERS:
        slots //= 2
    parts = []
    for first in range(0, wanted, slots):
        draws = min(slots, wanted - first) * spectral.DRAWS
        membership = spectral.subset_membership(n, m, draws, np.uint64(int(seed) ^ (first << 32)))
        parts.append(_quadratic_forms(steps, membership, order, min(m, n - m) / n, padded, c > 0))
    # on weights that sum to 0, K is positive up to rounding
    return np.maximum(np.concatenate(parts)[:n_permutations], 0.0) / n / n


def _sums(
    ordered: Floats,
    weights: Floats,
    code: int,
    bandwidth: float,
    power: int,
    near_one: bool,
    out: Floats,
) -> None:
    """Fill `out` (c, n) with the sums of ``w_aj k_ij^power``, or of ``w_aj (k_ij^power - 1)``, over all j.

    Parameters
    ----------
    ordered : (n,), sorted
    weights : (c, n)
    code : int
        Of one of KERNELS.
    bandwidth : float
        The distance kernel does not read it.
    power : {1, 2}
    near_one : bool
        Whether 1 is taken off every entry.
    """
    c, mixture = MIXTURES[code, power]
    padded = np.append(mixture, np.zeros(5 - len(mixture)))
    _walks(_steps(ordered, c, bandwidth, near_one), weights, padded, len(mixture), c > 0, near_one, out)


@njit(cache=True, fastmath=AS_WRITTEN, parallel=True)
def _steps(ordered, c, bandwidth, near_one):
    """Steps between neighbours; column i is that from value i - 1 to i, columns 0 and n are 0.

    Returns
    -------
    (3, n + 1), or (2, n + 1) without the last row, which only `near_one` needs:

    - ``t = c (x_i - x_(i - 1)) / bandwidth``, the mere difference for c = 0
    - the decay: of a short step ``exp(-t) - 1``, not above 0; of a longer one ``exp(-t)``, above 0; 0 for c = 0
    - ``1 - T_4(t)``

    A step after which nothing is left is t = 0 with the decay -1, because t may be infinite and 0 times it is NaN.
    """
    n = ordered.shape[0]
    out = np.zeros((3 if near_one else 2, n + 1))
    for slot in prange((n + SLOT - 1) // SLOT):
        for i in range(max(1, slot * SLOT), min(n, (slot + 1) * SLOT)):
            t = ordered[i] - ordered[i - 1]
            decay = 0.0
            tail = 0.0
            if c > 0.0:
                t = c * t / bandwidth
                if t < 1e-3:
                    # much faster than expm1; nearly all steps of a large sample are this short
                    decay = t * (t * (0.5 - t * (1.0 / 6.0 - t * (1.0 / 24.0 - t / 120.0))) - 1.0)
                    tail = t**5 / 120.0  # it is 1e-10 of 1 - T_1, so that its next term does not matter
                elif t < 0.5:
                    decay = math.expm1(-t)
                    term = (1.0 + decay) * t**5 / 120.0
                    for q in range(6, 16):
                        tail += term
                        term *= t / q
                else:
                    decay = math.exp(-t)
                    if decay == 0.0:
                        t = 0.0
                        decay = -1.0
                        tail = 1.0
                    else:
                        tail = 1.0 - decay * (1.0 + t * (1.0 + t * (0.5 + t * (1.0 / 6.0 + t / 24.0))))
            out[0, i] = t
            out[1, i] = decay
            if near_one:
                out[2, i] = tail
    return out


@njit(cache=True, fastmath=AS_WRITTEN, parallel=True)
def _walks(steps, weights, mixture, orders, decays, near_one, out):
    """Both walks for each row of weights: ``out[a, i] = sum_j w_aj k_ij``, or of k - 1 if `near_one`.

    Parameters
    ----------
    weights, out : (c, n)
    mixture : (5,)
        ``k = sum_p mixture[p] T_p``, zeros from `orders` on.
    decays : bool
        False for the distance.
    """
    for a in prange(weights.shape[0]):
        _walk(steps, weights[a], mixture, orders, decays, near_one, True, out[a])
        _walk(steps, weights[a], mixture, orders, decays, near_one, False, out[a])


@njit(cache=True, fastmath=AS_WRITTEN)
def _walk(steps, weights, mixture, orders, decays, near_one, up, out):
    """Up: ``out[i]`` is set to the sum over j <= i. Down: the sum over j > i is added."""
    n = weights.shape[0]
    a0, a1, a2, a3, a4 = mixture[0], mixture[1], mixture[2], mixture[3], mixture[4]
    sign = -1.0 if near_one else 1.0
    f0 = f1 = f2 = f3 = f4 = mass = 0.0
    for r in range(n):
        i = r if up else n - 1 - r
        step = i if up else i + 1
        t = steps[0, step]
        decay = steps[1, step]
        kept = 1.0 if decay <= 0.0 else 0.0
        half = t * 0.5
        third = t * (1.0 / 3.0)  # a division takes longer than the rest of the step
        fourth = t * 0.25
        if orders > 3:
            f4 += t * (f3 + half * (f2 + third * (f1 + fourth * f0)))
            f3 += t * (f2 + half * (f1 + third * f0))
            f4 = kept * f4 + decay * f4
            f3 = kept * f3 + decay * f3
        if orders > 1:
            f2 += t * (f1 + half * f0)
            f1 += t * f0
            f2 = kept * f2 + decay * f2
            f1 = kept * f1 + decay * f1
        f0 = kept * f0 + decay * f0
        if near_one:
            p1 = (kept + decay) * t
            p2 = p1 * half
            p3 = p2 * third
            p4 = p3 * fourth
            rest = steps[2, step]
            f4 += rest * mass
            rest += p4
            f3 += rest * mass
            rest += p3
            f2 += rest * mass
            rest += p2
            f1 += rest * mass
            f0 += (rest + p1) * mass
        total = sign * (a0 * f0 + a1 * f1 + a2 * f2 + a3 * f3 + a4 * f4)
        w = weights[i]
        if not up:
            out[i] += total
        elif decays and not near_one:
            out[i] = total + w  # k(0) = 1
        else:
            out[i] = total
        if near_one:
            mass += w
        else:
            f0 += w
            if decays:
                f1 += w
                f2 += w
                f3 += w
                f4 += w


@njit(cache=True, fastmath=AS_WRITTEN, parallel=True)
def _quadratic_forms(steps, membership, order, mean, mixture, decays):
    """``w^T K w`` of w = z - mean for each column z of `membership` (n, B), B a multiple of LANES.

    The diagonal and twice the walk up; the columns of one parallel iteration walk side by side.
    """
    n, draws = membership.shape
    a0, a1, a2 = mixture[0], mixture[1], mixture[2]
    at_zero = 1.0 if decays else 0.0
    out = np.empty(draws)
    for slot in prange(draws // LANES):
        f0 = np.zeros(LANES)
        f1 = np.zeros(LANES)
        f2 = np.zeros(LANES)
        total = np.zeros(LANES)
        for i in range(n):
            t = steps[0, i]
            decay = steps[1, i]
            kept = 1.0 if decay <= 0.0 else 0.0
            row = membership[order[i], slot * LANES : (slot + 1) * LANES]
            for a in range(LANES):
                w = row[a] - mean
                g2 = f2[a] + t * (f1[a] + 0.5 * t * f0[a])
                g1 = f1[a] + t * f0[a]
                g0 = kept * f0[a] + decay * f0[a]
                g1 = kept * g1 + decay * g1
                g2 = kept * g2 + decay * g2
                total[a] += w * (at_zero * w + 2.0 * (a0 * g0 + a1 * g1 + a2 * g2))
                f0[a] = g0 + w
                f1[a] = g1 + at_zero * w
                f2[a] = g2 + at_zero * w
        out[slot * LANES : (slot + 1) * LANES] = total
    return out
