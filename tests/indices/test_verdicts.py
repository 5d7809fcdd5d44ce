"""What is said about each hyperparameter: the words by hand, power and bounds by simulation."""

import numpy as np
import pytest

from hsicfast import Choice, Float, Int, SearchSpace, Threshold, TrialTable, analyse
from hsicfast.indices.verdicts import NEGLIGIBLE, headline, reach, verdicts

SPACE = SearchSpace(
    {
        "rate": Float(0, 1),
        "left": Float(0, 1),
        "right": Float(0, 1),
        "width": Int(1, 64, log=True),
        "kind": Choice(["adam", "sgd"]),
        "momentum": Float(0, 1, active_if={"kind": "sgd"}),
    }
)


def draw(n, seed=0):
    random = np.random.default_rng(seed)
    return {name: np.array([SPACE[name].from_unit(u) for u in random.random(n)]) for name in SPACE}


def judged(values, y, **options):
    cost = values["width"].astype(float)
    findings = analyse(SPACE, TrialTable.from_arrays(SPACE, values, y, cost), **options)
    return findings, {verdict.name: verdict for verdict in verdicts(findings)}


class TestWords:
    def test_a_large_study(self):
        values = draw(4000)
        apart = (values["left"] > 0.5) != (values["right"] > 0.5)
        findings, said = judged(values, np.abs(values["rate"] - 0.3) + 0.6 * apart)
        assert said["rate"].text == "matters"
        assert "of the good trials, and " in said["rate"].why
        assert (said["left"].text, said["right"].text) == ("matters only with right", "matters only with left")
        assert "it does with right (Holm p <0.001)" in said["left"].why
        assert (said["width"].kind, said["width"].text, said["width"].value) == ("safe", "safe to fix: 1", 1)
        assert "it drives the cost (p = 0.001): the cheapest value of a good trial" in said["width"].why
        top = headline(findings, said.values())
        assert top.startswith(
            "rate decides whether a trial ends among the best 10%. right and left decide it together with others only."
        )
        assert "Safe to fix: " in top
        assert "width (1)" in top

    def test_noise_is_no_evidence_either_way_and_says_what_would_have_been_found(self):
        values = draw(150)
        findings, said = judged(values, np.random.default_rng(9).random(150))
        assert {verdict.text for verdict in said.values()} == {"no evidence either way"}
        assert "would have been found with 90% power" in said["rate"].why
        assert "they might have missed it" in said["momentum"].why
        assert "It drives the cost (Holm p 0.006)." in said["width"].why
        assert headline(findings, said.values()) == (
            "No hyperparameter stands out from chance in deciding whether a trial ends among the best 10%: no evidence "
            "either way with 150 trials."
        )

    def test_nothing_is_safe_to_fix_where_pairs_were_not_judged(self):
        values = draw(4000)
        _, said = judged(values, values["rate"], pairs=False)
        assert {verdict.kind for verdict in said.values()} == {"matters", "open"}

    def test_choices_and_thresholds(self):
        values = draw(300)
        y = (values["kind"] == "sgd") + 0.1 * values["left"]
        findings, said = judged(values, y, goal=Threshold(0.05))
        assert "adam has 100% of the good trials, and" in said["kind"].why
        assert "kind decides whether a trial ends at or below 0.05." in headline(findings, [said["kind"]])

    def test_few_trials(self):
        values = draw(4)
        values["kind"][:] = ["adam", "adam", "adam", "sgd"]
        _, said = judged(values, np.arange(4.0))
        assert (said["momentum"].kind, said["momentum"].why) == ("few", "1 trials have it, which are too few.")

    def test_one_value_in_all_trials(self):
        values = draw(60)
        values["left"][:] = 0.5
        _, said = judged(values, values["rate"])
        assert said["left"].why == "Its 60 trials have one value, or one fate."


def with_half(n, share_good, held, seed):
    """Trials of which so many are good, and of these so many lie in the better half of h0."""
    random = np.random.default_rng(seed)
    space = SearchSpace({f"h{i}": Float(0, 1) for i in range(5)})
    values = {name: random.random(n) for name in space}
    chance = 2 * share_good * np.where(values["h0"] < 0.5, held, 1 - held)
    y = (random.random(n) >= chance) + 1e-6 * random.random(n)
    return analyse(space, TrialTable.from_arrays(space, values, y), goal=Threshold(0.5), pairs=False, test="gamma")


STUDIES = 200


def test_power_is_what_was_said():
    held = reach(with_half(400, 0.2, 0.5, seed=999), "h0", 5).found
    assert 0.6 < held < 0.8
    hits = sum(with_half(400, 0.2, held, seed)["h0"].pvalue_holm <= 0.05 for seed in range(STUDIES))
    # At least 90%, less three standard deviations of a binomial; and not by a bound so wide that it says nothing.
    assert 0.9 - 3 * np.sqrt(0.09 / STUDIES) <= hits / STUDIES
    fewer = sum(
        with_half(400, 0.2, 0.5 + 0.6 * (held - 0.5), seed)["h0"].pvalue_holm <= 0.05 for seed in range(STUDIES)
    )
    assert fewer / STUDIES < 0.7


@pytest.mark.parametrize("held", [0.6, 0.75])
def test_the_bound_holds_in_95_of_100(held):
    bounds = [reach(with_half(400, 0.2, held, seed), "h0", 5).most for seed in range(STUDIES)]
    assert np.mean(np.array(bounds) < held) <= 0.05 + 3 * np.sqrt(0.0475 / STUDIES)
    assert np.median(bounds) < held + 0.15


def test_what_halves_the_chance_is_never_called_safe():
    values = draw(1000)
    assert NEGLIGIBLE < 2 / 3
    for seed in range(10):
        random = np.random.default_rng(seed)
        chance = 0.2 * np.where(values["rate"] < 0.5, 2 / 3, 1 / 3)
        _, said = judged(values, (random.random(1000) >= chance) + 1e-6 * random.random(1000))
        assert said["rate"].kind != "safe"
