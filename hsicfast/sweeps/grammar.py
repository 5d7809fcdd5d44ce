"""Hydra's sweep grammar read as a search space, and a configuration of that space written as Hydra's overrides.

===================================  ====================================================
``a,b`` ``choice(a,b)`` ``glob(*)``  Choice; of ``true,false``, Bool
``interval(0,1)``                    Float
``int(interval(1,9))``               Int, as ``tag(int,interval(1,9))``, with both ends
``range(1,10)`` ``range(0,1,0.25)``  Int, Float with this step, without the end, as Hydra's
``tag(log,...)``                     uniform in the logarithm
anything else                        the same in every job
===================================  ====================================================
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    OverrideType,
    RangeSweep,
    Transformer,
)

from hsicfast.errors import InputError
from hsicfast.space.search_space import Bool, Choice, Float, Hyperparameter, Int, SearchSpace
from hsicfast.text import nearest

LOG, INT = "log", "int"
# Which tags a sweep may have.
TAGS = {"interval": (LOG, INT), "range": (LOG,), "choice": ()}


@dataclass(frozen=True)
class SweptSpace:
    """What a sweep tries, and what all its jobs share.

    Attributes
    ----------
    space : SearchSpace
        The swept keys of the program's configuration by their names, such as ``model.width``.
    keys : mapping of str to str
        Each of these names as an override writes it, such as ``+model.width``.
    words : mapping of str to list of str
        For each Choice its choices in Hydra's grammar, quotes and all.
    fixed : tuple of str
        The overrides of every job.
    """

    space: SearchSpace
    keys: Mapping[str, str]
    words: Mapping[str, Sequence[str]]
    fixed: tuple[str, ...]

    def overrides(self, params: Mapping[str, Any]) -> list[str]:
        """The overrides of one job: what is fixed, and the hyperparameters that exist."""
        return [*self.fixed, *(f"{self.keys[name]}={self._word(name, value)}" for name, value in params.items())]

    def _word(self, name: str, value: Any) -> str:
        own = self.space[name]
        if isinstance(own, Choice):
            return self.words[name][list(own.choices).index(value)]
        return str(value).lower() if isinstance(own, Bool) else repr(value)


def swept_space(
    parser: OverridesParser, params: Mapping[str, Any], arguments: Sequence[str], active_if: Mapping[str, Any]
) -> SweptSpace:
    """The space that a sweep names.

    Parameters
    ----------
    parser : OverridesParser
        Hydra's parser; it lists a config group for ``glob``.
    params : mapping of str to value
        ``hydra.sweeper.params``: for each key a value or a sweep.
    arguments : sequence of str
        The overrides of the command, each of which replaces a param of the same key.
    active_if : mapping of str to mapping
        ``hydra.sweeper.active_if``: for a swept key the values of other keys under which it exists. A condition on a
        key that is the same in every job holds or does not: then the key is not swept.

    Returns
    -------
    SweptSpace

    Raises
    ------
    InputError
        If nothing is swept, a sweep or a tag is none of the grammar above, or a condition names no swept key.

    Examples
    --------
    >>> swept = swept_space(
    ...     OverridesParser.create(), {"optimizer": "adam,sgd", "epochs": 3},
    ...     ["lr=tag(log,interval(1e-5,1e-1))", "momentum=interval(0,1)"], {"momentum": {"optimizer": "sgd"}},
    ... )
    >>> swept.overrides({"optimizer": "sgd", "lr": 0.001, "momentum": 0.5})
    ['epochs=3', 'optimizer=sgd', 'lr=0.001', 'momentum=0.5']
    """
    written = [f"{key}={'null' if value is None else value}" for key, value in params.items()]
    parsed = parser.parse_overrides([*written, *arguments])
    latest = {_name(override): override for override in parsed}  # one of the command replaces a param
    found: dict[str, Hyperparameter] = {}
    words: dict[str, list[str]] = {}
    fixed: dict[str, Override] = {}
    for name, override in latest.items():
        if override.type == OverrideType.DEL or not override.is_sweep_override():
            fixed[name] = override
            continue
        values = _words(override)
        if len(values) == 1:
            fixed[name] = parser.parse_override(f"{override.get_key_element()}={values[0]}")
            continue
        found[name] = _hyperparameter(parser, name, override, values)
        if isinstance(found[name], Choice):
            words[name] = values
    found = _conditioned(found, {name: override.value() for name, override in fixed.items()}, active_if)
    if not found:
        raise InputError(
            "a sweep must say what to try, but every override has one value; write 'lr=tag(log,interval(1e-5,1e-1))', "
            "optimizer=adam,sgd and the like, or hydra.sweeper.params"
        )
    keys = {name: latest[name].get_key_element() for name in found}
    return SweptSpace(SearchSpace(found), keys, words, tuple(map(_written, fixed.values())))


def _name(override: Override) -> str:
    return override.key_or_group + (f"@{override.package}" if override.package is not None else "")


def _written(override: Override) -> str:
    key = override.get_key_element()
    if override.type == OverrideType.DEL and override.value() is None:
        return key
    return f"{key}={override.get_value_element_as_str()}"


def _words(override: Override) -> list[str]:
    """The values of a choice in Hydra's grammar, in the order in which they are written; none of any other sweep."""
    value = override.value()
    if isinstance(value, ChoiceSweep):  # not its iterator, which shuffles
        return [Transformer.str(own) for own in value.list]
    return list(override.sweep_string_iterator()) if override.is_choice_sweep() else []


def _hyperparameter(parser: OverridesParser, name: str, override: Override, words: Sequence[str]) -> Hyperparameter:
    value = override.value()
    try:
        if isinstance(value, IntervalSweep):
            return _interval(value)
        if isinstance(value, RangeSweep):
            return _range(value)
        if isinstance(value, ChoiceSweep):
            _check_tags("choice", value.tags)
        values = [parser.parse_override(f"x={word}").value() for word in words]
        if [type(own) for own in values] == [bool, bool] and values[0] != values[1]:
            return Bool()
        # A mapping is tried as its text, as a choice has to be of JSON's simple types.
        return Choice([word if isinstance(own, dict) else own for own, word in zip(values, words, strict=True)])
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def _interval(sweep: IntervalSweep) -> Float | Int:
    _check_tags("interval", sweep.tags)
    low, high = cast(float, sweep.start), cast(float, sweep.end)
    if INT in sweep.tags or (isinstance(low, int) and isinstance(high, int)):
        return Int(_whole(low), _whole(high), log=LOG in sweep.tags)
    return Float(low, high, log=LOG in sweep.tags)


def _range(sweep: RangeSweep) -> Float | Int:
    _check_tags("range", sweep.tags)
    values = sorted(sweep.range())
    if len(values) < 2:
        raise InputError(
            f"a range must have at least 2 values, but got {values} of range({sweep.start},{sweep.stop},{sweep.step}), "
            "which leaves out its end; widen it"
        )
    if all(isinstance(value, int) for value in values):
        return Int(int(values[0]), int(values[-1]), log=LOG in sweep.tags, step=int(values[1] - values[0]))
    return Float(values[0], values[-1], log=LOG in sweep.tags, step=abs(float(sweep.step)))


def _whole(value: float) -> Any:
    return int(value) if float(value).is_integer() else value  # Int says what it takes


def _check_tags(kind: str, tags: set[str]) -> None:
    wrong = sorted(tags - set(TAGS[kind]))
    if wrong:
        known = f"the tag {' or '.join(TAGS[kind])}" if TAGS[kind] else "no tag"
        raise InputError(f"{kind}() takes {known}, but got {wrong[0]!r}; {nearest(wrong[0], TAGS[kind])}")


def _conditioned(
    found: Mapping[str, Hyperparameter], fixed: Mapping[str, Any], active_if: Mapping[str, Any]
) -> dict[str, Hyperparameter]:
    """The hyperparameters with their conditions; those of them alone that can exist beside what is fixed."""
    for name, conditions in active_if.items():
        if name not in found and name not in fixed:
            raise InputError(f"hydra.sweeper.active_if must name a swept key, but got {name!r}; {nearest(name, found)}")
        if not isinstance(conditions, Mapping):
            raise InputError(
                f"hydra.sweeper.active_if must say for {name!r} which values of which key, but got {conditions!r}; "
                f"write '+hydra.sweeper.active_if={{{name}:{{optimizer:sgd}}}}' and the like"
            )
    there = dict(found)
    gone = {
        name
        for name in found
        for parent, values in active_if.get(name, {}).items()
        if parent in fixed and fixed[parent] not in (values if isinstance(values, list) else [values])
    }
    while gone:
        there = {name: own for name, own in there.items() if name not in gone}
        # What depends on one that cannot exist cannot exist either.
        gone = {name for name in there if any(p in found and p not in there for p in active_if.get(name, {}))}
    for name, own in there.items():
        conditions = {parent: values for parent, values in active_if.get(name, {}).items() if parent not in fixed}
        if conditions:
            there[name] = replace(cast(Any, own), active_if=conditions)  # all four types have one
    return there
