"""Which trials of another space are points of this one, and which of these were drawn from its distributions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from hsicfast.files import jsonable
from hsicfast.space.formats import to_plain
from hsicfast.space.hyperparameters import Float, Int
from hsicfast.space.search_space import SearchSpace
from hsicfast.text import value_text
from hsicfast.trials.trial import DESIGN, LOST, SEARCH, Trial


def plain_space(space: SearchSpace) -> dict[str, Any]:
    """`space` as a run folder stores it, in JSON types."""
    return {name: jsonable(to_plain(space[name])) for name in space}


def points_of(
    space: SearchSpace, trials: Iterable[tuple[Trial, bool]], had: Mapping[str, Any]
) -> tuple[list[Trial], str]:
    """The trials that are points of `space`, and in words why the others are not.

    Parameters
    ----------
    space : SearchSpace
    trials : iterable of (Trial, bool)
        Each with whether its distribution, cut to `space`, is that of `space` (:func:`same_law`). A trial of the design
        for which this does not hold counts as one of the search.
    had : mapping of str to value
        For a hyperparameter that trials do not name, the value that they had; for one that `space` has no more, the
        only value with which trials are used.

    Returns
    -------
    points : list of Trial
        With values in the types of `space`, for its hyperparameters alone. Lost trials are no evidence and left out.
    left_out : str
        The reasons with their numbers; empty if all are used.

    Examples
    --------
    >>> space = SearchSpace({"rate": Float(0, 1), "drop": Float(0, 0.5)})
    >>> trials = [(Trial(0, {"rate": 0.5}, 1.0), True), (Trial(1, {"rate": 2.0}, 1.0), True)]
    >>> points_of(space, trials, {"drop": 0.0})
    ([Trial(index=0, params={'rate': 0.5, 'drop': 0.0}, ...)], '1 has rate outside 0 to 1')
    """
    points, reasons = [], Counter[str]()
    for trial, lawful in trials:
        point, why = _point(space, trial.params, had) if trial.status != LOST else (None, "lost")
        if point is None:
            reasons[why] += 1
        else:
            origin = SEARCH if trial.origin == DESIGN and not lawful else trial.origin
            points.append(replace(trial, params=point, origin=origin))
    return points, ", ".join(_told(why, count) for why, count in reasons.items())


def same_law(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether trials drawn in the space `old` that are points of `new` follow the distributions of `new`.

    Both as :func:`plain_space` gives them. It holds if `new` has no hyperparameter that `old` lacks, and each of its
    ranges is the old one or a part of it, with the same scale, steps, weights and conditions.

    Examples
    --------
    >>> wide, part, log = Float(1, 9), Float(2, 3), Float(2, 3, log=True)
    >>> spaces = [plain_space(SearchSpace({"x": own})) for own in (wide, part, log)]
    >>> same_law(spaces[0], spaces[1]), same_law(spaces[1], spaces[0]), same_law(spaces[0], spaces[2])
    (True, False, False)
    """
    return all(name in old and _part(old[name], new[name]) for name in new)


def _part(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether one hyperparameter's distribution is another's, cut to a part of its range."""
    if old == new:
        return True
    free = ("low", "high", "choices")
    kept = {key: value for key, value in old.items() if key not in free}
    if kept != {key: value for key, value in new.items() if key not in free}:
        return False
    if "choices" in new:  # weights belong to places, which change with the choices
        return new.get("law") is None and all(choice in old["choices"] for choice in new["choices"])
    step = new.get("step")
    on_grid = step is None or ((new["low"] - old["low"]) / step) % 1 in (0.0, 1.0)
    whole = new.get("law") is None or isinstance(new["law"], str)  # weights of an Int belong to its places, too
    return bool(whole and on_grid and old["low"] <= new["low"] and new["high"] <= old["high"])


def _point(space: SearchSpace, params: Mapping[str, Any], had: Mapping[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """The point of `space` that `params` are, or None and the reason."""
    for name in had.keys() & params.keys() - space.keys():
        if jsonable(params[name]) != jsonable(had[name]):
            return None, f"another {name} than {value_text(had[name])}"
    known = {**had, **params}
    try:
        point = space.fill(lambda name: _own(space, name, known[name]))
    except KeyError as error:
        return None, f"no {error.args[0]}"
    for name, value in point.items():
        if not space[name].contains(value):
            return None, f"{name} outside {_range(space, name)}"
    return point, ""


def _own(space: SearchSpace, name: str, value: Any) -> Any:
    """`value` as the space has it: a file holds a choice that JSON lacks by its name."""
    if isinstance(space[name], Float | Int):
        return value
    return next((own for own in space[name].values if own == value or jsonable(own) == jsonable(value)), value)


def _range(space: SearchSpace, name: str) -> str:
    own = space[name]
    if isinstance(own, Float | Int):
        return f"{value_text(own.low)} to {value_text(own.high)}"
    return "its choices"


def _told(why: str, count: int) -> str:
    if why == "lost":
        return f"{count} {'was' if count == 1 else 'were'} lost"
    hint = f" (pass had={{{why[3:]!r}: ...}} to say which value they had)" if why.startswith("no ") else ""
    return f"{count} {'has' if count == 1 else 'have'} {why}{hint}"
