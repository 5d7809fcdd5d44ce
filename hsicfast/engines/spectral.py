"""Compiled spectral engine: features of the Gaussian on [0, 1] and their sums over permuted goals.

For a goal z with w = z - mean(z), the statistic (1/n^2) sum_ij w_i w_j k(u_i, u_j) is the squared length of the
r numbers (1/n) sum_j w_j psi(u_j), where psi is the feature map of
:func:`hsicfast.dependence.features.gaussian_features`.
A pair has the features psi(u) x psi(v). Kernels here trust their input; :mod:`hsicfast.dependence.hsic` checks it.

Threads: a parallel iteration writes only its own slot. The size of the data alone cuts the slots, and they are summed
in order, so that any number of threads gives the same bits.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, prange

from hsicfast.engines.loops import FASTMATH, cosine_and_sine, exp_negative, use_wide_vectors

BLOCK = 128  # samples worked on at once, in the first-level cache with their features
SLOT = 1024  # samples of a parallel iteration
DRAWS = 16  # permutations of a parallel iteration; they fix the random stream, so no machine may change them


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def features(u, width, omega, even, odd):
    """Feature vectors psi(u_j) of all samples, or their means over intervals.

    ``psi_a(u) = sum_k even[k, a] s_k cos(omega k t) + odd[k, a] s_k sin(omega k t)``, t = u - 1/2, where
    ``s_k = sinc(omega k width / 2)`` is the mean of the cosine over the interval (1 for a point). One rotation
    for each k replaces a cosine for each k.

    Parameters
    ----------
    u : (n,) in [0, 1]
    width : (n,) in [0, 1], or (0,) if all are points
    even : (K + 1, r_even), odd : (K + 1, r_odd)

    Returns
    -------
    (n, r_even + r_odd); cost O(n K r)
    """
    n = u.shape[0]
    terms = even.shape[0]
    r_even = even.shape[1]
    r = r_even + odd.shape[1]
    out = np.empty((n, r))
    for slot in prange((n + SLOT - 1) // SLOT):
        use_wide_vectors()
        cos1 = np.empty(BLOCK)
        sin1 = np.empty(BLOCK)
        cosk = np.empty(BLOCK)
        sink = np.empty(BLOCK)
        psi = np.empty((r, BLOCK))
        for start in range(slot * SLOT, min(n, (slot + 1) * SLOT), BLOCK):
            size = min(BLOCK, n - start)
            for j in range(size):
                cos1[j], sin1[j] = cosine_and_sine(omega * (u[start + j] - 0.5))
                cosk[j] = 1.0
                sink[j] = 0.0
            psi[:, :] = 0.0
            for k in range(terms):
                if width.shape[0] > 0 and k > 0:
                    _add_interval_term(psi, cosk, sink, width[start : start + size], omega * k, even[k], odd[k])
                else:
                    for a in range(r_even):
                        for j in range(size):
                            psi[a, j] += even[k, a] * cosk[j]
                    for a in range(r - r_even):
                        for j in range(size):
                            psi[r_even + a, j] += odd[k, a] * sink[j]
                for j in range(size):
                    c = cosk[j]
                    cosk[j] = c * cos1[j] - sink[j] * sin1[j]
                    sink[j] = sink[j] * cos1[j] + c * sin1[j]
            for j in range(size):
                for a in range(r):
                    out[start + j, a] = psi[a, j]
    return out


@njit(cache=True, fastmath=FASTMATH)
def _add_interval_term(psi, cosk, sink, width, frequency, even, odd):
    """Term k of :func:`features` for samples that are intervals."""
    for j in range(width.shape[0]):
        half = 0.5 * frequency * width[j]
        damping = math.sin(half) / half if half > 0.0 else 1.0
        c = damping * cosk[j]
        s = damping * sink[j]
        for a in range(even.shape[0]):
            psi[a, j] += even[a] * c
        for a in range(odd.shape[0]):
            psi[even.shape[0] + a, j] += odd[a] * s


@njit(cache=True)
def _next_random(state):
    """splitmix64 (Steele, Lea, Flood 2014): the next state and 64 random bits."""
    state = np.uint64(state + np.uint64(0x9E3779B97F4A7C15))
    z = state
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state, z ^ (z >> np.uint64(31))


@njit(cache=True)
def _draw_subset(order, m, state):
    """Move a uniformly random subset of size m to the front of `order`, whatever its order was.

    A place is 32 random bits times the range, shifted by 32: the bias is below n / 2^32.
    """
    n = order.shape[0]
    for i in range(m):
        state, bits = _next_random(state)
        j = i + np.int64((bits >> np.uint64(32)) * np.uint64(n - i) >> np.uint64(32))
        order[i], order[j] = order[j], order[i]
    return state


@njit(cache=True)
def _start(seed, slot):
    """State of the random stream of one parallel slot."""
    return _next_random(np.uint64(seed) ^ (np.uint64(slot) << np.uint64(32)))[1]


@njit(cache=True, parallel=True)
def subset_membership(n, m, n_permutations, seed):
    """The subsets that :func:`permuted_statistics` draws, as columns (n, n_permutations) of 0.0 and 1.0.

    For m above n / 2 these are the complements, of size n - m.

    Parameters
    ----------
    n : int
    m : int in [0, n]
    n_permutations : int
    seed : uint64
    """
    size = min(m, n - m)
    out = np.zeros((n, n_permutations))
    for slot in prange((n_permutations + DRAWS - 1) // DRAWS):
        use_wide_vectors()
        order = np.arange(n)
        state = _start(seed, slot)
        for b in range(slot * DRAWS, min(n_permutations, (slot + 1) * DRAWS)):
            state = _draw_subset(order, size, state)
            for i in range(size):
                out[order[i], b] = 1.0
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def permuted_statistics(psi, offsets, m, n_permutations, seed):
    """Statistics of random goals: a permutation of a 0/1 goal is a random subset of size m.

    ``S = (1/n^2) |sum_(j in subset) psi_j - (m/n) sum_j psi_j|^2`` for the columns of each hyperparameter.

    Parameters
    ----------
    psi : (n, R)
        Features of q hyperparameters side by side; the permutations are the same for all.
    offsets : (q + 1,) int
        Hyperparameter i has columns offsets[i] to offsets[i + 1].
    m : int in [0, n]
    seed : uint64

    Returns
    -------
    (n_permutations, q); cost O(n_permutations m R)
    """
    n, total_rank = psi.shape
    q = offsets.shape[0] - 1
    # A subset and its complement have the same statistic: draw the smaller.
    size = min(m, n - m)
    out = np.empty((n_permutations, q))
    total = np.zeros(total_rank)
    for j in range(n):
        for a in range(total_rank):
            total[a] += psi[j, a]
    for slot in prange((n_permutations + DRAWS - 1) // DRAWS):
        use_wide_vectors()
        order = np.arange(n)
        state = _start(seed, slot)
        chosen = np.empty(total_rank)
        for b in range(slot * DRAWS, min(n_permutations, (slot + 1) * DRAWS)):
            state = _draw_subset(order, size, state)
            chosen[:] = 0.0
            for i in range(size):
                j = order[i]
                for a in range(total_rank):
                    chosen[a] += psi[j, a]
            for h in range(q):
                length = 0.0
                for a in range(offsets[h], offsets[h + 1]):
                    length += (chosen[a] - size / n * total[a]) ** 2
                out[b, h] = length / n / n
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def nested_statistics(psi, weights, exists, groups, sizes, n_permutations, seed):
    """Statistics of random rankings at several goals at once: the best m of a random order, for each m that is asked.

    ``S = sum_a weights[h, a] |sum_(j among the best m) psi_j,a|^2`` for each hyperparameter, goal and bandwidth h. One
    order of all samples serves all of them, so that their statistics depend on each other as those of the data do. A
    group counts its own samples only.

    Parameters
    ----------
    psi : (n, q J)
        J features of each of q hyperparameters side by side, centred over its group, 0 outside it.
    weights : (H, J)
    exists : (K, n) bool
        The samples of each group.
    groups : (q,) int
        Group of each hyperparameter.
    sizes : (K, G) int
        Numbers m of each group, ascending; 0 where a group has fewer than G, at its start.
    seed : uint64

    Returns
    -------
    (n_permutations, q, G, H), 0 for a size of 0; cost O(n_permutations max(m) q J)
    """
    n, total = psi.shape
    n_groups, n_goals = sizes.shape
    q = groups.shape[0]
    n_weights, n_features = weights.shape
    out = np.zeros((n_permutations, q, n_goals, n_weights))
    for slot in prange((n_permutations + DRAWS - 1) // DRAWS):
        use_wide_vectors()
        order = np.arange(n)
        state = _start(seed, slot)
        chosen = np.empty(total)
        seen = np.empty(n_groups, dtype=np.int64)
        goal = np.empty(n_groups, dtype=np.int64)
        for b in range(slot * DRAWS, min(n_permutations, (slot + 1) * DRAWS)):
            chosen[:] = 0.0
            seen[:] = 0
            open_groups = n_groups
            for k in range(n_groups):
                goal[k] = 0
                while goal[k] < n_goals and sizes[k, goal[k]] == 0:
                    goal[k] += 1
                if goal[k] == n_goals:
                    open_groups -= 1
            for i in range(n):
                if open_groups == 0:
                    break
                state, bits = _next_random(state)
                j = i + np.int64((bits >> np.uint64(32)) * np.uint64(n - i) >> np.uint64(32))
                order[i], order[j] = order[j], order[i]
                row = order[i]
                for a in range(total):
                    chosen[a] += psi[row, a]
                for k in range(n_groups):
                    if goal[k] == n_goals or not exists[k, row]:
                        continue
                    seen[k] += 1
                    if seen[k] < sizes[k, goal[k]]:
                        continue
                    for x in range(q):
                        if groups[x] == k:
                            for h in range(n_weights):
                                length = 0.0
                                for a in range(n_features):
                                    length += weights[h, a] * chosen[x * n_features + a] ** 2
                                out[b, x, goal[k], h] = length
                    goal[k] += 1
                    if goal[k] == n_goals:
                        open_groups -= 1
    return out


@njit(cache=True, fastmath=FASTMATH)
def _neighbours(values, earlier, w, w_earlier, scale, reach):
    """``sum_t w_t w'_t k(values_t, earlier_t)``, and how many of these pairs lie within `reach`."""
    use_wide_vectors()
    form = 0.0
    near = 0
    for t in range(values.shape[0]):
        d = values[t] - earlier[t]
        near += d <= reach
        form += w[t] * w_earlier[t] * exp_negative(scale * d * d)
    return form, near


@njit(cache=True, fastmath=FASTMATH)
def _near_pairs(ordered, w, bandwidth, reach, start, stop):
    """``sum_i w_i (w_i + 2 sum_(j < i) w_j k_ij)`` over start <= i < stop and at least the j within `reach`.

    Values are sorted. Pairs l places apart are neighbours in memory; l = 1, 2, ... goes on until all are too far.
    """
    scale = -0.5 / (bandwidth * bandwidth)
    total = 0.0
    for i in range(start, stop):
        total += w[i] * w[i]
    for begin in range(start, stop, SLOT):
        end = min(begin + SLOT, stop)
        for lag in range(1, end):
            at = max(begin, lag)
            form, near = _neighbours(
                ordered[at:end], ordered[at - lag : end - lag], w[at:end], w[at - lag : end - lag], scale, reach
            )
            total += 2.0 * form
            if near == 0:
                break
    return total


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def window_forms(ordered, w, bandwidths, tail):
    """``sum_ij w_i w_j k_ij`` of the Gaussian over the pairs for which it is not zero, for small bandwidths.

    Parameters
    ----------
    ordered : (n,), sorted
    w : (n,)
    bandwidths : (H,)
    tail : float
        The kernel is zero beyond a distance of this many bandwidths.

    Returns
    -------
    (H,); cost O(n + pairs within ``tail bandwidth``) each
    """
    n = ordered.shape[0]
    slots = (n + SLOT - 1) // SLOT
    parts = np.empty((slots, bandwidths.shape[0]))
    for slot in prange(slots):
        for b in range(bandwidths.shape[0]):
            h = bandwidths[b]
            parts[slot, b] = _near_pairs(ordered, w, h, tail * h, slot * SLOT, min(n, (slot + 1) * SLOT))
    total = parts[0]
    for slot in range(1, slots):
        total += parts[slot]
    return total


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def window_rows(ordered, w, bandwidth, reach):
    """Row sums of the Gaussian over the pairs for which it is not zero.

    They are those of :func:`hsicfast.engines.tiles.weighted_rows` with shift 0.

    Parameters
    ----------
    ordered : (n,), sorted
    w : (n,)
    reach : float
        The kernel is zero beyond this distance.

    Returns
    -------
    (n, 4): row i holds ``sum_j w_j k_ij``, ``sum_j k_ij``, ``sum_j k_ij^2``, ``k_ii``; O(n + pairs within `reach`)
    """
    n = ordered.shape[0]
    scale = -0.5 / (bandwidth * bandwidth)
    out = np.ones((n, 4))
    for slot in prange((n + SLOT - 1) // SLOT):
        use_wide_vectors()
        first = 0
        last = 0
        for i in range(slot * SLOT, min(n, (slot + 1) * SLOT)):
            while ordered[i] - ordered[first] > reach:
                first += 1
            while last < n and ordered[last] - ordered[i] <= reach:
                last += 1
            weighted = 0.0
            total = 0.0
            squares = 0.0
            for j in range(first, last):
                d = ordered[i] - ordered[j]
                k = exp_negative(scale * d * d)
                weighted += w[j] * k
                total += k
                squares += k * k
            out[i, 0] = weighted
            out[i, 1] = total
            out[i, 2] = squares
    return out


@njit(cache=True, fastmath=FASTMATH, parallel=True)
def permuted_windows(ordered, rank, size, n_permutations, seed, bandwidth, reach):
    """Statistics of random goals at a small bandwidth, for the subsets of :func:`permuted_statistics`.

    ``S = (1/n^2) [sum_(i, j in b) k_ij - 2 (size/n) sum_(i in b) r_i + (size/n)^2 sum_i r_i]`` with row sums r.

    Parameters
    ----------
    ordered : (n,), sorted
    rank : (n,) int
        Place of each sample in `ordered`.
    size : int
        Size of the subsets, at most n / 2.

    Returns
    -------
    (n_permutations,); cost O(pairs within `reach`, of all samples once and of each subset)
    """
    n = ordered.shape[0]
    ones = np.ones(n)
    rows = window_rows(ordered, ones, bandwidth, reach)[:, 1]
    total = 0.0
    for i in range(n):
        total += rows[i]
    out = np.empty(n_permutations)
    for slot in prange((n_permutations + DRAWS - 1) // DRAWS):
        use_wide_vectors()
        order = np.arange(n)
        state = _start(seed, slot)
        ranks = np.empty(size, dtype=np.int64)
        chosen = np.empty(size)
        for b in range(slot * DRAWS, min(n_permutations, (slot + 1) * DRAWS)):
            state = _draw_subset(order, size, state)
            for i in range(size):
                ranks[i] = rank[order[i]]
            ranks.sort()
            cross = 0.0
            for i in range(size):
                chosen[i] = ordered[ranks[i]]
                cross += rows[ranks[i]]
            form = _near_pairs(chosen, ones[:size], bandwidth, reach, 0, size)
            out[b] = (form - 2.0 * size / n * cross + (size / n) ** 2 * total) / n / n
    return out
