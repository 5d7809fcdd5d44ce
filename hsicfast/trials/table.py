"""The table of trials: their values, objectives, costs and statuses, column by column."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hsicfast.arrays import Bools, Floats
from hsicfast.errors import InputError
from hsicfast.files import read_table
from hsicfast.space.search_space import RESERVED, Hyperparameter, SearchSpace
from hsicfast.trials.costs import meets
from hsicfast.trials.entries import (
    check_told_apart,
    empty,
    from_frame_column,
    metric_column,
    objects,
    objects_of_texts,
    plain,
    scalar,
    typed,
    typed_column,
    unguarded,
)
from hsicfast.trials.goal import as_good_as, losses_of, usual_tolerance
from hsicfast.trials.shown import in_a_line, in_a_table
from hsicfast.trials.trial import (
    COLUMNS,
    DEFAULTS,
    DESIGN,
    DIVERGED,
    DONE,
    FINAL,
    LOST,
    PRUNED,
    STATUSES,
    Trial,
    names_in,
)

if TYPE_CHECKING:
    import pandas as pd

# Turns an entry of a column into what a trial has; objects stay as they are.
PYTHON: dict[Any, Callable[[Any], Any]] = {np.float64: float, np.int64: int, np.str_: str, np.object_: lambda own: own}


@dataclass(frozen=True, repr=False)
class TrialTable:
    """Trials of one space as columns, sorted by index.

    Build it with :meth:`from_trials`, :meth:`from_arrays`, :meth:`from_frame` or :meth:`from_csv`.

    Attributes
    ----------
    missing : dict of str to bool array (n,)
        For each hyperparameter with values that nobody knows, in which trials it exists but is not known. The analysis
        leaves these trials out of it. Only trials that somebody else made have such values.

    Examples
    --------
    >>> from hsicfast import Float, Int
    >>> space = SearchSpace({"width": Int(1, 8), "rate": Float(0, 1, active_if={"width": 8})})
    >>> table = TrialTable.from_arrays(space, {"width": [2, 8], "rate": [None, 0.5]}, [0.3, float("nan")])
    >>> len(table), table.status.tolist(), table.active("rate").tolist()
    (2, ['done', 'diverged'], [False, True])
    >>> table[1].params
    {'width': 8, 'rate': 0.5}
    """

    space: SearchSpace
    values: dict[str, NDArray[np.object_]]
    objective: Floats
    cost: Floats
    status: NDArray[np.str_]
    origin: NDArray[np.str_]
    index: NDArray[np.int64]
    seed: NDArray[np.int64]
    metrics: dict[str, NDArray[Any]]
    message: NDArray[np.object_]
    curve: NDArray[np.object_]
    failure: NDArray[np.object_]
    minimize: bool = True
    missing: dict[str, Bools] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.objective)

    def __repr__(self) -> str:
        return f"TrialTable({in_a_line(self.space, self.status, self.objective, self.minimize)})"

    def _repr_html_(self) -> str:
        return in_a_table(repr(self), self.space, self)

    def __iter__(self) -> Iterator[Trial]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> Trial:
        own = {name: PYTHON[dtype](getattr(self, name)[row]) for name, dtype in COLUMNS.items()}
        params = self.space.fill(lambda name: self.values[name][row])
        own["params"] = {name: value for name, value in params.items() if not self._lacks(name, row)}
        own["metrics"] = {key: column[row] for key, column in self.metrics.items()}
        return Trial(**own)

    def active(self, name: str) -> Bools:
        """Whether hyperparameter `name` exists and is known in each trial (n,)."""
        exists = np.ones(len(self), dtype=bool)
        for parent, allowed in self.space[name].conditions.items():
            exists &= self.among(parent, allowed)
        return exists & ~self.missing[name] if name in self.missing else exists

    def groups(self) -> list[tuple[str, list[str]]]:
        """The hyperparameters that are known in the same trials: the conditions under which they exist, and the names.

        Examples
        --------
        >>> from hsicfast import Float
        >>> space = SearchSpace({"a": Float(0, 1), "b": Float(0, 1), "c": Float(0, 1)})
        >>> values = {"a": [0.1, 0.2], "b": [0.3, None], "c": [0.5, 0.6]}
        >>> TrialTable.from_arrays(space, values, [1, 2], gaps=True).groups()
        [('main', ['a', 'c']), ('main', ['b'])]
        """
        members: dict[tuple[str, bytes], list[str]] = {}
        for name in self.space:
            known = self.active(name).tobytes() if self.missing else b""
            members.setdefault((self.space.group(name), known), []).append(name)
        return [(group, names) for (group, _), names in members.items()]

    def among(self, name: str, allowed: Iterable[Any]) -> Bools:
        """Whether each trial (n,) has hyperparameter `name`, with one of the `allowed` values."""
        one_of = np.zeros(len(self), dtype=bool)
        for value in allowed:
            one_of |= self.values[name] == scalar(value)
        return self.active(name) & one_of

    def select(self, rows: NDArray[Any]) -> TrialTable:
        """The trials at `rows`, a mask (n,) or positions."""
        return replace(
            self,
            values={name: column[rows] for name, column in self.values.items()},
            metrics={key: column[rows] for key, column in self.metrics.items()},
            missing={name: rows_of[rows] for name, rows_of in self.missing.items()},
            **{name: getattr(self, name)[rows] for name in COLUMNS},
        )

    def toward(self, minimize: bool | None) -> TrialTable:
        """The same trials, small objectives good or large ones; as they are if `minimize` is None."""
        return self if minimize in (None, self.minimize) else replace(self, minimize=bool(minimize))

    @property
    def losses(self) -> Floats:
        """Objectives (n,) as losses: small is good, whatever the direction."""
        return losses_of(self.objective, self.minimize)

    @property
    def design(self) -> TrialTable:
        """The trials drawn from the distribution of the space."""
        return self.select(self.origin == DESIGN)

    @property
    def evidence(self) -> TrialTable:
        """The trials whose outcome counts: all but the lost ones."""
        return self.select(self.status != LOST)

    @property
    def contenders(self) -> TrialTable:
        """The trials among which the best is chosen: all but the final ones, which repeat one with a fresh seed."""
        return self.select(self.origin != FINAL)

    def within(self, max_cost: float | None) -> TrialTable:
        """The trials known to cost at most `max_cost`; all if it is None."""
        return self.select(meets(self.cost, max_cost))

    def best(self, minimize: bool | None = None) -> Trial:
        """The done trial with the best objective, the earliest of equals; `minimize` as in :meth:`toward`.

        Raises
        ------
        InputError
            If no trial is done.
        """
        done = self.status == DONE
        if not done.any():
            numbers = {status: int((self.status == status).sum()) for status in STATUSES}
            counts = ", ".join(f"{number} {status}" for status, number in numbers.items() if number or status != PRUNED)
            reason = next((str(text) for text in self.message if text), "no reason was given")
            raise InputError(
                f"at least one trial must end with a finite objective, but got {counts} (the first said: {reason}); "
                "lower the learning rate's range or correct the objective"
            )
        return self[int(np.nanargmin(np.where(done, self.toward(minimize).losses, np.nan)))]

    def economical(self, tolerance: float | None, minimize: bool | None = None) -> Trial:
        """The cheapest trial whose objective is within `tolerance` of the best; the better of equals.

        Parameters
        ----------
        tolerance : float, optional
            In the unit of the objective; by default :func:`~hsicfast.trials.goal.usual_tolerance` of the done trials.
        minimize : bool, optional
            As in :meth:`toward`.

        Examples
        --------
        >>> from hsicfast import Int
        >>> space = SearchSpace({"width": Int(1, 8)})
        >>> table = TrialTable.from_arrays(space, {"width": [8, 4, 1]}, [0.1, 0.101, 0.3], cost=[80, 40, 10])
        >>> table.economical(tolerance=0.01).params, table.economical(tolerance=0.0).params
        ({'width': 4}, {'width': 8})
        """
        table = self.toward(minimize)
        loss, best = table.losses, losses_of(table.best().objective, table.minimize)
        done = self.status == DONE
        usual = usual_tolerance(loss[done], self.origin[done] == DESIGN)
        good = done & (loss <= as_good_as(best, usual if tolerance is None else tolerance))
        cost = np.where(good, np.nan_to_num(self.cost, nan=np.inf), np.inf)
        return self[int(np.lexsort((loss, cost, ~good))[0])]

    def front(self, minimize: bool | None = None) -> TrialTable:
        """The Pareto front: the done trials of known cost that no other trial beats in both.

        They run from the cheapest to the best; the earliest stands for trials alike in both. `minimize` as in
        :meth:`toward`.

        Examples
        --------
        >>> from hsicfast import Int
        >>> space = SearchSpace({"width": Int(1, 8)})
        >>> table = TrialTable.from_arrays(space, {"width": [8, 4, 5, 1]}, [0.1, 0.2, 0.3, 0.9], cost=[80, 40, 50, 10])
        >>> [trial.params["width"] for trial in table.front()]
        [1, 4, 8]
        """
        loss = self.toward(minimize).losses
        able = np.flatnonzero((self.status == DONE) & np.isfinite(self.cost))
        rows = able[np.lexsort((loss[able], self.cost[able]))]
        least = np.minimum.accumulate(np.concatenate([[np.inf], loss[rows]]))
        return self.select(rows[loss[rows] < least[:-1]])

    def to_frame(self) -> pd.DataFrame:
        """A pandas frame: a column for each hyperparameter (missing = inactive), and objective, cost, status, ..."""
        import pandas as pd

        columns: dict[str, Any] = {name: plain(self.space[name], self.values[name]) for name in self.space}
        for name in names_in("frame"):
            columns |= self.metrics if name == "metrics" else {name: objects_of_texts(getattr(self, name))}
        return pd.DataFrame(columns)

    @classmethod
    def from_trials(cls, space: SearchSpace, trials: Sequence[Trial], minimize: bool = True) -> TrialTable:
        """The table of `trials`, sorted by their index; `minimize` says whether small objectives are good."""
        ordered = sorted(trials, key=lambda trial: trial.index)
        keys = dict.fromkeys(key for trial in ordered for key in trial.metrics)
        return cls._checked(
            space,
            {name: [trial.params.get(name) for trial in ordered] for name in space},
            metrics={key: metric_column([trial.metrics.get(key) for trial in ordered]) for key in keys},
            **{name: typed_column([getattr(trial, name) for trial in ordered], COLUMNS[name]) for name in COLUMNS},
            minimize=minimize,
        )

    @classmethod
    def from_arrays(
        cls,
        space: SearchSpace,
        values: Mapping[str, Any],
        objective: ArrayLike,
        cost: ArrayLike | None = None,
        status: Sequence[str] | None = None,
        minimize: bool = True,
        gaps: bool = False,
    ) -> TrialTable:
        """A table from one sequence (n,) for each hyperparameter and the `objective` (n,).

        Parameters
        ----------
        space : SearchSpace
            What the values mean.
        values : mapping of str to sequence (n,)
            Entries for inactive hyperparameters are ignored; use None or NaN.
        objective : array_like (n,)
            NaN or inf means diverged, unless `status` says pruned.
        cost : array_like (n,), optional
            In any unit, above or equal 0.
        status : sequence of str (n,), optional
            ``done``, ``diverged``, ``pruned`` or ``lost``; from `objective` by default.
        minimize : bool
            Whether small objectives are good.
        gaps : bool
            Whether None or NaN for a hyperparameter that exists is a value that nobody knows, and no error.

        Raises
        ------
        InputError
            If a column is missing, lengths differ, a status is unknown, or an active value lies outside its range.
        """
        rest: dict[str, Any] = {"cost": cost, "status": status, "minimize": minimize, "gaps": gaps}
        return cls._checked(space, values, objective, **rest)

    @classmethod
    def from_frame(cls, space: SearchSpace, frame: pd.DataFrame, minimize: bool = True) -> TrialTable:
        """The table in a frame as :meth:`to_frame` writes it; only hyperparameters and ``objective`` are needed."""
        for name in (*space, "objective"):
            if name not in frame:
                raise InputError(
                    f"a table of trials needs a column for each hyperparameter and `objective`, but {name!r} is "
                    f"missing; the columns are {list(map(str, frame.columns))}"
                )
        own = {
            name: from_frame_column(frame[name], COLUMNS[name])
            for name in COLUMNS
            if name in RESERVED and name in frame
        }
        metrics = {
            str(key): frame[key].to_numpy() for key in frame.columns if key not in space and str(key) not in RESERVED
        }
        values = {name: frame[name] for name in space}
        return cls._checked(space, values, metrics=metrics, minimize=minimize, **own)

    @classmethod
    def from_csv(cls, space: SearchSpace, path: str | Path, minimize: bool = True) -> TrialTable:
        """The table in a CSV file as written by ``table.to_frame().to_csv(path, index=False)``."""
        # Choices such as "None" or "nan" are values here, not gaps: only an empty field is missing.
        check_told_apart(space)
        read = read_table(path, keep_default_na=False, na_values=[""])
        return cls.from_frame(space, unguarded(read), minimize)

    @classmethod
    def _checked(cls, space: SearchSpace, values: Mapping[str, Any], objective: ArrayLike, **rest: Any) -> TrialTable:
        y = np.array(objective, dtype=np.float64)
        n = len(y)
        status = rest.get("status")
        if status is None:
            status = np.where(np.isfinite(y), DONE, DIVERGED)
        status = np.asarray(status, dtype=str).reshape(-1)
        unknown = set(status.tolist()) - set(STATUSES)
        if unknown:
            raise InputError(f"a status must be one of {STATUSES}, but got {sorted(unknown)}; correct it")
        columns: dict[str, Any] = {
            name: np.asarray(rest[name])
            if rest.get(name) is not None
            else np.repeat(typed_column([DEFAULTS[name]], dtype), n)
            for name, dtype in COLUMNS.items()
            if name not in ("objective", "index")
        }
        columns["index"] = np.arange(n) if rest.get("index") is None else np.asarray(rest["index"])
        columns["cost"] = columns["cost"].astype(np.float64)
        columns["status"] = np.where((status == DONE) & ~np.isfinite(y), DIVERGED, status)
        y = np.where(np.isin(columns["status"], (DONE, PRUNED)) & np.isfinite(y), y, np.nan)
        missing = [name for name in space if name not in values]
        if missing:
            raise InputError(f"every hyperparameter needs a column, but {missing} are missing; add them")
        table = cls(
            space=space,
            values={name: objects(values[name]) for name in space},
            objective=y,
            metrics=dict(rest.get("metrics") or {}),
            minimize=rest.get("minimize", True),
            **columns,
        )
        table._check_lengths()
        for name in space.parents_first:
            table._settle(name, space[name], rest.get("gaps", False))
        return table

    def _check_lengths(self) -> None:
        lengths = {"objective": len(self), "cost": len(self.cost), "status": len(self.status)}
        lengths |= {name: len(column) for name, column in (self.values | self.metrics).items()}
        if len(set(lengths.values())) > 1:
            raise InputError(f"columns must have one length, but got {lengths}; drop or fill the missing entries")

    def _lacks(self, name: str, row: int) -> bool:
        return name in self.missing and bool(self.missing[name][row])

    def _settle(self, name: str, hyperparameter: Hyperparameter, gaps: bool) -> None:
        """Give active values their own type, check them, and blank the inactive ones.

        A lost trial is no evidence: values that it lacks or that lie outside the space become None. With `gaps` values
        may be missing in others, too.
        """
        active = self.active(name)
        lost = self.status == LOST
        column = self.values[name].copy()
        if gaps and not hyperparameter.contains(None):
            missing = active & ~lost & empty(column)
            if missing.any():
                self.missing[name] = missing
                active &= ~missing
        self.values[name][:] = None
        try:
            self.values[name][active & ~lost] = typed(hyperparameter, column[active & ~lost])
        except InputError as error:
            raise InputError(f"in column {name!r}, {error}") from None
        for row in np.flatnonzero(active & lost):
            with suppress(InputError):
                self.values[name][row : row + 1] = typed(hyperparameter, column[row : row + 1])
