"""Where the good trials lie along one hyperparameter, in words."""

from __future__ import annotations

import numpy as np

from hsicfast.arrays import Bools, Floats
from hsicfast.indices.findings import Findings
from hsicfast.space.search_space import Int
from hsicfast.text import share_text, value_text

# The range of a number's good trials leaves out this share of them at either end, which may be outliers.
TAIL = 0.1
# Good trials lie at both ends if that tells them from all trials better than a range does: the share of the good ones
# there exceeds that of all by so much more.
PLAINLY = 0.2


def where_good(findings: Findings, name: str) -> str:
    """Where the good trials lie along `name`, compared with all trials."""
    table = findings.trials
    values, z = table.values[name][table.active(name)], findings.carried(name).z
    who = who_is_good(findings, name)
    if table.space[name].levels is None or isinstance(table.space[name], Int):
        return _of_numbers(values.astype(np.float64), z, who)
    level = table.space[name].to_level(values)
    favourite = int(np.bincount(level[z]).argmax())
    return f"{value_text(table.space[name].values[favourite])} has {_shares(level == favourite, z, who)}"


def who_is_good(findings: Findings, name: str) -> str:
    """The trials among which the good ones of `name` are counted: its group may have a goal of its own."""
    active, z = findings.trials.active(name), findings.carried(name).z
    if len(findings.met) == len(active) and active.all() and np.array_equal(z, findings.met):
        return "the good trials"
    return f"the best {np.count_nonzero(z):,} of the {len(z):,} trials that have it"


def _of_numbers(values: Floats, z: Bools, who: str = "the good trials") -> str:
    """Where the good ones of the numbers (n,) lie: at one, in a range, or at both ends.

    Examples
    --------
    >>> values = np.repeat([1.0, 2.0, 3.0, 4.0], 10)
    >>> _of_numbers(values, values == 3)
    '3 has 100% of the good trials, and 25% of all'
    >>> _of_numbers(values, (values == 2) | (values == 3))
    '100% of the good trials, and 50% of all, lie from 2 to 3'
    >>> _of_numbers(values, (values == 1) | (values == 4))
    '100% of the good trials, and 50% of all, lie up to 1 or from 4 on'
    """
    low, high = np.quantile(values[z], (TAIL, 1 - TAIL), method="nearest")
    within = (values >= low) & (values <= high)
    if low == high:
        return f"{value_text(float(low))} has {_shares(within, z, who)}"
    last, first = _emptiest(values, z)
    ends = (values <= last) | (values >= first)
    if _lift(ends, z) >= _lift(within, z) + PLAINLY:
        return f"{_shares(ends, z, who)}, lie up to {value_text(last)} or from {value_text(first)} on"
    return f"{_shares(within, z, who)}, lie from {value_text(float(low))} to {value_text(float(high))}"


def _emptiest(values: Floats, z: Bools) -> tuple[float, float]:
    """The values before and after the range, inside that of all, which holds most trials of all less the good ones."""
    different, place = np.unique(values, return_inverse=True)
    excess = np.bincount(place) / len(values) - np.bincount(place, z) / np.count_nonzero(z)
    # The range between two cumulative sums whose difference is largest, the ends left out.
    sums = np.cumsum(excess)[:-1]
    lowest = np.minimum.accumulate(sums)
    stop = int(np.argmax(sums - lowest))
    start = int(np.argmin(sums[: stop + 1]))
    return float(different[start]), float(different[stop + 1])


def _lift(part: Bools, z: Bools) -> float:
    """By how much the share of the good trials in a part exceeds that of all trials."""
    return float(part[z].mean() - part.mean())


def _shares(part: Bools, z: Bools, who: str) -> str:
    return f"{percent(float(part[z].mean()))} of {who}, and {percent(float(part.mean()))} of all"


def percent(share: float) -> str:
    """A share in whole percent."""
    return share_text(round(share, 2))
