"""Which columns of a table are hyperparameters: one table of rules, :data:`RULES`, tried in order.

1. What the user asked for, and what the source itself states.
2. What the exporter's convention says, such as a prefix.
3. Bookkeeping: counters, identities, seeds, names, dates.
4. Other metrics and measurements. What only may be one is left out, too: a metric beside the objective would seem to
   decide more than any hyperparameter, so that a person must ask for it.
5. Everything else is a hyperparameter.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from hsicfast.arrays import Floats
from hsicfast.errors import InputError
from hsicfast.reading import conventions as names
from hsicfast.reading.looks import EACH, FEWEST_ROWS, Asked, Column, Table, beginning, matched
from hsicfast.space.search_space import RESERVED, Hyperparameter
from hsicfast.text import listed

if TYPE_CHECKING:
    import pandas as pd

NOT_ONE = "not a hyperparameter"
# What a person does who knows better.
ASK = "name it in --only to judge it"
# The steps of a column that counts the rows are at most this on average.
WIDEST = 3.0
# Few settings: up to FEW values, or FEW_MEASURED in a column that is named like a metric.
FEW, FEW_MEASURED = 10, 5
# Rank correlations with the objective, in size. Above COUNTED a count such as `epochs` is measured, above NAMED a
# column whose name mentions a metric, above LIKE any that stands after the objective. A setting that decides alone, but
# for noise, comes near LIKE, so that values must be spread unevenly, too: settings are drawn evenly or on a grid.
COUNTED, NAMED, LIKE = 0.5, 0.8, 0.98
DATE = re.compile(r"\d{4}-\d\d?-\d\d?(?:[T ].*)?|\d\d?[/.]\d\d?[/.]\d{4}(?:[ ,T].*)?")
DURATION = re.compile(
    r"(?:\d+ days?,? )?\d+:\d\d:\d\d(?:\.\d+)?"
    r"|(?:\d+(?:\.\d+)?\s*(?:d|days?|h|hrs?|hours?|m|mins?|minutes?|s|secs?|seconds?|ms|us)\s*)+",
    re.IGNORECASE,
)
CODE = re.compile(r"(?=.*\d)(?=.*[a-f])[0-9a-f]{7,64}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
PLACE = re.compile(r"(?:/|~/|[A-Za-z]:\\|\w+://).*")
# Seconds since 1970 of the years 2001 to 2065; the runs of one table lie within three years.
SECONDS, YEARS = (1e9, 3e9), 1e8


class Roles(NamedTuple):
    """What the columns of a table are.

    Attributes
    ----------
    names : dict of str to str
        The columns that may be hyperparameters, with the hyperparameters' names.
    left_out : dict of str to str
        Why each of the other columns is no hyperparameter.
    prefix : str
        What the columns of all hyperparameters begin with, and their names do not.
    repeats : tuple of str
        The columns that tell repeats of one configuration apart, such as a seed.
    stated : mapping of str to Hyperparameter
        The columns whose distribution the source states.
    """

    names: dict[str, str]
    left_out: dict[str, str]
    prefix: str = ""
    repeats: tuple[str, ...] = ()
    stated: Mapping[str, Hyperparameter] = {}


class Rule(NamedTuple):
    """A rule on what a column is.

    Attributes
    ----------
    name : str
    why : str
        What it goes by.
    override : str
        How a person overrules it; empty if nothing does.
    fits : callable
        From a column to the reason shown to people; "" if the rule does not apply.
    takes : bool
        Whether a column to which it applies is a hyperparameter.
    """

    name: str
    why: str
    override: str
    fits: Callable[[Column], str]
    takes: bool = False


def _in_use(column: Column) -> str:
    return NOT_ONE if column.label in column.table.asked.beside else ""


def _reserved(column: Column) -> str:
    if column.name not in RESERVED:
        return ""
    return f"{_seed(column)}; rename the column to judge it" if _seed(column) else NOT_ONE


def _ignored(column: Column) -> str:
    return "ignored, as asked" if matched(column, column.table.asked.ignore) else ""


def _asked_for(column: Column) -> str:
    return "asked for" if matched(column, column.table.asked.only) else ""


def _not_asked_for(column: Column) -> str:
    return "not among those asked for" if column.table.asked.only else ""


def _stated(column: Column) -> str:
    stated = column.table.asked.stated
    return "as its source says" if stated is not None and column.label in stated else ""


def _stated_otherwise(column: Column) -> str:
    asked = column.table.asked
    if column.label in asked.others:
        return asked.others[column.label]
    return "no hyperparameter, as its source says" if asked.stated is not None else ""


def _of_own_table(column: Column) -> str:
    return "a hyperparameter in our own table" if column.label in column.table.own else ""


def _result_of_own_table(column: Column) -> str:
    return "what came of a trial, in a table as this package writes it" if column.table.own else ""


def _dates(column: Column) -> str:
    kind = column.values.dtype.kind
    if kind == "m":
        return "durations"
    texts = column.texts[:20]
    if kind == "M" or (texts and all(DATE.fullmatch(text) for text in texts)):
        return "dates"
    seconds = column.finite / 1e3 ** _thousands(column.finite)
    low, high = SECONDS
    if column.levels > FEW and low <= seconds.min() and seconds.max() <= high and np.ptp(seconds) <= YEARS:
        return "seconds since 1970"
    return ""


def _seed(column: Column) -> str:
    ends = column.words[-1:] == ["seed"] or column.words[-2:] == ["random", "state"]
    if column.short in names.SEEDS or (ends and column.words[0] not in ("n", "num")):
        return "a seed: rows that differ in nothing else repeat one configuration"
    is_label = column.short in names.LABELS and (column.whole or len(column.texts) > 0)
    return "it counts repeats: rows that differ in nothing else repeat one configuration" if is_label else ""


def _convention(column: Column) -> str:
    found = column.table.convention
    return f"marked by {found[1][column.label]}, as {found[0].tool} does" if found and column.label in found[1] else ""


def _beside_the_convention(column: Column) -> str:
    found = column.table.convention
    if found is not None:
        return f"{NOT_ONE}: {found[0].tool} marks those by {next(iter(found[1].values()))}"
    for own in column.table.marked:
        if column.short in own.own or beginning(own.results)(column.label):
            by_itself = (fits(column) for fits in (_identity, _people, _named_like_a_metric))
            return next(filter(None, by_itself), f"{own.tool} writes it itself")
    return ""


def _counter(column: Column) -> str:
    dtype = column.table.frame[column.label].dtype
    if dtype.kind not in "iu":
        return ""
    values = column.table.frame[column.label].to_numpy(dtype=np.float64)
    steps = np.diff(values)
    counts = len(values) >= FEWEST_ROWS and ((steps > 0).all() or (steps < 0).all())
    return "it counts the rows" if counts and np.abs(steps).mean() <= WIDEST else ""


def _identity(column: Column) -> str:
    sure = column.short in names.IDENTITIES - names.DOUBTFUL
    counts = not column.few(FEW) and (column.numbers is None or column.whole)
    doubtful = column.short in names.DOUBTFUL or column.words[-1:] in (["id"], ["uuid"])
    if not (sure or (doubtful and counts)):
        texts = column.texts[:20]
        return "codes that name something" if texts and all(CODE.fullmatch(text) for text in texts) else ""
    return "it says which run a row is"


def _people(column: Column) -> str:
    if column.short in names.PEOPLE:
        return "bookkeeping, by its name"
    if column.short in names.TIMES and not column.few(FEW):
        return "a time, by its name"
    if column.label.startswith("_") and column.short:
        return "bookkeeping: its name begins with an underscore"
    texts = column.texts[:20]
    return "places of files" if texts and all(PLACE.fullmatch(text) for text in texts) else ""


def _durations(column: Column) -> str:
    named = bool(names.DURATIONS & set(column.words))
    if not column.texts or not all(DURATION.fullmatch(text) for text in column.texts[:20]):
        return ""
    return "durations" if named or EACH * len(column.texts) > len(column.values) else ""


def _named_like_a_metric(column: Column) -> str:
    """Numbers whose name ends in a metric: "val_loss", but not "loss_weight"; and epochs or steps that were reached."""
    if column.numbers is None:
        return ""
    head, before = _head(column.words)
    if head in names.PROGRESS and column.whole and set(before) <= names.QUALIFIERS - {"max", "min"}:
        return f"it counts how far a run came: its name says {head}"
    set_by_user = bool(before) and (before[0] in names.SETTING or (before[0] in names.LIMITS and head in names.COUNTS))
    few = column.few(FEW_MEASURED) and column.agreement < NAMED and not names.MEASURED & set(column.words)
    if head not in names.METRICS or set_by_user or few:
        return ""
    return f"looks like a metric or a measurement: its name says {head}"


def _moves_like_a_metric(column: Column) -> str:
    """Numbers that follow the objective, and are spread as no setting is drawn."""
    if column.numbers is None or column.few(FEW):
        return ""
    words = set(column.words)
    if words & (names.COUNTS | names.PROGRESS):
        least = COUNTED
    elif words & names.METRICS:
        least = NAMED
    elif column.table.labels.index(column.label) > column.table.objective_place:
        least = LIKE
    else:
        return ""
    if column.agreement < least or column.even:
        return ""
    return f"looks like a metric: its ranks go with the objective's (correlation {column.agreement:.2f})"


def _anything(column: Column) -> str:
    return "nothing speaks against it"


RULES = (
    Rule("role", "it is the objective, the cost or the status", "", _in_use),
    Rule("reserved", "a hyperparameter may not have its name", "rename it", _reserved),
    Rule("ignored", "the user says so", "leave it out of --ignore", _ignored),
    Rule("asked for", "the user says so", "--ignore", _asked_for, takes=True),
    Rule("not asked for", "the user names others", "--only", _not_asked_for),
    Rule("stated", "a study's distributions, or a folder's space", "--ignore", _stated, takes=True),
    Rule("stated otherwise", "the source says what it is", "--only", _stated_otherwise),
    Rule("our table", "it stands before the objective in our own table", "--ignore", _of_own_table, takes=True),
    Rule("our result", "it stands after the objective in our own table", "--only", _result_of_own_table),
    Rule("dates", "the type or the look of its values", "--only", _dates),
    Rule("seed", "its name", "--only", _seed),
    Rule("convention", "a tool's prefix", "--ignore", _convention, takes=True),
    Rule("beside the convention", "it lacks the prefix, or the tool writes it", "--only", _beside_the_convention),
    Rule("identity", "its name, or values that are codes", "--only", _identity),
    Rule("counter", "whole numbers that rise from row to row", "--only", _counter),
    Rule("bookkeeping", "its name, or values that are paths", "--only", _people),
    Rule("durations", "values such as 1.6min", "--only", _durations),
    Rule("named like a metric", "numbers whose name ends in a metric", "--only", _named_like_a_metric),
    Rule("moves like a metric", "numbers that follow the objective", "--only", _moves_like_a_metric),
    Rule("hyperparameter", "no other rule applies", "--ignore", _anything, takes=True),
)


def roles_in(frame: pd.DataFrame, beside: Sequence[str] = ()) -> Roles:
    """What the columns of `frame` are if only a tool's prefix may tell them apart; those `beside` are taken."""
    table = Table(frame, Asked(beside), _open)
    return _judged(table, [rule for rule in RULES if rule.fits in BY_NAME])


def _open(column: Column) -> bool:
    return not any(fits(column) for fits in AGAINST)


# The rules that speak against a column by its own name and values.
AGAINST = (
    _in_use,
    _reserved,
    _dates,
    _seed,
    _identity,
    _counter,
    _people,
    _durations,
    _named_like_a_metric,
    _moves_like_a_metric,
)
BY_NAME = (_in_use, _reserved, _convention, _beside_the_convention, _anything)


def roles_of(frame: pd.DataFrame, asked: Asked) -> Roles:
    """What the columns of `frame` (n, c) are, by :data:`RULES`.

    Raises
    ------
    InputError
        If a pattern of `ignore` or `only` matches no column.

    Examples
    --------
    >>> import pandas as pd
    >>> frame = pd.DataFrame({"seed": [1, 2, 3], "lr": [0.1, 0.2, 0.3], "train_loss": [2.0, 1.0, 3.0], "loss": 1.0})
    >>> roles = roles_of(frame, Asked(["loss"]))
    >>> roles.names, roles.repeats
    ({'lr': 'lr'}, ('seed',))
    >>> roles.left_out["train_loss"]
    'looks like a metric or a measurement: its name says loss; name it in --only to judge it'
    """
    table = Table(frame, asked, _open)
    for option, patterns in (("ignore", asked.ignore), ("only", asked.only)):
        _check_matched(option, patterns, table)
    roles = _judged(table, RULES)
    counting = [label for label, reason in roles.left_out.items() if reason.startswith("it counts the rows")]
    if counting and not any(frame[label].astype(str).nunique() > 1 for label in roles.names):
        # A table of one hyperparameter in steps has nothing else to judge.
        for label in counting:
            roles.names[label] = label
            del roles.left_out[label]
    return roles


def _judged(table: Table, rules: Sequence[Rule]) -> Roles:
    taken: list[str] = []
    left_out: dict[str, str] = {}
    repeats: list[str] = []
    convention = table.convention
    prefixes = convention[1] if convention else {}
    for label in table.labels:
        column = Column(table, label, label.removeprefix(prefixes.get(label, "")))
        rule, reason = next((rule, reason) for rule in rules if (reason := rule.fits(column)))
        if rule.takes:
            taken.append(label)
            continue
        asks = rule.override == "--only" and rule.fits is not _not_asked_for
        left_out[label] = f"{reason}; {ASK}" if asks and rules is RULES else reason
        if _seed(column):
            repeats.append(label)
    alike = {prefixes.get(label, "") for label in taken}
    prefix = alike.pop() if len(alike) == 1 else ""
    stated = {label: kind for label, kind in (table.asked.stated or {}).items() if kind is not None}
    return Roles({label: label.removeprefix(prefix) for label in taken}, left_out, prefix, tuple(repeats), stated)


def _check_matched(option: str, patterns: Sequence[str], table: Table) -> None:
    columns = [Column(table, label, _bare(table, label)) for label in table.labels]
    for pattern in patterns:
        if not any(matched(column, [pattern]) for column in columns):
            near = difflib.get_close_matches(pattern.strip("*"), table.labels, n=3, cutoff=0.4) or table.labels
            raise InputError(
                f"`{option}` must name columns of the trials, but {pattern!r} matches none; nearest: {listed(near)}"
            )


def _bare(table: Table, label: str) -> str:
    return label.removeprefix(table.convention[1].get(label, "")) if table.convention else label


def _head(words: Sequence[str]) -> tuple[str, list[str]]:
    """The last word of a name that is no qualifier, and the words before it."""
    kept = list(words)
    while len(kept) > 1:
        # "loss_step" and "time_this_iter" are measured once a step; a "time_step" is a step.
        once = kept[-1] in names.PROGRESS and names.METRICS & set(kept[:-1]) - (
            set() if kept[-1].startswith("iter") else names.DURATIONS
        )
        if not (kept[-1] in names.QUALIFIERS or kept[-1].isdigit() or once):
            break
        kept.pop()
    return (kept[-1], kept[:-1]) if kept else ("", [])


def _thousands(values: Floats) -> int:
    """How often seconds since 1970 were multiplied by a thousand, judged by the largest."""
    high = values.max(initial=0.0)
    return sum(high > SECONDS[1] * 1e3**power for power in range(3))
