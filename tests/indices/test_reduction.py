"""What is searched on and what is fixed."""

import numpy as np
from builders import CONDITIONAL, table

from hsicfast import analyse
from hsicfast.indices.reduction import reduce


class TestReduction:
    def test_searches_what_matters_and_its_parents_and_fixes_the_rest_cheaply(self):
        sensitivity = analyse(CONDITIONAL, table(400, cost=lambda p: 2.0 ** p["depth"]))
        reduction = reduce(sensitivity, alpha=0.01)
        assert list(reduction.space) == ["rate", "optimizer", "momentum"]
        assert reduction.fixed["depth"] == 1
        reasons = {decision.name: decision.reason for decision in reduction.decisions}
        assert reasons["optimizer"] == "some of its values are needed to search momentum"
        assert "it drives the cost" in reasons["depth"]
        assert "no evidence that it drives the cost" in reasons["norm"]
        assert reduction.fixed["norm"] == sensitivity.trials.best().params["norm"]

    def test_nothing_found_nothing_fixed(self):
        rng = np.random.default_rng(3)
        reduction = reduce(analyse(CONDITIONAL, table(40, objective=lambda p: rng.random())), alpha=1e-6)
        assert reduction.fixed == {}
        assert reduction.space is CONDITIONAL
        assert {decision.action for decision in reduction.decisions} == {"search"}
        assert "no ground to fix any" in reduction.decisions[0].reason

    def test_fixed_values_were_seen_in_a_good_trial(self):
        sensitivity = analyse(CONDITIONAL, table(300, cost=lambda p: 2.0 ** p["depth"] * (1 + p["norm"])))
        reduction = reduce(sensitivity)
        for name, value in reduction.fixed.items():
            rows = sensitivity.trials.active(name)
            assert value in sensitivity.trials.values[name][rows][sensitivity.carried(name).z]
