"""The slow truth, from the formulas, with numpy alone; nothing here calls the code under test."""

import numpy as np


def distances(x):
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    return np.sqrt(((x[:, None, :] - x[None, :, :]) ** 2).sum(axis=2))


def gram(x, kernel, h=None):
    x = np.asarray(x, dtype=float).reshape(len(x), -1)
    d = distances(x)
    if kernel == "gaussian":
        return np.exp(-(d**2) / (2 * h**2))
    if kernel == "laplace":
        return np.exp(-d / h)
    if kernel == "matern32":
        return (1 + np.sqrt(3) * d / h) * np.exp(-np.sqrt(3) * d / h)
    if kernel == "matern52":
        return (1 + np.sqrt(5) * d / h + 5 * d**2 / (3 * h**2)) * np.exp(-np.sqrt(5) * d / h)
    if kernel == "energy":
        return -d
    if kernel == "linear":
        return x @ x.T
    if kernel == "dirac":
        return (x[:, None, :] == x[None, :, :]).all(axis=2).astype(float)
    if kernel == "sobolev":
        # 1 + B1(x) B1(y) + B2(|x - y|) / 2 in each coordinate, B1 and B2 the Bernoulli polynomials
        a, b = x[:, None, :], x[None, :, :]
        gap = np.abs(a - b)
        return (1 + (a - 0.5) * (b - 0.5) + (gap**2 - gap + 1 / 6) / 2).prod(axis=2)
    raise KeyError(kernel)


def center(k):
    n = len(k)
    h = np.eye(n) - 1 / n
    return h @ k @ h


def hsic(x, y, kernel_x="gaussian", kernel_y="gaussian", h_x=None, h_y=None):
    """(1/n^2) trace(K H L H)."""
    n = len(x)
    return (center(gram(x, kernel_x, h_x)) * center(gram(y, kernel_y, h_y))).sum() / n**2


def u_statistic(x, y, kernel_x="gaussian", kernel_y="gaussian", h_x=None, h_y=None):
    """Unbiased HSIC (Song et al. 2012, eq. 5), from the Gram matrices without their diagonals."""
    n = len(x)
    a, b = gram(x, kernel_x, h_x) * (1 - np.eye(n)), gram(y, kernel_y, h_y) * (1 - np.eye(n))
    return (np.trace(a @ b) + a.sum() * b.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (a @ b).sum()) / (n * (n - 3))


def goal(y, p, minimize=True):
    """Indicator of the best round(p n) of all n, ties included; NaN and inf miss."""
    y = np.asarray(y, dtype=float)
    loss = np.where(np.isfinite(y), y if minimize else -y, np.inf)
    m = min(max(round(p * len(y)), 1), np.isfinite(y).sum())
    return (loss <= np.sort(loss)[m - 1]) & np.isfinite(y) if m else np.zeros(len(y), bool)


def goal_hsic(u, z, kernel="gaussian", h=None):
    """(1/n^2) sum_ij w_i w_j k(u_i, u_j)."""
    w = z - np.mean(z)
    return w @ gram(u, kernel, h) @ w / len(z) ** 2


def median_distance(x):
    d = distances(x)[np.triu_indices(len(x), 1)]
    return np.median(d[d > 0])


def interval_gram(u, width, h, nodes=40):
    """Mean of the Gaussian over both intervals, by Gauss-Legendre quadrature."""
    t, weight = np.polynomial.legendre.leggauss(nodes)
    points = np.asarray(u)[:, None] + 0.5 * np.asarray(width)[:, None] * t[None, :]
    k = np.exp(-((points[:, None, :, None] - points[None, :, None, :]) ** 2) / (2 * h**2))
    return np.einsum("ijab,a,b->ij", k, weight / 2, weight / 2)


def permutation_null_mean(u, z, kernel, h):
    """Mean over every way to place the goal, by enumeration."""
    from itertools import combinations

    n, m = len(z), int(np.sum(z))
    values = []
    for chosen in combinations(range(n), m):
        placed = np.zeros(n)
        placed[list(chosen)] = 1
        values.append(goal_hsic(u, placed, kernel, h))
    return np.mean(values)


def orthogonal_to_constants(u, h, nodes=200):
    """The Gaussian made orthogonal to constants under the uniform law: k - m m^T / M (Durrande et al. 2013)."""
    t, weight = np.polynomial.legendre.leggauss(nodes)
    t, weight = (t + 1) / 2, weight / 2
    m = np.exp(-((np.asarray(u)[:, None] - t[None, :]) ** 2) / (2 * h**2)) @ weight
    total = weight @ np.exp(-((t[:, None] - t[None, :]) ** 2) / (2 * h**2)) @ weight
    return gram(u, "gaussian", h) - np.outer(m, m) / total


def dominated_by(losses):
    """Of each trial by how many it is dominated: those nowhere worse and somewhere better."""
    return [int(((losses <= own).all(axis=1) & (losses < own).any(axis=1)).sum()) for own in losses]
