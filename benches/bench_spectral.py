"""The spectral engine computes one goal-oriented index from raw arrays; a sort of the same size is the measure."""

import numpy as np

from hsicfast import goal_hsic


class Index:
    params = (1_000, 10_000, 100_000)
    param_names = ("n",)

    def setup(self, n):
        rng = np.random.default_rng(0)
        self.u = rng.random(n)
        self.y = (self.u - 0.3) ** 2 + 0.1 * rng.random(n)
        goal_hsic(self.u[:100], self.y[:100])  # compile

    def time_goal_hsic(self, n):
        goal_hsic(self.u, self.y)

    def time_fixed_bandwidth(self, n):
        goal_hsic(self.u, self.y, bandwidth=0.3)

    def time_np_sort_as_a_measure(self, n):
        np.sort(self.u)

    def peakmem_goal_hsic(self, n):
        goal_hsic(self.u, self.y)
