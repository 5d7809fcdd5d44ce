"""The permutation tests of a goal-oriented index."""

import numpy as np

from hsicfast import goal_hsic


class Permutation:
    params = (200, 2_000, 10_000)
    param_names = ("n",)

    def setup(self, n):
        self.u, self.y = np.random.default_rng(0).random((2, n))
        goal_hsic(self.u[:100], self.y[:100], test="permutation", n_permutations=10)  # compile

    def time_1000_permutations(self, n):
        goal_hsic(self.u, self.y, test="permutation", n_permutations=1000)

    def time_asymptotic(self, n):
        goal_hsic(self.u, self.y, test="asymptotic")
