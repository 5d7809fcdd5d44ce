"""Explains one configuration: which of the values in which it differs from another carry the gain.

Only the trials are asked. For one change, those near the new value are compared with those near the old one, whatever
else they had: the gain is the difference between their chances to end among the good ones.

For all changes together, trials near all the values are asked where there are enough. Where not, changes that interact
are judged together, and the ratios by which the others change the chance are multiplied. That is exact if good trials
form a box, and far closer than a sum if they crowd around one point.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.conclusions.neighbourhoods import (
    AFTER,
    BEFORE,
    DRAWS,
    FEWEST,
    Neighbourhoods,
    is_number,
    own_rows,
    unit_of,
)
from hsicfast.dependence import inference
from hsicfast.errors import InputError
from hsicfast.indices.findings import ALPHA, Findings
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import number, share_text, value_text
from hsicfast.trials.goal import goal_text
from hsicfast.trials.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

CARRIES, LOSES, UNCLEAR, UNSEEN = "carries", "loses", "unclear", "unseen"
# Shares of the joint gain ask all subsets of the changes; up to so many changes have few enough.
MOST_SHARED = 8
CANNOT = "cannot be told from these trials"


@dataclass(frozen=True)
class Change:
    """One hyperparameter whose value differs, and what the trials show about the difference.

    Attributes
    ----------
    name : str
    before, after : object
        Its value in the configuration compared with, and in the explained one.
    n_before, n_after : int
        Trials near either value. Repeats of one configuration count as one trial.
    chance_before, chance_after : float
        The share of these that met the goal.
    gain, low, high : float
        Their difference, and its 95% interval.
    share, share_low, share_high : float
        The change's part of the joint gain (its Shapley value) and its 95% interval: the parts of all changes add up.
    objective_gain, objective_low, objective_high : float
        By how much the median objective near the new value is better, in its own unit, and its 95% interval.
    kind : {"carries", "loses", "unclear", "unseen"}
        The interval of the gain lies above 0, below 0, or contains 0; or there are too few trials.
    text : str
        A sentence with the numbers.
    """

    name: str
    before: Any
    after: Any
    n_before: int
    n_after: int
    chance_before: float
    chance_after: float
    gain: float
    low: float
    high: float
    share: float
    share_low: float
    share_high: float
    objective_gain: float
    objective_low: float
    objective_high: float
    kind: str
    text: str


@dataclass(frozen=True)
class Together:
    """All changes at once.

    Attributes
    ----------
    names : tuple of str
        The changes that are judged; the others have too few trials.
    blocks : tuple of tuple of str
        Changes in one block are judged by trials near all their values; the ratios of different blocks are multiplied.
    chance_before, chance_after : float
        The chances to meet the goal.
    gain, low, high : float
        Their difference, and its 95% interval.
    kind : {"carries", "loses", "unclear", "unseen"}
    text : str
    """

    names: tuple[str, ...]
    blocks: tuple[tuple[str, ...], ...]
    chance_before: float
    chance_after: float
    gain: float
    low: float
    high: float
    kind: str
    text: str


@dataclass(frozen=True)
class Explanation:
    """Which changes carry the gain, one by one and together; ``str()`` of it says so in plain words.

    Attributes
    ----------
    changes : tuple of Change
        The hyperparameters that both configurations have, with different values. What only one of them has belongs to
        the change that switches it on or off.
    together : Together
    """

    changes: tuple[Change, ...]
    together: Together

    def __str__(self) -> str:
        return self.text

    def __getitem__(self, name: str) -> Change:
        """The change of hyperparameter `name`."""
        return next(change for change in self.changes if change.name == name)

    @property
    def text(self) -> str:
        """The explanation in plain words, a line for each change and one for all together."""
        carrying = [change.name for change in self.changes if change.kind == CARRIES]
        if carrying:
            top = f"{_listed(carrying)} {'carries' if len(carrying) == 1 else 'carry'} the gain."
        else:
            top = "No change alone was seen to carry the gain."
        luck = ""
        if len(self.changes) > 1:
            named = round(100 * (1 - (1 - ALPHA) ** len(self.changes)))
            luck = (
                f" Each interval is for one change: if none of these {len(self.changes)} had an effect, luck alone "
                f"would name one in about {named} of 100 studies."
            )
        return "\n".join([top + luck, *(change.text for change in self.changes), self.together.text])

    def to_frame(self) -> pd.DataFrame:
        """The changes as a frame, indexed by ``name``."""
        import pandas as pd

        names = [field.name for field in fields(Change)]
        rows = [[getattr(change, name) for name in names] for change in self.changes]
        return pd.DataFrame(rows, columns=names).set_index("name")


def explain(findings: Findings, best: Trial | Mapping[str, Any], against: Trial | Mapping[str, Any]) -> Explanation:
    """Which changes from `against` to `best` carry the gain; see :meth:`Conclusions.explain`."""
    space = findings.trials.space
    after, before = configuration(space, best, "best"), configuration(space, against, "against")
    trials = findings.trials
    # Values of the best of all trials, given as a dict, were most likely taken from it.
    explained = best.index if isinstance(best, Trial) else trials.best().index
    compared = against.index if isinstance(against, Trial) else None
    chosen = np.concatenate((own_rows(trials, after, explained), own_rows(trials, before, compared)))
    evidence = Neighbourhoods(findings, (before, after), chosen)
    if not evidence.names:
        raise InputError(
            "`best` and `against` must differ in a hyperparameter that both have, but all values are equal; "
            "explain another configuration"
        )
    blocks = _blocks(evidence)
    evidence.draw([(name,) for name in evidence.names] + [part for block in blocks for part in _subsets(block)])
    chances = _joint_chances(evidence, blocks) if blocks else {}
    shares = _shares(chances, [name for block in blocks for name in block])
    changes = tuple(_change(evidence, name, shares.get(name, _UNKNOWN)) for name in evidence.names)
    return Explanation(changes, _together(evidence, blocks, chances))


def configuration(space: SearchSpace, given: Trial | Mapping[str, Any], role: str) -> dict[str, Any]:
    """The values of the hyperparameters that exist in a configuration, checked; `role` names it in an error.

    Examples
    --------
    >>> from hsicfast import Bool, Float
    >>> space = SearchSpace({"sgd": Bool(), "momentum": Float(0, 1, active_if={"sgd": True})})
    >>> configuration(space, {"sgd": False, "momentum": 0.9}, "best")
    {'sgd': False}
    """
    params = given.params if isinstance(given, Trial) else given
    if not isinstance(params, Mapping):
        raise InputError(
            f"`{role}` must be a Trial or a dict of values, but got {type(given).__name__}; give its params"
        )
    unknown = [name for name in params if name not in space]
    if unknown:
        raise InputError(
            f"`{role}` must name hyperparameters of the space, but {unknown} are none; choose among {list(space)}"
        )

    def value_of(name: str) -> Any:
        if name not in params:
            raise InputError(f"`{role}` must give every hyperparameter a value, but {name!r} has none; add it")
        try:
            unit_of(space, name, params[name])
        except InputError as error:
            raise InputError(f"in `{role}`, {name!r}: {error}") from None
        return params[name]

    return space.fill(value_of)


class Estimate(NamedTuple):
    """A value and its 95% interval."""

    value: float
    low: float
    high: float


_UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def _blocks(evidence: Neighbourhoods) -> list[tuple[str, ...]]:
    """The changes that have enough trials; those in one block are judged by the trials near all their values."""
    names = tuple(evidence.names)
    # Near one number and any choices lie the same trials whether they are judged alone or together.
    numbers = max(
        sum(is_number(evidence.space, name) for name in evidence.axes(names, side)) for side in (BEFORE, AFTER)
    )
    if numbers <= 1 and _all_seen(evidence, names):
        return [names]
    pairs = evidence.findings.pair_indices
    adjusted = inference.holm([pair.pvalue_pure for pair in pairs])
    block = {name: {name} for name in names}
    for pair, pvalue in zip(pairs, adjusted, strict=True):
        if pvalue <= ALPHA and pair.first in block and pair.second in block:
            joined = block[pair.first] | block[pair.second]
            block |= dict.fromkeys(joined, joined)
    found = dict.fromkeys(tuple(name for name in names if name in block[own]) for own in names)
    return [block for block in found if _all_seen(evidence, block)]


def _all_seen(evidence: Neighbourhoods, block: tuple[str, ...]) -> bool:
    return len(block) <= MOST_SHARED and all(evidence.seen(part) for part in _subsets(block))


def _subsets(names: Iterable[str]) -> list[tuple[str, ...]]:
    """All subsets but the empty one, in the order of the names."""
    names = tuple(names)
    return [part for size in range(1, len(names) + 1) for part in combinations(names, size)]


def _joint_chances(
    evidence: Neighbourhoods, blocks: list[tuple[str, ...]]
) -> dict[frozenset[str], tuple[Floats, Floats]]:
    """The chances before and after each set of changes: of all sets, or of the largest if they are too many.

    Each array has what was counted first, then the draws.
    """
    names = tuple(name for block in blocks for name in block)
    found = {}
    for part in _subsets(names) if len(names) <= MOST_SHARED else [names]:
        parts = [own for own in (tuple(name for name in block if name in part) for block in blocks) if own]
        if len(blocks) == 1:
            found[frozenset(part)] = (evidence.differing[part, BEFORE], evidence.differing[part, AFTER])
            continue
        base = evidence.base(part)
        sides = []
        for side in (BEFORE, AFTER):
            ratios = [evidence.chances[own, side] / evidence.base(own) for own in parts]
            sides.append(np.minimum(base * np.prod(ratios, axis=0), 1.0))
        found[frozenset(part)] = (sides[BEFORE], sides[AFTER])
    return found


def _shares(chances: dict[frozenset[str], tuple[Floats, Floats]], names: list[str]) -> dict[str, Estimate]:
    """The Shapley value of each change in the game whose value is the gain of a set of changes; none if too many."""
    m = len(names)
    if m > MOST_SHARED:
        return {}
    gains = {part: after - before for part, (before, after) in chances.items()}
    found = {}
    for name in names:
        total: Floats = np.zeros(DRAWS + 1)
        for part, gain in gains.items():
            if name in part:
                orders = math.factorial(len(part) - 1) * math.factorial(m - len(part)) / math.factorial(m)
                total += orders * (gain - gains.get(part - {name}, 0.0))
        found[name] = _estimate(total)
    return found


def _change(evidence: Neighbourhoods, name: str, share: Estimate) -> Change:
    before, after = (evidence.near((name,), side) for side in (BEFORE, AFTER))
    gain = objective = _UNKNOWN
    kind = UNSEEN
    if evidence.seen((name,)):
        gain = _estimate(evidence.differing[(name,), AFTER] - evidence.differing[(name,), BEFORE])
        kind = _kind(gain)
        own, other = evidence.medians[name, AFTER], evidence.medians[name, BEFORE]
        # Two medians that diverged are equally bad.
        objective = _estimate(np.subtract(other, own, out=np.zeros_like(own), where=other != own))
    values = evidence.sides[BEFORE][name], evidence.sides[AFTER][name]
    text = _change_text(evidence, name, kind, gain, objective)
    return Change(
        name, *values, before.n, after.n, before.chance, after.chance, *gain, *share, *objective, kind=kind, text=text
    )


def _together(
    evidence: Neighbourhoods, blocks: list[tuple[str, ...]], chances: dict[frozenset[str], tuple[Floats, Floats]]
) -> Together:
    names = tuple(name for name in evidence.names if any(name in block for block in blocks))
    left_out = [name for name in evidence.names if name not in names]
    if not names:
        text = f"All together {CANNOT}: too few lie near the values."
        return Together((), (), math.nan, math.nan, *_UNKNOWN, UNSEEN, text)
    before, after = chances[frozenset(names)]
    gain = _estimate(after - before)
    kind = _kind(gain)
    if len(evidence.names) == 1:
        text = "It is the only change."
    else:
        start = "All together" if not left_out else f"{_listed(names)}{' together' if len(names) > 1 else ''}"
        s = "s" if len(names) == 1 else ""
        what = {CARRIES: f" gain{s}", LOSES: f" lose{s}", UNCLEAR: f": {CANNOT}, no difference seen"}[kind]
        how = "" if len(blocks) == 1 else ", if the ratios multiply by which the changes raise or lower it"
        text = (
            f"{start}{what}: the chance to end {_goal(evidence.findings)} goes from {_percent(before[0])} to "
            f"{_percent(after[0])} ({_points(gain)}){how}."
        )
    missing = f" Too few trials tell of {_listed(left_out)}." if left_out else ""
    return Together(names, tuple(blocks), float(before[0]), float(after[0]), *gain, kind=kind, text=text + missing)


def _change_text(evidence: Neighbourhoods, name: str, kind: str, gain: Estimate, objective: Estimate) -> str:
    before, after = (evidence.near((name,), side) for side in (BEFORE, AFTER))
    old, new = (_values_text(evidence, name, side) for side in (BEFORE, AFTER))
    start = f"{name}, {old} to {new}:"
    if kind == UNSEEN:
        none = before.n == 0 or after.n == 0
        why = "no trials there" if none else "too few trials there"
        return (
            f"{start} {CANNOT}, {why}: {before.n:,} lie near the old value and {after.n:,} near the new one, "
            f"and it takes {FEWEST} near each."
        )
    numbers = (
        f"{_percent(after.chance)} of the {after.n:,} trials near the new value, and {_percent(before.chance)} of the "
        f"{before.n:,} near the old one, ended {_goal(evidence.findings)} ({_points(gain)})"
    )
    if kind == UNCLEAR:
        return f"{start} {CANNOT}, no difference seen: {numbers}."
    verb = "carries gain" if kind == CARRIES else "loses"
    unit = ""
    if all(map(math.isfinite, objective)):
        better = "better" if objective.value >= 0 else "worse"
        sign = 1 if objective.value >= 0 else -1
        low, high = sorted((sign * objective.low, sign * objective.high))
        unit = f"; the median objective is {better} by {number(abs(objective.value), 3)} ({number(low, 3)} to "
        unit += f"{number(high, 3)})"
    return f"{start} {verb}: {numbers}{unit}."


def _values_text(evidence: Neighbourhoods, name: str, side: int) -> str:
    """One side's value of a change, with the values of what only this side has because of it."""
    own = evidence.sides[side]
    first, *more = evidence.axes((name,), side)
    with_it = ", ".join(f"{child} {value_text(own[child])}" for child in more)
    return value_text(own[first]) + (f" (with {with_it})" if more else "")


def _kind(gain: Estimate) -> str:
    if gain.low > 0:
        return CARRIES
    return LOSES if gain.high < 0 else UNCLEAR


def _estimate(sample: Floats) -> Estimate:
    """What was counted, which comes first, with the interval of the draws behind it."""
    value = float(sample[0])
    # "nearest", as a quantile between two draws has no meaning if one of them is infinite.
    low, high = np.quantile(sample[1:], (ALPHA / 2, 1 - ALPHA / 2), method="nearest")
    return Estimate(value, min(float(low), value), max(float(high), value))


def _goal(findings: Findings) -> str:
    return goal_text(findings.goal, findings.question.minimize)


def _percent(share: float) -> str:
    return share_text(round(float(share), 2))


def _points(gain: Estimate) -> str:
    value, low, high = (round(100 * part) for part in gain)
    return f"{value:+d} points, {share_text(1 - ALPHA)} interval {low:+d} to {high:+d}"


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
