"""Trials that say nothing: the answer is "no evidence either way", not a ranking."""

import numpy as np
from rich.console import Console

import hsicfast


def main() -> hsicfast.Sensitivity:
    random = np.random.default_rng(0)
    space = hsicfast.SearchSpace({f"h{i}": hsicfast.Float(0, 1) for i in range(8)})
    columns = {name: random.random(200) for name in space}
    found = hsicfast.analyse(space, hsicfast.TrialTable.from_arrays(space, columns, random.random(200)))
    Console().print(found.headline)
    for name, verdict in found.verdicts().iterrows():
        Console().print(f"{name}: {verdict['text']}. {verdict['evidence']}")
    return found


if __name__ == "__main__":
    main()
