"""A whole analysis as the orchestrator calls it: main indices, pairs and cost."""

import numpy as np

from hsicfast import Float, Int, SearchSpace, TrialTable, analyse


class Analysis:
    params = (100, 400)
    param_names = ("n",)

    def setup(self, n):
        rng = np.random.default_rng(0)
        self.space = SearchSpace({f"x{i}": Float(0, 1) for i in range(10)} | {f"k{i}": Int(1, 8) for i in range(10)})
        params = [self.space.from_unit(point) for point in rng.random((n, 20))]
        values = {name: [p[name] for p in params] for name in self.space}
        objective = np.array([(p["x0"] - 0.3) ** 2 + 0.1 * p["k0"] for p in params])
        self.table = TrialTable.from_arrays(self.space, values, objective, cost=np.array(values["k1"]))
        analyse(self.space, self.table, n_permutations=10)  # compile

    def time_analyse(self, n):
        analyse(self.space, self.table)
