"""Two hyperparameters that matter only together: their own indices are small, their pure pair index is large."""

import numpy as np
from rich.console import Console

import hsicfast


def main() -> hsicfast.Sensitivity:
    random = np.random.default_rng(0)
    space = hsicfast.SearchSpace({name: hsicfast.Float(0, 1) for name in ("a", "b", "c")})
    columns = {name: random.random(1000) for name in space}
    apart = (columns["a"] > 0.5) != (columns["b"] > 0.5)
    error = np.where(apart, 0.0, 1.0) + 0.5 * random.random(1000) + 0.05 * columns["c"]
    found = hsicfast.analyse(space, hsicfast.TrialTable.from_arrays(space, columns, error), goal=0.25)
    console = Console()
    console.print(found.to_frame()[["hsic", "pvalue_holm"]])
    console.print(found.pairs)
    return found


if __name__ == "__main__":
    main()
