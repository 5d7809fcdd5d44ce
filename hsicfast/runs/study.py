"""The Optuna study is an index over the result files: the parent alone writes it, and can build it again from them."""

from __future__ import annotations

import json
import math
import warnings
from pathlib import Path
from typing import Any

from hsicfast.errors import InputError, first_line, unwritable
from hsicfast.files import jsonable
from hsicfast.runs.database import engine_options, made_together, patiently
from hsicfast.runs.folder import STUDY
from hsicfast.runs.results import rebuild_command
from hsicfast.space.distributions import distribution
from hsicfast.space.search_space import SearchSpace
from hsicfast.trials.objectives import Direction, Objectives
from hsicfast.trials.trial import DONE, PRUNED, Trial, names_in
from hsicfast.urls import shown_url

# Errors of SQLite that leave the database whole: the disk or another process is in the way.
WITHOUT_FAULT = ("is full", "is locked", "readonly", "unable to open", "disk I/O error")


class Study:
    """The Optuna study over the result files.

    Parameters
    ----------
    space : SearchSpace
        The space of the trials.
    minimize : bool
        Whether a small objective is good.
    name : str
        The name of the study in its database.
    folder : Path
        The run folder.
    url : str, optional
        Optuna storage; None is ``study.db`` in the run folder.
    objectives : Objectives, optional
        Of a run with several, whose study has as many values and directions.

    Raises
    ------
    InputError
        If the database cannot be opened as an Optuna storage.
    RunError
        If the disk or another process is in the way.
    """

    def __init__(
        self,
        space: SearchSpace,
        minimize: bool,
        name: str,
        folder: Path,
        url: str | None,
        objectives: Objectives | None = None,
    ) -> None:
        import optuna
        import sqlalchemy.exc

        self._optuna, self._space, self._objectives = optuna, space, objectives
        self._distributions = {key: _named(optuna, space, key) for key in space}
        self._own = folder / STUDY if url is None else None
        self._url = f"sqlite:///{self._own}" if url is None else url
        self._in_doubt = False
        self._broken = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError, ImportError)
        before = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        try:
            made_together(lambda: self._open(name, minimize), self._broken, tries=1 if url is None else 10)
            self._read()
        except (*self._broken, RuntimeError) as error:
            raise self._explained(error) from error
        finally:
            optuna.logging.set_verbosity(before)

    def _open(self, name: str, minimize: bool) -> None:
        self._storage = self._optuna.storages.RDBStorage(self._url, engine_kwargs=engine_options(self._url))
        directions: list[Direction] = ["minimize" if minimize else "maximize"]
        if self._objectives:
            directions = list(self._objectives.directions.values())
        self._study = self._optuna.create_study(
            study_name=name,
            storage=self._storage,
            directions=directions,
            load_if_exists=True,
        )
        if self._objectives:
            with warnings.catch_warnings(category=self._optuna.exceptions.ExperimentalWarning, action="ignore"):
                self._study.set_metric_names([*self._objectives.names])
        # We read and write the storage itself, because the study keeps a copy of every trial that passes through it.
        self._id = self._storage.get_study_id_from_name(name)

    def refresh(self) -> None:
        """Read the trials of the study again; wait while the server is away."""
        try:
            patiently(self._read, self._url)
        except self._broken as error:
            raise self._explained(error) from error

    def _read(self) -> None:
        trials = self._storage.get_all_trials(self._id, deepcopy=False)
        self._known = {(trial.user_attrs.get("index"), trial.user_attrs.get("status")) for trial in trials}

    @property
    def indices(self) -> set[Any]:
        """The indices of the trials in the study."""
        return {index for index, _ in self._known}

    def add(self, trial: Trial) -> None:
        """Add `trial` to the study unless it is there."""
        try:
            patiently(lambda: self._add(trial), self._url)
        except self._broken as error:
            raise self._explained(error) from error

    def _add(self, trial: Trial) -> None:
        if self._in_doubt:
            self._read()
        self._in_doubt = False
        if (trial.index, trial.status) in self._known:
            return
        states = self._optuna.trial.TrialState
        names = [key for key in self._space if key in trial.params]
        self._in_doubt = True  # a connection may break after the database has stored the trial
        self._storage.create_new_trial(
            self._id,
            self._optuna.trial.create_trial(
                state={DONE: states.COMPLETE, PRUNED: states.PRUNED}.get(trial.status, states.FAIL),
                values=values_of(trial, self._objectives),
                params={key: _named_value(self._space, key, trial.params[key]) for key in names},
                distributions={key: self._distributions[key] for key in names},
                user_attrs=jsonable({key: getattr(trial, key) for key in names_in("study")}),
                intermediate_values=dict(trial.curve),
            ),
        )
        self._known.add((trial.index, trial.status))
        self._in_doubt = False

    def delete(self) -> None:
        """Delete the study from its database."""
        self._optuna.delete_study(study_name=self._study.study_name, storage=self._storage)

    def close(self) -> None:
        """Close the connections to the database."""
        self._storage.remove_session()
        self._storage.engine.dispose()

    def _explained(self, error: BaseException) -> InputError:
        if self._own is not None and any(word in first_line(error) for word in WITHOUT_FAULT):
            way_out = "make room, see that nobody else holds it, and run the same command again: the results are kept"
            return unwritable("the study", self._own, error, way_out)
        if self._own is not None:
            return InputError(
                f"the study must be an Optuna database, but {self._own} cannot be used as one ({first_line(error)}); "
                f"`{rebuild_command(self._own.parent)}` sets it aside and builds it again from the result files"
            )
        if isinstance(error, ImportError):
            return InputError(
                f"store= needs the driver of its database, but it is not installed: {shown_url(self._url)}; "
                'run pip install "hsicfast[postgres]", or leave store= out'
            )
        # The text of the database's error may repeat the URL and its password, so we show the class alone.
        return InputError(
            f"store= must be the URL of a database that answers, but {shown_url(self._url)} gave "
            f"{type(error.__cause__ or error).__name__}; correct it, or leave store= out for a file in the run folder"
        )


def values_of(trial: Trial, objectives: Objectives | None) -> list[float] | None:
    """The values of a trial as its study has them; None if it has none."""
    if not math.isfinite(trial.objective):
        return None
    return [trial.objective] if objectives is None else [float(trial.metrics[name]) for name in objectives.names]


def _named(optuna: Any, space: SearchSpace, name: str) -> Any:
    choices = getattr(space[name], "choices", None)
    if choices is None:
        return distribution(space[name])
    return optuna.distributions.CategoricalDistribution([_named_value(space, name, choice) for choice in choices])


def _named_value(space: SearchSpace, name: str, value: Any) -> Any:
    """`value` as the study stores it: a choice that is no scalar becomes its JSON text."""
    value = jsonable(value)
    return json.dumps(value) if isinstance(value, list | dict) else value
