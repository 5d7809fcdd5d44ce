"""The referee of the claims: its own truths are right, and its counting is."""

import json
import math

import numpy as np
import pytest
from scipy.integrate import dblquad
from scipy.optimize import brentq
from scipy.stats import norm

from benches.truth import (
    ASKED,
    BANDWIDTH,
    GROUPS,
    POWER_TEXT,
    SHAPES,
    SIX,
    TWO_SD,
    Claim,
    Plan,
    alone,
    count,
    counted,
    drawn,
    good_in,
    main,
    mapped,
    merged,
    named_part,
    parity,
    plans,
    rows,
    true_index,
)
from hsicfast import goal_hsic


def test_a_claim_breaks_beyond_the_binomial_quantile():
    level = Claim("level", 100, high=0.05)
    assert level.bounds(400) == (0.0, 38 / 400)  # P(X > 38) = 8e-5 and P(X > 37) = 2e-4 for X of 400 at 5%
    assert level.holds(38 / 400, 400)
    assert not level.holds(39 / 400, 400)
    strict = Claim("coverage", 100, 0.92, 0.98, chance=0.5)
    assert [strict.holds(rate, 400) for rate in (0.9175, 0.92, 0.98, 0.9825)] == [False, True, True, False]
    assert Claim("family", 100, high=0.05, chance=TWO_SD).bounds(400)[1] == 29 / 400  # 20 + 2 * 4.4
    assert Claim("none", 100).holds(0.3, 10)
    assert [claim.text(claim.low, claim.high) for claim in (level, strict, Claim("", 1))] == ["≤ 5%", "92% to 98%", ""]
    assert level.text(*level.bounds(400), digits=1) == "≤ 9.5%"


@pytest.mark.parametrize("name", SIX)
def test_values_follow_the_law_of_their_hyperparameter(name):
    kind = SIX[name]
    u = (np.arange(10_000) + 0.5) / 10_000
    # The hyperparameter maps a value back to an interval around its quantile.
    values = mapped(kind, u)
    assert (np.abs(kind.to_unit(values) - u) <= kind.width(values) / 2 + 1e-9).all()


@pytest.mark.parametrize(("shape", "goal"), [("linear", 0.1), ("U", 0.1), ("U with noise", 0.3), ("rare", 0.1)])
def test_the_true_index_is_that_of_a_large_sample(shape, goal):
    kind, curve, noise = SHAPES[shape]
    rng = np.random.default_rng(7)
    u = rng.random(20_000)
    y = curve(u) + noise * rng.standard_normal(len(u))
    values = mapped(kind, u)
    width = None if kind.levels is None else kind.width(values)
    large = goal_hsic(kind.to_unit(values), y, goal=goal, bandwidth=BANDWIDTH, width=width)
    assert large.ci is not None
    error = (large.ci[1] - large.ci[0]) / 2 / 1.64  # a 90% interval reaches 1.64 standard errors to either side
    assert abs(large.unbiased - true_index(shape, goal)) < 4 * error


def test_the_true_index_of_a_bool_is_the_integral_of_its_two_halves():
    def kernel(u, v):
        return math.exp(-((u - v) ** 2) / (2 * (1 - 1 / math.sqrt(2)) ** 2))

    same, _ = dblquad(kernel, 0, 0.5, 0, 0.5)
    other, _ = dblquad(kernel, 0, 0.5, 0.5, 1)
    edge = brentq(lambda t: norm.cdf(t) + norm.cdf(t + 1.5) - 2 * 0.1, -9, 9)
    apart = (norm.cdf(edge + 1.5) - norm.cdf(edge)) / 2
    assert true_index("strong Bool", 0.1) == pytest.approx(apart**2 * 2 * (same - other), rel=1e-6)
    assert true_index("inert", 0.1) == pytest.approx(0.0, abs=1e-12)


def test_the_part_holds_the_named_share_of_the_good_trials():
    random = np.random.default_rng(1)
    part = np.arange(300) < 120
    held = []
    for _ in range(200):
        y = good_in(part, 0.4, 0.8, 0.3, random)
        good = y <= np.sort(y)[89]
        assert good.sum() == 90
        assert (good == (y < 1)).all()
        held.append(part[good].mean())
    # A trial inside is good with 0.8 * 0.3 / 0.4 = 0.6, outside with 0.1. Given 90 of them the count inside varies less
    # than its 28.8 = 120 * 0.6 * 0.4; 4 standard deviations of the mean of 200 shares.
    assert abs(np.mean(held) - 0.8) < 4 * 28.8**0.5 / 90 / 200**0.5


def test_the_named_part():
    u = np.array([0.2, 0.6, 0.9])
    part, chance = named_part("in one half of its values", u, u)
    assert part.tolist() == [False, True, True]
    assert chance == 0.5
    part, chance = named_part("with True, which 67% of all have", [True, False, True], u)
    assert part.tolist() == [True, False, True]
    assert chance == pytest.approx(2 / 3)


def test_how_trials_are_drawn():
    def trials(kind):
        return drawn(kind, 200, 3, np.random.default_rng(2), alone)

    u, y = trials("repeats")
    assert (u.shape, len(y)) == ((1000, 3), 1000)
    assert (u[:5] == u[0]).all()
    assert len(set(y[:5])) == 5
    u, y = trials("doubled")
    assert len(set(y)) == 200
    assert len(y) == 400
    assert len(set(drawn("ties", 200, 3, np.random.default_rng(2))[1])) == 5
    assert 0.15 < np.isnan(trials("diverged")[1]).mean() < 0.45
    u, _ = trials("copied")
    assert (u[:, 0] == u[:, 1]).all()
    u, _ = trials("correlated")
    assert 0.4 < np.corrcoef(u[:, 0], u[:, 1])[0, 1] < 0.75
    assert trials("crowded")[0].mean() < 0.35
    assert parity(4, 2, np.array([[0.1, 0.3, 0.9], [0.3, 0.3, 0.9]])).tolist() == [10, 0]


def test_the_sentence_that_names_an_effect_is_read():
    text = (
        "adjusted p 1 with 100 trials; an effect above R² 0.12, such as 85% of the good trials in one half of its "
        "values, would have been found with 90% power."
    )
    assert POWER_TEXT.search(text).groups() == ("85", "in one half of its values", "90")
    assert POWER_TEXT.search("too few to see even the strongest effect for sure (every good trial in one half)") is None


@pytest.mark.parametrize("group", GROUPS)
def test_each_group_answers(group):
    own = [plan for plan in plans() if plan.group == group]
    for plan in (own[0], own[-1]):
        counts = count(plan, (0, 0), range(2))
        assert counts
        assert all(0 <= line["rate"] <= 1 and line["studies"] >= 1 for line in rows(group, counts))


def test_studies_are_the_same_however_they_are_cut():
    (plan,) = [plan for plan in plans() if plan.group == "families" and plan.n == 30][:1]
    whole = count(plan, (3, 1), range(30))
    assert merged([count(plan, (3, 1), range(7)), count(plan, (3, 1), range(7, 30))]) == whole
    assert counted({1: plan}, 30, 3, 1) == whole
    assert [tries for _, tries in counted({1: plan._replace(most=4)}, 30, 3, 1).values()] == [4]


def always(random, number):
    yield Claim("it never happens", 50, high=0.05), 1.0


def test_what_always_goes_wrong_breaks_its_claim():
    (line,) = rows("made up", count(Plan("made up", 50, always), (0, 0), range(20)))
    assert (line["rate"], line["studies"], line["holds"]) == (1.0, 20, False)


def test_the_command_prints_and_writes(tmp_path, capsys):
    path = tmp_path / "cells.json"
    main(["--only", "many", "--studies", "2", "--markdown", "--json", str(path)])
    result = json.loads(path.read_text())
    assert result["tables"][0]["columns"][:2] == ["cell", "claim"]
    assert result["machine"]
    assert result["versions"]["numpy"]
    lines = result["cells"]
    assert {line["group"] for line in lines} == {"many"}
    assert all(line["n"] == 500 for line in lines)
    assert "60 columns, nothing matters: any inert one" in capsys.readouterr().out


def test_the_named_effect_is_asked_of_every_type():
    assert {type(kind).__name__ for kind in ASKED.values()} == {"Float", "Bool", "Choice"}
