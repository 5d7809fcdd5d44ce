"""The tile engine computes the HSIC of two samples of several columns."""

import numpy as np

from hsicfast import hsic


class Pair:
    params = (500, 2_000)
    param_names = ("n",)

    def setup(self, n):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((n, 10))
        self.y = self.x[:, :2] + rng.standard_normal((n, 2))
        hsic(self.x[:10], self.y[:10])  # compile

    def time_hsic(self, n):
        hsic(self.x, self.y, bandwidth_x=3.0, bandwidth_y=1.0)

    def time_hsic_median_bandwidths(self, n):
        hsic(self.x, self.y)
