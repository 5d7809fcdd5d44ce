"""What came of the trials in a table: which rows are trials, how each ended, its objective, and which end is good.

A row is not always a trial: tools log one training in many rows, which share an identity such as ``trial_id``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.errors import InputError
from hsicfast.reading.columns import GAPS, as_numbers
from hsicfast.reading.conventions import CONVENTIONS, RUNS, large_is_good, normal, words
from hsicfast.reading.roles import Roles
from hsicfast.text import listed
from hsicfast.trials.goal import dominated_by
from hsicfast.trials.trial import DIVERGED, DONE, LOST, PRUNED, status_of

if TYPE_CHECKING:
    import pandas as pd

# Prefixes of results' names in the exports of MLflow, W&B, Neptune and Optuna, and of hyperparameters'.
FOUND_PREFIXES = r"metrics[./]|summary[./]|values_|user_attrs_|hparam/"
PREFIXES = "|".join(own.settings for own in CONVENTIONS if own.settings)
OWN_OBJECTIVES = ("value", "objective")
RowsName = Literal["last", "best", "all"]
ROWS = get_args(RowsName)
STATUSES = ("state", "status", "trial_state", "trial_status", "st_status", "sys_state", "run_status", "run_state")
# The status in each row of a log is that of the moment at which the row was written.
OF_THE_MOMENT = "st_status"
# The column with what a scheduler decided after a row, and the words for going no further.
DECISION, DECIDED = "st_decision", ("stop", "pause")
# How far a training has come: the rows of one trial are ordered by the first of these that differs in all of them.
STEPS = words(
    "step global_step st_worker_iter training_iteration iteration iter epoch epochs steps num_epochs timestep "
    "timesteps_total round rung budget n_resources resource"
)
CLOCKS = words(
    "timestamp time_stamp datetime date st_tuner_time st_worker_time time_total_s runtime elapsed_time elapsed "
    "wall_time walltime time"
)
# Steps of trials start alike in at least this share of them.
ALIKE = 0.8


class Ends(NamedTuple):
    """How each row ended.

    Attributes
    ----------
    status : str array (n,)
    label : str or None
        The column that says so; all are done if there is none.
    notes : tuple of str
        Which of its words are unknown.
    """

    status: NDArray[np.str_]
    label: str | None
    notes: tuple[str, ...] = ()

    @property
    def of_the_moment(self) -> bool:
        """Whether each status is that of the moment at which the row was written, not of the trial's end."""
        return self.label is not None and normal(self.label) == OF_THE_MOMENT

    @property
    def looked_at(self) -> Bools:
        """The rows (n,) that show what the columns are: all but those of lost trials."""
        return (self.status != LOST) | self.of_the_moment


def ends_of(frame: pd.DataFrame, taken: Sequence[str] = ()) -> Ends:
    """How each row ended: by the first column that is called like a status and is one, and is not `taken`.

    A column is a status if most of what it holds are words of :data:`hsicfast.trials.trial.WORDS`; rows with another
    word are lost, those without one done.
    """
    plain = {normal(str(label)): str(label) for label in reversed(frame.columns) if str(label) not in taken}
    for name in STATUSES:
        label = plain.get(name)
        if label is None or frame[label].dtype.kind in "biufmM":
            continue
        place, kinds = _kinds(frame[label])
        means = [status_of(kind) for kind in kinds]
        counts = np.bincount(place[place >= 0], minlength=len(kinds))
        known = np.array([meant is not None for meant in means], dtype=bool)
        if 2 * counts[known].sum() <= counts.sum():
            continue
        status = np.array([meant or LOST for meant in means] + [DONE])[place]
        unknown = [str(kind) for kind, is_known in zip(kinds, known, strict=True) if not is_known]
        notes: tuple[str, ...] = ()
        if unknown:
            rows = int(counts[~known].sum())
            notes = (
                f"No tool is known to call a status {listed(map(repr, unknown))}, as {label!r} does in {rows:,} "
                f"{'row' if rows == 1 else 'rows'}, which are left out.",
            )
        return Ends(status, label, notes)
    return Ends(np.full(len(frame), DONE), None)


def _kinds(column: pd.Series[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    import pandas as pd

    try:
        return pd.factorize(column)  # type: ignore[return-value]
    except TypeError:
        return pd.factorize(column.map(str, na_action="ignore"))  # type: ignore[return-value]


class Log(NamedTuple):
    """The rows of a log that share an identity are one trial.

    Attributes
    ----------
    trial : int array (n,)
        Which trial each row belongs to, from 0.
    label : str
        The column of the identity.
    step : Float array (n,) or None
        How far the training had come in each row.
    """

    trial: NDArray[np.intp]
    label: str
    step: Floats | None


def log_in(frame: pd.DataFrame, roles: Roles, skip: Sequence[str] = ()) -> Log | None:
    """The log that a table is; None if each row is a trial.

    It is one if an identity repeats, and either a step counts on in the rows of each, or the hyperparameters stay the
    same in the rows of one identity and differ between identities: the rows of one experiment differ in theirs.
    Where a seed or a fold differs, each is a training of its own.

    Parameters
    ----------
    frame : DataFrame (n, c)
    roles : Roles
    skip : sequence of str
        Columns that identify nothing, such as the objective.
    """
    plain = {normal(str(label)): str(label) for label in reversed(frame.columns)}
    found = []
    for label in filter(None, map(plain.get, (*RUNS, *_evaluated(frame)))):
        place, kinds = _kinds(frame[label])
        if label not in skip and (place >= 0).all() and 1 < len(kinds) < len(frame):
            found.append((len(kinds), label, place))
    if not found:
        return None
    _, label, place = max(found, key=lambda own: own[0])
    for repeat in roles.repeats:
        place = _kinds(frame[repeat])[0] + 1 + (frame[repeat].nunique() + 1) * place
    trial = np.unique(place, return_inverse=True)[1].astype(np.intp)
    if len(np.unique(trial)) == len(frame):
        return None
    counted = _ordering(frame, plain, trial, STEPS)
    step = _ordering(frame, plain, trial, CLOCKS) if counted is None else counted
    unique = any(frame[own].nunique() == len(frame) for name in RUNS if (own := plain.get(name)) and own not in skip)
    is_log = (counted is not None and _start_alike(counted, trial)) or _settled(frame, roles, trial)
    return Log(trial, label, step) if is_log and (counted is not None or not unique) else None


def _evaluated(frame: pd.DataFrame) -> tuple[str, ...]:
    """The column of scikit-learn's mappings of parameters, which repeat where a search by halving goes on."""
    return ("params",) if "params" in frame and str(frame["params"].iloc[0]).startswith("{") else ()


def _ordering(
    frame: pd.DataFrame, plain: dict[str, str], trial: NDArray[np.intp], steps: Sequence[str]
) -> Floats | None:
    """The first column of `steps` whose values differ in the rows of each trial, as numbers (n,)."""
    import pandas as pd

    for label in filter(None, map(plain.get, steps)):
        column = frame[label]
        if column.dtype.kind not in "iuf":
            column = pd.to_datetime(column, errors="coerce", format="mixed", utc=True)
            column = column.astype("int64").where(column.notna())
        step = column.to_numpy(dtype=np.float64, na_value=np.nan)
        if np.isfinite(step).all() and not pd.DataFrame({"trial": trial, "step": step}).duplicated().any():
            return step
    return None


def _start_alike(step: Floats, trial: NDArray[np.intp]) -> bool:
    """Whether the first steps of most trials are the same: those of an experiment's rows are not."""
    first = np.full(trial.max() + 1, np.inf)
    np.minimum.at(first, trial, step)
    return bool(np.unique(first, return_counts=True)[1].max() >= ALIKE * len(first))


def _settled(frame: pd.DataFrame, roles: Roles, trial: NDArray[np.intp]) -> bool:
    """Whether most hyperparameters stay the same in the rows of one trial, of those that differ at all."""
    stays = []
    for label in roles.names:
        place = _kinds(frame[label])[0]
        if place.min(initial=0) == place.max(initial=0):
            continue
        first = np.zeros(trial.max() + 1, dtype=place.dtype)
        first[trial[::-1]] = place[::-1]
        stays.append(bool((first[trial] == place).all()))
    return len(stays) > 0 and 2 * sum(stays) > len(stays)


def kept_rows(log: Log, how: RowsName, losses: Floats) -> NDArray[np.intp]:
    """The row of each trial that counts, in the order of the table.

    Parameters
    ----------
    log : Log
    how : {"last", "best"}
        The last row, or the one with the smallest loss. Where losses are missing now and then, the last that has one.
    losses : array (n,)
    """
    n = len(losses)
    order = np.lexsort((np.arange(n), log.step if log.step is not None else np.zeros(n), log.trial))
    trial, filled = log.trial[order], np.isfinite(losses[order])
    if how == "best":
        best = np.lexsort((np.arange(n), np.where(np.isfinite(losses), losses, np.inf), log.trial))
        rows = best[np.flatnonzero(np.diff(log.trial[best], prepend=-1))]
        return np.sort(rows)
    # A gap before a number in the same trial was no end: this log lacks the objective in some rows.
    gaps = bool((~filled[:-1] & filled[1:] & (trial[:-1] == trial[1:])).any())
    place = np.arange(n)
    if gaps:
        place = np.where(filled, place, -1)
    last = np.full(trial.max() + 1, -1)
    np.maximum.at(last, trial, place)
    ends = np.flatnonzero(np.diff(trial, append=trial.max() + 1))
    last = np.where(last < 0, ends, last)
    return np.sort(order[last])


def ended(frame: pd.DataFrame, ends: Ends, log: Log | None, rows: NDArray[np.intp]) -> NDArray[np.str_]:
    """How each trial ended, of which `rows` (m,) count: in a log by its last row.

    A tool that writes down the status of the moment calls the last row of a trial "in progress", too. Such a trial is
    done if no other came further, and stopped early if its scheduler said so.
    """
    n = len(frame)
    if log is None:
        return _of_the_moment(frame, ends.status, None, rows) if ends.of_the_moment else ends.status
    order = np.lexsort((np.arange(n), log.step if log.step is not None else np.zeros(n), log.trial))
    last = order[np.flatnonzero(np.diff(log.trial[order], append=log.trial.max() + 1))]
    of_trial = np.empty(log.trial.max() + 1, dtype=np.intp)
    of_trial[log.trial[last]] = last
    last = of_trial[log.trial[rows]]
    return _of_the_moment(frame, ends.status, log.step, last) if ends.of_the_moment else ends.status[last]


def _of_the_moment(
    frame: pd.DataFrame, status: NDArray[np.str_], step: Floats | None, last: NDArray[np.intp]
) -> NDArray[np.str_]:
    """How trials ended whose `last` rows (m,) were written while they ran."""
    status = status[last]
    open_ends = np.isin(status, (LOST, PRUNED))
    decision = next((label for label in frame.columns if normal(str(label)) == DECISION), None)
    decided = np.zeros(len(last), dtype=bool)
    if decision is not None:
        decided = frame[decision].iloc[last].astype(str).str.strip().str.lower().isin(DECIDED).to_numpy()
    furthest = ~decided if step is None else step[last] == step[last].max()
    status = np.where(open_ends & decided, PRUNED, status)
    return np.asarray(np.where(open_ends & furthest, DONE, status), dtype=str)


def rows_note(log: Log, how: RowsName, rows: int, trials: int) -> str:
    """What a reader must know of the rows that count."""
    which, other = ("last", "best") if how == "last" else ("best", "last")
    return (
        f"Rows with the same {log.label!r} are a log of one trial: of {rows:,} rows the {which} of each of {trials:,} "
        f"trials counts (--rows {other} takes the {other}, --rows all every row)."
    )


def check_rows(how: str) -> None:
    if how not in ROWS:
        raise InputError(f"`rows` must be one of {ROWS}, but got {how!r}; 'last' takes the last row of each trial")


def repeat_of(frame: pd.DataFrame, roles: Roles) -> NDArray[np.int64]:
    """Which repeat of its configuration each row is (n,): its seed, or the number of its seeds; 0 if none is known."""
    if len(roles.repeats) == 1 and frame[roles.repeats[0]].dtype.kind in "iu":
        return frame[roles.repeats[0]].to_numpy(dtype=np.int64)
    number = np.zeros(len(frame), dtype=np.int64)
    for label in roles.repeats:
        place, kinds = _kinds(frame[label])
        number = number * (len(kinds) + 1) + place + 1
    return number


class Directions(NamedTuple):
    """Whether large is good, for each objective, and what a reader must know of it."""

    large: list[bool]
    notes: tuple[str, ...] = ()


def own_objectives(frame: pd.DataFrame, own: dict[str, bool] | None) -> list[str]:
    """The objectives if none is named: a study's own, or the columns that a study or this package writes."""
    if own is not None:
        return list(own)
    names = list(map(str, frame.columns))
    single = [name for name in OWN_OBJECTIVES if name in names][:1]
    several = [name for name in names if re.fullmatch(r"values_\d+", name)]
    if not single and not several:
        raise InputError(
            f"the objective must be a column of the trials, but none was named; choose among {listed(names)}"
        )
    return single or several


def column_called(frame: pd.DataFrame, name: str, role: str, prefixes: str = FOUND_PREFIXES) -> str:
    """The column called `name`, or the only one called so after a prefix of another tool."""
    if name in frame:
        return name
    names = list(map(str, frame.columns))
    fits = [own for own in names if (found := re.match(prefixes, own)) and own[found.end() :] == name]
    if len(fits) == 1:
        return fits[0]
    if fits:
        raise InputError(f"the {role} must be one column of the trials, but {name!r} may be any of {fits}; choose one")
    near = difflib.get_close_matches(name, names, n=3, cutoff=0.4) or names
    raise InputError(f"the {role} must be a column of the trials, but there is no {name!r}; nearest: {listed(near)}")


def spoken(name: str) -> str:
    """An objective's name without the prefix of Optuna, unless only a number is left."""
    short = name.removeprefix("values_")
    return name if short.isdigit() else short


def numbers_in(frame: pd.DataFrame, label: str, role: str) -> Floats:
    """A column (n,) as numbers, NaN for gaps; durations in seconds."""
    column = frame[label]
    if column.dtype.kind == "M":
        raise InputError(f"the {role} must be a number, but {label!r} holds dates; name another column")
    if column.dtype.kind == "m":
        column = column.dt.total_seconds()
    numbers = as_numbers(column).to_numpy()
    wrong = np.isnan(numbers) & column.notna().to_numpy()
    wrong[wrong] = ~column[wrong].astype(str).str.strip().str.lower().isin(GAPS).to_numpy()
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"the {role} must be a number or empty, but row {row + 1} of {label!r} is {column.iloc[row]!r}; correct it"
        )
    return numbers


def directions(
    frame: pd.DataFrame, labels: list[str], maximize: str | Sequence[str] | bool | None, own: dict[str, bool]
) -> Directions:
    """Whether large is good, for each objective: as asked, as its source says, or as its name does; else small is."""
    if maximize is None:
        return _by_name(labels, own)
    if isinstance(maximize, bool):
        return Directions([maximize] * len(labels))
    named = {}
    for name in [maximize] if isinstance(maximize, str) else maximize:
        named[column_called(frame, name, "objective to maximise")] = name
    foreign = [name for label, name in named.items() if label not in labels]
    if foreign:
        raise InputError(f"`maximize` must name objectives, but {foreign} are none; choose among {labels}")
    return Directions([label in named for label in labels])


def _by_name(labels: list[str], own: dict[str, bool]) -> Directions:
    large = [own.get(label, bool(large_is_good(label))) for label in labels]
    guessed = [spoken(label) for label, is_good in zip(labels, large, strict=True) if is_good and label not in own]
    if not guessed:
        return Directions(large)
    return Directions(
        large,
        (
            f"Nobody said which end of {listed(guessed)} is good: by "
            f"{'its name' if len(guessed) == 1 else 'their names'} large is (--minimize if small is).",
        ),
    )


def non_domination(losses: Floats, status: NDArray[np.str_]) -> tuple[Floats, NDArray[np.str_]]:
    """The number of trials that dominate each done trial, NaN for the others; done needs all losses (n, q) finite."""
    status = np.where((status == DONE) & ~np.isfinite(losses).all(axis=1), DIVERGED, status)
    judged = np.full(len(losses), np.nan)
    judged[status == DONE] = dominated_by(losses[status == DONE])
    return judged, status
